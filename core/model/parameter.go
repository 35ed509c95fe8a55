package model

import (
	"fmt"
	"math"
	"strings"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

func (c *checker) parameters() fault.List {
	var list fault.List
	for i, p := range c.Model.Parameters {
		switch {
		case p == nil || p.Name == "":
			list = append(list, broken("parameter %d has no name", i))
			continue
		case c.byParam[p.Name] != nil:
			list = append(list, broken("two parameters are named %q", p.Name))
			continue
		}
		if err := shape(p.Shape); err != nil {
			list = append(list, broken("parameter %q of shape %v: %v", p.Name, p.Shape, err))
		}
		if err := initial(p.Init); err != nil {
			list = append(list, broken("parameter %q: %v", p.Name, err))
		}
		c.byParam[p.Name] = p
		c.Params = append(c.Params, p)
	}
	return list
}

func initial(in *protocol.Init) error {
	v, name := 0.0, ""
	switch is := in.GetIs().(type) {
	case *protocol.Init_Constant:
		v, name = is.Constant, "constant"
	case *protocol.Init_Normal:
		v, name = is.Normal, "standard deviation"
		if v < 0 {
			return fmt.Errorf("its initial standard deviation %v is negative", v)
		}
	case *protocol.Init_Uniform:
		v, name = is.Uniform, "bound"
		if v < 0 {
			return fmt.Errorf("its initial bound %v is negative", v)
		}
	default:
		return fmt.Errorf("nothing says how it is initialised")
	}
	if math.IsNaN(v) || math.IsInf(v, 0) || math.Abs(v) > math.MaxFloat32 {
		return fmt.Errorf("its initial %s %v is not a float32", name, v)
	}
	return nil
}

// param finds a trained parameter of a layer and checks its shape; -1 stands for any size, nil for any shape.
func (c *checker) param(l *Layer, role, name string, want []int64) (*protocol.Parameter, error) {
	return c.find(l, role, name, false, want)
}

// vector finds a trained vector of n values that a layer may have, named "" when it has none.
func (c *checker) vector(l *Layer, role, name string, n int64) error {
	if name == "" {
		return nil
	}
	_, err := c.param(l, role, name, []int64{n})
	return err
}

func (c *checker) find(l *Layer, role, name string, buffer bool, want []int64) (*protocol.Parameter, error) {
	p := c.byParam[name]
	if p == nil {
		return nil, broken("layer %q (%s): its %s is the parameter %q, which does not exist", l.Name, l.Kind, role, name)
	}
	if !fits(p.Shape, want) {
		return nil, broken("layer %q (%s): its %s %q has the shape %v, it must be %s", l.Name, l.Kind, role, name, p.Shape, pattern(want))
	}
	if p.Buffer != buffer {
		if buffer {
			return nil, broken("layer %q (%s): its %s %q must be a buffer", l.Name, l.Kind, role, name)
		}
		return nil, broken("layer %q (%s): its %s %q must be trained, it is a buffer", l.Name, l.Kind, role, name)
	}
	if by, ok := c.used[name]; ok && buffer {
		return nil, broken("layers %q and %q both keep running statistics in %q", by, l.Name, name)
	}
	c.used[name] = l.Name
	l.Params = append(l.Params, name)
	return p, nil
}

func fits(shape, want []int64) bool {
	if want == nil {
		return true
	}
	if len(shape) != len(want) {
		return false
	}
	for i, w := range want {
		if w >= 0 && shape[i] != w {
			return false
		}
	}
	return true
}

func pattern(want []int64) string {
	words := make([]string, len(want))
	for i, w := range want {
		if words[i] = fmt.Sprint(w); w < 0 {
			words[i] = "any"
		}
	}
	return "[" + strings.Join(words, " ") + "]"
}
