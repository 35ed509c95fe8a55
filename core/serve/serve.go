// Package serve answers over HTTP what a run says of its objects and of images: a small API and one page to search by
// clicking or dropping an image.
//
//	s := &serve.Server{Run: "efigi-1a2b3c4d", Predictor: p, Index: x, Reader: source}
//	err := s.Serve(ctx, listener)
//
// It reads the run and an upload, and writes nothing but temporary files. Whoever may ask is a matter of the address that
// is listened on; beyond that, requests that a foreign web page has a browser send are refused by their Host and Origin.
package serve

import (
	"context"
	_ "embed" // the page and the description
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/predict"
)

//go:embed page.html
var page []byte

//go:embed openapi.json
var description []byte

// Bounds of a request.
const (
	MostBytes = 32 << 20 // of an upload
	mostFound = 1000
	patience  = 2 * time.Minute // for an answer
)

// Server is a run that is asked.
type Server struct {
	Run       string // its id
	Predictor *predict.Predictor
	Index     *predict.Index       // all objects of the run
	Pictures  *predict.Pictures    // nil: there are none
	Reader    experiment.Component // reads an upload: as predict.Reader and predict.Folder say
	Hosts     []string             // names by which the server may be called, beside localhost and addresses

	turn chan struct{} // holds the predictor, which does one thing at a time
}

// Serve answers until the context ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: patience + time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if h.Shutdown(end) != nil { // somebody is still being answered
			return h.Close()
		}
		return nil
	}
}

// Handler gives the API and the page.
func (s *Server) Handler() http.Handler {
	s.turn = make(chan struct{}, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { file(w, "text/html; charset=utf-8", page) })
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, r *http.Request) { file(w, "application/json", description) })
	mux.HandleFunc("GET /api/run", s.answer(s.run))
	mux.HandleFunc("GET /api/objects", s.answer(s.objects))
	mux.HandleFunc("GET /api/search", s.answer(s.searchID))
	mux.HandleFunc("POST /api/search", s.answer(s.searchImage))
	mux.HandleFunc("POST /api/embed", s.answer(s.embed))
	mux.HandleFunc("POST /api/predict", s.answer(s.predict))
	mux.HandleFunc("GET /api/picture", s.picture)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, &wrong{http.StatusNotFound, "there is nothing at " + r.Method + " " + r.URL.Path + ": /openapi.json says what there is"})
	})
	return s.guard(mux)
}

func file(w http.ResponseWriter, kind string, b []byte) {
	w.Header().Set("Content-Type", kind)
	w.Write(b)
}

// guard refuses what a foreign page has a browser ask: a name that is not ours leads here where a foreign name was pointed
// at this machine, and a foreign origin stands in what its scripts send.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; img-src 'self' blob: data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if !s.ours(r.Host) {
			refuse(w, &wrong{http.StatusForbidden, fmt.Sprintf("this server is not called %q", r.Host)})
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
				refuse(w, &wrong{http.StatusForbidden, fmt.Sprintf("a page of %s may not ask this server", origin)})
				return
			}
		}
		if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" && r.URL.Path != "/" {
			refuse(w, &wrong{http.StatusForbidden, "a page of another site may not ask this server"})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// ours says whether a Host is one of our names. An address cannot be pointed elsewhere by a name server.
func (s *Server) ours(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	for _, own := range append([]string{"localhost"}, s.Hosts...) {
		if strings.EqualFold(name, own) {
			return true
		}
	}
	return false
}

// wrong is an answer that is not what was asked for.
type wrong struct {
	status int
	what   string
}

func (w *wrong) Error() string { return w.what }

func refuse(w http.ResponseWriter, err error) {
	status, said := http.StatusInternalServerError, map[string]string{"error": err.Error()}
	if e, ok := errors.AsType[*wrong](err); ok {
		status = e.status
	} else if list := fault.All(err); len(list) > 0 {
		said["error"] = list[0].What
		if list[0].Err != nil {
			said["error"] += ": " + list[0].Err.Error()
		}
		if list[0].Do != "" {
			said["do"] = list[0].Do
		}
		switch list[0].Kind {
		case fault.Data:
			status = http.StatusUnprocessableEntity
		case fault.Config:
			status = http.StatusNotFound
		case fault.Resource, fault.Cancelled, fault.Interrupted:
			status = http.StatusServiceUnavailable
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(said)
}

// answer writes what a handler gives as JSON.
func (s *Server) answer(f func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, MostBytes)
		v, err := f(r)
		if err == nil {
			var text []byte
			if text, err = json.Marshal(v); err == nil {
				file(w, "application/json", append(text, '\n'))
				return
			}
		}
		refuse(w, err)
	}
}

// number reads a parameter.
func number(r *http.Request, name string, otherwise, least, most int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, &wrong{http.StatusBadRequest, fmt.Sprintf("%s=%s is not a whole number from %d to %d", name, text, least, most)}
	}
	return n, nil
}

func (s *Server) run(*http.Request) (any, error) {
	return map[string]any{"run": s.Run, "objects": len(s.Index.Objects.IDs), "width": s.Index.Width(), "pictures": s.Pictures != nil, "images": predict.IsPictures(s.Reader), "tasks": s.Predictor.Questions()}, nil
}

// objects lists some, spread evenly over all, so that a page of them shows what there is.
func (s *Server) objects(r *http.Request) (any, error) {
	total := len(s.Index.Objects.IDs)
	limit, err := number(r, "limit", 48, 1, mostFound)
	if err != nil {
		return nil, err
	}
	offset, err := number(r, "offset", 0, 0, total)
	if err != nil {
		return nil, err
	}
	limit = min(limit, total)
	var rows []predict.Found
	for i := range limit {
		row := (i*total/limit + offset) % total
		rows = append(rows, predict.Found{Row: row, ID: s.Index.Objects.IDs[row], Cosine: 1})
	}
	list, err := s.cards(rows)
	return map[string]any{"total": total, "objects": list}, err
}

func (s *Server) cards(found []predict.Found) ([]predict.Card, error) {
	cards := make([]predict.Card, len(found))
	for i, f := range found {
		var err error
		if cards[i], err = predict.NewCard(s.Index.Objects, f, nil); err != nil {
			return nil, err
		}
	}
	return cards, nil
}

func (s *Server) searchID(r *http.Request) (any, error) {
	top, err := number(r, "top", 20, 1, mostFound)
	if err != nil {
		return nil, err
	}
	id := r.URL.Query().Get("id")
	if id == "" {
		return nil, &wrong{http.StatusBadRequest, "id is missing: /api/search?id=…"}
	}
	row, err := s.Index.Row(id)
	if err != nil {
		return nil, err
	}
	found, err := s.Index.LikeObject(row, top)
	if err != nil {
		return nil, err
	}
	query, err := s.cards([]predict.Found{{Row: row, ID: id, Cosine: 1}})
	if err != nil {
		return nil, err
	}
	list, err := s.cards(found)
	return map[string]any{"query": query[0], "found": list}, err
}

func (s *Server) searchImage(r *http.Request) (any, error) {
	top, err := number(r, "top", 20, 1, mostFound)
	if err != nil {
		return nil, err
	}
	b, err := s.upload(r)
	if err != nil {
		return nil, err
	}
	found, err := s.Index.Like(b.Representations, top)
	if err != nil {
		return nil, err
	}
	list, err := s.cards(found)
	return map[string]any{"found": list, "predictions": b.Values(0)}, err
}

func (s *Server) embed(r *http.Request) (any, error) {
	b, err := s.upload(r)
	if err != nil {
		return nil, err
	}
	return map[string]any{"representation": b.Representations}, nil
}

func (s *Server) predict(r *http.Request) (any, error) {
	b, err := s.upload(r)
	if err != nil {
		return nil, err
	}
	nearest := make([]map[string]any, 0, b.K())
	for i, id := range b.Nearest {
		if id != "" {
			nearest = append(nearest, map[string]any{"id": id, "distance": b.Distance[i]})
		}
	}
	return map[string]any{"predictions": b.Values(0), "nearest": nearest}, nil
}

// endings of files by how they begin.
var endings = []struct{ magic, ending string }{{"\x89PNG\r\n\x1a\n", ".png"}, {"\xff\xd8\xff", ".jpg"}, {"SIMPLE  =", ".fits"}, {"\x1f\x8b", ".fits.gz"}}

// nameOf is what the file of an upload is called: an image by what it is, since its ending says how it is read, "" where it is
// none; a file of a dataset as the request says.
func (s *Server) nameOf(r *http.Request, text []byte) string {
	name := ""
	if !predict.IsPictures(s.Reader) {
		if name = filepath.Base(r.URL.Query().Get("name")); filepath.IsLocal(name) && name != "." && len(name) < 200 && !strings.ContainsRune(name, 0) {
			return name
		}
		name = "upload"
	}
	for _, e := range endings {
		if strings.HasPrefix(string(text[:min(len(text), 16)]), e.magic) {
			name = "image" + e.ending
		}
	}
	return name
}

// upload brings the image, or the file of another kind, that a request holds through the run.
func (s *Server) upload(r *http.Request) (*predict.Batch, error) {
	text, err := io.ReadAll(r.Body)
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &wrong{http.StatusRequestEntityTooLarge, fmt.Sprintf("an image or a file may have %d MiB at most", e.Limit>>20)}
	}
	if err != nil {
		return nil, &wrong{http.StatusBadRequest, "the request broke off: " + err.Error()}
	}
	if len(text) == 0 {
		return nil, &wrong{http.StatusBadRequest, "the request has no image and no file: send its bytes as the body"}
	}
	name := s.nameOf(r, text)
	if name == "" {
		return nil, &wrong{http.StatusUnsupportedMediaType, "this is neither PNG, JPEG nor FITS: send the bytes of an image file as the body"}
	}
	dir, err := os.MkdirTemp("", "asterism-upload-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		return nil, err
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-r.Context().Done():
		return nil, &wrong{http.StatusServiceUnavailable, "too many are asking at once: try again"}
	}
	return s.Predictor.File(r.Context(), s.Reader, filepath.Join(dir, name))
}

func (s *Server) picture(w http.ResponseWriter, r *http.Request) {
	row, err := s.Index.Row(r.URL.Query().Get("id"))
	if err == nil && s.Pictures == nil {
		err = &wrong{http.StatusNotFound, predict.ErrNoPictures.Error()}
	}
	var b []byte
	if err == nil {
		b, err = s.Pictures.PNG(row)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Cache-Control", "private, max-age=3600")
	file(w, "image/png", b)
}
