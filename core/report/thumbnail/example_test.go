package thumbnail_test

import (
	"fmt"

	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/report/thumbnail"
)

func Example() {
	galaxy := make([]float32, 8*8*5) // u g r i z, in nanomaggies
	galaxy[(4*8+4)*5+2] = 100        // a red point in the middle
	picture := thumbnail.Of(galaxy, []int{8, 8, 5}, []string{"u", "g", "r", "i", "z"}, protocol.Flux_LINEAR)
	_, g, _, _ := picture.At(4, 4).RGBA()
	_, sky, _, _ := picture.At(0, 0).RGBA()
	fmt.Println(picture.Bounds(), g > sky)
	// Output: (0,0)-(8,8) true
}
