package predict

import (
	"bytes"
	_ "embed" // the page
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"

	"github.com/asterism-ssl/asterism/core/report/thumbnail"
	"github.com/asterism-ssl/asterism/core/run"
)

// Panel is a query and what was found, to be looked at.
type Panel struct {
	Run   string // its id
	Query Card
	Found []Card
}

// Card is an object as a person sees it.
type Card struct {
	ID      string            `json:"id"`
	Cosine  float32           `json:"cosine"`
	Part    string            `json:"part,omitempty"`
	Columns map[string]string `json:"columns,omitempty"`
	PNG     []byte            `json:"-"` // may be nil
}

// NewCard gives the card of an object of a run. Pictures may be nil.
func NewCard(o *run.Objects, f Found, pictures *Pictures) (Card, error) {
	c := Card{ID: f.ID, Cosine: f.Cosine, Part: o.Parts[f.Row].String(), Columns: map[string]string{}}
	for _, column := range o.Columns {
		if text := column.Text(f.Row); text != "" {
			c.Columns[column.Name] = text
		}
	}
	var err error
	if pictures != nil {
		c.PNG, err = pictures.PNG(f.Row)
	}
	return c, err
}

// Of a panel's picture, in pixels: the side of a cutout, and the room between them.
const (
	cutout = 128
	gap    = 6
)

// WritePNG draws the query, framed, and then what was found, the most similar first, from left to right and down.
func (p *Panel) WritePNG(w io.Writer) error {
	cards := append([]Card{p.Query}, p.Found...)
	columns := 1
	for columns*columns < len(cards) {
		columns++
	}
	rows := (len(cards) + columns - 1) / columns
	panel := image.NewRGBA(image.Rect(0, 0, columns*(cutout+gap)+gap, rows*(cutout+gap)+gap))
	draw.Draw(panel, panel.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	for i, c := range cards {
		at := image.Pt(gap+i%columns*(cutout+gap), gap+i/columns*(cutout+gap))
		box := image.Rectangle{at, at.Add(image.Pt(cutout, cutout))}
		if i == 0 {
			draw.Draw(panel, box.Inset(-gap/2), image.NewUniform(color.RGBA{214, 120, 20, 255}), image.Point{}, draw.Src)
		}
		draw.Draw(panel, box, image.NewUniform(color.RGBA{14, 17, 24, 255}), image.Point{}, draw.Src)
		if c.PNG == nil {
			continue
		}
		picture, err := png.Decode(bytes.NewReader(c.PNG))
		if err != nil {
			return fmt.Errorf("the picture of %s: %w", c.ID, err)
		}
		draw.Draw(panel, box, thumbnail.Scaled(picture, cutout, cutout), image.Point{}, draw.Src)
	}
	return png.Encode(w, panel)
}

//go:embed panel.html
var panelPage string

var panelTemplate = template.Must(template.New("panel").Funcs(template.FuncMap{
	"picture": func(b []byte) template.URL {
		return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(b))
	},
}).Parse(panelPage))

// WriteHTML writes a page that needs nothing outside itself.
func (p *Panel) WriteHTML(w io.Writer) error { return panelTemplate.Execute(w, p) }
