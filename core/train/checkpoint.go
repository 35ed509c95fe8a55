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
	"sort"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
)

// Checkpoints is the folder of a run's checkpoints. Each is a folder step-N that holds network.safetensors,
// objective.safetensors and state.json; it is written aside, synced and renamed, so that one that is there is whole, and
// the two newest are kept.
type Checkpoints struct {
	Dir string
	Job string // key of the training that they belong to; those of another are ignored
}

// checkpointState is state.json.
type checkpointState struct {
	Job     string            `json:"job"`
	Step    int               `json:"step"` // steps done
	Seconds float64           `json:"seconds"`
	Marks   map[string]int64  `json:"marks"` // offsets of the files that grow with the training
	Files   map[string]string `json:"files"` // SHA-256 of each file
}

const kept = 2

// Latest gives the newest checkpoint of this training whose files are as they were written; −1 when there is none.
func (c *Checkpoints) Latest() (step int, dir string, err error) {
	steps, err := c.steps()
	if err != nil {
		return -1, "", err
	}
	for i := len(steps) - 1; i >= 0; i-- {
		dir := c.path(steps[i])
		if s, err := readState(dir); err == nil && s.Job == c.Job {
			return s.Step, dir, nil
		}
	}
	return -1, "", nil
}

func (c *Checkpoints) path(step int) string {
	return filepath.Join(c.Dir, fmt.Sprintf("step-%08d", step))
}

// steps lists the checkpoints there are, oldest first.
func (c *Checkpoints) steps() ([]int, error) {
	entries, err := os.ReadDir(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var steps []int
	for _, e := range entries {
		var n int
		if _, err := fmt.Sscanf(e.Name(), "step-%08d", &n); err == nil && filepath.Base(c.path(n)) == e.Name() {
			steps = append(steps, n)
		}
	}
	sort.Ints(steps)
	return steps, err
}

// readState reads and verifies a checkpoint.
func readState(dir string) (*checkpointState, error) {
	text, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil {
		return nil, err
	}
	s := new(checkpointState)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, err
	}
	for name, want := range s.Files {
		if got, err := digest(filepath.Join(dir, name)); err != nil || got != want {
			return nil, fmt.Errorf("%s is damaged", filepath.Join(dir, name))
		}
	}
	return s, nil
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

// save writes the checkpoint of a step.
func (j *Job) save(step int, seconds float64) (err error) {
	c := j.Checkpoints
	if s, _, _ := c.Latest(); s == step {
		return nil
	}
	defer func() {
		if err != nil {
			err = &fault.Error{Op: "checkpoint", Kind: fault.Resource, What: "cannot write a checkpoint to " + c.Dir, Err: err,
				Do: "free some space; the run continues from the last good checkpoint when started again"}
		}
	}()
	if err := os.MkdirAll(c.Dir, 0o777); err != nil {
		return err
	}
	aside, err := os.MkdirTemp(c.Dir, ".writing-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside)
	state, err := j.Objective.State(context.Background())
	if err != nil {
		return err
	}
	if err := engine.WriteArrays(filepath.Join(aside, "network.safetensors"), j.Network.State(), nil); err != nil {
		return err
	}
	if err := plugin.WriteTensors(filepath.Join(aside, "objective.safetensors"), state); err != nil {
		return err
	}
	marks, err := j.Marks()
	if err != nil {
		return err
	}
	s := &checkpointState{Job: c.Job, Step: step, Seconds: seconds, Marks: marks, Files: map[string]string{}}
	for _, name := range []string{"network.safetensors", "objective.safetensors"} {
		if s.Files[name], err = digest(filepath.Join(aside, name)); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(aside, "state.json"), text); err != nil {
		return err
	}
	os.RemoveAll(c.path(step)) // a damaged one of the same step
	if err := os.Rename(aside, c.path(step)); err != nil {
		return err
	}
	if err := syncDir(c.Dir); err != nil {
		return err
	}
	steps, err := c.steps()
	if err != nil {
		return err
	}
	for i := 0; i < len(steps)-kept; i++ {
		if err := os.RemoveAll(c.path(steps[i])); err != nil {
			return err
		}
	}
	return nil
}

// resume puts back the last good checkpoint and gives the number of steps done and the seconds they took.
func (j *Job) resume(ctx context.Context) (step int, seconds float64, err error) {
	found, dir, err := j.Checkpoints.Latest()
	if err != nil {
		return 0, 0, err
	}
	if found < 0 {
		return 0, 0, j.Rewind(nil)
	}
	s, err := readState(dir)
	if err != nil {
		return 0, 0, err
	}
	arrays, _, err := engine.ReadArrays(filepath.Join(dir, "network.safetensors"))
	if err != nil {
		return 0, 0, err
	}
	if err := j.Network.SetState(arrays); err != nil {
		return 0, 0, err
	}
	state, err := plugin.ReadTensors(filepath.Join(dir, "objective.safetensors"))
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
	return s.Step, s.Seconds, nil
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
	return errors.Join(d.Sync(), d.Close())
}
