package skysim

import (
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// canvas is where one object is drawn before the PSF: layers of light, each with its own colours. Lengths are in pixels,
// and the object's centre is at (cx, cy).
type canvas struct {
	side   int // of the frame with a margin on every side
	margin int
	cx, cy float64
	layers []layer
	used   int

	// room for observe
	band, across, frame, kernel []float32
}

// layer is a map of light with sum about 1, and the flux in nanomaggies that it stands for in each band.
type layer struct {
	light []float32
	flux  [nBands]float64
}

// reset empties the canvas.
func (c *canvas) reset(size, margin int) {
	c.side, c.margin, c.used = size+2*margin, margin, 0
}

// add gives an empty layer of the given flux.
func (c *canvas) add(flux [nBands]float64) []float32 {
	if c.used == len(c.layers) {
		c.layers = append(c.layers, layer{})
	}
	l := &c.layers[c.used]
	c.used++
	l.flux = flux
	l.light = grow(l.light, c.side*c.side)
	clear(l.light)
	return l.light
}

// total is the flux of all layers, before the Milky Way.
func (c *canvas) total() (f [nBands]float64) {
	for _, l := range c.layers[:c.used] {
		for b := range f {
			f[b] += l.flux[b]
		}
	}
	return f
}

// ellipse turns offsets from a centre into the plane of an inclined disk: u along the major axis, v stretched by 1/q.
type ellipse struct{ cos, sin, q float64 }

func newEllipse(angle, q float64) ellipse {
	sin, cos := math.Sincos(angle)
	return ellipse{cos, sin, q}
}

func (e ellipse) plane(dx, dy float64) (u, v float64) {
	return dx*e.cos + dy*e.sin, (dy*e.cos - dx*e.sin) / e.q
}

// steep is the number of points a side on which the innermost pixels are sampled.
const steep = 12

// paint adds a surface brightness, given per pixel at offsets from (x0, y0), to a layer. Where it is steep, near that
// centre, pixels are averaged over 12×12 points (within 1.5 pixels) or 5×5 (within 4).
func (c *canvas) paint(light []float32, x0, y0 float64, brightness func(dx, dy float64) float64) {
	for y := range c.side {
		dy := float64(y) - y0
		row := light[y*c.side:][:c.side]
		for x := range row {
			dx := float64(x) - x0
			r2 := dx*dx + dy*dy
			if r2 > 16 {
				row[x] += float32(brightness(dx, dy))
				continue
			}
			points := 5
			if r2 < 2.25 {
				points = steep
			}
			sum := 0.0
			for j := range points {
				for i := range points {
					sum += brightness(dx+(float64(i)+0.5)/float64(points)-0.5, dy+(float64(j)+0.5)/float64(points)-0.5)
				}
			}
			row[x] += float32(sum / float64(points*points))
		}
	}
}

// sersic paints a Sérsic profile of the given flux (to infinity): I ∝ exp(−b ((r/r_e)^(1/n) − 1)). Its cusp is rounded within
// a fifth of the sampling step, so that no sample happens to hit it: the innermost pixel is right within 3 % up to n = 5.5,
// all others within 1 %.
func (c *canvas) sersic(light []float32, x0, y0, angle, q, re, n, flux float64) {
	const round = 0.2 / steep
	b, e := sersicB(n), newEllipse(angle, q)
	gamma, _ := math.Lgamma(2 * n)
	amplitude := flux * math.Exp(2*n*math.Log(b)-gamma) / (2 * math.Pi * n * re * re * q) // at the centre
	c.paint(light, x0, y0, func(dx, dy float64) float64 {
		u, v := e.plane(dx, dy)
		return amplitude * math.Exp(-b*math.Exp(math.Log((u*u+v*v+round*round)/(re*re))/(2*n)))
	})
}

// disk paints an exponential disk of the given flux.
func (c *canvas) disk(light []float32, x0, y0, angle, q, h, flux float64) {
	e, amplitude := newEllipse(angle, q), flux/(2*math.Pi*h*h*q)
	c.paint(light, x0, y0, func(dx, dy float64) float64 {
		u, v := e.plane(dx, dy)
		return amplitude * math.Exp(-math.Sqrt(u*u+v*v)/h)
	})
}

// blob adds a round Gaussian.
func (c *canvas) blob(light []float32, x0, y0, sigma, flux float64) {
	reach := 3*sigma + 1
	amplitude := flux / (2 * math.Pi * sigma * sigma)
	for y := max(0, int(y0-reach)); y <= min(c.side-1, int(y0+reach)); y++ {
		for x := max(0, int(x0-reach)); x <= min(c.side-1, int(x0+reach)); x++ {
			dx, dy := float64(x)-x0, float64(y)-y0
			light[y*c.side+x] += float32(amplitude * math.Exp(-0.5*(dx*dx+dy*dy)/(sigma*sigma)))
		}
	}
}

// unit scales a layer to sum 1.
func unit(light []float32) {
	sum := 0.0
	for _, v := range light {
		sum += float64(v)
	}
	if sum <= 0 {
		return
	}
	w := float32(1 / sum)
	for i := range light {
		light[i] *= w
	}
}

// draw puts the galaxy onto the canvas; pixel is the pixel scale in arcsec.
func (g *galaxy) draw(c *canvas, pixel float64, r *sdk.Source) {
	middle := float64(c.side-1) / 2
	c.cx, c.cy = middle+r.Between(-0.5, 0.5), middle+r.Between(-0.5, 0.5)
	switch g.class {
	case elliptical:
		c.sersic(c.add(g.flux(g.bulgeStars, 1)), c.cx, c.cy, g.angle, g.axisRatio, g.r50/pixel, g.index, 1)
	case spiral, barred:
		g.drawSpiral(c, pixel, r)
	case edgeOn:
		g.drawEdgeOn(c, pixel, r)
	case merger:
		g.drawMerger(c, pixel, r)
	}
}

// drawSpiral draws bulge, disk, m logarithmic arms with knots of young stars, and a bar from whose ends the arms start.
func (g *galaxy) drawSpiral(c *canvas, pixel float64, r *sdk.Source) {
	h, e := g.scale/pixel, newEllipse(g.angle, g.axisRatio)
	arms := 2
	if u := r.Uniform(); g.class == spiral && u > 0.55 {
		arms = 3 + int(2*(u-0.55)/0.45) // 3 or 4
	}
	pitch := r.Between(11, 26) * math.Pi / 180
	turn := math.Copysign(1/math.Tan(pitch), r.Uniform()-0.5)
	sharp := r.Between(2, 6)
	phase := r.Between(0, 2*math.Pi)
	inArms := r.Between(0.35, 0.6) * (1 - g.bulge)
	inBar, bar := 0.0, r.Between(0.9, 1.5)*h
	start := 0.5 * h
	if g.class == barred {
		inBar = r.Between(0.12, 0.25) * (1 - g.bulge)
		start = bar
	}
	c.sersic(c.add(g.flux(g.bulgeStars, g.bulge)), c.cx, c.cy, g.angle, math.Sqrt(g.axisRatio), g.bulgeR50/pixel, g.index, 1)
	c.disk(c.add(g.flux(g.diskStars, 1-g.bulge-inArms-inBar)), c.cx, c.cy, g.angle, g.axisRatio, h, 1)

	light := c.add(g.flux(g.armStars, inArms))
	for y := range c.side {
		for x := range c.side {
			u, v := e.plane(float64(x)-c.cx, float64(y)-c.cy)
			radius := math.Sqrt(u*u + v*v)
			if radius < 0.6*start || radius > 7*h {
				continue
			}
			winding := float64(arms) * (math.Atan2(v, u) - phase - turn*math.Log(radius/start))
			window := 1 - math.Exp(-math.Pow(radius/start, 6))
			light[y*c.side+x] = float32(window * math.Exp(-radius/(1.2*h)+sharp*(math.Cos(winding)-1)))
		}
	}
	unit(light)
	knots := 6 + r.Intn(16)
	for range knots { // a fifth of the arms' light
		radius := start + h*(0.2+2.2*r.Uniform()*r.Uniform()*2)
		theta := phase + turn*math.Log(radius/start) + 2*math.Pi*float64(r.Intn(arms))/float64(arms) + 0.15*r.Normal()
		sin, cos := math.Sincos(theta)
		u, v := radius*cos, radius*sin*g.axisRatio
		c.blob(light, c.cx+u*e.cos-v*e.sin, c.cy+u*e.sin+v*e.cos, max(0.5, 0.08*h), 0.25/float64(knots)*math.Exp(0.5*r.Normal()))
	}
	unit(light)

	if g.class != barred {
		return
	}
	light = c.add(g.flux(g.bulgeStars, inBar))
	across, b := r.Between(0.22, 0.35), newEllipse(phase, 1)
	for y := range c.side {
		for x := range c.side {
			u, v := e.plane(float64(x)-c.cx, float64(y)-c.cy)
			u, v = b.plane(u, v)
			// A boxy Ferrers bar: (1 − m²)², m⁴ = (u/a)⁴ + (v/b)⁴ hardens its ends.
			u, v = u/bar, v/(bar*across)
			if m2 := math.Sqrt(u*u*u*u + v*v*v*v); m2 < 1 {
				light[y*c.side+x] = float32((1 - m2) * (1 - m2))
			}
		}
	}
	unit(light)
}

// drawEdgeOn draws a disk from its side, sech² across, with a dust lane that takes more light in bluer bands.
func (g *galaxy) drawEdgeOn(c *canvas, pixel float64, r *sdk.Source) {
	h, e := g.scale/pixel, newEllipse(g.angle, 1)
	height := g.axisRatio * h
	lane, depth := r.Uniform() < 0.6, r.Between(0.4, 1.2)
	diskFlux := g.flux(g.diskStars, 1-g.bulge)
	c.sersic(c.add(g.flux(g.bulgeStars, g.bulge)), c.cx, c.cy, g.angle, r.Between(0.55, 0.85), g.bulgeR50/pixel, g.index, 1)
	light := c.add(diskFlux)
	c.paint(light, c.cx, c.cy, func(dx, dy float64) float64 {
		u, v := e.plane(dx, dy)
		cosh := math.Cosh(min(math.Abs(v)/height, 40))
		return math.Exp(-math.Abs(u)/h) / (cosh * cosh)
	})
	unit(light)
	if !lane {
		return
	}
	dust := c.add(diskFlux)
	shadow, sum := max(0.35*height, 0.4), 0.0
	for y := range c.side {
		for x := range c.side {
			_, v := e.plane(float64(x)-c.cx, float64(y)-c.cy)
			at := y*c.side + x
			dust[at] = light[at] * float32(math.Exp(-0.5*v*v/(shadow*shadow)))
			sum += float64(dust[at])
		}
	}
	unit(dust)
	own := &c.layers[c.used-1]
	for b := range own.flux {
		taken := 1 - math.Exp(-depth*math.Pow(wavelength[b]/wavelength[2], -0.7))
		own.flux[b] *= -sum * taken
	}
}

// drawMerger draws two galaxies within each other's halos, with tails drawn out of both and knots of new stars.
func (g *galaxy) drawMerger(c *canvas, pixel float64, r *sdk.Source) {
	ratio := r.Between(0.35, 0.95)
	separation := max(r.Between(0.9, 1.9)*g.r50, 1.3*g.fwhm[2]) / pixel
	sin, cos := math.Sincos(r.Between(0, 2*math.Pi))
	inTails := r.Between(0.12, 0.3)
	r50 := g.r50 / pixel
	var at [2][2]float64
	for k := range 2 {
		share, away := (1-inTails)/(1+ratio), -separation*ratio/(1+ratio)
		one := *g
		size := 1.0
		if k == 1 {
			share, away = share*ratio, separation/(1+ratio)
			size = math.Sqrt(ratio)
			one.angle, one.axisRatio = r.Between(0, math.Pi), r.Between(0.4, 1)
		}
		x, y := c.cx+away*cos, c.cy+away*sin
		at[k] = [2]float64{x, y}
		if one.bulge == 1 {
			c.sersic(c.add(g.flux(g.bulgeStars, share)), x, y, one.angle, one.axisRatio, size*r50, one.index, 1)
			continue
		}
		bulge := min(0.5, g.bulge+0.1) // nuclei stand out
		c.sersic(c.add(g.flux(g.bulgeStars, share*bulge)), x, y, one.angle, math.Sqrt(one.axisRatio), size*g.bulgeR50/pixel, one.index, 1)
		light := c.add(g.flux(g.diskStars, share*(1-bulge)))
		h, e := size*g.scale/pixel, newEllipse(one.angle, one.axisRatio)
		lop, side := r.Between(0.2, 0.6), newEllipse(r.Between(0, 2*math.Pi), 1)
		c.paint(light, x, y, func(dx, dy float64) float64 { // lopsided: brighter on one side
			u, v := e.plane(dx, dy)
			radius := math.Sqrt(u*u + v*v)
			toward, _ := side.plane(dx, dy)
			return math.Exp(-radius/h) * (1 + lop*toward/(math.Hypot(dx, dy)+0.5*h))
		})
		unit(light)
	}
	tails := c.add(g.flux(g.armStars, inTails))
	count := 1 + r.Intn(2)
	direction := math.Copysign(1, r.Uniform()-0.5)
	for k := range count {
		theta, sweep := math.Atan2(sin, cos)+math.Pi*float64(1-k)+0.4*r.Normal(), direction*r.Between(1.2, 2.6)
		end := r.Between(2.5, 4)
		const steps = 30
		for i := range steps {
			t := (float64(i) + 0.5) / steps
			s, co := math.Sincos(theta + sweep*t)
			radius := r50 * math.Pow(end, t) * 0.9
			c.blob(tails, at[k][0]+radius*co, at[k][1]+radius*s, max(0.6, r50*(0.14+0.14*t)), math.Exp(-1.2*t))
		}
	}
	unit(tails)
	knots := r.Intn(8)
	for range knots {
		k := r.Intn(2)
		c.blob(tails, at[k][0]+0.7*r50*r.Normal(), at[k][1]+0.7*r50*r.Normal(), max(0.5, 0.1*r50), 0.04*math.Exp(0.5*r.Normal()))
	}
	unit(tails)
}

func grow(s []float32, n int) []float32 { return slices.Grow(s[:0], n)[:n] }
