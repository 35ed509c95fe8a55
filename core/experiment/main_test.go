package experiment

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

var update = flag.Bool("update", false, "rewrite the expected messages in testdata")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"vet": vet, "schema": schema})
}

// TestMessages pins every message: one script each in testdata.
func TestMessages(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true})
}

// vet loads an experiment as the program does and prints what is wrong, or its canonical JSON.
func vet() {
	var o Options
	var files []string
	args := os.Args[1:]
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-t" && i+1 < len(args):
			i++
			o.Tags = append(o.Tags, args[i])
		case args[i] == "--set" && i+1 < len(args):
			i++
			o.Sets = append(o.Sets, args[i])
		default:
			files = append(files, args[i])
		}
	}
	o.Schemas, o.EncoderOf = fakes, encoderOf
	if os.Getenv("ACME") != "" {
		acme := &versions{fakeSchemas: fakes, acme: "1.3.0"}
		o.Schemas, o.Want, o.Missing = acme, acme.want, acme.why
	}
	e, err := Load(files[0], o)
	if err != nil {
		fault.Print(os.Stderr, err)
		os.Exit(fault.KindOf(err).ExitCode())
	}
	if len(files) > 1 {
		for _, path := range files[1:] {
			fmt.Println(path, e.Where(path))
		}
		return
	}
	fmt.Println(string(e.Resolved))
}

// encoderOf knows the weights of one run.
func encoderOf(from string) (string, json.RawMessage, error) {
	if from == "efigi" {
		return "resnet.r18", json.RawMessage(`{"stem":"small","width":2}`), nil
	}
	return "", nil, &fault.Error{What: from + " does not say which encoder it is of", Do: "name it"}
}

// schema prints the documentation of a component, or of the language.
func schema() {
	d, err := DocumentExperiment()
	if len(os.Args) > 1 {
		s, ok := fakes.Schema(os.Args[1])
		if !ok {
			s = fake(os.Args[1], protocol.Kind_TASK, "#Config: {")
		}
		d, err = Document(s)
	}
	if err != nil {
		fault.Print(os.Stderr, err)
		os.Exit(fault.KindOf(err).ExitCode())
	}
	if err := d.Write(os.Stdout); err != nil {
		panic(err)
	}
}

// fakeSchemas is a set of components as plugins would bring them, for tests.
type fakeSchemas []Schema

func (f fakeSchemas) List() []Schema { return f }

func (f fakeSchemas) Schema(name string) (Schema, bool) {
	for _, s := range f {
		if s.Name == name {
			return s, true
		}
	}
	return Schema{}, false
}

// versions is that set with a plugin of a third party beside it, in two versions.
type versions struct {
	fakeSchemas
	acme string
}

func (v *versions) Schema(name string) (Schema, bool) {
	if name == "acme.blur" {
		s := fake(name, protocol.Kind_AUGMENTATION, "#Config: {}")
		s.Version = v.acme
		return s, true
	}
	return v.fakeSchemas.Schema(name)
}

func (v *versions) want(plugin, version string) error {
	switch {
	case plugin == "acme" && version == "1.2.0", plugin == "acme" && version == "1.3.0":
		v.acme = version
	case plugin == "acme":
		return &fault.Error{Kind: fault.Config, Plugin: plugin, What: "there is no acme " + version, Do: "install it"}
	case plugin != "sky":
		return v.why(plugin + ".x")
	}
	return nil
}

func (v *versions) why(component string) error {
	plugin, _, _ := strings.Cut(component, ".")
	if plugin == "lens" {
		return &fault.Error{Kind: fault.Plugin, What: "the plugin lens is not the one that is locked", Do: "lock it anew"}
	}
	return &fault.Error{Kind: fault.Config, What: fmt.Sprintf("there is no plugin %q", plugin)}
}

func fake(name string, kind protocol.Kind, text string) Schema {
	plugin, _, _ := strings.Cut(name, ".")
	return Schema{Name: name, Kind: kind, Text: text, Revision: 1, Plugin: plugin}
}

var fakes = fakeSchemas{
	fake("images.folder", protocol.Kind_DATASET, `
#Config: {
	// Folder with the images.
	root!: string
	// Table that describes them.
	table?: string
	// Column of the table that names the image.
	id: string | *"id"
	// Columns to keep.
	columns: [...string]
}`),
	fake("sky.rotate", protocol.Kind_AUGMENTATION, `
#Config: {
	// Largest angle, in degrees.
	max: number & >=0 & <=180 | *180
	// Smallest angle, in degrees.
	min: number & >=0 & <=180 | *0
	// How pixels between pixels are had.
	interpolation: *"bilinear" | "nearest" | "lanczos"
	#rules: [{path: "max", ok: max >= min, say: "max must be at least min"}]
}`),
	fake("sky.jitter_crop", protocol.Kind_AUGMENTATION, `
#Config: {
	// Side of the crop, in pixels.
	size!: int & >0
	// Largest shift of the centre, in pixels.
	shift: int & >=0 | *0
}`),
	fake("sky.center_crop", protocol.Kind_AUGMENTATION, `
#Config: {
	// Side of the crop, in pixels.
	size!: int & >0
}`),
	fake("sky.noise", protocol.Kind_AUGMENTATION, `
#Config: {
	// Standard deviation.
	sigma: number & >=0 | *0.1
	// Range of magnitudes.
	range: [number, number] | *[1, 3]
}`),
	fake("resnet.r18", protocol.Kind_ENCODER, `
#Config: {
	// Factor on the number of channels.
	width: number & >0 | *1
	// First layers.
	stem: *"imagenet" | "small"
}`),
	fake("contrast.moco", protocol.Kind_OBJECTIVE, `
#Config: {
	// Length of the queue of negatives.
	queue: int & >0 | *65536
	// Momentum of the second network.
	momentum: number & >=0 & <1 | *0.999
	// Temperature of the softmax.
	temperature: number & >0 | *0.2
	// Projection head.
	head: {
		// Width of its hidden layer.
		hidden: int & >0 | *512
		// Width of its output.
		out: int & >0 | *128
	}
}`),
	fake("classify.linear", protocol.Kind_TASK, `
#Config: {
	// Column to predict.
	label!: string
	// Borders between classes of a numerical column, ascending.
	edges?: [number, ...number]
}`),
	fake("neighbours.search", protocol.Kind_TASK, `
#Config: {
	// How many objects to search for.
	queries: int & >0 | *8
	// How many neighbours to show.
	top: int & >0 | *5
}`),
}
