package flow

import (
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// wrong is the fault of a task that answers against the contract.
func (q *question) wrong(format string, a ...any) error {
	c := q.task.Component
	return &fault.Error{Op: "tasks", Kind: fault.Plugin, Plugin: c.Name, Path: c.Path, Where: c.Where, What: fmt.Sprintf(format, a...),
		Do: "this is a defect of the component: report it to the plugin's author"}
}

// checkPredictions refuses columns that cannot be those of so many rows, by a task that has learned from so many.
func (q *question) checkPredictions(columns []plugin.Tensor, rows, fitted int) error {
	seen := map[string]bool{}
	for _, c := range columns {
		switch {
		case c.Name == "" || seen[c.Name]:
			return q.wrong("predicts the column %q, whose name is empty or there twice", c.Name)
		case len(c.Shape) == 0 || len(c.Shape) > 2 || c.Shape[0] != int64(rows):
			return q.wrong("predicts the column %s of the shape %v for %d objects", c.Name, c.Shape, rows)
		case c.U8 != nil || c.Fitted && c.I64 == nil:
			return q.wrong("predicts the column %s of a type that it cannot have", c.Name)
		}
		seen[c.Name] = true
		if !c.Fitted {
			continue
		}
		for _, r := range c.I64 {
			if r < 0 || r >= int64(fitted) {
				return q.wrong("predicts in the column %s the row %d of %d that it has learned from", c.Name, r, fitted)
			}
		}
	}
	return nil
}

// checkMetrics refuses metrics that cannot be kept or compared.
func (q *question) checkMetrics(metrics []*protocol.Metric) error {
	if len(metrics) == 0 {
		return q.wrong("answers without a metric")
	}
	seen := map[string]bool{}
	for _, m := range metrics {
		switch {
		case m.Name == "" || seen[m.Name]:
			return q.wrong("answers with the metric %q, whose name is empty or there twice", m.Name)
		case math.IsNaN(m.Value) || math.IsInf(m.Value, 0):
			return q.wrong("answers with %v as the metric %s", m.Value, m.Name)
		}
		seen[m.Name] = true
	}
	return nil
}
