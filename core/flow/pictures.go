package flow

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/asterism-ssl/asterism/core/health"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/report/thumbnail"
	"github.com/asterism-ssl/asterism/core/run"
)

// What a run shows of its samples: they, their views, and where they lie in the space that was learned.

// picturesRevision is raised when the pictures change.
const picturesRevision = 1

// drawViews keeps pictures of some samples and of what training and evaluation see of them.
func (f *Flow) drawViews(ctx context.Context, w *work) error {
	const samples, draws = 4, 2
	names := append(f.learnedFrom(), "eval")
	slices.Sort(names)
	names = slices.Compact(names)
	from := recipe{"views", map[string]any{"revision": picturesRevision, "data": w.digest, "split": f.x.Data.Split, "seed": f.x.Seed, "views": f.pipelines(names), "statistics": f.statistics(w, names...)}}
	_, err := f.stage(ctx, "views", "pictures of some samples and their views", from, func(ctx context.Context, dir string) error {
		var sheets []run.Sheet
		for _, name := range names {
			v, err := f.viewSteps(ctx, w, name, samples, draws)
			if err != nil {
				return err
			}
			sheet := run.Sheet{View: name}
			for _, s := range v.Steps {
				sheet.Steps = append(sheet.Steps, s.Component)
			}
			for i, l := range v.Lines {
				line := run.SheetLine{ID: l.ID, Name: l.Name, Epoch: l.Epoch}
				for k, pixels := range l.Pixels {
					facts := v.Steps[k].Facts
					image := fmt.Sprintf("%s-%02d-%d.png", name, i, k)
					if err := thumbnail.Write(filepath.Join(dir, image), pixels, ints(facts.Shape), facts.Bands, facts.Flux); err != nil {
						return err
					}
					line.Images = append(line.Images, image)
				}
				sheet.Lines = append(sheet.Lines, line)
			}
			sheets = append(sheets, sheet)
		}
		return run.WriteJSON(filepath.Join(dir, run.SheetsFile), sheets)
	})
	if err != nil {
		return err
	}
	return f.Cache.Link(from.key(), f.dir.File(run.PicturesDir))
}

// The map shows so many objects, and a mosaic of so many cells.
const (
	mapObjects    = 1000
	mapLabels     = 6
	mapCategories = 64    // a column of more names is one of identifiers
	mapTail       = 0.005 // of the objects lies beyond each side of the map
	mosaicAcross  = 14
	mosaicDown    = 10
	mosaicTile    = 56 // pixels
	mosaicFile    = "mosaic.png"
)

// drawMap keeps where objects lie along the principal axes of what was learned.
func (f *Flow) drawMap(ctx context.Context, w *work) error {
	var names []string
	for _, q := range w.questions {
		for _, name := range q.labels {
			if !slices.Contains(names, name) && len(names) < mapLabels {
				names = append(names, name)
			}
		}
	}
	from := recipe{"map", map[string]any{"revision": picturesRevision, "data": w.digest, "seed": f.x.Seed, "learned": w.learned.key, "labels": names}}
	_, err := f.stage(ctx, "map", "where objects lie along the principal axes of what was learned", from, func(ctx context.Context, dir string) error {
		rows := f.some(w, w.all(), mapObjects)
		at, shares := health.Principal(w.learned.representations.Pick(rows), w.learned.representations.Width)
		m := &run.Map{Objects: w.store.Len(), Shares: shares, Across: mosaicAcross, Down: mosaicDown}
		if at == nil { // too few objects for a map
			return run.WriteJSON(filepath.Join(dir, run.MapFile), m)
		}
		for i, r := range rows {
			m.Shown = append(m.Shown, run.MapDot{ID: w.store.ID(r), X: at[2*i], Y: at[2*i+1]})
		}
		for a := range 2 {
			m.Low[a], m.High[a] = middle(at, a)
		}
		for _, name := range names {
			c, _ := w.store.Column(name)
			if len(c.Categories) > mapCategories {
				continue
			}
			label := run.MapLabel{Name: name, Categories: c.Categories, Values: make([]*float64, len(rows))}
			for i, r := range rows {
				if v := c.Values[r]; !math.IsNaN(v) && !math.IsInf(v, 0) {
					label.Values[i] = &v
				}
			}
			m.Labels = append(m.Labels, label)
		}
		if len(f.plan.facts.Shape) > 1 { // vectors have no picture that small
			m.Mosaic = mosaicFile
			if err := f.mosaic(w, m, rows, filepath.Join(dir, mosaicFile)); err != nil {
				return err
			}
		}
		return run.WriteJSON(filepath.Join(dir, run.MapFile), m)
	})
	if err != nil {
		return err
	}
	return f.Cache.Link(from.key(), f.dir.File(run.PicturesDir))
}

// middle is the range of one coordinate of pairs without its tails.
func middle(at []float64, axis int) (low, high float64) {
	var v []float64
	for i := axis; i < len(at); i += 2 {
		v = append(v, at[i])
	}
	slices.Sort(v)
	tail := int(mapTail * float64(len(v)))
	low, high = v[tail], v[len(v)-1-tail]
	if low == high { // nothing was learned: a point
		low, high = low-1, high+1
	}
	return low, high
}

// mosaic draws in each cell of the map the object that is nearest to its middle.
func (f *Flow) mosaic(w *work, m *run.Map, rows []int, file string) (err error) {
	type candidate struct {
		row      int
		distance float64
	}
	best := map[image.Point]candidate{}
	for i, d := range m.Shown {
		x := (d.X - m.Low[0]) / (m.High[0] - m.Low[0]) * mosaicAcross
		y := (m.High[1] - d.Y) / (m.High[1] - m.Low[1]) * mosaicDown
		if !(x >= 0 && x < mosaicAcross && y >= 0 && y < mosaicDown) {
			continue
		}
		cell := image.Pt(int(x), int(y))
		c := candidate{rows[i], math.Hypot(x-float64(cell.X)-0.5, y-float64(cell.Y)-0.5)}
		if known, ok := best[cell]; !ok || cmp.Compare(c.distance, known.distance) < 0 {
			best[cell] = c
		}
	}
	picture := image.NewNRGBA(image.Rect(0, 0, mosaicAcross*mosaicTile, mosaicDown*mosaicTile))
	shape, facts := ints(f.plan.facts.Shape), f.plan.facts
	pixels := make([]float32, model.Size(facts.Shape))
	for cell, c := range best {
		if err := w.store.Gather(pixels, []int{c.row}); err != nil {
			return err
		}
		tile := thumbnail.Scaled(thumbnail.Of(pixels, shape, facts.Bands, facts.Flux), mosaicTile-2, mosaicTile-2)
		at := image.Pt(cell.X*mosaicTile+1, cell.Y*mosaicTile+1)
		draw.Draw(picture, image.Rectangle{at, at.Add(image.Pt(mosaicTile-2, mosaicTile-2))}, image.NewUniform(color.Black), image.Point{}, draw.Src)
		draw.Draw(picture, image.Rectangle{at, at.Add(image.Pt(mosaicTile-2, mosaicTile-2))}, tile, tile.Bounds().Min, draw.Over)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := png.Encode(out, picture); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
