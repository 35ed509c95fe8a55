package contrast

import (
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type mocoConfig struct {
	Queue, Dim, Hidden    int
	Momentum, Temperature float64
	NormGroups            int `json:"norm_groups"`
	Symmetric             bool
	View                  string
}

type moco struct {
	mocoConfig
	batch           int
	seed            uint64
	pairs           [][2]string // query tap, key tap
	queue           []float32   // [queue, dim]
	pointer, filled int         // where the next keys go; how many are keys, not noise

	logits   []float32 // [batch, queue]: similarities, then probabilities
	hardest  []float32 // [batch]: the greatest of a row of similarities
	total    []float32 // [batch]: ln of the sum over the queue, then over the positive, too
	pull     []float32 // [batch, dim]: Σ pⱼ·queueⱼ
	loss     []float64 // [batch]
	positive []float64 // [batch]
	first    []bool    // [batch]: the positive beats all negatives
}

func newMoCo(c mocoConfig) (sdk.Learner, error) { return &moco{mocoConfig: c}, nil }

// Plan gives the passes: queries through the network with gradient, keys through the momentum network, shuffled, so that
// a query and its key are normalised with different companions (the paper's shuffling batch norm, on one machine).
func (m *moco) Plan(r *sdk.ProgramRequest) (*sdk.Program, error) {
	batch := int(r.Batch)
	if batch < 1 {
		return nil, fmt.Errorf("contrast: a batch of %d", batch)
	}
	enqueued, what := batch, fmt.Sprintf("the batch, %d", batch)
	if m.Symmetric {
		enqueued, what = 2*batch, fmt.Sprintf("twice the batch, 2×%d (a symmetric loss enqueues both views)", batch)
	}
	if m.Queue%enqueued != 0 {
		below, above := m.Queue/enqueued*enqueued, (m.Queue/enqueued+1)*enqueued
		advice := fmt.Sprintf("use queue: %d", above)
		if below > 0 {
			advice = fmt.Sprintf("use queue: %d or %d", below, above)
		}
		return nil, sdk.FieldError{Field: "queue", What: fmt.Sprintf("%d is no multiple of %s", m.Queue, what), Advice: advice}
	}
	if err := checkGroups(m.NormGroups, batch); err != nil {
		return nil, err
	}
	head, err := projector(r.Representation, m.Hidden, m.Dim, false)
	if err != nil {
		return nil, err
	}
	m.plan(batch, r.Seed)
	p := &sdk.Program{
		Views:       []*sdk.ViewNeed{{Name: "query", Pipeline: m.View}, {Name: "key", Pipeline: m.View}},
		Heads:       []*sdk.Head{head},
		Momentum:    m.Momentum,
		StateBytes:  uint64(4*m.Queue*m.Dim + 1024),
		MemoryBytes: uint64(4 * batch * m.Queue), // the similarities
		Facts:       m.facts(r, enqueued),
	}
	views := [][2]string{{"query", "key"}, {"key", "query"}}
	for i, pair := range m.pairs {
		p.Passes = append(p.Passes,
			&sdk.Pass{Name: pair[0], View: views[i][0], Network: sdk.Online, Heads: []string{"projector"}, Gradient: true, NormGroups: uint32(m.NormGroups)},
			&sdk.Pass{Name: pair[1], View: views[i][1], Network: sdk.Momentum, Heads: []string{"projector"}, NormGroups: uint32(m.NormGroups), Shuffle: true})
		p.Taps = append(p.Taps, &sdk.Tap{Name: pair[0], Pass: pair[0], Output: "projector"}, &sdk.Tap{Name: pair[1], Pass: pair[1], Output: "projector"})
	}
	return p, nil
}

func (m *moco) facts(r *sdk.ProgramRequest, enqueued int) []*sdk.Fact {
	facts := []*sdk.Fact{{Name: "effective negatives", Value: fmt.Sprintf("%d: the keys of the last %d steps", m.Queue, m.Queue/enqueued)}}
	if r.Samples > 0 {
		if epochs := float64(m.Queue) / float64(enqueued/int(r.Batch)) / float64(r.Samples); epochs > 1 {
			facts = append(facts, &sdk.Fact{Name: "queue against data", Value: fmt.Sprintf("the queue holds %.1f epochs: earlier views of an object are among its own negatives; a shorter queue may learn better", epochs)})
		}
	}
	chance := "ln(1 + queue)"
	if m.Symmetric {
		chance = "2·ln(1 + queue)"
	}
	return append(facts, &sdk.Fact{Name: "chance loss", Value: fmt.Sprintf("%.3f: %s, of embeddings without information", float64(len(m.pairs))*math.Log(1+float64(m.Queue)), chance)})
}

// plan begins anew. It takes no memory: many experiments are planned that never run.
func (m *moco) plan(batch int, seed uint64) {
	m.batch, m.seed, m.pointer, m.filled, m.queue = batch, seed, 0, 0, nil
	m.pairs = [][2]string{{"query", "key"}}
	if m.Symmetric {
		m.pairs = append(m.pairs, [2]string{"query_2", "key_2"})
	}
}

// prepare fills the queue with random directions, once: row j is normals keyed by j, normalised.
func (m *moco) prepare() {
	if m.queue != nil {
		return
	}
	batch := m.batch
	m.queue = make([]float32, m.Queue*m.Dim)
	k := sdk.NewKey(m.seed, "init", "contrast.moco", "queue")
	row := make([]float64, m.Dim)
	for j := range m.Queue {
		source, square := k.At(0, uint64(j)), 0.0
		for d := range row {
			row[d] = source.Normal()
			square += row[d] * row[d]
		}
		length := math.Sqrt(square)
		for d, v := range row {
			m.queue[j*m.Dim+d] = float32(v / length)
		}
	}
	m.logits, m.pull = make([]float32, batch*m.Queue), make([]float32, batch*m.Dim)
	m.hardest, m.total = make([]float32, batch), make([]float32, batch)
	m.loss, m.positive, m.first = make([]float64, batch), make([]float64, batch), make([]bool, batch)
}

// Loss is InfoNCE, the mean over the batch of −ln softmax over [q·k⁺, q·queue]/temperature at the positive; a symmetric
// loss is the sum of both directions. The queue takes the keys after the loss, as the reference does.
func (m *moco) Loss(s *sdk.Step) (*sdk.LossAnswer, error) {
	m.prepare()
	answer := &sdk.LossAnswer{}
	accuracy, positive, wide := 0.0, 0.0, 0.0
	pairs := float64(len(m.pairs))
	for _, pair := range m.pairs {
		q, err := tap(s, pair[0], m.batch, m.Dim)
		if err != nil {
			return nil, err
		}
		k, err := tap(s, pair[1], m.batch, m.Dim)
		if err != nil {
			return nil, err
		}
		dq, err := gradient(s, pair[0], m.batch, m.Dim)
		if err != nil {
			return nil, err
		}
		m.infoNCE(q, k, dq)
		for i, l := range m.loss {
			answer.Loss += l / float64(m.batch)
			positive += m.positive[i] / float64(m.batch) / pairs
			if m.first[i] {
				accuracy += 1 / float64(m.batch) / pairs
			}
		}
		wide += spread(q, m.Dim) / pairs
	}
	for _, pair := range m.pairs {
		m.enqueue(s.Taps[pair[1]].F32)
	}
	answer.Metrics = append(metrics(accuracy, positive, wide),
		&sdk.Metric{Name: "queue filled", Value: float64(m.filled) / float64(m.Queue), Better: sdk.Neither, Doc: "share of the queue that holds keys; until it is 1 the rest is noise, easy to tell apart, and the loss may rise"})
	return answer, nil
}

// infoNCE leaves every row's loss and its gradient with respect to q, divided by the batch.
func (m *moco) infoNCE(q, k, dq []float32) {
	dim, scale := m.Dim, 1/m.Temperature
	sdk.MatMulNT(m.batch, m.Queue, dim, q, m.queue, m.logits)
	sdk.RowMax(m.batch, m.Queue, m.logits, m.hardest)
	sdk.LogSumExp(m.batch, m.Queue, float32(scale), m.logits, m.total)
	for i := range m.batch {
		positive := dot(q[i*dim:(i+1)*dim], k[i*dim:(i+1)*dim])
		m.positive[i], m.first[i] = positive, nearer(positive, float64(m.hardest[i]))
		top := max(positive*scale, float64(m.total[i]))
		total := top + math.Log(math.Exp(positive*scale-top)+math.Exp(float64(m.total[i])-top))
		m.loss[i], m.total[i] = total-positive*scale, float32(total)
		own := math.Exp(positive*scale - total)
		for d := range dim {
			dq[i*dim+d] = float32((own - 1) * float64(k[i*dim+d]))
		}
	}
	sdk.Softmax(m.batch, m.Queue, float32(scale), m.logits, m.total, m.logits)
	sdk.MatMulNN(m.batch, dim, m.Queue, m.logits, m.queue, m.pull)
	share := float32(scale / float64(m.batch))
	for i, v := range m.pull {
		dq[i] = (dq[i] + v) * share
	}
}

func (m *moco) enqueue(keys []float32) {
	copy(m.queue[m.pointer*m.Dim:], keys)
	m.pointer = (m.pointer + m.batch) % m.Queue
	m.filled = min(m.filled+m.batch, m.Queue)
}

// State gives the queue and where it stands.
func (m *moco) State() []sdk.Tensor {
	m.prepare()
	return []sdk.Tensor{
		{Name: "queue", Shape: []int{m.Queue, m.Dim}, F32: m.queue},
		{Name: "cursor", Shape: []int{2}, I64: []int64{int64(m.pointer), int64(m.filled)}},
	}
}

// SetState puts a state back, after Plan.
func (m *moco) SetState(state []sdk.Tensor) error {
	m.prepare()
	named := sdk.ByName(state)
	queue, cursor := named["queue"].F32, named["cursor"].I64
	if len(queue) != len(m.queue) || len(queue) == 0 || len(cursor) != 2 || cursor[0] < 0 || cursor[0] >= int64(m.Queue) || cursor[0]%int64(m.batch) != 0 || cursor[1] < 0 || cursor[1] > int64(m.Queue) {
		return sdk.DataError{What: "the checkpoint's queue is damaged or of another size", Advice: "start again with --fresh"}
	}
	copy(m.queue, queue)
	m.pointer, m.filled = int(cursor[0]), int(cursor[1])
	return nil
}
