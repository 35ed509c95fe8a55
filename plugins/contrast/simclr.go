package contrast

import (
	"fmt"
	"math"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type simclrConfig struct {
	Dim, Hidden int
	Temperature float64
	Norm        bool
	NormGroups  int `json:"norm_groups"`
	View        string
}

type simclr struct {
	simclrConfig
	batch    int
	z        []float32 // [2·batch, dim]: first views, then second
	logits   []float32 // [2·batch, 2·batch]: similarities, then probabilities
	weights  []float32 // [2·batch, 2·batch]: how each embedding pulls on each
	gradient []float32 // [2·batch, dim]
	loss     []float64
	positive []float64
	first    []bool
}

func newSimCLR(c simclrConfig) (sdk.Learner, error) { return &simclr{simclrConfig: c}, nil }

// Plan gives two passes with gradient, one a view.
func (m *simclr) Plan(r *sdk.ProgramRequest) (*sdk.Program, error) {
	m.batch = int(r.Batch)
	if m.batch < 2 {
		return nil, sdk.ConfigError{What: fmt.Sprintf("SimCLR contrasts the objects of a batch, and a batch of %d has no other", m.batch), Advice: "use a batch of at least 2; hundreds learn better"}
	}
	if err := checkGroups(m.NormGroups, m.batch); err != nil {
		return nil, err
	}
	head, err := projector(r.Representation, m.Hidden, m.Dim, m.Norm)
	if err != nil {
		return nil, err
	}
	m.z = nil // other sizes, perhaps: prepare makes it anew
	n := 2 * m.batch
	p := &sdk.Program{
		Heads:       []*sdk.Head{head},
		MemoryBytes: uint64(4 * 2 * n * n), // similarities and pulls
		Facts: []*sdk.Fact{
			{Name: "effective negatives", Value: fmt.Sprintf("%d: both views of the other objects of the batch", n-2)},
			{Name: "chance loss", Value: fmt.Sprintf("%.3f: ln(2·batch − 1), of embeddings without information", math.Log(float64(n-1)))},
		},
	}
	for _, name := range []string{"first", "second"} {
		p.Views = append(p.Views, &sdk.ViewNeed{Name: name, Pipeline: m.View})
		p.Passes = append(p.Passes, &sdk.Pass{Name: name, View: name, Network: sdk.Online, Heads: []string{"projector"}, Gradient: true, NormGroups: uint32(m.NormGroups)})
		p.Taps = append(p.Taps, &sdk.Tap{Name: name, Pass: name, Output: "projector"})
	}
	return p, nil
}

// prepare takes memory, once: many experiments are planned that never run.
func (m *simclr) prepare() {
	if m.z != nil {
		return
	}
	n := 2 * m.batch
	m.z, m.gradient = make([]float32, n*m.Dim), make([]float32, n*m.Dim)
	m.logits, m.weights = make([]float32, n*n), make([]float32, n*n)
	m.loss, m.positive, m.first = make([]float64, n), make([]float64, n), make([]bool, n)
}

// Loss is NT-Xent: the mean over the 2·batch embeddings of −ln softmax over the similarities with all others, divided by
// the temperature, at the object's other view. (The authors' code adds the two directions and so reports twice this.)
func (m *simclr) Loss(s *sdk.Step) (*sdk.LossAnswer, error) {
	a, err := tap(s, "first", m.batch, m.Dim)
	if err != nil {
		return nil, err
	}
	b, err := tap(s, "second", m.batch, m.Dim)
	if err != nil {
		return nil, err
	}
	da, err := gradient(s, "first", m.batch, m.Dim)
	if err != nil {
		return nil, err
	}
	db, err := gradient(s, "second", m.batch, m.Dim)
	if err != nil {
		return nil, err
	}
	m.prepare()
	copy(m.z, a)
	copy(m.z[len(a):], b)
	m.ntXent()
	copy(da, m.gradient)
	copy(db, m.gradient[len(da):])
	answer, accuracy, positive, n := &sdk.LossAnswer{}, 0.0, 0.0, float64(2*m.batch)
	for i, l := range m.loss {
		answer.Loss += l / n
		positive += m.positive[i] / n
		if m.first[i] {
			accuracy += 1 / n
		}
	}
	answer.Metrics = metrics(accuracy, positive, spread(m.z, m.Dim))
	return answer, nil
}

func (m *simclr) ntXent() {
	n, dim, scale := 2*m.batch, m.Dim, 1/m.Temperature
	sdk.MatMulNT(n, n, dim, m.z, m.z, m.logits)
	sdk.Parallel(n, func(i int) {
		row, other := m.logits[i*n:(i+1)*n], (i+m.batch)%n
		m.positive[i] = float64(row[other])
		hardest := math.Inf(-1)
		for j, v := range row {
			if j != i && j != other {
				hardest = max(hardest, float64(v))
			}
		}
		m.first[i] = nearer(m.positive[i], hardest)
		top := max(m.positive[i], hardest) * scale
		sum := 0.0
		for j, v := range row {
			if j != i {
				sum += math.Exp(float64(v)*scale - top)
			}
		}
		m.loss[i] = top + math.Log(sum) - m.positive[i]*scale
		for j, v := range row {
			row[j] = float32(math.Exp(float64(v)*scale-top) / sum)
		}
		row[i] = 0
		row[other]--
	})
	// Each similarity belongs to two rows: an embedding is pulled as query and as answer.
	share := float32(scale / float64(n))
	sdk.Parallel(n, func(i int) {
		for j := range n {
			m.weights[i*n+j] = (m.logits[i*n+j] + m.logits[j*n+i]) * share
		}
	})
	sdk.MatMulNN(n, dim, n, m.weights, m.z, m.gradient)
}
