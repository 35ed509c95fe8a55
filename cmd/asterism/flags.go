package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/asterism-ssl/asterism/core/fault"
)

// wrongFlag says in plain words what is wrong with a flag of any verb, and what is wanted.
func wrongFlag(c *cobra.Command, err error) error {
	f := &fault.Error{Kind: fault.Config, What: err.Error(), Do: "usage: " + c.UseLine() + "; --help lists the flags"}
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		wanted, example := wantedValue(e.GetFlag())
		f.What = fmt.Sprintf("--%s %s is not %s", e.GetFlag().Name, shown(e.GetValue()), wanted)
		if errors.Is(err, strconv.ErrRange) {
			f.What = fmt.Sprintf("--%s %s is too large or too small", e.GetFlag().Name, e.GetValue())
		}
		f.Do = fmt.Sprintf("give %s, such as %s", wanted, example)
	}
	if e, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		f.What, f.Do = fmt.Sprintf("--%s needs a value", e.GetFlag().Name), fmt.Sprintf("--%s: %s", e.GetFlag().Name, e.GetFlag().Usage)
	}
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		dashes, name := "--", e.GetSpecifiedName()
		if short := e.GetSpecifiedShortnames(); short != "" {
			dashes, name = "-", short
		}
		f.What = fmt.Sprintf("%s has no flag %s%s", c.CommandPath(), dashes, name)
		if near := fault.Nearest(name, flagNames(c)); near != "" {
			f.Do = fmt.Sprintf("did you mean --%s? %s", near, f.Do)
		}
	}
	return f
}

// wantedValue says what a flag takes, in words and as an example.
func wantedValue(f *pflag.Flag) (words, example string) {
	flag := "--" + f.Name
	switch f.Value.Type() {
	case "int":
		if f.DefValue == "0" {
			return "a whole number", flag + " 2"
		}
		return "a whole number", flag + " " + f.DefValue
	case "float64":
		return "a number", flag + " " + f.DefValue
	case "duration":
		return "a duration", flag + " 24h"
	case "bool":
		return "true or false", flag + "=true"
	}
	return "a " + f.Value.Type(), strings.TrimSpace(flag + " " + f.DefValue)
}

// shown is a value as the user wrote it, in quotes where it would be hard to see.
func shown(value string) string {
	if value == "" || strings.ContainsAny(value, " \t\n") {
		return strconv.Quote(value)
	}
	return value
}

// flagNames are those that a verb knows.
func flagNames(c *cobra.Command) []string {
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}
