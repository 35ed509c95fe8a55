package experiment

import (
	"fmt"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"
)

// words says what a schema allows: "an integer >= 1", "a list of (an integer or \"all\")". It reads the schema's own
// syntax, which says what its author meant better than what the evaluator makes of it.
func words(s cue.Value) string {
	if f, ok := s.Source().(*ast.Field); ok {
		if w := said(f); w != "" {
			return w
		}
	}
	if x := expression(s.Source()); x != nil {
		if w := describe(x, 0); w != "" {
			return w
		}
	}
	if x, ok := s.Syntax().(ast.Expr); ok {
		if w := describe(x, 0); w != "" {
			return w
		}
	}
	return kindWords(s.IncompleteKind())
}

// expression gives the expression of a field or of an expression.
func expression(n ast.Node) ast.Expr {
	switch n := n.(type) {
	case *ast.Field:
		return n.Value
	case ast.Expr:
		return n
	}
	return nil
}

// said gives what a schema's author says is allowed, where a pattern would not tell: name: =~"…" @say(letters and digits).
func said(f *ast.Field) string {
	for _, a := range f.Attrs {
		if name, body := a.Split(); name == "say" {
			if s, err := literal.Unquote(body); err == nil {
				return s
			}
			return body
		}
	}
	return ""
}

// kindWords names what a field may hold, by kind alone.
func kindWords(k cue.Kind) string {
	var out []string
	for _, n := range []struct {
		kind cue.Kind
		word string
	}{{cue.StructKind, "a struct {…}"}, {cue.ListKind, "a list"}, {cue.NumberKind, "a number"}, {cue.IntKind, "an integer"}, {cue.StringKind, "text"}, {cue.BoolKind, "true or false"}, {cue.NullKind, "null"}} {
		if k&n.kind == n.kind {
			out = append(out, n.word)
			k &^= n.kind
		}
	}
	if len(out) == 0 {
		return "another value"
	}
	return strings.Join(out, " or ")
}

// A constraint is one alternative of what is allowed: a kind of value and conditions on it.
type constraint struct {
	noun       string   // "an integer"
	low, high  string   // bounds: ">= 1", "< 5"
	each       string   // of a list: what its elements must be
	least      string   // of a list: how many elements there must be
	most       string   // of a list: how many there may be
	conditions []string // "that matches …"
}

func (c constraint) String() string {
	noun := c.noun
	var conditions []string
	low, closedLow := strings.CutPrefix(c.low, ">= ")
	high, closedHigh := strings.CutPrefix(c.high, "<= ")
	switch {
	case closedLow && closedHigh:
		conditions = append(conditions, "from "+low+" to "+high)
	case c.low != "" && c.high != "":
		conditions = append(conditions, c.low+" and "+c.high)
	case c.low+c.high != "":
		conditions = append(conditions, c.low+c.high)
	}
	if noun == "" && len(conditions) > 0 {
		noun = "a number"
	}
	for _, w := range c.conditions {
		if w == "not empty" && (noun == "text" || noun == "") {
			noun = "non-empty text"
			continue
		}
		conditions = append(conditions, w)
	}
	if noun == "" && len(conditions) > 0 {
		noun = "a value"
	}
	switch {
	case c.least != "" && c.most != "":
		noun += " of " + c.least + " to " + c.most
	case c.least != "":
		noun += " of at least " + c.least
	case c.most != "":
		noun += " of at most " + c.most
	}
	out := strings.TrimSpace(noun + " " + strings.Join(conditions, " and "))
	if c.each != "" {
		out += ", each " + c.each
	}
	return out
}

// describe says what an expression allows, or "" where it cannot.
func describe(x ast.Expr, depth int) string {
	if depth > 20 {
		return ""
	}
	var arms []string
	for _, arm := range alternatives(x) {
		var c constraint
		if !c.meet(arm, depth) {
			return ""
		}
		if s := c.String(); s != "" && !slices.Contains(arms, s) {
			arms = append(arms, s)
		}
	}
	if len(arms) > 1 { // a number given as an alternative beside a wider one is only its default
		arms = slices.DeleteFunc(arms, func(a string) bool {
			return isNumber(a) && slices.ContainsFunc(arms, func(b string) bool {
				return strings.HasPrefix(b, "a number") || strings.HasPrefix(b, "an integer")
			})
		})
	}
	if len(arms) > 2 {
		return "one of " + strings.Join(arms[:len(arms)-1], ", ") + " or " + arms[len(arms)-1]
	}
	return strings.Join(arms, " or ")
}

func isNumber(s string) bool {
	var n literal.NumInfo
	return literal.ParseNum(strings.TrimPrefix(s, "-"), &n) == nil
}

// alternatives takes a choice apart. A default that stands beside a wider alternative is left out: it says what happens
// when nothing is given, not what may be given.
func alternatives(x ast.Expr) []ast.Expr {
	type arm struct {
		x         ast.Expr
		isDefault bool
	}
	var arms []arm
	var walk func(x ast.Expr)
	walk = func(x ast.Expr) {
		switch y := x.(type) {
		case *ast.ParenExpr:
			walk(y.X)
			return
		case *ast.BinaryExpr:
			if y.Op == token.OR {
				walk(y.X)
				walk(y.Y)
				return
			}
		case *ast.UnaryExpr:
			if y.Op == token.MUL {
				arms = append(arms, arm{y.X, true})
				return
			}
		}
		arms = append(arms, arm{x, false})
	}
	walk(x)
	var out []ast.Expr
	for _, a := range arms {
		if a.isDefault && slices.ContainsFunc(arms, func(b arm) bool { return !b.isDefault && wider(b.x, a.x) }) {
			continue
		}
		out = append(out, a.x)
	}
	return out
}

// wider says whether an alternative is more than a single value of the default's sort.
func wider(x, than ast.Expr) bool {
	switch than.(type) {
	case *ast.ListLit:
		return listLiteral(x) != nil
	case *ast.StructLit:
		return false
	case *ast.BasicLit, *ast.UnaryExpr:
	default:
		return false
	}
	lit, _ := than.(*ast.BasicLit)
	if lit != nil && (lit.Kind == token.TRUE || lit.Kind == token.FALSE) {
		id, ok := x.(*ast.Ident)
		return ok && id.Name == "bool"
	}
	isText := lit != nil && lit.Kind == token.STRING
	var c constraint
	switch y := x.(type) {
	case *ast.Ident, *ast.BinaryExpr, *ast.ParenExpr, *ast.SelectorExpr:
	case *ast.UnaryExpr:
		if y.Op == token.SUB {
			return false
		}
	default:
		return false
	}
	if !c.meet(x, 0) {
		return false
	}
	noun := c.String()
	if isText {
		return strings.HasPrefix(noun, "text") || strings.HasPrefix(noun, "non-empty text")
	}
	return strings.HasPrefix(noun, "a number") || strings.HasPrefix(noun, "an integer")
}

// meet adds an expression to a constraint; it says whether it could be put into words.
func (c *constraint) meet(x ast.Expr, depth int) bool {
	if depth > 20 {
		return false
	}
	switch x := x.(type) {
	case *ast.ParenExpr:
		if len(alternatives(x.X)) == 1 {
			return c.meet(alternatives(x.X)[0], depth+1)
		}
		return c.say("(" + describe(x.X, depth+1) + ")")
	case *ast.BinaryExpr:
		switch x.Op {
		case token.AND:
			return c.meet(x.X, depth+1) && c.meet(x.Y, depth+1)
		case token.OR:
			w := describe(x, depth+1)
			return w != "" && c.say(w)
		}
		return c.say(source(x))
	case *ast.UnaryExpr:
		return c.bound(x)
	case *ast.BasicLit:
		return c.say(x.Value)
	case *ast.Ident:
		if w, ok := map[string]string{"int": "an integer", "number": "a number", "float": "a number", "string": "text", "bool": "true or false", "uint": "an integer >= 0", "_": "any value", "bytes": "bytes"}[x.Name]; ok {
			return c.say(w)
		}
		if x.Name == "null" {
			return c.say("null")
		}
		if y := referred(x); y != nil {
			return c.refer(y, depth)
		}
		return false
	case *ast.ListLit:
		return c.list(x, depth)
	case *ast.StructLit:
		return c.say(structWords(x))
	case *ast.CallExpr:
		return c.call(x)
	}
	return false
}

// referred gives the expression that a name in a schema stands for.
func referred(id *ast.Ident) ast.Expr {
	switch n := id.Node.(type) {
	case *ast.Field:
		return n.Value
	case *ast.LetClause:
		return n.Expr
	case ast.Expr:
		return n
	}
	return nil
}

func (c *constraint) refer(x ast.Expr, depth int) bool {
	if len(alternatives(x)) > 1 {
		w := describe(x, depth+1)
		return w != "" && c.say(w)
	}
	return c.meet(alternatives(x)[0], depth+1)
}

// say sets the noun; of two, the narrower stays.
func (c *constraint) say(noun string) bool {
	if c.noun == "" || c.noun == "any value" || c.noun == "a number" && noun == "an integer" {
		c.noun = noun
	}
	return true
}

func (c *constraint) bound(x *ast.UnaryExpr) bool {
	value := source(x.X)
	switch x.Op {
	case token.GEQ, token.GTR:
		c.low = x.Op.String() + " " + value
	case token.LEQ, token.LSS:
		c.high = x.Op.String() + " " + value
	case token.NEQ:
		if value == `""` {
			c.say("text")
			c.conditions = append(c.conditions, "not empty")
		} else {
			c.conditions = append(c.conditions, "other than "+value)
		}
	case token.MAT:
		c.say("text")
		c.conditions = append(c.conditions, "that matches "+strings.ReplaceAll(strings.Trim(value, `"`), `\\`, `\`))
	case token.NMAT:
		c.say("text")
		c.conditions = append(c.conditions, "that does not match "+strings.ReplaceAll(strings.Trim(value, `"`), `\\`, `\`))
	case token.SUB:
		return c.say("-" + value)
	case token.ADD:
		return c.say(value)
	default:
		return false
	}
	return true
}

// call puts the usual validators into words.
func (c *constraint) call(x *ast.CallExpr) bool {
	arg := ""
	if len(x.Args) > 0 {
		arg = source(x.Args[0])
	}
	switch source(x.Fun) {
	case "list.MaxItems":
		c.say("a list")
		c.most = arg
	case "list.MinItems":
		c.say("a list")
		c.least = arg
	case "list.UniqueItems":
		c.conditions = append(c.conditions, "without repetition")
	case "strings.MinRunes":
		c.say("text")
		c.least = arg + " characters"
	case "strings.MaxRunes":
		c.say("text")
		c.most = arg + " characters"
	default:
		c.conditions = append(c.conditions, "that satisfies "+source(x))
	}
	return true
}

// listLiteral finds the list in an expression such as list.MaxItems(3) & [...int].
func listLiteral(x ast.Expr) *ast.ListLit {
	switch x := x.(type) {
	case *ast.ListLit:
		return x
	case *ast.ParenExpr:
		return listLiteral(x.X)
	case *ast.BinaryExpr:
		if x.Op == token.AND {
			if l := listLiteral(x.X); l != nil {
				return l
			}
			return listLiteral(x.Y)
		}
	case *ast.Ident:
		if y := referred(x); y != nil && y != ast.Expr(x) {
			return listLiteral(y)
		}
	}
	return nil
}

// elementExpression gives what the list in a schema allows at index i.
func elementExpression(x ast.Expr, i int) ast.Expr {
	for _, arm := range alternatives(x) {
		l := listLiteral(arm)
		if l == nil {
			continue
		}
		if i < elements(l) {
			return l.Elts[i]
		}
		if n := len(l.Elts); n > 0 {
			if e, ok := l.Elts[n-1].(*ast.Ellipsis); ok {
				return e.Type
			}
		}
	}
	return nil
}

// list puts a list literal into words.
func (c *constraint) list(l *ast.ListLit, depth int) bool {
	n := elements(l)
	if n < len(l.Elts) {
		c.say("a list")
		if n > 0 {
			c.least = fmt.Sprint(n)
		}
		if e := l.Elts[n].(*ast.Ellipsis); e.Type != nil {
			if w := describe(e.Type, depth+1); w != "any value" {
				c.each = w
			}
		}
		return true
	}
	if n == 0 {
		return c.say("an empty list")
	}
	var parts []string
	for _, e := range l.Elts {
		parts = append(parts, describe(e, depth+1))
	}
	if n > 1 && slices.Min(parts) == slices.Max(parts) {
		c.each = parts[0]
		return c.say(fmt.Sprintf("a list of %d", n))
	}
	return c.say("a list [" + strings.Join(parts, ", ") + "]")
}

// structWords names the fields of a struct, those that must be given first.
func structWords(s *ast.StructLit) string {
	var must, may []string
	for _, d := range s.Elts {
		f, ok := d.(*ast.Field)
		if !ok {
			continue
		}
		name, _, err := ast.LabelName(f.Label)
		switch {
		case err != nil:
			if l, ok := f.Label.(*ast.ListLit); ok && source(l) == componentKey {
				return `{"plugin.component": {…}}`
			}
		case strings.HasPrefix(name, "#") || strings.HasPrefix(name, "_"):
		case f.Constraint == token.NOT:
			must = append(must, name)
		default:
			may = append(may, name)
		}
	}
	switch {
	case len(must) > 0:
		return "a struct {…} with " + strings.Join(must, ", ")
	case len(may) > 0:
		return "a struct {…} of " + strings.Join(may, ", ")
	}
	return "a struct {…}"
}

// source prints an expression of a schema as it is written.
func source(n ast.Node) string {
	b, err := format.Node(n)
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(b))
}
