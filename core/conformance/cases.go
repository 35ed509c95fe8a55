package conformance

import (
	_ "embed"
	"encoding/json"
	stderrors "errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/token"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

//go:embed cases.cue
var casesSchema string

// casesFile is the name under which the schema is compiled.
const casesFile = "schema of cases"

// Case is what the kit is told of a component because it cannot be guessed: a configuration where the schema requires
// one, and what should be given to the component so configured. cases.cue says which fields each kind has.
type Case struct {
	Config json.RawMessage `json:"-"`
	Where  string          `json:"-"` // of the case in its file

	Facts *struct {
		Shape      []int64
		Bands      []string
		Flux       string
		Unit       string
		PixelScale float64 `json:"pixel_scale"`
	}
	Columns    map[string][]float64
	Statistics []struct {
		Mean, Deviation, Median, Mad float64
		PercentileLevels             []float64 `json:"percentile_levels"`
		Percentiles                  []float64
	}

	Files map[string]string

	Inputs [][]int64

	Labels         []Label
	Batch          uint32
	Representation []int64
	Features       []int64
	Samples        uint64

	Rows, Width int
}

// Label is a column of labels of a case.
type Label struct {
	Column           string
	Categories       []string
	Minimum, Maximum float64
}

// ReadCases reads a conformance.cue, which need not exist, of a plugin with these components. Its error is a fault.List
// with the places in the file.
func ReadCases(file string, manifest *protocol.Description) (map[string][]Case, error) {
	ctx := cuecontext.New()
	schema := ctx.CompileString(casesSchema, cue.Filename(casesFile))
	if schema.Err() != nil {
		return nil, &fault.Error{Kind: fault.Internal, What: "the schema of cases is broken", Err: schema.Err()}
	}
	text, err := os.ReadFile(file)
	if file == "" || stderrors.Is(err, fs.ErrNotExist) {
		text = nil
	} else if err != nil {
		return nil, &fault.Error{Kind: fault.Resource, What: "the cases cannot be read", Err: err}
	}
	given := ctx.CompileBytes(text, cue.Filename(file))
	if err := given.Err(); err != nil {
		return nil, wrong(file, "", err)
	}
	fields, err := given.Fields()
	if err != nil {
		return nil, wrong(file, "", err)
	}
	cases := map[string][]Case{}
	for fields.Next() {
		name := fields.Selector().Unquoted()
		i := slices.IndexFunc(manifest.Components, func(c *protocol.ComponentInfo) bool { return c.Name == name })
		if i < 0 {
			return nil, unknown(name, fields.Value(), manifest)
		}
		list, err := fields.Value().List()
		if err != nil {
			return nil, wrong(file, name, err)
		}
		for n := 0; list.Next(); n++ {
			c, err := readCase(schema, list.Value(), manifest.Components[i].Kind)
			if err != nil {
				return nil, wrong(file, fmt.Sprintf("%s.%d", name, n), err)
			}
			cases[name] = append(cases[name], c)
		}
	}
	for _, c := range manifest.Components {
		if len(cases[c.Name]) > 0 {
			continue
		}
		one, err := readCase(schema, ctx.CompileString("{}"), c.Kind)
		if err != nil {
			return nil, err
		}
		cases[c.Name] = []Case{one}
	}
	return cases, nil
}

// readCase checks and completes one case.
func readCase(schema, given cue.Value, kind protocol.Kind) (Case, error) {
	name := strings.ToUpper(kind.String()[:1]) + strings.ToLower(kind.String()[1:])
	v := schema.LookupPath(cue.MakePath(cue.Def(name))).Unify(given)
	c := Case{Where: where(given.Pos())}
	if err := v.Validate(cue.Concrete(true), cue.Final()); err != nil {
		return c, err
	}
	if err := v.Decode(&c); err != nil {
		return c, err
	}
	config := v.LookupPath(cue.ParsePath("config"))
	if place := where(config.Pos()); place != "" && !strings.HasPrefix(place, casesFile) {
		c.Where = place
	}
	var err error
	c.Config, err = config.MarshalJSON()
	return c, err
}

// unknown is about cases of a component that is not there.
func unknown(name string, v cue.Value, manifest *protocol.Description) error {
	var names []string
	for _, c := range manifest.Components {
		names = append(names, c.Name)
	}
	f := &fault.Error{Kind: fault.Config, Where: where(v.Pos()), What: fmt.Sprintf("the plugin %s has no component %q", manifest.Name, name), Do: "it has " + strings.Join(names, ", ")}
	if near := fault.Nearest(name, names); near != "" {
		f.Do = fmt.Sprintf("did you mean %q?", near)
	}
	return fault.List{f}
}

// wrong turns CUE's errors into faults, one for each place in the file; in is where a case stands in it, "blur.0".
func wrong(file, in string, err error) error {
	var list fault.List
	for _, e := range errors.Errors(err) {
		format, a := e.Msg()
		path := e.Path()
		if len(path) > 0 && strings.HasPrefix(path[0], "#") {
			path[0] = in
		}
		f := &fault.Error{Kind: fault.Config, What: fmt.Sprintf(format, a...), Path: strings.Join(path, "."), Do: "asterism help plugin test says what a case may hold"}
		for _, p := range append([]token.Pos{e.Position()}, errors.Positions(e)...) {
			if p.IsValid() && p.Filename() == file {
				f.Where = where(p)
				break
			}
		}
		i := slices.IndexFunc(list, func(o *fault.Error) bool { return o.Where == f.Where })
		switch {
		case f.Where == "" && len(errors.Errors(err)) > 1:
			// a sum of the others
		case i < 0:
			list = append(list, f)
		default: // one of several ways to say it; the last is of the type, not of the default
			list[i] = f
		}
	}
	return list
}

func where(p token.Pos) string {
	if !p.IsValid() || p.Filename() == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d:%d", p.Filename(), p.Line(), p.Column())
}
