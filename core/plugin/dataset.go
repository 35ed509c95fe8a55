package plugin

import (
	"context"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// Dataset is a configured dataset.
type Dataset struct{}

// Open looks at the data and says what there is. It is called once, first.
func (d *Dataset) Open(ctx context.Context) (*protocol.Catalogue, error) { return nil, errNotYet }

// Read reads up to count records from first; fewer when memory for them is short. The pixels are valid until the next Read.
func (d *Dataset) Read(ctx context.Context, first, count int) ([]Record, error) {
	return nil, errNotYet
}

// ReadFile reads one given file as a record.
func (d *Dataset) ReadFile(ctx context.Context, path string) (Record, error) {
	return Record{}, errNotYet
}

// Close releases the instance and its memory.
func (d *Dataset) Close() error { return nil }
