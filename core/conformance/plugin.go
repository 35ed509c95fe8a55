package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/protobuf/proto"
)

// pluginChecks look at the plugin as a whole.
var pluginChecks = []check{
	{"starts", []string{"1.1"}, starts, true},
	{"description", []string{"1.2"}, describes, false},
	{"requests", []string{"1.9"}, badRequests, false},
	{"noise", []string{"1.6"}, noise, false},
	{"closes", []string{"1.7"}, closes, false},
	{"orphans", []string{"1.8"}, orphans, false},
}

// folderChecks come when everything else is over, where the plugin lies in a folder.
var folderChecks = []check{{"folder", []string{"1.14"}, unchanged, false}}

// starts looks for a handshake within ten seconds, and a description.
func starts(t *trial) error {
	_, err := t.bare().Direct(t.ctx, t.Spec.Name)
	return err
}

// bare is a host that does not compare the plugin with its manifest.
func (t *trial) bare() *home {
	if t.main == nil {
		spec := t.spec()
		spec.Manifest, spec.Version = nil, ""
		t.main = t.newHome(spec)
	}
	return t.main
}

// describes compares what the plugin says of itself with its manifest.
func describes(t *trial) error {
	d, err := t.bare().Direct(t.ctx, t.Spec.Name)
	if err != nil {
		return err
	}
	got, want := d.Description(), t.Spec.Manifest
	if proto.Equal(got, want) {
		again, err := protocol.NewPluginClient(d.Conn()).Describe(t.ctx, &protocol.DescribeRequest{})
		if err == nil && !proto.Equal(again, want) {
			return &broken{paragraph: "1.2", expected: "the same description whenever it is asked for", seen: "another the second time"}
		}
		return said(err)
	}
	b := &broken{paragraph: "1.2", expected: "what the manifest says", advice: "make the manifest again: PLUGIN describe > plugin.json"}
	differs := func(what string, got, want any) error {
		b.seen = fmt.Sprintf("%s is %v in the running plugin and %v in the manifest", what, got, want)
		return b
	}
	if got.Version != want.Version {
		return differs("the version", got.Version, want.Version)
	}
	if len(got.Components) != len(want.Components) {
		return differs("the number of components", len(got.Components), len(want.Components))
	}
	for i, c := range got.Components {
		switch w := want.Components[i]; {
		case c.Name != w.Name:
			return differs(fmt.Sprintf("component %d", i+1), c.Name, w.Name)
		case c.Kind != w.Kind:
			return differs("the kind of "+c.Name, c.Kind, w.Kind)
		case c.Revision != w.Revision:
			return differs("the revision of "+c.Name, c.Revision, w.Revision)
		case c.Schema != w.Schema:
			return differs("the schema of "+c.Name, fmt.Sprintf("of %d bytes", len(c.Schema)), fmt.Sprintf("another, of %d bytes,", len(w.Schema)))
		case c.Summary != w.Summary:
			return differs("the summary of "+c.Name, c.Summary, w.Summary)
		}
	}
	return differs("the description", got, want)
}

// badRequests makes calls that a host would not make.
func badRequests(t *trial) error {
	h := t.fresh()
	d, err := h.Direct(t.ctx, t.Spec.Name)
	if err != nil {
		return err
	}
	refused := func(what string, err error) error {
		if err != nil {
			return nil
		}
		return &broken{paragraph: "1.9", expected: "an error for " + what, seen: "an answer as if all were well"}
	}
	if _, err := d.Configure(t.ctx, "no_such_component", []byte("{}")); refused("a component that is not there", err) != nil {
		return refused("a component that is not there", err)
	}
	const nobody = 4_000_000_000
	ordered := slices.Sorted(maps.Keys(kinds))
	for _, kind := range ordered {
		for _, call := range requests(kind) {
			name := call.name
			if err := refused(name+" of an instance that was never configured", call.make(t.ctx, d, nobody)); err != nil {
				return err
			}
			if why := h.why(); why != "" {
				return &broken{paragraph: "1.9", expected: "an error for " + name + " of an instance that was never configured", seen: why}
			}
		}
	}
	for _, c := range t.Spec.Manifest.Components {
		id, err := d.Configure(t.ctx, c.Name, []byte("{"))
		if err == nil {
			if err := d.Release(t.ctx, id); err != nil {
				return said(err)
			}
			return refused("a configuration of "+c.Name+" that is no JSON", nil)
		}
		// Whatever it says to a field that it does not know, it lives on.
		if id, err := d.Configure(t.ctx, c.Name, []byte(`{"asterism_no_such_field": [1, {"x": null}]}`)); err == nil {
			for _, kind := range ordered {
				if kind == c.Kind {
					continue
				}
				for _, call := range requests(kind) {
					if err := refused(fmt.Sprintf("%s of %s, which is of another kind", call.name, c.Name), call.make(t.ctx, d, id)); err != nil {
						return err
					}
				}
			}
			if err := d.Release(t.ctx, id); err != nil {
				return said(err)
			}
		}
	}
	if _, err := protocol.NewPluginClient(d.Conn()).Describe(t.ctx, &protocol.DescribeRequest{}); err != nil {
		return said(err)
	}
	return nil
}

// request is a call of a kind with an instance and little else.
type request struct {
	name string
	make func(context.Context, plugin.Direct, uint32) error
}

// requests gives each call of a kind.
func requests(kind protocol.Kind) []request {
	switch kind {
	case protocol.Kind_DATASET:
		return []request{
			{"Open", func(ctx context.Context, d plugin.Direct, i uint32) error {
				_, err := protocol.NewDatasetClient(d.Conn()).Open(ctx, &protocol.OpenRequest{Instance: i})
				return err
			}},
			{"Read", func(ctx context.Context, d plugin.Direct, i uint32) error {
				_, err := protocol.NewDatasetClient(d.Conn()).Read(ctx, &protocol.ReadRequest{Instance: i, Count: 1})
				return err
			}},
			{"ReadFile", func(ctx context.Context, d plugin.Direct, i uint32) error {
				_, err := protocol.NewDatasetClient(d.Conn()).ReadFile(ctx, &protocol.ReadFileRequest{Instance: i, Path: "nowhere"})
				return err
			}},
		}
	case protocol.Kind_AUGMENTATION:
		return []request{
			{"Plan", func(ctx context.Context, d plugin.Direct, i uint32) error {
				_, err := protocol.NewAugmentationClient(d.Conn()).Plan(ctx, &protocol.AugmentationPlanRequest{Instance: i, Facts: &protocol.SampleFacts{Shape: []int64{8, 8, 1}, Bands: []string{"r"}}})
				return err
			}},
			{"Apply", func(ctx context.Context, d plugin.Direct, i uint32) error {
				_, err := protocol.NewAugmentationClient(d.Conn()).Apply(ctx, &protocol.ApplyRequest{Chain: []*protocol.Link{{Instance: i}}})
				return err
			}},
		}
	case protocol.Kind_ENCODER:
		return []request{{"Build", func(ctx context.Context, d plugin.Direct, i uint32) error {
			_, err := protocol.NewEncoderClient(d.Conn()).Build(ctx, &protocol.BuildRequest{Instance: i, Input: []int64{8, 8, 1}})
			return err
		}}}
	case protocol.Kind_OBJECTIVE:
		return []request{
			{"Plan", func(ctx context.Context, d plugin.Direct, i uint32) error {
				_, err := protocol.NewObjectiveClient(d.Conn()).Plan(ctx, &protocol.ProgramRequest{Instance: i, Representation: []int64{8}, Features: []int64{8}, Batch: 4, Samples: 10})
				return err
			}},
			{"Loss", func(ctx context.Context, d plugin.Direct, i uint32) error {
				_, err := protocol.NewObjectiveClient(d.Conn()).Loss(ctx, &protocol.LossRequest{Instance: i})
				return err
			}},
			{"State", func(ctx context.Context, d plugin.Direct, i uint32) error {
				_, err := protocol.NewObjectiveClient(d.Conn()).State(ctx, &protocol.StateRequest{Instance: i})
				return err
			}},
			{"SetState", func(ctx context.Context, d plugin.Direct, i uint32) error {
				_, err := protocol.NewObjectiveClient(d.Conn()).SetState(ctx, &protocol.SetStateRequest{Instance: i})
				return err
			}},
		}
	case protocol.Kind_TASK:
		return []request{
			{"Needs", func(ctx context.Context, d plugin.Direct, i uint32) error {
				_, err := protocol.NewTaskClient(d.Conn()).Needs(ctx, &protocol.TaskNeedsRequest{Instance: i, Width: 4, FitRows: 4, PredictRows: 4})
				return err
			}},
			{"Fit", func(ctx context.Context, d plugin.Direct, i uint32) error {
				_, err := protocol.NewTaskClient(d.Conn()).Fit(ctx, &protocol.FitRequest{Instance: i})
				return err
			}},
			{"Predict", func(ctx context.Context, d plugin.Direct, i uint32) error {
				_, err := protocol.NewTaskClient(d.Conn()).Predict(ctx, &protocol.PredictRequest{Instance: i})
				return err
			}},
			{"Score", func(ctx context.Context, d plugin.Direct, i uint32) error {
				_, err := protocol.NewTaskClient(d.Conn()).Score(ctx, &protocol.ScoreRequest{Instance: i})
				return err
			}},
		}
	}
	return nil
}

// mark begins the last line of the noise.
const mark = "asterism-noise-ends-here"

// noise writes to the plugin's own standard output and standard error, as its libraries may do at any time: all that must
// reach the host, and no call may fail of it.
func noise(t *trial) error {
	if runtime.GOOS != "linux" {
		return notApplicable("the output of another process can be reached on Linux only")
	}
	h := t.fresh()
	d, err := h.Direct(t.ctx, t.Spec.Name)
	if err != nil {
		return err
	}
	var junk bytes.Buffer
	junk.WriteString("50 % done | 1|2|3\r\n" + `{"@level": [], "@message": 1}` + "\n1|1|unix|/nowhere|grpc|\n\n")
	for i := range 4096 {
		junk.WriteByte(byte(i * 7))
	}
	junk.WriteByte('\n')
	junk.WriteString(strings.Repeat("a long line ", 20_000))
	junk.WriteString("\x1b[31m\n")
	for fd, name := range []string{1: "standard output", 2: "standard error"} {
		if name == "" {
			continue
		}
		lost := func(seen string) error {
			return &broken{paragraph: "1.6", expected: "a " + name + " whose lines reach the host's log, whatever they hold", seen: seen,
				advice: "after the handshake line file descriptors 1 and 2 stay what the host made them, or become one another"}
		}
		f, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/%d", h.pid(), fd), os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return lost("file descriptor " + strconv.Itoa(fd) + " cannot be written: " + err.Error())
		}
		f.SetWriteDeadline(time.Now().Add(10 * time.Second))
		_, err = f.Write(append(bytes.Clone(junk.Bytes()), fmt.Sprintf("%s-%d\n", mark, fd)...))
		f.Close()
		if err != nil {
			return lost("nobody takes what is written there: " + err.Error())
		}
		for range 20 {
			if _, err := protocol.NewPluginClient(d.Conn()).Describe(t.ctx, &protocol.DescribeRequest{}); err != nil {
				return &broken{paragraph: "1.6", expected: "calls that work while lines of any kind are written to " + name, seen: said(err).Error()}
			}
		}
		for began := time.Now(); !strings.Contains(h.log.String(), fmt.Sprintf("%s-%d\n", mark, fd)); time.Sleep(5 * time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				return lost("what is written there does not arrive")
			}
		}
	}
	return nil
}

// closes looks whether the plugin ends when the host asks it to. A machine that is busy may be slow once.
func closes(t *trial) (err error) {
	for range 3 {
		h := t.fresh()
		if _, err := h.Direct(t.ctx, t.Spec.Name); err != nil {
			return err
		}
		if err = ends(h); err == nil {
			return nil
		}
	}
	return err
}

// closesUsed does the same with a process that has worked: threads and children are often not there before.
func closesUsed(t *trial) (err error) {
	for range 3 {
		h := t.main
		t.main = nil // the one that has worked most is the first to go
		if h == nil || h.pid() == 0 {
			h = t.fresh()
			step, _, err := batches(t, h)
			if err == nil {
				err = step(0)
			}
			if err != nil {
				return err
			}
		}
		if err = ends(h); err == nil {
			return nil
		}
	}
	return err
}

// ends closes a host and looks whether its plugin ends in time, with all that it has started.
func ends(h *home) error {
	all := family(h.pid())
	began := time.Now()
	if err := h.Close(); err != nil {
		return err
	}
	if took := time.Since(began); took > 1900*time.Millisecond { // after two seconds the host ends it by force
		return &broken{paragraph: "1.7", expected: "its end within two seconds of being asked to", seen: fmt.Sprintf("it ran for %.1f s more and was killed", took.Seconds()),
			advice: "answer the call plugin.GRPCController/Shutdown by ending; the SDKs do"}
	}
	if left := running(all); len(left) > 0 {
		kill(left)
		return &broken{paragraph: "1.7", expected: "its end, with all its children", seen: fmt.Sprintf("the processes %v still run", left)}
	}
	return nil
}

// contents tells the files of a folder from others that it might have had.
func contents(dir string) map[string]string {
	all := map[string]string{}
	if dir == "" {
		return all
	}
	filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil {
			if info, err := e.Info(); err == nil && !e.IsDir() {
				all[path] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())
			}
		}
		return nil
	})
	return all
}

// unchanged looks whether the plugin has written to the folder that it is installed in.
func unchanged(t *trial) error {
	now := contents(t.Spec.Dir)
	for _, list := range []map[string]string{now, t.found} {
		for _, path := range slices.Sorted(maps.Keys(list)) {
			if now[path] != t.found[path] {
				return &broken{paragraph: "1.14", expected: "nothing written to the folder that it is installed in", seen: strings.TrimPrefix(path, t.Spec.Dir+string(filepath.Separator)) + " is another, or new, or gone",
					advice: "its digest is another now, and it would not be started again where it is locked: write to the user's cache or to a folder of temporary files"}
			}
		}
	}
	return nil
}

// held is what a host that is to be killed says of the plugin that it has started.
type held struct {
	Plugin int    `json:"plugin"`
	Error  string `json:"error,omitempty"`
}

// holding is what it is told.
type holding struct {
	Spec        plugin.Spec
	Work, Cases string
}

// Hold is a host of one plugin that waits to be killed: it reads from stdin what the kit tells it, starts the plugin, gives
// each of its components something to do, and says so on stdout. Options.Holder is a command that does nothing else.
func Hold(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	var o holding
	lines := bufio.NewReader(stdin)
	text, err := lines.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		return err
	}
	t := &trial{kit: &kit{Options: Options{Spec: o.Spec, Work: o.Work, Cases: o.Cases, Patience: patience}, ctx: ctx}, ctx: ctx}
	defer t.close()
	h := t.shared()
	var answer held
	if d, err := h.Direct(ctx, o.Spec.Name); err != nil {
		answer.Error = err.Error()
	} else {
		t.use(h, d.Description())
	}
	answer.Plugin = h.pid()
	if err := json.NewEncoder(stdout).Encode(answer); err != nil {
		return err
	}
	lines.ReadByte() // until the kit is gone
	return nil
}

// use gives each component of the plugin a batch, for as long as there is time. What goes wrong other checks say.
func (t *trial) use(h *home, manifest *protocol.Description) {
	ctx, cancel := context.WithTimeout(t.ctx, 20*time.Second)
	defer cancel()
	cases, err := ReadCases(t.Cases, manifest)
	for _, c := range manifest.Components {
		if err != nil || ctx.Err() != nil {
			return
		}
		one := &trial{kit: t.kit, name: manifest.Name + "." + c.Name, info: c, given: cases[c.Name][0], ctx: ctx}
		if one.complete() != nil {
			continue
		}
		if step, _, err := batches(one, h); err == nil {
			step(0)
		}
	}
}

// orphans kills a host and looks whether its plugin ends.
func orphans(t *trial) error {
	if len(t.Holder) == 0 {
		return notApplicable("there is no other process that could be a host")
	}
	o := holding{Spec: t.spec(), Work: t.Work, Cases: t.Cases}
	o.Spec.Manifest, o.Spec.Version = nil, ""
	request, err := json.Marshal(o)
	if err != nil {
		return err
	}
	c := exec.CommandContext(t.ctx, t.Holder[0], t.Holder[1:]...)
	c.WaitDelay = time.Second
	in, err := c.StdinPipe()
	if err != nil {
		return err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	ended := false
	defer func() {
		if !ended {
			c.Process.Kill()
			c.Wait()
		}
	}()
	if _, err := in.Write(append(request, '\n')); err != nil {
		return err
	}
	var answer held
	if err := json.NewDecoder(out).Decode(&answer); err != nil || answer.Error != "" || answer.Plugin == 0 {
		return fmt.Errorf("a second host could not start the plugin: %s %v", answer.Error, err)
	}
	all := family(answer.Plugin)
	c.Process.Kill()
	c.Wait()
	ended = true
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		left := running(all)
		if len(left) == 0 {
			return nil
		}
		if time.Since(began) > 5*time.Second {
			kill(left)
			return &broken{paragraph: "1.8", expected: "its end, with all its children, once its host is gone", seen: fmt.Sprintf("the processes %v still ran five seconds after their host was killed", left),
				advice: "read the socket in ASTERISM_CHANNEL_FD all the time and end when it is closed; the SDKs do"}
		}
	}
}
