package fault

import (
	"testing"

	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run
)

// A misspelt name finds what was meant, an abbreviation too, and a stranger finds nothing.
func TestNearest(t *testing.T) {
	names := []string{"objective", "epochs", "batch", "lr", "momentum", "weight_decay", "max"}
	for name, want := range map[string]string{"epoch": "epochs", "bacth": "batch", "learning_rate": "lr", "maximum": "max", "weightdecay": "weight_decay", "zebra": "", "": "", "wd": ""} {
		if got := Nearest(name, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-z]{0,8}`)
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		if distance(a, b) != distance(b, a) || distance(a, a) != 0 || (distance(a, b) == 0) != (a == b) {
			t.Fatalf("distance(%q, %q) is no distance", a, b)
		}
		if distance(a, b) > max(len(a), len(b)) {
			t.Fatalf("distance(%q, %q) is more than replacing everything", a, b)
		}
		if distance(a, b) < distance(a+c, b+c) {
			t.Fatalf("a common end makes %q and %q differ more", a, b)
		}
	})
}
