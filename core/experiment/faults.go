package experiment

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue/token"

	"github.com/asterism-ssl/asterism/core/fault"
)

// faults collects what is wrong.
type faults fault.List

func (l *faults) add(e *fault.Error) {
	e.Op = "vet"
	if e.Kind != fault.Plugin { // an installed plugin is not what it should be: no matter of the file
		e.Kind = fault.Config
	}
	*l = append(*l, e)
}

// sorted orders faults by position, those of file first and those of the command line last, and drops repetitions.
func (l faults) sorted(file string) error {
	rank := func(where string) int {
		name, _, _ := splitWhere(where)
		switch {
		case name == file:
			return 0
		case strings.HasPrefix(where, "-"):
			return 2
		}
		return 1
	}
	slices.SortStableFunc(l, func(a, b *fault.Error) int {
		return cmp.Or(rank(a.Where)-rank(b.Where), inFile(a.Where, b.Where))
	})
	l = slices.CompactFunc(l, func(a, b *fault.Error) bool { return a.Error() == b.Error() })
	return fault.List(l)
}

// inFile orders places: by file, line and column.
func inFile(a, b string) int {
	an, al, ac := splitWhere(a)
	bn, bl, bc := splitWhere(b)
	return cmp.Or(strings.Compare(an, bn), al-bl, ac-bc)
}

// splitWhere takes file:line:column apart.
func splitWhere(where string) (file string, line, column int) {
	if i := strings.LastIndexByte(where, ':'); i >= 0 {
		if n, err := strconv.Atoi(where[i+1:]); err == nil {
			if j := strings.LastIndexByte(where[:i], ':'); j >= 0 {
				if m, err := strconv.Atoi(where[j+1 : i]); err == nil {
					return where[:j], m, n
				}
			}
		}
	}
	return where, 0, 0
}

// Names under which what stands on the command line is parsed: its position is the argument itself.
const (
	setPrefix    = "--set "
	tagPrefix    = "-t "
	languageFile = "asterism.dev/schemas/experiment.cue"
)

// where prints a position as file:line:column, or as the argument of the command line.
func where(p token.Pos) string {
	if !p.IsValid() {
		return ""
	}
	name := p.Filename()
	if fromArgument(name) {
		return name
	}
	if name == languageFile || strings.HasPrefix(name, componentPrefix) || name == "" {
		return ""
	}
	return name + ":" + strconv.Itoa(p.Line()) + ":" + strconv.Itoa(p.Column())
}

func fromArgument(name string) bool {
	return strings.HasPrefix(name, setPrefix) || strings.HasPrefix(name, tagPrefix)
}
