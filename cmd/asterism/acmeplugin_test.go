package main

import (
	"os"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// acmePlugin is a third party's plugin in whatever version: acme VERSION [ARGUMENT]. From version 2 on it has other fields.
func acmePlugin() {
	version := os.Args[1]
	os.Args = append(os.Args[:1], os.Args[2:]...)
	field := "amount"
	if version[0] >= '2' {
		field = "strength"
	}
	schema := "#Config: {\n\t// How much of it.\n\t" + field + ": number & >=0 | *1\n}\n"
	sdk.Serve(sdk.Plugin{Name: "acme", Version: version, Components: []sdk.Component{
		sdk.Augmentation("blur", 1, "Leaves everything as it is.", schema, func(map[string]any) (sdk.Augmenter, error) { return identity{}, nil }),
	}})
}

type identity struct{}

func (identity) Plan(facts *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	return &sdk.AugmentationPlan{Leaves: facts, Ranks: []uint32{1, 2, 3}}, nil
}

func (identity) Apply(s *sdk.Sample) error {
	copy(s.Out, s.In)
	return nil
}
