package flow

import (
	"github.com/asterism-ssl/asterism/core/run"
)

// keepInputs leaves in the run directory what new data are brought to and compared with, so that the run can be used
// where its data are not.
func (f *Flow) keepInputs(w *work) error {
	inputs := &run.Inputs{Facts: w.store.Facts(), Columns: w.columns, Statistics: w.statistics}
	if err := run.WriteJSON(f.dir.File(run.InputsFile), inputs); err != nil {
		return err
	}
	rows := w.store.Len()
	objects := &run.Objects{IDs: make([]string, rows), Parts: make([]run.Part, rows)}
	for i := range rows {
		objects.IDs[i] = w.store.ID(i)
	}
	for part, of := range map[run.Part][]int{run.Train: w.parts.Train, run.Valid: w.parts.Valid, run.Test: w.parts.Test} {
		for _, i := range of {
			objects.Parts[i] = part
		}
	}
	for _, name := range w.store.Columns() {
		c, _ := w.store.Column(name)
		objects.Columns = append(objects.Columns, run.ObjectColumn{Name: c.Name, Values: c.Values, Categories: c.Categories})
	}
	return objects.Write(f.dir.File(run.ObjectsFile))
}
