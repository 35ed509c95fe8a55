package sky

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

type reddeningConfig struct {
	Maximum      float64            `json:"ebv_max"`
	Survey       string             `json:"survey"`
	Coefficients map[string]float64 `json:"coefficients"`
	Deredden     string             `json:"deredden"`
}

type reddening struct{ reddeningConfig }

func newReddening(c reddeningConfig) (sdk.Augmenter, error) { return reddening{c}, nil }

// extinction is A_b / E(B−V) in magnitudes, by survey and band.
var extinction = map[string]map[string]float64{
	// SDSS: Schlafly & Finkbeiner 2011, Table 6, R_V = 3.1, as in Hayat et al. 2021's released code.
	"sdss": {"u": 4.239, "g": 3.303, "r": 2.285, "i": 1.698, "z": 1.263},
	// DECaLS: as in Stein et al. 2021's released code.
	"decals": {"g": 3.214, "r": 2.165, "z": 1.211},
}

// coefficient gives R of a band; ok is false for a band that nobody named.
func (r reddening) coefficient(band string) (value float64, ok bool) {
	if value, ok = r.Coefficients[band]; ok {
		return value, true
	}
	value, ok = extinction[r.Survey][band]
	return value, ok
}

// Plan wants linear flux, since dust multiplies photons, and a coefficient for every band.
func (r reddening) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	if err := checkRank("reddening", facts, 1, 2, 3); err != nil {
		return nil, err
	}
	if err := wantLinear("reddening", facts); err != nil {
		return nil, err
	}
	bands := int(facts.Shape[len(facts.Shape)-1])
	if len(facts.Bands) != bands {
		return nil, sdk.ConfigError{What: fmt.Sprintf("needs the names of the %d bands, and the data name %d", bands, len(facts.Bands)),
			Advice: "name the bands at the data source"}
	}
	for _, band := range facts.Bands {
		if _, ok := r.coefficient(band); !ok {
			return nil, sdk.FieldError{Field: "coefficients", What: fmt.Sprintf("no extinction coefficient is known for the band %q of %s", band, r.Survey),
				Advice: fmt.Sprintf("give coefficients: {%q: A/E(B−V)}; known: %s", band, strings.Join(slices.Sorted(maps.Keys(extinction[r.Survey])), ", "))}
		}
	}
	plan := &sdk.AugmentationPlan{Leaves: leaves(facts), Ranks: []uint32{1, 2, 3}}
	if r.Deredden != "" {
		plan.Columns = []string{r.Deredden}
	}
	return plan, nil
}

// Apply draws E(B−V) from U(0, ebv_max) and multiplies band b by 10^(−0.4 R_b (E − E_column)); a missing E_column is 0.
func (r reddening) Apply(s *sdk.Sample) error {
	e := s.Random.Between(0, r.Maximum)
	if r.Deredden != "" {
		if own := s.Column[r.Deredden]; !math.IsNaN(own) {
			e -= own
		}
	}
	bands := len(s.Facts.Bands)
	var room [16]float32
	factors := room[:0]
	for _, band := range s.Facts.Bands {
		c, _ := r.coefficient(band)
		factors = append(factors, float32(math.Exp(-0.4*math.Ln10*c*e)))
	}
	for at := 0; at+bands <= len(s.In); at += bands {
		from, to := s.In[at:at+bands], s.Out[at:at+bands]
		for b, f := range factors[:len(from)] {
			to[b] = from[b] * f
		}
	}
	return nil
}

// wantLinear refuses pixels that are not known to be proportional to photons.
func wantLinear(component string, facts *sdk.SampleFacts) error {
	switch facts.Flux {
	case sdk.Linear:
		return nil
	case sdk.Stretched:
		return sdk.ConfigError{What: "needs linear flux, and these pixels are stretched",
			Advice: fmt.Sprintf("put it before the stretch; on pictures made for display, such as JPEG, leave sky.%s out", component)}
	}
	return sdk.ConfigError{What: "needs linear flux, and the data do not say what their pixels mean",
		Advice: fmt.Sprintf("use a data source that declares its flux, or leave sky.%s out", component)}
}
