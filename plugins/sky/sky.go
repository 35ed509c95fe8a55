// Package sky is the plugin of augmentations for images of the sky: what leaves an object the same object while the
// telescope, the weather, the dust and the roll angle change.
//
// Every component works on float32 samples, channels-last [spatial…, bands], and draws only from the sample's own
// keyed source, so a view does not depend on batches, threads or the order of samples. A natural order, which Plan
// partly enforces, is: reddening, gain, psf, rotate, zoom, flip, jitter_crop, noise, normalise. Smoothing comes before the crop
// (no edge enters the frame) and noise after it (it is not smoothed, and the corners that a rotation empties get it
// too).
//
// Where the defaults come from: the set (rotation, jitter and crop, noise, reddening, PSF smoothing) is that of Hayat
// et al. 2021 (ApJL 911 L33); ebv_max 0.5, the SDSS coefficients, the shift of 7 and the size of 64 are those of the
// authors' released photo-z code; the noise range is as remembered from the paper and supported by a later code of the
// same group; the DECaLS values are those of Stein et al. 2021 (arXiv:2110.13151)'s released code; the SDSS seeing is
// ours, from the survey's own figures. Each schema says which is which.
//
// Pixels that are NaN stay NaN, and make NaN of every output pixel that reads them, with whatever weight.
package sky

import (
	"embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

//go:embed *.cue
var schemas embed.FS

func schema(name string) string {
	text, err := schemas.ReadFile(name + ".cue")
	if err != nil {
		panic(err) // embedded at build time
	}
	return string(text)
}

// Plugin gives the plugin "sky".
func Plugin() sdk.Plugin {
	return sdk.Plugin{Name: "sky", Version: "0.1.0", Components: []sdk.Component{
		sdk.Augmentation("rotate", 1, "rotates about the centre by a random angle, bilinear", schema("rotate"), newRotate),
		sdk.Augmentation("flip", 1, "mirrors each axis with probability one half", schema("flip"), newFlip),
		sdk.Augmentation("zoom", 1, "enlarges or shrinks about the centre by a random factor, bilinear", schema("zoom"), newZoom),
		sdk.Augmentation("jitter_crop", 1, "moves the centre by a few pixels and crops", schema("jitter_crop"), newJitterCrop),
		sdk.Augmentation("center_crop", 1, "crops about the centre", schema("center_crop"), newCenterCrop),
		sdk.Augmentation("reddening", 1, "dims and reddens by Milky Way dust", schema("reddening"), newReddening),
		sdk.Augmentation("gain", 1, "brightens or dims, all bands together and each by itself", schema("gain"), newGain),
		sdk.Augmentation("psf", 1, "smooths each band to worse seeing", schema("psf"), newPSF),
		sdk.Augmentation("noise", 1, "adds Gaussian noise in units of each band's own scatter", schema("noise"), newNoise),
		sdk.Augmentation("normalise", 1, "brings bands to a common scale, optionally with an asinh stretch", schema("normalise"), newNormalise),
	}}
}

// extent gives the spatial lengths of a shape (spatial…, bands) of rank 1 to 3 with ones in front, and the bands.
func extent(shape []int64) (n [3]int, bands int) {
	n = [3]int{1, 1, 1}
	rank := len(shape) - 1
	for i, length := range shape[:rank] {
		n[3-rank+i] = int(length)
	}
	return n, int(shape[rank])
}

// checkRank refuses samples whose spatial rank is not among those given.
func checkRank(component string, facts *sdk.SampleFacts, ranks ...uint32) error {
	for _, r := range ranks {
		if len(facts.Shape) == int(r)+1 {
			return nil
		}
	}
	return sdk.ConfigError{
		What:   fmt.Sprintf("cannot work on %dD samples", len(facts.Shape)-1),
		Advice: fmt.Sprintf("it works on %s; leave sky.%s out of this view", rankNames(ranks), component),
	}
}

func rankNames(ranks []uint32) string {
	names := make([]string, len(ranks))
	for i, r := range ranks {
		names[i] = fmt.Sprintf("%dD", r)
	}
	return strings.Join(names, ", ")
}

// leaves copies the facts for a plan to change; shape and bands are shared until replaced.
func leaves(facts *sdk.SampleFacts) *sdk.SampleFacts {
	return &sdk.SampleFacts{Shape: facts.Shape, Bands: facts.Bands, Flux: facts.Flux, Unit: facts.Unit, PixelScale: facts.PixelScale}
}

// times writes lengths as "88×88".
func times(lengths []int64) string {
	text := make([]string, len(lengths))
	for i, n := range lengths {
		text[i] = strconv.FormatInt(n, 10)
	}
	return strings.Join(text, "×")
}

// lengths is one number for every axis or one for each.
type lengths []int64

// UnmarshalJSON takes a number or a list of numbers.
func (l *lengths) UnmarshalJSON(text []byte) error {
	var out []int64
	for _, part := range strings.Split(strings.Trim(string(text), "[] \n\t"), ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 64)
		if err != nil {
			return fmt.Errorf("want a whole number or a list of them, not %s", text)
		}
		out = append(out, n)
	}
	*l = out
	return nil
}

// of gives one length for each of rank axes.
func (l lengths) of(field string, rank int) ([]int64, error) {
	if len(l) == rank {
		return l, nil
	}
	if len(l) == 1 {
		out := make([]int64, rank)
		for i := range out {
			out[i] = l[0]
		}
		return out, nil
	}
	return nil, sdk.FieldError{Field: field, What: fmt.Sprintf("%d lengths for samples of %d spatial dimensions", len(l), rank),
		Advice: "give one number for all axes, or one for each"}
}
