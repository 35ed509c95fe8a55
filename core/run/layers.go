package run

import (
	"fmt"
	"slices"
	"strings"
)

// row is a line of a plan's table of layers: a layer, a block of them, or several blocks that are the same.
type row struct {
	layers []PlanLayer // of one block
	block  string      // its name; empty for a layer that is in none
	last   string      // name of the last of several blocks
	times  int
}

// fold brings a table of layers to a length that can be read: the layers of a block are one row, and so are blocks that
// follow one another and differ in their names alone.
func fold(layers []PlanLayer) []row {
	var rows []row
	for _, l := range layers {
		if n := len(rows); n > 0 && rows[n-1].block != "" && rows[n-1].holds(l.Name) {
			rows[n-1].layers = append(rows[n-1].layers, l)
			continue
		}
		rows = append(rows, row{layers: []PlanLayer{l}, block: blockOf(l.Name), times: 1})
	}
	var folded []row
	for _, r := range rows {
		if n := len(folded); n > 0 && r.block != "" && folded[n-1].sameAs(r) {
			folded[n-1].last = r.block
			folded[n-1].times++
			continue
		}
		folded = append(folded, r)
	}
	return folded
}

// holds says whether a layer belongs to the row's block: the last layer of a block may bear the block's own name.
func (r row) holds(layer string) bool { return layer == r.block || blockOf(layer) == r.block }

// blockOf gives the block that a layer's name places it in: the name up to the end of its first numbers, as in
// layer1.0.conv1, features.5.2.block.3 and encoder_layer_7.mlp.1; empty where the number is the layer's own.
func blockOf(name string) string {
	parts := strings.Split(name, ".")
	numbered := func(part string) bool { return part != "" && part[len(part)-1] >= '0' && part[len(part)-1] <= '9' }
	to := slices.IndexFunc(parts, numbered)
	for to >= 0 && to < len(parts)-1 && numbered(parts[to]) {
		to++
	}
	return strings.Join(parts[:max(to, 0)], ".")
}

// sameAs says whether another block computes the same.
func (r row) sameAs(o row) bool {
	return slices.EqualFunc(r.layers, o.layers, func(a, b PlanLayer) bool {
		return a.Op == b.Op && a.FLOPs == b.FLOPs && slices.Equal(a.Shape, b.Shape)
	})
}

// name is "conv1", "layer2.0" or "layer2.1 … layer2.3".
func (r row) name() string {
	switch {
	case len(r.layers) == 1 && r.times == 1:
		return r.layers[0].Name
	case r.times == 1:
		return r.block
	}
	last := r.last
	if at := strings.LastIndexByte(last, '.') + 1; strings.HasPrefix(r.block, last[:at]) {
		last = last[at:]
	}
	return fmt.Sprintf("%s … %s", r.block, last)
}

// ops counts the layers by what they do: "conv", "3 × (2 conv, 2 batch_norm, relu)".
func (r row) ops() string {
	var kinds []string
	count := map[string]int{}
	for _, l := range r.layers {
		if count[l.Op]++; count[l.Op] == 1 {
			kinds = append(kinds, l.Op)
		}
	}
	for i, k := range kinds {
		if count[k] > 1 {
			kinds[i] = fmt.Sprintf("%d %s", count[k], k)
		}
	}
	text := strings.Join(kinds, ", ")
	if r.times > 1 {
		text = fmt.Sprintf("%d × (%s)", r.times, text)
	}
	return text
}

// work is what the row computes, empty where it has no products.
func (r row) work() string {
	var flops int64
	for _, l := range r.layers {
		flops += l.FLOPs
	}
	if flops == 0 {
		return ""
	}
	text := fmt.Sprintf("%.2f MFLOP", float64(flops)/1e6)
	if r.times > 1 {
		text = fmt.Sprintf("%d × %s", r.times, text)
	}
	return text
}
