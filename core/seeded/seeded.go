// Package seeded makes property tests draw the same examples in every run, so that a test that passed passes again. Test
// files import it for that effect alone:
//
//	import _ "github.com/asterism-ssl/asterism/core/seeded"
//
// go test -rapid.seed=N draws others.
package seeded

import (
	"flag"

	_ "pgregory.net/rapid" // whose flag is set
)

func init() {
	if err := flag.Set("rapid.seed", "1"); err != nil {
		panic(err)
	}
}
