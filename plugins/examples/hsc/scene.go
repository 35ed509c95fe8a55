package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/plugins/sdk/npz"
)

const maxBytes = 1 << 27 // of an array of a scene

// scene is an archive as read.
type scene struct {
	name                 string
	bands, height, width int
	images, variance     []float64 // [band, y, x]; variance may be nil
	filters              []string
	positions            [][2]float64 // x, y
	scatter              []float64    // of each band
}

// readScene reads one archive.
func readScene(file string) (*scene, error) {
	f, err := npz.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("it is not there")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := &scene{}
	var shape []int
	if s.images, shape, err = numbers(f, "images"); err != nil {
		return nil, err
	}
	if len(shape) != 3 || slices.Contains(shape, 0) {
		return nil, fmt.Errorf("its images have the shape %v, not bands, rows and columns", shape)
	}
	s.bands, s.height, s.width = shape[0], shape[1], shape[2]
	if slices.Contains(f.Names(), "variance") {
		var same []int
		if s.variance, same, err = numbers(f, "variance"); err != nil {
			return nil, err
		}
		if !slices.Equal(shape, same) {
			return nil, fmt.Errorf("its variance has the shape %v, its images have %v", same, shape)
		}
	}
	if slices.Contains(f.Names(), "filters") {
		a, err := f.Array("filters")
		if err != nil {
			return nil, err
		}
		defer a.Close()
		if s.filters, err = a.Texts(maxBytes); err != nil {
			return nil, fmt.Errorf("its filters: %w", err)
		}
	}
	plane := s.height * s.width
	for b := range s.bands {
		s.scatter = append(s.scatter, scatter(s.images[b*plane:(b+1)*plane]))
	}
	s.positions, err = positions(f)
	return s, err
}

// numbers reads an array of numbers.
func numbers(f *npz.File, name string) ([]float64, []int, error) {
	a, err := f.Array(name)
	if err != nil {
		return nil, nil, err
	}
	defer a.Close()
	v, err := a.Floats(maxBytes)
	if err != nil {
		err = fmt.Errorf("the array %s: %w", name, err)
	}
	return v, a.Shape, err
}

// positions reads x and y of the sources, from a table or from pairs of y and x.
func positions(f *npz.File) (xy [][2]float64, err error) {
	if slices.Contains(f.Names(), "catalog") {
		a, err := f.Array("catalog")
		if err != nil {
			return nil, err
		}
		defer a.Close()
		columns, err := a.Table(maxBytes, "x", "y")
		if err != nil {
			return nil, fmt.Errorf("its catalog: %w", err)
		}
		for i, x := range columns[0] {
			xy = append(xy, [2]float64{x, columns[1][i]})
		}
		return xy, nil
	}
	centers, shape, err := numbers(f, "centers")
	if err != nil {
		return nil, fmt.Errorf("it has no catalog, and %w", err)
	}
	if len(shape) != 2 || shape[1] != 2 {
		return nil, fmt.Errorf("its centers have the shape %v, not y and x of each source", shape)
	}
	for i := 0; i < len(centers); i += 2 {
		xy = append(xy, [2]float64{centers[i+1], centers[i]})
	}
	return xy, nil
}

// scatter is 1.4826 times the median absolute deviation from the median.
func scatter(values []float64) float64 {
	m := median(values)
	off := make([]float64, len(values))
	for i, v := range values {
		off[i] = math.Abs(v - m)
	}
	return 1.4826 * median(off)
}
