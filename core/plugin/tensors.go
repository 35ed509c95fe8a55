package plugin

import (
	"encoding/json"
	"fmt"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/safetensors"
)

// WriteTensors writes what a component wants kept, its state, as a safetensors file, atomically.
func WriteTensors(path string, tensors []Tensor) error {
	arrays := make([]safetensors.Array, len(tensors))
	metadata := map[string]string{}
	for i, t := range tensors {
		switch {
		case t.F64 != nil:
			arrays[i] = safetensors.Of(t.Name, t.Shape, t.F64)
		case t.I64 != nil:
			arrays[i] = safetensors.Of(t.Name, t.Shape, t.I64)
		case t.U8 != nil:
			arrays[i] = safetensors.Of(t.Name, t.Shape, t.U8)
		default:
			arrays[i] = safetensors.Of(t.Name, t.Shape, t.F32)
		}
		if len(t.Categories) > 0 {
			text, err := json.Marshal(t.Categories)
			if err != nil {
				return err
			}
			metadata["categories of "+t.Name] = string(text)
		}
	}
	return safetensors.Write(path, arrays, metadata)
}

// ReadTensors reads what WriteTensors wrote, sorted by name.
func ReadTensors(path string) ([]Tensor, error) {
	arrays, metadata, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	tensors := make([]Tensor, len(arrays))
	for i, a := range arrays {
		tensors[i] = Tensor{Name: a.Name, Shape: a.Shape, F32: safetensors.Values[float32](a), F64: safetensors.Values[float64](a), I64: safetensors.Values[int64](a), U8: safetensors.Values[byte](a)}
		if text, ok := metadata["categories of "+a.Name]; ok {
			if err := json.Unmarshal([]byte(text), &tensors[i].Categories); err != nil {
				return nil, &fault.Error{Op: "read", Kind: fault.Data, What: fmt.Sprintf("%s: the categories of %s are damaged", path, a.Name), Err: err}
			}
		}
	}
	return tensors, nil
}
