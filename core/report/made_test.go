package report

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/report/thumbnail"
	"github.com/asterism-ssl/asterism/core/run"
)

// makeRun fills dir with the files of a run as the quickstart would leave them, made up: five-band galaxies, a probe of
// morphology, photometric redshifts and neighbours.
func makeRun(t testing.TB, dir string) {
	t.Helper()
	src := key.New(11, "test").At(0, 0)
	write := func(name string, v any) {
		t.Helper()
		b, ok := v.([]byte)
		if !ok {
			var err error
			if b, err = json.MarshalIndent(v, "", "\t"); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	started := time.Date(2026, 8, 30, 14, 3, 22, 0, time.UTC)
	k := func(c string) string { return fmt.Sprintf("%064s", c) }
	write("manifest.json", run.Manifest{
		Name: "quickstart", ID: "quickstart-1f00a9c3", Experiment: "/home/ada/asterism/experiments/quickstart.cue", Status: "done",
		Started: started, Finished: started.Add(83 * time.Second), Version: "0.1.0", Binary: k("9c1185a5c5e9fc54612808977ee8f548b2258d31"),
		Machine: run.Machine{OS: "linux", Arch: "amd64", CPU: "AMD EPYC 9R14", Threads: 2, Engine: "native: AVX-512, 2 threads"},
		Plugins: map[string]string{"sky": "0.1.0", "skysim": "0.1.0", "resnet": "0.1.0", "contrast": "0.1.0", "classify": "0.1.0", "photoz": "0.1.0"},
		Stages: []run.StageRecord{
			{Name: "data", Key: k("a1c0ffee11"), Reused: true, Seconds: 0.1}, {Name: "train", Key: k("b2c0ffee22"), Seconds: 61.4},
			{Name: "embed", Key: k("c3c0ffee33"), Seconds: 5.2}, {Name: "untrained", Key: k("d4c0ffee44"), Seconds: 5.1},
			{Name: "task morphology", Key: k("e5c0ffee55"), Seconds: 3.8}, {Name: "task redshift", Key: k("f6c0ffee66"), Seconds: 4.4},
			{Name: "task similar", Key: k("07c0ffee77"), Seconds: 0.3},
		},
		Notices: []run.Notice{
			{Where: "data.sources.1 images.folder", What: "undecodable files", Count: 3, Examples: []string{"strip/0412.jpg: unexpected end", "strip/1999.jpg: unexpected end", "strip/3300.jpg: not an image"}},
			{Where: "data.sources.1 images.folder", What: "images without a row in the table", Count: 127, Examples: []string{"strip/0001.jpg"}},
		},
	})
	bands := []string{"u", "g", "r", "i", "z"}
	full := run.Shape{Shape: []int64{64, 64, 5}, Bands: bands, Flux: "LINEAR"}
	cropped := run.Shape{Shape: []int64{48, 48, 5}, Bands: bands, Flux: "LINEAR"}
	write("plan.json", run.Plan{
		Name: "quickstart",
		Sources: []run.PlanSource{
			{Component: "skysim.galaxies", Count: 9600, Sample: full, Columns: []string{"class", "redshift", "ellipticity"}},
			{Component: "images.folder", Count: 4202, Sample: full, Notices: []run.Notice{{Where: "data.sources.1 images.folder", What: "undecodable files", Count: 2}}},
		},
		Frame: full,
		Views: []run.PlanView{
			{Name: "train", Links: []run.PlanLink{{Component: "sky.rotate", Leaves: full}, {Component: "sky.jitter_crop", Leaves: cropped}, {Component: "sky.reddening", Leaves: cropped}, {Component: "sky.psf", Leaves: cropped}, {Component: "sky.noise", Leaves: cropped}, {Component: "sky.normalise", Leaves: cropped}}},
			{Name: "eval", Links: []run.PlanLink{{Component: "sky.center_crop", Leaves: cropped}, {Component: "sky.normalise", Leaves: cropped}}},
		},
		Encoder:   run.PlanNetwork{Name: "encoder", Component: "resnet.r18", Parameters: 11182784, FLOPs: 1250000000, Output: []int64{512}, Layers: []run.PlanLayer{{Name: "conv1", Op: "convolution 3×3", Shape: []int64{48, 48, 64}, FLOPs: 13271040}, {Name: "bn1", Op: "batch norm", Shape: []int64{48, 48, 64}, FLOPs: 294912}}},
		Heads:     []run.PlanNetwork{{Name: "projector", Parameters: 328320, FLOPs: 655360, Output: []int64{128}}},
		Objective: "contrast.moco",
		Facts:     []run.PlanFact{{Name: "negatives per query", Value: "4,096"}, {Name: "training steps", Value: "1,200"}, {Name: "memory", Value: "1.4 GB"}, {Name: "batch", Value: "64 objects, two views each"}},
		Tasks:     []run.PlanTask{{Name: "morphology", Component: "classify.linear", Labels: []string{"50", "500", "all"}}, {Name: "redshift", Component: "photoz.bins", Labels: []string{"all"}}, {Name: "similar", Component: "neighbours.search"}},
	})
	write("resolved.json", []byte(`{"name":"quickstart","seed":7,"train":{"batch":64,"epochs":8}}`))
	write("experiment.cue", []byte("package quickstart\n\nimport \"asterism.dev/schemas:asterism\"\n\nasterism.#Experiment & {\n\tname: \"quickstart\"\n\tseed: 7\n\tdata: sources: [{\"skysim.galaxies\": {count: 9600, size: 64}}]\n\tencoder: {\"resnet.r18\": {}}   // <script>alert(1)</script> stays text\n\ttrain: objective: {\"contrast.moco\": {queue: 4096, temperature: 0.2}}\n\ttasks: morphology: {\"classify.linear\": {label: \"class\"}, labels: [50, 500, \"all\"], draws: 5}\n}\n"))

	var lines []byte
	for step := range 300 {
		s := float64(step)
		line, err := json.Marshal(run.MetricLine{Step: uint64(4 * step), Epoch: s / 37.5, Seconds: s / 5, Loss: 3.2 + 5.1*math.Exp(-s/60) + 0.12*src.Normal(),
			LR: 0.03 * (1 + math.Cos(math.Pi*s/300)), ImagesPS: 1240 + 30*src.Normal() - 700*math.Exp(-s), StallFrac: 0.02,
			Metrics: map[string]float64{"accuracy among negatives": 1 - math.Exp(-s/80) + 0.02*src.Normal(), "alignment": 0.4 + 0.5*math.Exp(-s/50)}})
		if err != nil {
			t.Fatal(err)
		}
		lines = append(append(lines, line...), '\n')
	}
	write("metrics.jsonl", append(lines, []byte(`{"step": 1200, "lo`)...))

	figure := func(f *protocol.Figure) json.RawMessage {
		b, err := protojson.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var scores []run.Score
	score := func(arm, labels, metric, better, doc string, std float64, mean float64) {
		s := run.Score{Arm: arm, Labels: labels, Metric: metric, Better: better, Doc: doc, Mean: mean, Std: std, Draws: []float64{mean}}
		if std > 0 {
			s.Draws = []float64{mean - std, mean, mean + std}
		}
		scores = append(scores, s)
	}
	accuracy := "share of the test objects whose most probable class is the true one"
	balanced := "mean over classes of the share answered rightly"
	for i, labels := range []string{"50", "500", "all"} {
		std := []float64{0.018, 0.0062, 0}[i]
		score(run.Learned, labels, "accuracy", "higher", accuracy, std, []float64{0.803, 0.887, 0.934}[i])
		score(run.Untrained, labels, "accuracy", "higher", accuracy, std*1.3, []float64{0.512, 0.641, 0.716}[i])
		score(run.Constant, labels, "accuracy", "higher", accuracy, 0, 0.284)
		score(run.Learned, labels, "balanced accuracy", "higher", balanced, std, []float64{0.56, 0.861, 0.918}[i])
		score(run.Untrained, labels, "balanced accuracy", "higher", balanced, std*1.3, []float64{0.55, 0.598, 0.688}[i])
		score(run.Constant, labels, "balanced accuracy", "higher", balanced, 0, 0.2)
	}
	classes := []string{"elliptical", "disk", "spiral", "barred", "merger"}
	write("tasks/morphology/result.json", run.TaskResult{Task: "morphology", Component: "classify.linear", Part: "test", FitRows: 6720, ScoreRows: 1920, Scores: scores,
		Figures: []run.FigureAs{{Data: figure(&protocol.Figure{Title: "Confusion of classes", Is: &protocol.Figure_Matrix{Matrix: &protocol.Matrix{
			Rows: classes, Columns: classes, RowLabel: "true class", ColumnLabel: "answered class",
			Values: []float64{530, 12, 3, 0, 1, 9, 401, 22, 6, 0, 2, 19, 389, 24, 3, 0, 4, 31, 281, 2, 5, 1, 9, 4, 162},
		}}})}}})

	scores = nil
	var x, y []float64
	for range 1920 {
		z := 0.4 * src.Uniform()
		x, y = append(x, z), append(y, max(0, z+0.012*src.Normal()*(1+3*z)))
	}
	y[3], x[4] = 2.5, math.NaN()
	score(run.Learned, "all", "σ_MAD", "lower", "1.4826 × the median of |Δz − median Δz|, with Δz = (z_answered − z_true) / (1 + z_true)", 0, 0.0114)
	score(run.Untrained, "all", "σ_MAD", "lower", "", 0, 0.0287)
	score(run.Constant, "all", "σ_MAD", "lower", "", 0, 0.0871)
	score(run.Learned, "all", "bias", "", "mean of Δz", 0, -0.0003)
	score(run.Untrained, "all", "bias", "", "mean of Δz", 0, 0.0011)
	score(run.Constant, "all", "bias", "", "mean of Δz", 0, 0.0024)
	write("tasks/redshift/result.json", run.TaskResult{Task: "redshift", Component: "photoz.bins", Part: "test", FitRows: 6720, ScoreRows: 1920, Scores: scores,
		Figures: []run.FigureAs{{Data: figure(&protocol.Figure{Title: "Redshift answered against true", Is: &protocol.Figure_Scatter{Scatter: &protocol.Scatter{XLabel: "true redshift", YLabel: "answered redshift", X: x, Y: y, Identity: true}}})},
			{Data: figure(&protocol.Figure{Title: "Residuals", Is: &protocol.Figure_Scatter{Scatter: &protocol.Scatter{XLabel: "true redshift", YLabel: "Δz", X: []float64{0.1, 0.2}, Y: []float64{0.01, -0.02}, Zero: true,
				Series: []*protocol.Scatter_Series{{Name: "median", X: []float64{0.1, 0.2}, Y: []float64{0.01, -0.02}}}}}})},
			{Data: figure(&protocol.Figure{Title: "Calibration", Is: &protocol.Figure_Scatter{Scatter: &protocol.Scatter{XLabel: "PIT", YLabel: "share below", Identity: true, Note: "PIT is a probability.",
				Series: []*protocol.Scatter_Series{{Name: "objects", X: []float64{0, math.NaN(), 0.5, 1}, Y: []float64{0, 0.2, 0.4, 1}}}}}})}}})

	picture := func(name string, colour float64, radius, tilt float64) {
		const side = 48
		pixels := make([]float32, 0, side*side*5)
		for py := range side {
			for px := range side {
				dx, dy := float64(px)-side/2, float64(py)-side/2
				dx, dy = dx*math.Cos(tilt)+dy*math.Sin(tilt), 2*(dy*math.Cos(tilt)-dx*math.Sin(tilt))
				r := math.Hypot(dx, dy)
				arms := 1 + 0.8*math.Cos(2*(math.Atan2(dy, dx)-r/3))
				for b := range 5 {
					v := 60*math.Exp(-r/2)*math.Pow(1.6, float64(b-2)) + 25*arms*math.Exp(-r/radius)*math.Pow(colour, float64(b-2))
					pixels = append(pixels, float32(v+0.6*src.Normal()))
				}
			}
		}
		if err := os.MkdirAll(filepath.Join(dir, "tasks/similar/figures"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := thumbnail.Write(filepath.Join(dir, "tasks/similar", name), pixels, []int{side, side, 5}, bands, protocol.Flux_LINEAR); err != nil {
			t.Fatal(err)
		}
	}
	var panel []run.PanelLine
	for q := range 3 {
		object := func(k int) run.PanelObject {
			name := fmt.Sprintf("figures/%d-%d.png", q, k)
			picture(name, 0.8+0.35*float64(q), 5+2*float64(q), float64(q)+0.4*float64(k))
			return run.PanelObject{ID: fmt.Sprintf("galaxy-%04d", 1000*q+37*k+4), Image: name, Value: 0.98 - 0.021*float64(k), Label: classes[(q+k/4)%5]}
		}
		l := run.PanelLine{Query: object(0)}
		for k := 1; k <= 5; k++ {
			l.Answers = append(l.Answers, object(k))
		}
		panel = append(panel, l)
	}
	panel[2].Answers[4].Image = "../../manifest.json" // not a picture, and not its own
	scores = nil
	write("tasks/similar/result.json", run.TaskResult{Task: "similar", Component: "neighbours.search", Part: "test", FitRows: 6720, ScoreRows: 3, Scores: scores,
		Figures: []run.FigureAs{{Data: figure(&protocol.Figure{Title: "What else looks like this?", Is: &protocol.Figure_Panels{Panels: &protocol.Panels{ValueLabel: "cosine similarity"}}}), Lines: panel}}})
}
