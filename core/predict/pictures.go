package predict

import (
	"errors"
	"sync"

	"github.com/asterism-ssl/asterism/core/data"
	"github.com/asterism-ssl/asterism/core/report/thumbnail"
	"github.com/asterism-ssl/asterism/core/run"
	"github.com/asterism-ssl/asterism/core/stage"
)

// Pictures draws the objects of a run. It may be used by several at once.
type Pictures struct {
	store *data.Store
	shape []int

	mu     sync.Mutex
	pixels []float32
}

// ErrNoPictures says that the data of a run are not on this machine: a run directory does not hold them.
var ErrNoPictures = errors.New("the data of the run are not on this machine, so there are no pictures of its objects; running its experiment again brings them back")

// OpenPictures finds the data of a run in the cache of stages; it gives ErrNoPictures where they are not.
func OpenPictures(cache *stage.Cache, dir string, objects *run.Objects) (*Pictures, error) {
	manifest, err := run.ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	for _, s := range manifest.Stages {
		if s.Name != "data" {
			continue
		}
		r, ok := cache.Lookup(s.Key)
		if !ok {
			return nil, ErrNoPictures
		}
		store, err := data.Open(r.Dir)
		if err != nil {
			return nil, err
		}
		same := store.Len() == len(objects.IDs)
		for i := 0; same && i < store.Len(); i++ {
			same = store.ID(i) == objects.IDs[i]
		}
		if !same { // the data changed after the run
			store.Close()
			return nil, ErrNoPictures
		}
		return newPictures(store), nil
	}
	return nil, ErrNoPictures
}

func newPictures(store *data.Store) *Pictures {
	p, n := &Pictures{store: store}, 1
	for _, d := range store.Facts().Shape {
		p.shape, n = append(p.shape, int(d)), n*int(d)
	}
	p.pixels = make([]float32, n)
	return p
}

// PNG is the picture of the object in a row.
func (p *Pictures) PNG(row int) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.store.Gather(p.pixels, []int{row}); err != nil {
		return nil, err
	}
	facts := p.store.Facts()
	return thumbnail.PNG(p.pixels, p.shape, facts.Bands, facts.Flux)
}

// Close gives the data back.
func (p *Pictures) Close() error { return p.store.Close() }
