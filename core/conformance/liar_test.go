package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/protobuf/encoding/protojson"
)

// programs is the folder of the plugins of the tests, built as a third party would build them.
var programs string

// TestMain lets the test binary be the host that is killed.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_ROLE") == "holder" {
		if err := Hold(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "conformance")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		programs = dir
		build := exec.Command("go", "build", "-o", dir+"/", "./testdata/liar", "./testdata/bare")
		engine := exec.Command("go", "build", "-o", filepath.Join(dir, "twin"), "../plugin/testdata/engine")
		engine.Stderr = os.Stderr
		build.Stderr = os.Stderr
		if err := errors.Join(build.Run(), engine.Run()); err != nil {
			fmt.Fprintln(os.Stderr, "the plugins of the tests cannot be built:", err)
			return 1
		}
		return m.Run()
	}())
}

// manifestOf is what the plugin says of itself when it tells this lie.
func manifestOf(t *testing.T, name, lie string) *protocol.Description {
	t.Helper()
	d := &protocol.Description{}
	if name == "bare" {
		const schema = "// Nothing to set.\n#Config: {}"
		return &protocol.Description{Name: "bare", Version: "1.0.0", Api: protocol.API, Components: []*protocol.ComponentInfo{
			{Name: "view", Kind: protocol.Kind_AUGMENTATION, Revision: 1, Schema: schema, Summary: "Does it."},
			{Name: "data", Kind: protocol.Kind_DATASET, Revision: 1, Schema: schema, Summary: "Does it."}}}
	}
	if slices.Contains([]string{"newer", "ends", "closed"}, lie) {
		lie = "honest"
	}
	text, err := exec.Command(filepath.Join(programs, name), lie, "describe").Output()
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, "command")
	text, err = json.Marshal(fields)
	if err == nil {
		err = protojson.Unmarshal(text, d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// tryLie runs the checks whose names match on a plugin that tells a lie.
func tryLie(t *testing.T, name, lie, match string) (Summary, []Result) {
	t.Helper()
	return try(t, name, lie, match, plugin.Patience{})
}

func try(t *testing.T, name, lie, match string, patience plugin.Patience) (Summary, []Result) {
	t.Helper()
	o := Options{Spec: plugin.Spec{Name: name, Version: "1.0.0", Command: []string{filepath.Join(programs, name), lie}, Dir: t.TempDir(), Manifest: manifestOf(t, name, lie)}, Work: t.TempDir(), Batches: 60, Patience: patience}
	if match != "" {
		o.Match = regexp.MustCompile("^" + match + "$")
	}
	if name == "liar" { // every check has something to do
		o.Cases = filepath.Join(o.Work, "conformance.cue")
		cases := `data: [{files: "object 3": "object 3"}]`
		if lie == "global" {
			cases = `view: [{config: on: true}, {config: on: false}]`
		}
		if err := os.WriteFile(o.Cases, []byte(cases), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o.Holder = []string{"env", "TEST_ROLE=holder", self}
	var results []Result
	o.Report = func(r Result) { results = append(results, r) }
	summary, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return summary, results
}

// lies are plugins that break one rule each, the check that must find it, the paragraph that it must name, and what it
// must have seen.
var lies = []struct{ lie, check, paragraph, seen string }{
	{"ends", "liar/starts", "1.1", "ended before it was ready"},
	{"newer", "liar/description", "1.2", "version is 2.0.0"},
	{"exits", "liar/requests", "1.9", "exit status 2"},
	{"anyone", "bare/requests", "1.9", "as if all were well"},
	{"closed", "liar/noise", "1.6", "cannot be written"},
	{"lingers", "bare/closes", "1.7", "was killed"},
	{"orphan", "bare/orphans", "1.8", "still ran"},

	{"silent", "liar.view/schema", "1.2", `""`},
	{"broken", "liar.view/schema", "1.3", `reference "b" not found`},
	{"loose", "liar.view/schema", "1.3", "takes one"},
	{"nested", "liar.view/schema", "1.3", "takes one"},
	{"undocumented", "liar.view/schema", "1.4", "#Config.on"},
	{"inner", "liar.view/schema", "1.4", "#Config.in.on"},
	{"required", "liar.view/configuration", "1.5", "label"},
	{"refuses", "liar.view/configuration", "1.5", "must be off"},
	{"keeps", "bare.view/configuration", "1.5", "an answer"},
	{"global", "liar.view/instances", "1.5", "another case"},
	{"leak", "liar.view/memory", "1.11", "it grew by"},
	{"strays", "liar.view/closes", "1.7", "still run"},
	{"clings", "bare.view/closes", "1.7", "was killed"},
	{"strays", "liar/orphans", "1.8", "still ran"},
	{"writes", "liar/folder", "1.14", "liar.log is another"},

	{"rank", "liar.view/ranks", "3.1", "no volumes"},
	{"rankerror", "liar.view/ranks", "3.1", "not implemented"},
	{"ranks", "liar.view/ranks", "3.1", "in another plan"},
	{"nothing", "liar.view/plan", "3.1", "neither an error nor the shape"},
	{"bands", "liar.view/plan", "3.2", "1 names for the shape"},
	{"fickle", "liar.view/plan", "3.2", "another the second time"},
	{"origin", "liar.view/plan", "3.2", "from [1 1]"},
	{"nameless", "liar.view/plan", "3.3", `"drawn" of type STRING`},
	{"stream", "liar.view/key", "3.4", "sample 0 differs in 1 of"},
	{"neighbour", "liar.view/key", "3.4", "differs in 1 of"},
	{"volumes", "liar.view/key", "3.4", "of the shape [16 16 16 3]"},
	{"threads", "liar.view/threads", "3.4", "sample 0 differs in 1 of"},
	{"process", "liar.view/threads", "3.4", "sample 0 differs in 1 of"},
	{"draws once", "liar.view/threads", "3.4", "differs in"},
	{"first", "bare.view/chain", "3.7", "differs in"},
	{"beyond", "liar.view/outside", "3.5", "0 after the end of the output"},
	{"before", "liar.view/outside", "3.5", "4 before the beginning of the output"},
	{"input", "liar.view/outside", "3.5", "the input was changed"},
	{"late", "liar.view/outside", "3.5", "written afterwards"},
	{"hole", "liar.view/filled", "3.6", "differs in 1 of"},
	{"log", "liar.view/finite", "3.8", "NaN in sample"},
	{"standard", "liar.view/finite", "3.8", "all of whose values were 0"},
	{"zeroes", "liar.view/missing", "3.9", "becomes one of which all is"},
	{"strict", "liar.view/missing", "3.9", "a pixel is missing"},
	{"strictcolumn", "liar.view/missing", "3.9", "the weight is missing"},
	{"sure", "bare.view/missing", "3.9", "where some are not"},
	{"empty", "bare.view/empty", "3.10", "an empty batch"},
	{"small", "liar.view/small", "3.11", "index out of range"},
	{"smallerror", "liar.view/small", "3.11", "index out of range"},
	{"blind", "bare.view/descriptors", "3.12", "as if all were well"},

	{"twins", "liar.data/open", "2.1", `"z"`},
	{"bandless", "liar.data/open", "2.1", "0 names for the shape"},
	{"none", "liar.data/open", "2.1", "a count of 0"},
	{"scale", "liar.data/open", "2.1", "2"},
	{"changing", "liar.data/open", "2.1", "another the second time"},
	{"unprinted", "liar.data/open", "2.2", `""`},
	{"reprinted", "liar.data/open", "2.2", " and "},
	{"counts", "liar.data/records", "2.3", "other pixels"},
	{"pid", "liar.data/records", "2.3", "other pixels"},
	{"sameids", "liar.data/ids", "2.4", "records 0 and 1"},
	{"allbad", "liar.data/ids", "2.4", "file 0 is broken"},
	{"flat", "liar.data/values", "2.5", "the shape [8 3]"},
	{"infinite", "liar.data/values", "2.5", "+Inf"},
	{"curt", "liar.data/values", "2.6", `record 6 says "bad"`},
	{"otherwise", "liar.data/files", "2.7", "other pixels"},
	{"late", "bare.data/files", "2.7", "UNIMPLEMENTED before Open: false, and after it: true"},
	{"anyfile", "liar.data/nofile", "2.8", `a record "object 1"`},
	{"filepanic", "liar.data/nofile", "2.8", "panic"},
	{"emptyfile", "liar.data/nofile", "2.8", "panic"},
	{"more", "bare.data/slot", "2.9", "0 after the end of the slot"},
	{"further", "bare.data/slot", "2.9", "as if all were well"},
	{"eager", "bare.data/slot", "2.9", "too small"},
	{"where", "bare.data/slot", "2.9", "outside the memory"},

	{"picky", "liar.net/models", "4.1", "takes samples of two dimensions"},
	{"unused", "liar.net/models", "4.2", `parameter "more"`},
	{"outputs", "liar.net/models", "4.2", `no "features"`},
	{"matrix", "liar.net/models", "4.2", "the shape"},
	{"resized", "liar.net/models", "4.2", "one for [5 5"},
	{"unstable", "liar.net/same", "4.3", "another"},
	{"nodes", "liar.net/small", "4.4", "panic"},
	{"neterror", "liar.net/models", "4.4", "cannot"},

	{"nogradient", "liar.loss/program", "5.1", "none of such a pass"},
	{"head", "liar.loss/program", "5.1", "takes the shape [3]"},
	{"noview", "liar.loss/program", "5.1", `none for "a"`},
	{"nolabel", "liar.loss/program", "5.1", `"colour"`},
	{"otherprogram", "liar.loss/program", "5.2", "another in another process"},
	{"infinite", "liar.loss/finite", "5.3", "+Inf"},
	{"nangradient", "liar.loss/finite", "5.3", "that of a is not"},
	{"double", "liar.loss/gradients", "5.4", "the gradient says"},
	{"tenth", "liar.loss/gradients", "5.4", "the gradient says"},
	{"term", "liar.loss/gradients", "5.4", "the gradient says"},
	{"onerow", "liar.loss/gradients", "5.4", "the gradient says"},
	{"adds", "liar.loss/filled", "5.5", "others where it was not zero"},
	{"skips", "liar.loss/filled", "5.5", "others where it was not zero"},
	{"tap", "liar.loss/filled", "5.6", "a tap or a label was changed"},
	{"nolabels", "liar.loss/labels", "5.7", "a label is missing"},
	{"nanlabel", "liar.loss/labels", "5.7", "NaN"},
	{"losspid", "liar.loss/replay", "5.8", "the loss is"},
	{"lossthreads", "liar.loss/replay", "5.8", "the gradient of a is"},
	{"forgets", "liar.loss/state", "5.9", "in step 3"},
	{"half", "liar.loss/state", "5.9", "in step 3"},
	{"rounded", "liar.loss/state", "5.9", "in step"},
	{"ignores", "liar.loss/state", "5.9", "in step 3"},
	{"asked", "liar.loss/state", "5.9", "in step 3"},
	{"largestate", "liar.loss/state", "5.10", "16"},

	{"unknownlabel", "liar.task/answer", "6.1", `"colour"`},
	{"toolarge", "liar.task/answer", "6.2", ""},
	{"row", "liar.task/answer", "6.3", "96"},
	{"short", "liar.task/answer", "6.3", "the shape [1]"},
	{"nocolumns", "liar.task/answer", "6.3", "none"},
	{"fitpid", "liar.task/repeat", "6.4", "other values"},
	{"fitthreads", "liar.task/repeat", "6.4", `of 48 values of "amount" are others`},
	{"remembers", "liar.task/predict", "6.5", "after Fit was called"},
	{"together", "liar.task/rows", "6.6", "alone and"},
	{"noweights", "liar.task/weights", "6.7", "not supported"},
	{"heavy", "liar.task/weights", "6.7", `others in "amount"`},
	{"order", "liar.task/state", "6.8", ""},
	{"nometric", "liar.task/score", "6.9", "none"},
	{"undocumentedmetric", "liar.task/score", "6.9", `""`},
	{"nanmetric", "liar.task/score", "6.9", "NaN"},
	{"moody", "liar.task/score", "6.9", "the second time"},
	{"figure", "liar.task/score", "6.9", "places across"},
	{"onerow", "liar.task/few", "6.10", "panic"},

	{"scaled", "twin.engine/layers", "7.1", "what it computes differs"},
	{"steep", "twin.engine/layers", "7.1", "the gradient of"},
	{"decays", "twin.engine/step", "7.2", "afterwards"},
	{"forgets", "twin.engine/arrays", "7.3", "others in optimiser.head"},
	{"lucky", "twin.engine/draws", "7.4", "drew otherwise"},
	{"goeson", "twin.engine/notfinite", "7.5", "it was taken"},
	{"anyprecision", "twin.engine/refusals", "7.6", "it was compiled"},
	{"wanders", "twin.engine/report", "7.7", "and"},
	{"nowhere", "twin.engine/report", "7.7", `""`},
	{"opsetless", "twin.engine/report", "7.7", "0"},
	{"halves", "twin.engine/report", "7.7", "bfloat16"},
	{"livestatistics", "twin.engine/inference", "7.8", "differs"},
}

// TestHonest gives the kit plugins that keep the contract.
func TestHonest(t *testing.T) {
	for _, name := range []string{"liar", "bare"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			summary, results := tryLie(t, name, "honest", "")
			if summary.Failed > 0 || summary.OK < 25 {
				for _, r := range results {
					if r.Outcome == Failed {
						t.Errorf("%+v", r)
					}
				}
				t.Errorf("%+v", summary)
			}
		})
	}
}

// TestHonestEngine gives the kit an engine that keeps the contract.
func TestHonestEngine(t *testing.T) {
	summary, results := tryLie(t, "twin", "honest", `twin\.engine/.*`)
	for _, r := range results {
		if r.Outcome == Failed {
			t.Errorf("%+v", r)
		}
	}
	if summary.OK < len(engineChecks)+3 {
		t.Errorf("%+v", summary)
	}
}

// TestLies lets each check catch who breaks its rule.
func TestLies(t *testing.T) {
	var mu sync.Mutex
	caught, told := map[string]map[string]bool{}, 0
	t.Run("each", func(t *testing.T) {
		for _, l := range lies {
			t.Run(l.lie+" "+l.check, func(t *testing.T) {
				t.Parallel()
				name := l.check[:4]
				_, results := tryLie(t, name, l.lie, regexp.QuoteMeta(l.check))
				i := slices.IndexFunc(results, func(r Result) bool { return r.Name() == l.check })
				if i < 0 {
					t.Fatalf("%+v", results)
				}
				r := results[i]
				if r.Outcome != Failed || r.Paragraph != l.paragraph || !strings.Contains(r.Seen, l.seen) || r.Expected == "" {
					t.Fatalf("%+v", r)
				}
				mu.Lock()
				defer mu.Unlock()
				_, name, _ = strings.Cut(l.check, "/")
				if caught[name] == nil {
					caught[name] = map[string]bool{}
				}
				caught[name][r.Paragraph] = true
				told++
			})
		}
	})
	if told < len(lies) { // some failed, or were not asked for
		return
	}
	for _, c := range allChecks() {
		for _, paragraph := range c.says {
			if !caught[c.name][paragraph] {
				t.Errorf("no lie makes the check %s find §%s broken", c.name, paragraph)
			}
		}
	}
}

func allChecks() []check {
	all := slices.Concat(pluginChecks, schemaChecks, componentChecks, severalChecks, lastChecks, folderChecks)
	for _, list := range kinds {
		all = append(all, list...)
	}
	return all
}

// TestHang gives a component that does not answer little time, and one that answers enough.
func TestHang(t *testing.T) {
	t.Parallel()
	_, results := try(t, "liar", "slow", "liar.view/key", plugin.Patience{First: time.Second, Least: time.Second, Bulk: time.Second})
	if len(results) != 1 || results[0].Outcome != Failed || results[0].Paragraph != "1.10" || results[0].Seen != "gave no answer to Apply within 1s" {
		t.Errorf("%+v", results)
	}
}

// TestContract holds the kit to the document: what it cites is there, and what is there it cites, or the document says
// that it is not checked.
func TestContract(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "protocol", "CONTRACT.md"))
	if err != nil {
		t.Fatal(err)
	}
	paragraphs := map[string]string{}
	for _, p := range strings.Split(string(text), "\n\n") {
		if m := regexp.MustCompile(`^(\d+\.\d+) `).FindStringSubmatch(p); m != nil {
			if paragraphs[m[1]] != "" {
				t.Errorf("§%s is there twice", m[1])
			}
			paragraphs[m[1]] = strings.Join(strings.Fields(p), " ")
		}
	}
	if len(paragraphs) < 50 {
		t.Fatalf("%d paragraphs: the document is read wrongly", len(paragraphs))
	}
	cited := map[string]bool{"1.10": true} // by what surrounds the checks: TestHang
	for _, c := range allChecks() {
		for _, p := range c.says {
			cited[p] = true
			if paragraphs[p] == "" {
				t.Errorf("the check %s cites §%s, which is not there", c.name, p)
			}
		}
	}
	for number, p := range paragraphs {
		if says := strings.Contains(p, "ot checked") || strings.Contains(p, "(Checked by"); says == cited[number] {
			t.Errorf("§%s is cited by the kit: %v; the document says that it is not: %v", number, cited[number], says)
		}
	}
}
