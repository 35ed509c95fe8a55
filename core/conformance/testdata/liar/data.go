package main

import (
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// data has 20 records, one of them bad, and files called "object N".
type data struct{}

func (data) Open() (*sdk.Catalogue, error) {
	c := &sdk.Catalogue{Count: 20, Dtype: sdk.F32, Facts: &sdk.SampleFacts{Shape: []int64{4, 3, 2}, Bands: []string{"a", "b"}}, Fingerprint: "5c4a",
		Fields: []*sdk.Field{{Name: "z", Type: sdk.Number}, {Name: "class", Type: sdk.String}}}
	switch lie {
	case "unprinted":
		c.Fingerprint = ""
	case "reprinted":
		c.Fingerprint = fmt.Sprintf("%08x", os.Getpid())
	case "twins":
		c.Fields[1] = c.Fields[0]
	case "bandless":
		c.Facts.Bands = nil
	case "none":
		c.Count = 0
	case "scale":
		c.Scale = 2
	case "changing":
		c.Notices = []*sdk.Notice{{What: fmt.Sprint("process ", os.Getpid())}}
	}
	return c, nil
}

func (data) Read(i int, r *sdk.Record) error {
	if i == 6 || lie == "allbad" {
		r.Bad = fmt.Sprintf("file %d is broken", i)
		if lie == "curt" {
			r.Bad = "bad"
		}
		return nil
	}
	*r = sdk.Record{ID: fmt.Sprint("object ", i), Shape: []int{4, 3, 2}, F32: make([]float32, 24), Values: []any{float64(i), nil}}
	for k := range r.F32 {
		r.F32[k] = float32(i * k)
	}
	switch lie {
	case "counts":
		r.F32[0] = float32(calls.Add(1))
	case "pid":
		r.F32[0] = float32(os.Getpid())
	case "sameids":
		r.ID = fmt.Sprint("object ", i/2)
	case "flat":
		r.Shape = []int{8, 3}
		r.F32 = r.F32[:24]
	case "infinite":
		r.Values[0] = math.Inf(1)
	}
	return nil
}

func (d data) ReadFile(path string, r *sdk.Record) error {
	number, ok := strings.CutPrefix(path, "object ")
	var i int
	if _, err := fmt.Sscan(number, &i); !ok || err != nil {
		if lie == "anyfile" {
			return d.Read(1, r)
		}
		if text, err := os.ReadFile(path); err == nil && lie == "emptyfile" {
			_ = text[0]
		}
		if lie == "filepanic" {
			panic("no such file")
		}
		r.Bad = path + ": no such file"
		return nil
	}
	if err := d.Read(i, r); err != nil {
		return err
	}
	if lie == "otherwise" {
		r.F32[3]++
	}
	return nil
}
