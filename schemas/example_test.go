package schemas_test

import (
	"fmt"
	"strings"

	"github.com/asterism-ssl/asterism/schemas"
)

func Example() {
	fmt.Println(schemas.Module, strings.Contains(schemas.Experiment, "#Experiment: {"))
	// Output: asterism.dev/schemas true
}
