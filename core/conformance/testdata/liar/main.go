// Liar is the plugin of the tests: a component of each kind that keeps the contract, except for one paragraph of it, which
// its first argument names. It is made with the SDK; bare does what the SDK keeps authors from.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"golang.org/x/sys/unix"
)

// lie is what this process does wrong.
var lie string

func main() {
	if len(os.Args) > 1 && os.Args[1] != "describe" {
		lie = os.Args[1]
		os.Args = append(os.Args[:1], os.Args[2:]...)
	}
	version := "1.0.0"
	switch lie {
	case "mute":
		time.Sleep(time.Hour)
	case "ends":
		fmt.Println("no licence")
		os.Exit(3)
	case "newer":
		version = "2.0.0"
	case "writes":
		if dir := os.Getenv("ASTERISM_PLUGIN_DIR"); dir != "" {
			os.WriteFile(filepath.Join(dir, "liar.log"), []byte("begun"), 0o666)
		}
	case "closed":
		unix.Close(1)
	case "lost":
		if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
			unix.Dup3(int(null.Fd()), 1, 0)
		}
	}
	schema := map[string]string{
		"loose":        "#Config: {\n// Whether.\non: bool | *true\n...\n}",
		"nested":       "#Config: {\n// Several.\nlist: [...{\n// Name.\nname: string\n...\n}]\n}",
		"undocumented": "#Config: {on: bool | *true}",
		"inner":        "#Config: {\n// Several.\nin: {on: bool | *true}\n}",
		"broken":       "#Config: {a: b}",
		"required":     "#Config: {\n// What is asked for.\nlabel!: string\n}",
	}[lie]
	if schema == "" {
		schema = "// Settings of the tests.\n#Config: {\n// Whether.\non: bool | *true\n// Any number of them.\nof: [string]: number\n}"
	}
	summary := "Does it."
	if lie == "silent" {
		summary = ""
	}
	p := sdk.Plugin{Name: "liar", Version: version, Components: []sdk.Component{
		sdk.Augmentation("view", 1, summary, schema, func(c config) (sdk.Augmenter, error) {
			global.Store(c.On)
			if lie == "refuses" {
				return nil, sdk.FieldError{Field: "on", What: "must be off", Advice: "set it to false"}
			}
			return &view{}, nil
		}),
		sdk.Dataset("data", 1, "Does it.", schema, func(config) (sdk.Reader, error) { return &data{}, nil }),
		sdk.Encoder("net", 1, "Does it.", schema, func(config) (sdk.Architecture, error) { return net{}, nil }),
		sdk.Objective("loss", 1, "Does it.", schema, func(config) (sdk.Learner, error) {
			if lie == "forgets" {
				return &struct{ sdk.Learner }{&loss{}}, nil // without a state
			}
			return &loss{}, nil
		}),
		sdk.Task("task", 1, "Does it.", schema, func(config) (sdk.Predictor, error) { return &task{}, nil }),
	}}
	sdk.Serve(p)
}

// global is what the last instance was told.
var global atomic.Bool

// config ends the process when there is something in it that it does not know.
type config struct{ On bool }

func (c *config) UnmarshalJSON(text []byte) error {
	if lie == "exits" && strings.Contains(string(text), "no_such_field") {
		fmt.Fprintln(os.Stderr, "unknown option")
		os.Exit(2)
	}
	type plain config
	return json.Unmarshal(text, (*plain)(c))
}
