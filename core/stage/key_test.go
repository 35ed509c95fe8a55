package stage

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run
)

func TestKeyIsOfTheMeaning(t *testing.T) {
	type config struct {
		B float64
		A json.RawMessage
	}
	key := Key("train", map[string]any{"B": 1.0, "A": json.RawMessage(`{"x": 5e-1, "a": [1, 2.0]}`)})
	if len(key) != 32 || check(key) != nil {
		t.Errorf("key %q", key)
	}
	for name, parts := range map[string]any{
		"struct":  config{1, json.RawMessage(`{"a":[1.0,2],"x":0.5}`)},
		"numbers": map[string]any{"A": map[string]any{"a": []float64{1, 2}, "x": 0.5}, "B": 1},
	} {
		if k := Key("train", parts); k != key {
			t.Errorf("%s: %s is not %s", name, Describe("train", parts), key)
		}
	}
	seen := map[string]any{}
	for _, parts := range []any{nil, 1, 2, "1", []int{1}, []int{1, 2}, map[string]int{"a": 1}, 1.5, uint64(1 << 63), float64(1<<63) * 1.5, 1e300, true, "<&>"} {
		k := Key("train", parts)
		if old, ok := seen[k]; ok {
			t.Errorf("%v and %v have one key", old, parts)
		}
		seen[k] = parts
	}
	if Key("embed", 1) == Key("train", 1) {
		t.Error("the name is not in the key")
	}
	// The text is the contract: a change here makes every cache start anew.
	if d := Describe("train", map[string]any{"b": "<é>", "a": []any{1.0, 2.5, 1e21, nil}}); d != `{"name":"train","parts":{"a":[1,2.5,1e+21,null],"b":"<é>"}}` {
		t.Errorf("canonical JSON is %s", d)
	}
}

func TestDescribeIsItsOwnCanon(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.MapOf(rapid.String(), rapid.Float64Range(-1e30, 1e30)).Draw(t, "parts")
		d := Describe("x", m)
		var back struct{ Parts any }
		if err := json.Unmarshal([]byte(d), &back); err != nil {
			t.Fatal(err)
		}
		if again := Describe("x", back.Parts); again != d {
			t.Fatalf("%s becomes %s", d, again)
		}
	})
}
