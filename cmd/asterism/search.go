package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/predict"
	"github.com/asterism-ssl/asterism/core/run"
)

func (a *app) searchCommand() *cobra.Command {
	var like, out string
	var sets []string
	var top, threads int
	var open bool
	c := &cobra.Command{
		Use: "search RUN", Short: "The objects of a run that look most like one of them, or like an image or another file",
		Long: `Search compares the representation of an object with those of all objects of the run, by cosine, and prints the most similar.
The search is exact. --like takes the id of one of the run's objects, or a file, which goes through the run's frame, eval views
and encoder first.

` + readBy + `

--out NAME.png draws the query, framed, and what was found; --out NAME.html is a page of them with their names and columns.
Pictures are drawn from the data in the cache; where these are not, on another machine say, there are none.`,
		Example: "  asterism search efigi --like PGC0002182 --top 20 --open\n  asterism search efigi --like galaxy.png --out like-it.png",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if like == "" {
				return &fault.Error{Kind: fault.Config, What: "there is nothing to look for", Do: "give --like ID, or --like FILE"}
			}
			if top < 1 {
				return &fault.Error{Kind: fault.Config, What: fmt.Sprintf("--top %d finds nothing", top), Do: "give 1 or more"}
			}
			if open && out == "" {
				out = filepath.Join(os.TempDir(), fmt.Sprintf("asterism-search-%d.html", os.Getpid()))
			}
			draw := map[string]func(*predict.Panel, io.Writer) error{"": nil, ".png": (*predict.Panel).WritePNG, ".html": (*predict.Panel).WriteHTML}
			write, known := draw[strings.ToLower(filepath.Ext(out))]
			if !known || out != "" && write == nil {
				return &fault.Error{Kind: fault.Config, What: fmt.Sprintf("--out %s is neither a picture nor a page", out), Do: "end it in .png or .html"}
			}
			if err := onlyData(sets); err != nil {
				return err
			}
			if err := machine(threads); err != nil {
				return err
			}
			dir, err := run.Find(a.runs, args[0])
			if err != nil {
				return err
			}
			x, err := predict.OpenIndex(dir, threads, false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, x.Close()) }()
			pictures, err := a.pictures(dir, x, write != nil)
			if err != nil {
				return err
			}
			if pictures != nil {
				defer pictures.Close()
			}
			panel, err := a.look(c, args[0], x, pictures, like, sets, top, threads)
			if err != nil {
				return err
			}
			panel.Run = filepath.Base(filepath.Clean(dir))
			if write != nil {
				if err := run.WriteTo(out, func(w io.Writer) error { return write(panel, w) }); err != nil {
					return err
				}
			}
			if err := a.showFound(panel, out); err != nil || !open {
				return err
			}
			return openInBrowser(out)
		},
	}
	c.Flags().StringVar(&like, "like", "", "an object's id, or a file")
	c.Flags().StringArrayVar(&sets, "set", nil, "where the data are whose dataset reads the file, where they are not as in the run: data.sources.0.…=VALUE")
	c.Flags().IntVar(&top, "top", 20, "how many to find")
	c.Flags().StringVar(&out, "out", "", "write a panel of pictures: .png, or .html with names and columns")
	c.Flags().BoolVar(&open, "open", false, "open the panel in the browser")
	c.Flags().IntVar(&threads, "threads", 0, "processors to use (0: all)")
	return c
}

// look finds what is most like an object of the run or a file.
func (a *app) look(c *cobra.Command, name string, x *predict.Index, pictures *predict.Pictures, like string, sets []string, top, threads int) (*predict.Panel, error) {
	panel := &predict.Panel{}
	var found []predict.Found
	row, missing := x.Row(like)
	if missing == nil {
		var err error
		if panel.Query, err = predict.NewCard(x.Objects, predict.Found{Row: row, ID: like, Cosine: 1}, pictures); err != nil {
			return nil, err
		}
		if found, err = x.LikeObject(row, top); err != nil {
			return nil, err
		}
	} else {
		if info, err := os.Stat(like); err != nil || info.IsDir() {
			return nil, missing
		}
		b, err := a.embedFile(c, name, like, sets, threads)
		if err != nil {
			return nil, err
		}
		panel.Query = predict.Card{ID: filepath.Base(like), Cosine: 1, PNG: b.Pictures[0]}
		if found, err = x.Like(b.Representations, top); err != nil {
			return nil, err
		}
	}
	for _, f := range found {
		card, err := predict.NewCard(x.Objects, f, pictures)
		if err != nil {
			return nil, err
		}
		panel.Found = append(panel.Found, card)
	}
	return panel, nil
}

// embedFile brings a file through a run.
func (a *app) embedFile(c *cobra.Command, name, file string, sets []string, threads int) (b *predict.Batch, err error) {
	u, err := a.use(c, name, filepath.Dir(file), sets, threads)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, u.close()) }()
	p, err := predict.Open(c.Context(), u.x, u.dir, predict.Options{Host: u.host, Engine: native.New(), Threads: threads, Picture: true, Note: u.progress.Note})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	return p.File(c.Context(), u.reader, file)
}

// pictures opens the run's data, if pictures are wanted and the data are there.
func (a *app) pictures(dir string, x *predict.Index, wanted bool) (*predict.Pictures, error) {
	if !wanted {
		return nil, nil
	}
	cache, err := openCache()
	if err != nil {
		return nil, err
	}
	pictures, err := predict.OpenPictures(cache, dir, x.Objects)
	if errors.Is(err, predict.ErrNoPictures) {
		fmt.Fprintln(a.err, err)
		return nil, nil
	}
	return pictures, err
}

// shownColumns is how many columns of an object a line has room for.
const shownColumns = 4

// showFound prints what was found.
func (a *app) showFound(p *predict.Panel, out string) error {
	if a.json {
		said := map[string]any{"run": p.Run, "query": p.Query, "found": p.Found}
		if out != "" {
			said["panel"] = out
		}
		return a.writeJSON(said)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\tcosine\tid\tpart\tcolumns\n")
	for i, f := range p.Found {
		var columns []string
		for k, name := range slices.Sorted(maps.Keys(f.Columns)) {
			if k == shownColumns {
				columns = append(columns, fmt.Sprintf("and %d more with --json", len(f.Columns)-k))
				break
			}
			columns = append(columns, name+" "+f.Columns[name])
		}
		fmt.Fprintf(w, "%d\t%.4f\t%s\t%s\t%s\n", i+1, f.Cosine, f.ID, f.Part, strings.Join(columns, ", "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if out != "" {
		fmt.Fprintf(a.out, "\npanel: %s\n", out)
	}
	return nil
}

// openInBrowser shows a file or an address with the program that the system has for it.
func openInBrowser(what string) error {
	opener := "xdg-open"
	if runtime.GOOS == "darwin" {
		opener = "open"
	}
	if err := exec.Command(opener, what).Start(); err != nil {
		return &fault.Error{Kind: fault.Resource, What: "no browser can be started", Err: err, Do: "open " + what + " yourself"}
	}
	return nil
}
