package experiment

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/token"

	"github.com/asterism-ssl/asterism/core/fault"
)

// translate says in plain words what the evaluator reports about the file itself: names that do not exist, two values
// for one field, imports that are not found. Everything that concerns the language of experiments is said by check.
func translate(e errors.Error) *fault.Error {
	f := &fault.Error{Path: strings.Join(plainPath(e.Path()), ".")}
	positions := e.InputPositions()
	if p := e.Position(); p.IsValid() {
		positions = append([]token.Pos{p}, positions...)
	}
	var places []string
	for _, p := range positions {
		if at := where(p); at != "" && !slices.Contains(places, at) {
			places = append(places, at)
		}
	}
	if len(places) > 0 {
		f.Where = places[0]
	}
	format, args := e.Msg()
	text := fmt.Sprintf(format, args...)
	for _, r := range plainer {
		if m := r.match.FindStringSubmatch(text); m != nil {
			f.What, f.Do = r.say(m)
			break
		}
	}
	if f.What == "" {
		f.What = jargon.Replace(text)
	}
	if len(places) > 1 && strings.HasPrefix(f.What, "two different") {
		f.Do = "see also " + places[1] + ": keep one of them"
	}
	return f
}

// plainer holds the evaluator's messages that a file can bring about by itself.
var plainer = []struct {
	match *regexp.Regexp
	say   func(m []string) (what, do string)
}{
	{regexp.MustCompile(`^reference "(.+)" not found`), func(m []string) (string, string) {
		return fmt.Sprintf("%s is not defined", m[1]), fmt.Sprintf("define it in the file, or put it in quotation marks if text is meant: %q", m[1])
	}},
	{regexp.MustCompile(`(?s)^conflicting values (.+?) and (.+?)(?: \(mismatched types .+\))?$`), func(m []string) (string, string) {
		return fmt.Sprintf("two different values are given: %s and %s", short(m[1]), short(m[2])), "keep one of them"
	}},
	{regexp.MustCompile(`(?s)^invalid value (.+) \(out of bound (.+)\)`), func(m []string) (string, string) {
		return fmt.Sprintf("%s is not allowed: must be %s", short(m[1]), m[2]), ""
	}},
	{regexp.MustCompile(`^undefined field: (.+)$`), func(m []string) (string, string) {
		return fmt.Sprintf("there is no field %s", m[1]), ""
	}},
	{regexp.MustCompile(`^imported and not used: (\S+)`), func(m []string) (string, string) {
		return fmt.Sprintf("%s is imported and not used", m[1]), "remove the import, or use it: asterism.#Experiment & {…}"
	}},
	{regexp.MustCompile(`^import failed: (?:.*: )?(.*)$`), func(m []string) (string, string) {
		return "import failed: " + m[1], "nothing is fetched: imports come from the module around the file, or are asterism.dev/schemas:asterism"
	}},
	{regexp.MustCompile(`cannot find (?:package|module providing package) "?([^" ]+?)"?(?::|$)`), func(m []string) (string, string) {
		return fmt.Sprintf("there is no package %q here", m[1]), "nothing is fetched: imports come from the module around the file, or are asterism.dev/schemas:asterism"
	}},
	{regexp.MustCompile(`^(?:structural )?cycle|^cycle`), func(m []string) (string, string) {
		return "this field is defined by itself", "break the circle"
	}},
	{regexp.MustCompile(`^(?:failed arithmetic: )?division by zero|^failed arithmetic`), func(m []string) (string, string) {
		return "this calculation has no result, such as a division by zero", ""
	}},
	{regexp.MustCompile(`empty disjunction`), func(m []string) (string, string) {
		return "the values given here exclude one another", "keep one of them"
	}},
	{regexp.MustCompile(`^build constraints exclude`), func(m []string) (string, string) {
		return "the @if at the head of this file does not hold", "pass the tag that it asks for: -t TAG"
	}},
	{regexp.MustCompile(`^field not allowed`), func(m []string) (string, string) { return "there is no such field", "" }},
}

// jargon takes the evaluator's own words out of messages that plainer does not know.
var jargon = strings.NewReplacer("_|_", "an error", "#Experiment.", "", "#Experiment", "an experiment", "conflicting values", "different values", "disjunction", "choice",
	"non-concrete value", "a value that is not known", "incomplete value", "a value that is not known", "unresolved", "undefined", "conjunct", "part", "string interpolation", `a text with \(…)`)

// plainPath writes indices and quoted names as messages do, and leaves out definitions.
func plainPath(path []string) []string {
	var out []string
	for _, p := range path {
		p = strings.Trim(p, `"`)
		if !strings.HasPrefix(p, "#") {
			out = append(out, p)
		}
	}
	return out
}

// short cuts a value to what fits on a line.
func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 60 {
		s = string(r[:57]) + "…"
	}
	return s
}
