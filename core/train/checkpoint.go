package train

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/run"
)

// Checkpoints is the folder of a run's checkpoints. Each is a folder step-N that holds network.safetensors,
// objective.safetensors and state.json; it is written aside, synced and renamed, so that one that is there is whole, and
// the two newest are kept.
type Checkpoints struct {
	Dir string
	Job string // key of the training that they belong to; those of another are ignored
	// Training is the key of the training without what computes it; a checkpoint of it is gone on from, too.
	Training string
}

// ours says whether a checkpoint is one to go on from.
func (c *Checkpoints) ours(s *checkpointState) bool {
	return s.Job == c.Job || c.Training != "" && s.Training == c.Training
}

// checkpointState is state.json.
type checkpointState struct {
	Job      string            `json:"job"`
	Training string            `json:"training,omitempty"`
	Step     int               `json:"step"` // steps done
	Seconds  float64           `json:"seconds"`
	Marks    map[string]int64  `json:"marks"`    // offsets of the files that grow with the training
	Computed []run.Computed    `json:"computed"` // what computed the steps done
	Files    map[string]string `json:"files"`    // SHA-256 of each file
}

const kept = 2

// The files of a checkpoint.
const (
	networkFile   = "network.safetensors"
	objectiveFile = "objective.safetensors"
	stateFile     = "state.json"

	writing = ".writing-" // begins the name of one that is not complete
	begun   = "begun"     // holds the key of the training that began, before there is a checkpoint
)

// latest gives the newest checkpoint of this training whose files are as they were written; nil when there is none.
func (c *Checkpoints) latest() (*checkpointState, string, error) {
	if c == nil {
		return nil, "", nil
	}
	steps, err := c.steps()
	if err != nil {
		return nil, "", err
	}
	for _, step := range slices.Backward(steps) {
		if s := c.good(step); s != nil {
			return s, c.path(step), nil
		}
	}
	return nil, "", nil
}

// Newest gives the step of the newest good checkpoint and what computed it last; 0 when there is none.
func (c *Checkpoints) Newest() (step int, by string, err error) {
	s, _, err := c.latest()
	if err != nil || s == nil {
		return 0, "", err
	}
	if n := len(s.Computed); n > 0 {
		by = s.Computed[n-1].String()
	}
	return s.Step, by, nil
}

// Take copies the newest good checkpoint of another run.
func (c *Checkpoints) Take(from *Checkpoints) error {
	s, dir, err := from.latest()
	if err != nil || s == nil {
		return err
	}
	taken := *s
	taken.Job = c.Job
	return c.write(&taken, func(aside string) error {
		for _, name := range []string{networkFile, objectiveFile} {
			if err := copyFile(filepath.Join(aside, name), filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		return nil
	})
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// good reads the checkpoint of a step and compares its files with their digests; nil when it is damaged or belongs to
// another training.
func (c *Checkpoints) good(step int) *checkpointState {
	s, err := readState(c.path(step))
	if err != nil || !c.ours(s) || s.Step != step { // another's files are not worth hashing
		return nil
	}
	for _, name := range []string{networkFile, objectiveFile} {
		if sum, err := digest(filepath.Join(c.path(step), name)); err != nil || sum != s.Files[name] {
			return nil
		}
	}
	return s
}

func (c *Checkpoints) path(step int) string {
	return filepath.Join(c.Dir, fmt.Sprintf("step-%08d", step))
}

// steps lists the checkpoints there are, oldest first.
func (c *Checkpoints) steps() ([]int, error) {
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	var steps []int
	for _, e := range entries {
		var n int
		if _, err := fmt.Sscanf(e.Name(), "step-%08d", &n); err == nil && filepath.Base(c.path(n)) == e.Name() {
			steps = append(steps, n)
		}
	}
	slices.Sort(steps)
	return steps, nil
}

func readState(dir string) (*checkpointState, error) {
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, err
	}
	s := new(checkpointState)
	return s, json.Unmarshal(text, s)
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// write makes a checkpoint whose files fill writes into a folder, and removes those that it makes worthless.
func (c *Checkpoints) write(s *checkpointState, fill func(dir string) error) error {
	if err := os.MkdirAll(c.Dir, 0o777); err != nil {
		return err
	}
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), writing) { // left by a process that was killed; nobody else writes here
			os.RemoveAll(filepath.Join(c.Dir, e.Name()))
		}
	}
	aside, err := os.MkdirTemp(c.Dir, writing)
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside)
	if err := fill(aside); err != nil {
		return err
	}
	s.Files = map[string]string{}
	for _, name := range []string{networkFile, objectiveFile} {
		if s.Files[name], err = digest(filepath.Join(aside, name)); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(aside, stateFile), text); err != nil {
		return err
	}
	if err := syncDir(aside); err != nil {
		return err
	}
	if err := os.RemoveAll(c.path(s.Step)); err != nil { // a damaged one, or another training's
		return err
	}
	if err := os.Rename(aside, c.path(s.Step)); err != nil {
		return err
	}
	if err := syncDir(c.Dir); err != nil {
		return err
	}
	return c.prune(s.Step)
}

// prune leaves the newest checkpoints of this training up to a step. Later ones were damaged, or this one would have
// begun from them; those of another training (the same run before its data changed) will not be asked for again.
func (c *Checkpoints) prune(newest int) error {
	steps, err := c.steps()
	if err != nil {
		return err
	}
	left := kept
	for _, step := range slices.Backward(steps) {
		if s, err := readState(c.path(step)); err == nil && c.ours(s) && step <= newest && left > 0 {
			left--
			continue
		}
		if err := os.RemoveAll(c.path(step)); err != nil {
			return err
		}
	}
	return nil
}

// resume puts back the last good checkpoint and gives the number of steps done and the seconds they took.
func (j *Job) resume(ctx context.Context) (step int, seconds float64, err error) {
	if j.Checkpoints == nil {
		return 0, 0, nil
	}
	s, dir, err := j.Checkpoints.latest()
	if err != nil {
		return 0, 0, err
	}
	if s == nil {
		if err := j.beginAnew(); err != nil {
			return 0, 0, err
		}
		j.Computed = []run.Computed{j.Engine}
		return 0, 0, j.Rewind(nil)
	}
	arrays, _, err := engine.ReadArrays(filepath.Join(dir, networkFile))
	if err != nil {
		return 0, 0, err
	}
	if err := j.Network.SetState(arrays); err != nil {
		return 0, 0, err
	}
	state, err := plugin.ReadTensors(filepath.Join(dir, objectiveFile))
	if err != nil {
		return 0, 0, err
	}
	if err := j.Objective.SetState(ctx, state); err != nil {
		return 0, 0, err
	}
	if err := j.Rewind(s.Marks); err != nil {
		return 0, 0, err
	}
	j.Note("continuing after step %d", s.Step)
	j.Computed = s.Computed
	if n := len(s.Computed); n == 0 || !s.Computed[n-1].Same(j.Engine) {
		here := j.Engine
		here.FromStep = s.Step
		j.Computed = append(j.Computed, here)
		j.Note("%s goes on with what another computed: their rounding differs, and the weights will be those of neither alone", j.Engine)
	}
	debug.FreeOSMemory() // what was read
	return s.Step, s.Seconds, nil
}

// beginAnew says why a training that had begun before begins again, and leaves word that it has begun.
func (j *Job) beginAnew() error {
	c := j.Checkpoints
	if job, err := os.ReadFile(filepath.Join(c.Dir, begun)); err == nil && string(job) == c.Job {
		why := fmt.Sprintf("it was stopped before its first checkpoint, and one is written every %.3g minutes (train.checkpoint_minutes)", j.CheckpointEvery.Minutes())
		if steps, err := c.steps(); err == nil && len(steps) > 0 {
			why = "no checkpoint of it is whole"
		}
		j.Note("the training begins again at step 1: %s", why)
	}
	if err := os.MkdirAll(c.Dir, 0o777); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.Dir, begun), []byte(c.Job), 0o666)
}

func writeSynced(path string, text []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems know no sync of directories
		return err
	}
	return nil
}
