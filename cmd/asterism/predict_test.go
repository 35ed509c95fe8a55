package main

import (
	"fmt"
	"math"
	"os"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

// sameRepresentations is a command for scripts: it compares the representations in two Arrow files by id, bit for bit, and
// says how many there are in both.
func sameRepresentations() {
	a, b := representationsOf(os.Args[1]), representationsOf(os.Args[2])
	same := 0
	for id, x := range a {
		y, ok := b[id]
		if !ok {
			continue
		}
		for i, v := range x {
			if len(x) != len(y) || math.Float32bits(v) != math.Float32bits(y[i]) {
				fmt.Printf("%s differs: %v and %v\n", id, x, y)
				os.Exit(1)
			}
		}
		same++
	}
	fmt.Printf("%d of %d and %d\n", same, len(a), len(b))
}

func representationsOf(path string) map[string][]float32 {
	f, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	r, err := ipc.NewFileReader(f)
	if err != nil {
		panic(err)
	}
	defer r.Close()
	all := map[string][]float32{}
	for i := range r.NumRecords() {
		batch, err := r.RecordBatchAt(i)
		if err != nil {
			panic(err)
		}
		ids := batch.Column(r.Schema().FieldIndices("id")[0]).(*array.String)
		list := batch.Column(r.Schema().FieldIndices("representation")[0]).(*array.FixedSizeList)
		values := list.ListValues().(*array.Float32)
		for k := range ids.Len() {
			first, last := list.ValueOffsets(k)
			all[ids.Value(k)] = append([]float32(nil), values.Float32Values()[first:last]...)
		}
	}
	return all
}
