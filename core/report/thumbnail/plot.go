package thumbnail

import (
	"image"
	"image/color"
	"math"
)

// The colours of the lines of a plot, bands in turn, on the dark of an empty sky.
var (
	ground = color.RGBA{14, 17, 24, 255}
	lines  = []color.RGBA{{143, 190, 245, 255}, {233, 178, 102, 255}, {126, 208, 160, 255}, {236, 132, 132, 255}, {190, 160, 240, 255}}
)

const plotSide = 96 // pixels of a line plot

// plot draws values [n, channels] as lines, a channel a line, in one common range. It is drawn four times as large and
// averaged down, which smooths the lines.
func plot(values []float32, n, channels int) image.Image {
	const over = 4
	const side, margin, pen = plotSide * over, 6 * over, 3 // pen: half the width of a line
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if finite(v) {
			low, high = math.Min(low, float64(v)), math.Max(high, float64(v))
		}
	}
	if !(high > low) {
		low, high = low-1, low+1
	}
	big := image.NewRGBA(image.Rect(0, 0, side, side))
	for i := range side * side {
		big.SetRGBA(i%side, i/side, ground)
	}
	x := func(i int) float64 { return margin + float64(i)/float64(max(1, n-1))*(side-2*margin) }
	y := func(v float32) float64 { return side - margin - (float64(v)-low)/(high-low)*(side-2*margin) }
	dot := func(cx, cy float64, c color.RGBA) {
		for py := int(cy) - pen; py <= int(cy)+pen; py++ {
			for px := int(cx) - pen; px <= int(cx)+pen; px++ {
				if (px-int(cx))*(px-int(cx))+(py-int(cy))*(py-int(cy)) <= pen*pen {
					big.SetRGBA(px, py, c)
				}
			}
		}
	}
	for k := range channels {
		c := lines[k%len(lines)]
		for i := range n {
			v := values[i*channels+k]
			if !finite(v) {
				continue
			}
			dot(x(i), y(v), c)
			if i+1 == n || !finite(values[(i+1)*channels+k]) {
				continue
			}
			x0, y0, x1, y1 := x(i), y(v), x(i+1), y(values[(i+1)*channels+k])
			steps := int(max(math.Abs(x1-x0), math.Abs(y1-y0)))
			for s := 1; s < steps; s++ {
				f := float64(s) / float64(steps)
				dot(x0+f*(x1-x0), y0+f*(y1-y0), c)
			}
		}
	}
	return shrink(big, plotSide, plotSide)
}
