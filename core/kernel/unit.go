package kernel

import "math"

// L2NormalizeAccumulate adds to dw the gradient of L2Normalize from its input w and the gradient du of its output u:
// (du − u·(u·du))/max(‖w‖, eps) for each row. It is for weights, of which neither u nor the lengths are kept.
func (p *Pool) L2NormalizeAccumulate(rows, cols int, eps float32, w, du, dw []float32) {
	want("L2NormalizeAccumulate", "w", len(w), rows*cols)
	want("L2NormalizeAccumulate", "du", len(du), rows*cols)
	want("L2NormalizeAccumulate", "dw", len(dw), rows*cols)
	p.begin()
	defer p.end()
	p.call.streams = [5][]float32{w, du, dw}
	p.call.scalars[0] = eps
	p.rowTasks(rows, cols, normalizeAccumulateTask)
}

func normalizeAccumulateTask(p *Pool, _ *worker, task int) {
	c := &p.call
	c.eachRow(task, func(r int) {
		w, du, dw := c.streams[0][r*c.cols:(r+1)*c.cols], c.streams[1][r*c.cols:(r+1)*c.cols], c.streams[2][r*c.cols:(r+1)*c.cols]
		scale := 1 / max(math.Sqrt(dot(w, w)), float64(c.scalars[0]))
		along := float32(dot(w, du) * scale * scale)
		for i, d := range du {
			dw[i] += (d - w[i]*along) * float32(scale)
		}
	})
}
