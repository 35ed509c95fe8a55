package run

import (
	"strings"
	"testing"
)

// layers makes a table of "name op work" lines, all of one shape.
func layers(lines ...string) []PlanLayer {
	var all []PlanLayer
	for _, line := range lines {
		name, op, _ := strings.Cut(line, " ")
		op, products := strings.CutSuffix(op, "*")
		l := PlanLayer{Name: name, Op: op, Shape: []int64{8, 8, 4}}
		if products {
			l.FLOPs = 1e6
		}
		all = append(all, l)
	}
	return all
}

// A plan shows a block of layers as one line, and blocks that repeat as one line, however the encoder names its layers.
func TestRepeatedBlocksAreOneLine(t *testing.T) {
	for name, c := range map[string]struct {
		layers []PlanLayer
		want   []string
	}{
		"a ResNet": {layers("conv1 conv*", "bn1 batch_norm", "layer1.0.conv1 conv*", "layer1.0.bn1 batch_norm", "layer1.0.downsample.0 conv*", "layer1.0.relu relu",
			"layer1.1.conv1 conv*", "layer1.1.relu relu", "layer1.2.conv1 conv*", "layer1.2.relu relu", "layer2.0.conv1 conv*", "layer2.0.relu relu", "avgpool pool"),
			[]string{"conv1|conv|1.00 MFLOP", "bn1|batch_norm|", "layer1.0|2 conv, batch_norm, relu|2.00 MFLOP", "layer1.1 … layer2.0|3 × (conv, relu)|3 × 1.00 MFLOP", "avgpool|pool|"}},
		"a ConvNeXt, whose blocks end in a layer of their own name": {layers("features.0.0 conv*", "features.0.1 layer_norm", "features.1.0.block.0 conv*", "features.1.0 add", "features.1.1.block.0 conv*", "features.1.1 add"),
			[]string{"features.0|conv, layer_norm|1.00 MFLOP", "features.1.0 … 1|2 × (conv, add)|2 × 1.00 MFLOP"}},
		"a transformer": {layers("tokens concat", "encoder.layers.encoder_layer_0.ln_1 layer_norm", "encoder.layers.encoder_layer_0.mlp.0 linear*", "encoder.layers.encoder_layer_0 add",
			"encoder.layers.encoder_layer_1.ln_1 layer_norm", "encoder.layers.encoder_layer_1.mlp.0 linear*", "encoder.layers.encoder_layer_1 add", "encoder.ln layer_norm"),
			[]string{"tokens|concat|", "encoder.layers.encoder_layer_0 … encoder_layer_1|2 × (layer_norm, linear, add)|2 × 1.00 MFLOP", "encoder.ln|layer_norm|"}},
		"layers with numbers for names": {layers("0 linear*", "1 relu", "2 linear*", "3 relu"), []string{"0|linear|1.00 MFLOP", "1|relu|", "2|linear|1.00 MFLOP", "3|relu|"}},
	} {
		var got []string
		for _, r := range fold(c.layers) {
			got = append(got, strings.Join([]string{r.name(), r.ops(), r.work()}, "|"))
		}
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
	// Blocks that differ in their work are not the same.
	different := layers("a.0.conv conv*", "a.0.relu relu", "a.1.conv conv*", "a.1.relu relu")
	different[2].FLOPs = 5
	if rows := fold(different); len(rows) != 2 {
		t.Errorf("%d rows of two different blocks", len(rows))
	}
}
