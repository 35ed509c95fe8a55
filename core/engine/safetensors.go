package engine

import (
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/safetensors"
)

// WriteArrays writes the arrays of a network as a safetensors file, atomically.
func WriteArrays(path string, arrays []Array, metadata map[string]string) error {
	all := make([]safetensors.Array, len(arrays))
	for i, a := range arrays {
		all[i] = safetensors.Of(a.Name, a.Shape, a.Data)
	}
	return safetensors.Write(path, all, metadata)
}

// ReadArrays reads the arrays of a network, sorted by name, with the file's metadata.
func ReadArrays(path string) ([]Array, map[string]string, error) {
	all, metadata, err := safetensors.Read(path)
	if err != nil {
		return nil, nil, err
	}
	arrays := make([]Array, len(all))
	for i, a := range all {
		if a.DType != "F32" {
			return nil, nil, &fault.Error{Op: "read", Kind: fault.Data, What: path + ": the array " + a.Name + " is of type " + a.DType, Do: "give a file of float32 weights"}
		}
		arrays[i] = Array{Name: a.Name, Shape: a.Shape, Data: safetensors.Values[float32](a)}
	}
	return arrays, metadata, nil
}
