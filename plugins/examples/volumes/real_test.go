package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

// The real archive is what NumPy makes of it.
func TestRealArchive(t *testing.T) {
	file := filepath.Join(os.Getenv("ASTERISM_DATA"), "adrenalmnist3d", "adrenalmnist3d_64.npz")
	if _, err := os.Stat(file); err != nil {
		if os.Getenv("ASTERISM_REQUIRE") != "" {
			t.Fatalf("ASTERISM_REQUIRE is set and the data are not there: %v", err)
		}
		t.Skip("needs adrenalmnist3d of the test data: set ASTERISM_DATA")
	}
	text, err := os.ReadFile("testdata/real.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Sums, Moments, Labels []int }
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	r := sdktest.Configure(t, plugin(), "npz", fmt.Sprintf(`{file: %q, pool: 2, parts: ["val"]}`, file)).(sdk.Reader)
	c, err := r.Open()
	if err != nil || int(c.Count) != len(want.Sums) || c.Count != 98 {
		t.Fatal(c, err)
	}
	for i := range want.Sums {
		var one sdk.Record
		if err := r.Read(i, &one); err != nil {
			t.Fatal(err)
		}
		sum, moment := 0, 0
		for k, v := range one.U8 {
			sum += int(v)
			moment += k % 32 * int(v)
		}
		if sum != want.Sums[i] || moment != want.Moments[i] || one.Values[0] != fmt.Sprint(want.Labels[i]) {
			t.Errorf("volume %d: sum %d, moment %d, label %v; NumPy has %d, %d, %d", i, sum, moment, one.Values[0], want.Sums[i], want.Moments[i], want.Labels[i])
		}
	}
}
