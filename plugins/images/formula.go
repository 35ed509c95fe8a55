package images

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"slices"
	"strconv"
	"strings"
)

// formula is what an expression of columns computes for a row: a number, NaN where it has none, or a condition, 1 or 0.
type formula func(row int) float64

// columns gives a table's columns of numbers by name, NaN where a value is missing.
type columns func(name string) ([]float64, error)

// parseFormula understands an expression of numbers in the notation that C, Go and Python share.
func parseFormula(text string, c columns) (formula, error) {
	return parseKind(text, c, false)
}

// parseCondition understands a comparison, or several joined by && and ||.
func parseCondition(text string, c columns) (formula, error) {
	return parseKind(text, c, true)
}

func parseKind(text string, c columns, condition bool) (formula, error) {
	tree, err := parser.ParseExpr(text)
	if err != nil {
		return nil, errors.New("it cannot be understood: " + err.Error())
	}
	return c.compile(tree, condition)
}

// compile turns a tree into a formula of the wanted kind.
func (c columns) compile(tree ast.Expr, condition bool) (formula, error) {
	switch t := tree.(type) {
	case *ast.ParenExpr:
		return c.compile(t.X, condition)
	case *ast.BinaryExpr:
		return c.binary(t, condition)
	}
	if condition {
		return nil, errors.New("it is no condition: compare numbers by ==, !=, <, <=, > or >=")
	}
	switch t := tree.(type) {
	case *ast.Ident:
		values, err := c(t.Name)
		if err != nil {
			return nil, err
		}
		return func(row int) float64 { return values[row] }, nil
	case *ast.BasicLit:
		v, err := strconv.ParseFloat(t.Value, 64)
		if err != nil || t.Kind != token.INT && t.Kind != token.FLOAT {
			return nil, fmt.Errorf("%s is no number", t.Value)
		}
		return func(int) float64 { return v }, nil
	case *ast.UnaryExpr:
		x, err := c.compile(t.X, false)
		if err != nil {
			return nil, err
		}
		switch t.Op {
		case token.SUB:
			return func(row int) float64 { return -x(row) }, nil
		case token.ADD:
			return x, nil
		}
		return nil, fmt.Errorf("%s is not known", t.Op)
	case *ast.CallExpr:
		return c.call(t)
	}
	return nil, errors.New("it is made of more than numbers, columns, + - * / and the functions that there are")
}

// binary compiles what stands between two operands.
func (c columns) binary(t *ast.BinaryExpr, condition bool) (formula, error) {
	joins := t.Op == token.LAND || t.Op == token.LOR
	compares := slices.Contains([]token.Token{token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ}, t.Op)
	switch {
	case condition && !joins && !compares:
		return nil, fmt.Errorf("it is no condition: %s makes a number", t.Op)
	case !condition && (joins || compares):
		return nil, fmt.Errorf("it is no number: %s makes a condition", t.Op)
	}
	x, err := c.compile(t.X, joins)
	if err != nil {
		return nil, err
	}
	y, err := c.compile(t.Y, joins)
	if err != nil {
		return nil, err
	}
	compare := func(holds func(x, y float64) bool) (formula, error) {
		return func(row int) float64 {
			if a, b := x(row), y(row); a == a && b == b && holds(a, b) { // not for a missing value
				return 1
			}
			return 0
		}, nil
	}
	switch t.Op {
	case token.ADD:
		return func(row int) float64 { return x(row) + y(row) }, nil
	case token.SUB:
		return func(row int) float64 { return x(row) - y(row) }, nil
	case token.MUL:
		return func(row int) float64 { return x(row) * y(row) }, nil
	case token.QUO:
		return func(row int) float64 { return x(row) / y(row) }, nil
	case token.LAND:
		return func(row int) float64 { return min(x(row), y(row)) }, nil
	case token.LOR:
		return func(row int) float64 { return max(x(row), y(row)) }, nil
	case token.EQL:
		return compare(func(x, y float64) bool { return x == y })
	case token.NEQ:
		return compare(func(x, y float64) bool { return x != y })
	case token.LSS:
		return compare(func(x, y float64) bool { return x < y })
	case token.LEQ:
		return compare(func(x, y float64) bool { return x <= y })
	case token.GTR:
		return compare(func(x, y float64) bool { return x > y })
	case token.GEQ:
		return compare(func(x, y float64) bool { return x >= y })
	case token.XOR:
		return nil, errors.New("^ is not known: write pow(x, y)")
	}
	return nil, fmt.Errorf("%s is not known", t.Op)
}

var unary = map[string]func(float64) float64{
	"abs": math.Abs, "sqrt": math.Sqrt, "exp": math.Exp, "log": math.Log, "log10": math.Log10, "floor": math.Floor,
}

var ofTwo = map[string]func(x, y float64) float64{"pow": math.Pow, "min": math.Min, "max": math.Max}

func (c columns) call(t *ast.CallExpr) (formula, error) {
	name := ""
	if f, ok := t.Fun.(*ast.Ident); ok {
		name = f.Name
	}
	one, two := unary[name], ofTwo[name]
	want := 1
	switch {
	case two != nil || name == "where":
		want = 2
	case one == nil:
		return nil, fmt.Errorf("there is no function %q, only %s", name, strings.Join(functions(), ", "))
	}
	if len(t.Args) != want {
		return nil, fmt.Errorf("%s takes %d arguments, not %d", name, want, len(t.Args))
	}
	x, err := c.compile(t.Args[0], name == "where")
	if err != nil {
		return nil, err
	}
	if one != nil {
		return func(row int) float64 { return one(x(row)) }, nil
	}
	y, err := c.compile(t.Args[1], false)
	if err != nil {
		return nil, err
	}
	if two != nil {
		return func(row int) float64 { return two(x(row), y(row)) }, nil
	}
	return func(row int) float64 {
		if x(row) == 0 {
			return math.NaN()
		}
		return y(row)
	}, nil
}

func functions() []string {
	names := []string{"where"}
	for name := range unary {
		names = append(names, name)
	}
	for name := range ofTwo {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
