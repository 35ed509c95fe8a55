//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/asterism-ssl/asterism/core/report/reporttest"
)

// drawn is a picture of a disk or of a bar, each a little different.
func drawn(i, width, height int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			dx, dy := float64(x-width/2), float64(y-height/2)
			in := dx*dx+dy*dy < float64(9+3*i)
			if i%2 == 1 {
				in = dy*dy < float64(2+i/4)
			}
			v := uint8(20 + i)
			if in {
				v = uint8(200 - i)
			}
			m.SetRGBA(x, y, color.RGBA{v, v / 2, uint8(i * 5), 255})
		}
	}
	return m
}

func encoded(t *testing.T, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func put(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
}

const shapes = `import "asterism.dev/schemas:asterism"

asterism.#Experiment & {
	name: "shapes"
	data: {
		sources: [{"images.folder": {root: "learned", table: "kinds.csv", columns: ["kind"]}}]
		split: {valid: 0, test: 0.3}
	}
	views: {train: [{"sky.flip": {}}, {"sky.noise": {}}], eval: []}
	encoder: {"resnet.r18": {width: 8, stem: "small"}}
	train: {objective: {"contrast.simclr": {}}, epochs: 1, batch: 8, optimizer: sgd: lr: 0.01}
	tasks: kind: {"classify.linear": {label: "kind"}}
}
`

// learnedShapes runs an experiment on a folder of pictures.
func learnedShapes(t *testing.T) (dir string) {
	dir = t.TempDir()
	table := "id,kind\n"
	for i := range 30 {
		put(t, filepath.Join(dir, "learned", fmt.Sprintf("shape%02d.png", i)), encoded(t, drawn(i, 20, 20)))
		table += fmt.Sprintf("shape%02d,%s\n", i, []string{"disk", "bar"}[i%2])
	}
	put(t, filepath.Join(dir, "kinds.csv"), []byte(table))
	put(t, filepath.Join(dir, "shapes.cue"), []byte(shapes))
	if out, err := command(t, dir, "--progress", "none", "run", "shapes.cue").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// TestPredictForDirtyFolder predicts for a folder such as people have: the images that can be used are, and each of the
// others is named with what is wrong with it.
func TestPredictForDirtyFolder(t *testing.T) {
	dir := learnedShapes(t)
	whole := encoded(t, drawn(3, 20, 20))
	grey := image.NewGray(image.Rect(0, 0, 20, 20))
	for name, b := range map[string][]byte{
		"a-disk.png": encoded(t, drawn(2, 20, 20)), "b-large.png": encoded(t, drawn(1, 31, 40)), "c-small.png": encoded(t, drawn(4, 9, 7)),
		"d-empty.png": nil, "e-cut.png": whole[:len(whole)/2], "f-text.png": []byte("not an image"), "g-grey.png": encoded(t, grey),
	} {
		put(t, filepath.Join(dir, "new", name), b)
	}
	out, err := command(t, dir, "--json", "--progress", "none", "predict", "shapes", "--images", "new", "--out", "p.csv", "--nearest", "2").Output()
	if err != nil {
		t.Fatal(err)
	}
	var said struct {
		Objects int
		LeftOut int `json:"left_out"`
		Bad     string
	}
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "p.csv"))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"id", "kind.kind", "kind.probability.bar", "kind.probability.disk", "nearest.1", "distance.1", "nearest.2", "distance.2"}; !slices.Equal(lines[0], want) {
		t.Errorf("the columns are %v, want %v", lines[0], want)
	}
	var ids []string
	for _, l := range lines[1:] {
		ids = append(ids, l[0])
		if !strings.HasPrefix(l[4], "shape") || l[1] != "disk" && l[1] != "bar" {
			t.Errorf("%v", l)
		}
	}
	list, err := os.ReadFile(filepath.Join(dir, said.Bad))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"d-empty"`, `"e-cut"`, `"f-text"`} {
		if !strings.Contains(string(list), want) {
			t.Errorf("%s is not named in\n%s", want, list)
		}
	}
	if said.Objects+said.LeftOut != 7 || said.Objects != len(ids) || !slices.Contains(ids, "a-disk") || !slices.Contains(ids, "b-large") || !slices.Contains(ids, "c-small") {
		t.Errorf("%d objects, %d left out: %v\n%s", said.Objects, said.LeftOut, ids, list)
	}
}

// serving starts a server, ends it with the test, and gives its page and a function to ask it.
func serving(t *testing.T, c *exec.Cmd) (page string, ask func(method, path string, body []byte, header ...string) (int, string)) {
	t.Helper()
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Signal(syscall.SIGINT)
		io.Copy(io.Discard, stdout)
		if err := c.Wait(); err != nil {
			t.Errorf("the server ended with %v: %s", err, stderr.String())
		}
	})
	var ready struct{ Run, Page string }
	if err := json.NewDecoder(bufio.NewReader(stdout)).Decode(&ready); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return ready.Page, func(method, path string, body []byte, header ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, strings.TrimSuffix(ready.Page, "/")+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			if header[i] == "Host" {
				r.Host = header[i+1]
			}
			r.Header.Set(header[i], header[i+1])
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, err.Error()
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
}

// TestServe asks a server as a page, a program and an ill-meaning page do, and looks at its own page in a browser.
func TestServe(t *testing.T) {
	dir := learnedShapes(t)
	address, ask := serving(t, command(t, dir, "--json", "--progress", "none", "serve", "shapes", "--listen", "127.0.0.1:0"))
	own, err := os.ReadFile(filepath.Join(dir, "learned", "shape04.png"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []struct {
		name, method, path string
		body               []byte
		header             []string
		status             int
		says               string
	}{
		{name: "the run", method: "GET", path: "/api/run", status: 200, says: `"objects":30`},
		{name: "its description", method: "GET", path: "/openapi.json", status: 200, says: `"/api/predict"`},
		{name: "objects", method: "GET", path: "/api/objects?limit=3", status: 200, says: `"total":30`},
		{name: "a picture", method: "GET", path: "/api/picture?id=shape04", status: 200, says: "PNG"},
		{name: "a search by id", method: "GET", path: "/api/search?id=shape04&top=5", status: 200, says: `"query":{"id":"shape04"`},
		{name: "a search by image finds it", method: "POST", path: "/api/search?top=1", body: own, status: 200, says: `"found":[{"id":"shape04"`},
		{name: "a prediction", method: "POST", path: "/api/predict", body: own, status: 200, says: `"kind.probability":{"bar":`},
		{name: "a representation", method: "POST", path: "/api/embed", body: own, status: 200, says: `"representation":[`},
		{name: "our own origin", method: "GET", path: "/api/run", header: []string{"Origin", "http://" + page.Host}, status: 200, says: "shapes"},

		{name: "no such object", method: "GET", path: "/api/search?id=shape99", status: 404, says: "did you mean"},
		{name: "an empty query", method: "GET", path: "/api/search?id=", status: 400, says: "id is missing"},
		{name: "more than there is", method: "GET", path: "/api/search?id=shape04&top=999", status: 200, says: "shape"},
		{name: "too much", method: "GET", path: "/api/search?id=shape04&top=100000", status: 400, says: "from 1 to 1000"},
		{name: "no image", method: "POST", path: "/api/predict", body: []byte("hello"), status: 415, says: "neither PNG, JPEG nor FITS"},
		{name: "nothing", method: "POST", path: "/api/predict", status: 400, says: "no image"},
		{name: "half an image", method: "POST", path: "/api/predict", body: own[:len(own)/2], status: 422, says: "cannot be used"},
		{name: "zeros without end", method: "POST", path: "/api/predict", body: append(slices.Clone(own), make([]byte, 33<<20)...), status: 413, says: "32 MiB at most"},
		{name: "a path", method: "GET", path: "/api/picture?id=..%2F..%2Fmanifest.json", status: 404, says: "no object"},
		{name: "a file", method: "GET", path: "/manifest.json", status: 404, says: "there is nothing at"},
		{name: "another method", method: "PUT", path: "/api/run", status: 404, says: "there is nothing at"},
		{name: "a foreign name", method: "GET", path: "/api/run", header: []string{"Host", "evil.example:" + page.Port()}, status: 403, says: "not called"},
		{name: "a foreign origin", method: "POST", path: "/api/predict", body: own, header: []string{"Origin", "https://evil.example"}, status: 403, says: "may not ask"},
		{name: "a foreign page's picture", method: "GET", path: "/api/picture?id=shape04", header: []string{"Sec-Fetch-Site", "cross-site"}, status: 403, says: "another site"},
	} {
		status, text := ask(q.method, q.path, q.body, q.header...)
		if status != q.status && !(q.status == 413 && status == 0) || status != 0 && !strings.Contains(text, q.says) { // a refused upload may end the connection first
			t.Errorf("%s: %d %.300s, want %d and %q", q.name, status, text, q.status, q.says)
		}
	}
	for address, want := range map[string][]string{
		address:                   {"30 objects, representations of", "it answers kind", "shape00"},
		address + "#like=shape04": {"Most similar to shape04", "the query", "/api/picture?id=shape"},
	} {
		dom, console := reporttest.Open(t, address)
		for _, line := range console {
			t.Errorf("the browser's console says: %s", line)
		}
		for _, text := range want {
			if !strings.Contains(dom, text) {
				t.Errorf("%s does not show %q", address, text)
			}
		}
	}
}

// TestServeFiles asks a server about files of the run's own kind, which the dataset of a third party reads.
func TestServeFiles(t *testing.T) {
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	series, err := filepath.Abs(filepath.Join("..", "..", "plugins", "examples", "series"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	with := func(words ...string) *exec.Cmd {
		c := command(t, dir, append([]string{"--json", "--progress", "none"}, words...)...)
		c.Env = append(c.Env, "GOCACHE="+strings.TrimSpace(string(cache)), "XDG_DATA_HOME="+filepath.Join(dir, "plugins"))
		return c
	}
	if out, err := with("plugin", "install", series).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const head = "@timeStamps false\n@univariate true\n@classLabel true sine saw\n@data\n"
	var lines []string
	for i := range 24 {
		var values []string
		for t := range 16 {
			values = append(values, fmt.Sprint(t*(2*i+3)%17))
		}
		lines = append(lines, strings.Join(values, ",")+":"+[]string{"sine", "saw"}[i%2]+"\n")
	}
	put(t, filepath.Join(dir, "waves.ts"), []byte(head+strings.Join(lines, "")))
	put(t, filepath.Join(dir, "waves.cue"), []byte(strings.NewReplacer("shapes", "waves", `{"images.folder": {root: "learned", table: "kinds.csv", columns: ["kind"]}}`, `{"series.ts": files: ["waves.ts"]}`,
		`{"sky.flip": {}}`, `{"series.scale": {}}`, `label: "kind"`, `label: "class"`).Replace(shapes)))
	if out, err := with("run", "waves.cue").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	one, two := []byte(head+lines[3]), []byte(head+lines[3]+lines[4])
	address, ask := serving(t, with("serve", "waves", "--listen", "127.0.0.1:0"))
	for _, q := range []struct {
		name, path string
		body       []byte
		status     int
		says       string
	}{
		{"a search by a file finds it", "/api/search?top=1&name=one.ts", one, 200, `"found":[{"id":"waves-00003"`},
		{"a file without a name", "/api/search?top=1", one, 200, `"found":[{"id":"waves-00003"`},
		{"a name that leads elsewhere", "/api/search?top=1&name=..%2F..%2Fone.ts", one, 200, `"found":[{"id":"waves-00003"`},
		{"a prediction", "/api/predict?name=one.ts", one, 200, `"kind.probability":{"saw":`},
		{"a representation", "/api/embed?name=one.ts", one, 200, `"representation":[`},
		{"two series", "/api/predict?name=two.ts", two, 422, `"error":"two.ts cannot be used: two.ts holds 2 series`},
		{"no series", "/api/predict?name=hello", []byte("hello"), 422, `"error":"hello cannot be used: hello:1: `},
		{"a picture", "/api/predict", encoded(t, drawn(1, 8, 8)), 422, `"error":"image.png cannot be used: `},
		{"nothing", "/api/predict", nil, 400, "no file"},
	} {
		if status, text := ask("POST", q.path, q.body); status != q.status || !strings.Contains(text, q.says) || strings.Contains(text, "asterism-upload") {
			t.Errorf("%s: %d %.300s, want %d and %q", q.name, status, text, q.status, q.says)
		}
	}
	if status, text := ask("GET", "/api/run", nil); status != 200 || !strings.Contains(text, `"images":false`) {
		t.Errorf("%d %s", status, text)
	}
	dom, console := reporttest.Open(t, address)
	if !strings.Contains(dom, "drop a file here, or choose one") || len(console) > 0 {
		t.Errorf("the page is %s and the console says %q", dom, console)
	}

	// The server has its dataset open; another begins without the data, and says what it needs when it is asked about a file.
	if err := os.Rename(filepath.Join(dir, "waves.ts"), filepath.Join(dir, "gone.ts")); err != nil {
		t.Fatal(err)
	}
	if status, text := ask("POST", "/api/embed?name=one.ts", one); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	_, ask = serving(t, with("serve", "waves", "--listen", "127.0.0.1:0"))
	if status, text := ask("GET", "/api/search?id=waves-00003", nil); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	if status, text := ask("POST", "/api/embed?name=one.ts", one); status != 422 || !strings.Contains(text, "waves.ts is not there") || !strings.Contains(text, "--set") {
		t.Errorf("%d %s", status, text)
	}
	_, ask = serving(t, with("serve", "waves", "--listen", "127.0.0.1:0", "--set", `data.sources.0."series.ts".files=["gone.ts"]`))
	if status, text := ask("POST", "/api/search?top=1&name=one.ts", one); status != 200 || !strings.Contains(text, "waves-00003") {
		t.Errorf("%d %s", status, text)
	}
}
