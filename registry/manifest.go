package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/protobuf/encoding/protojson"
)

// manifestFile stands in every plugin's folder.
const manifestFile = "plugin.json"

func invalid(where, format string, a ...any) error {
	return &fault.Error{Kind: fault.Plugin, Where: where, What: fmt.Sprintf(format, a...), Do: "the plugin's author makes the file with: PLUGIN describe > plugin.json"}
}

// read reads a plugin's folder.
func read(dir string) (*Plugin, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Resource, What: "a plugin's folder cannot be found", Err: err}
	}
	file := filepath.Join(dir, manifestFile)
	text, err := readPlain(file, maxText)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &fault.Error{Kind: fault.Config, What: "there is no " + file, Do: "name the folder of a plugin; in it: PLUGIN describe > plugin.json"}
	}
	if err != nil {
		return nil, &fault.Error{Kind: fault.Resource, What: "a plugin's description cannot be read", Err: err, Do: "see what is there in its place"}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, invalid(file, "is not JSON: %v", err)
	}
	var command []string
	if err := json.Unmarshal(fields["command"], &command); err != nil || len(command) == 0 || command[0] == "" {
		return nil, invalid(file, `has no command, a list of words such as ["./plugin"]`)
	}
	platform := ""
	if text, ok := fields["platform"]; ok {
		if err := json.Unmarshal(text, &platform); err != nil || !platformForm.MatchString(platform) {
			return nil, invalid(file, `has the platform %s, not one such as "linux/amd64"`, text)
		}
	}
	delete(fields, "command")
	delete(fields, "platform")
	rest, err := json.Marshal(fields)
	if err != nil {
		return nil, invalid(file, "is not JSON: %v", err)
	}
	d := &protocol.Description{}
	if err := protojson.Unmarshal(rest, d); err != nil {
		return nil, invalid(file, "is no description of a plugin: %s", strings.TrimSpace(strings.TrimPrefix(err.Error(), "proto:"))) // what follows the colon changes with the build
	}
	if err := check(d); err != nil {
		return nil, invalid(file, "%v", err)
	}
	// Words that begin with ./ are files of the folder; a bare command is looked up in PATH.
	for i, word := range command {
		if strings.HasPrefix(word, "./") || i == 0 && strings.Contains(word, "/") && !filepath.IsAbs(word) {
			if !filepath.IsLocal(word) {
				return nil, invalid(file, "has %q in its command, which leads out of the folder", word)
			}
			command[i] = filepath.Join(dir, word)
		}
	}
	return &Plugin{Name: d.Name, Version: d.Version, Platform: platform, Command: command, Dir: dir, Manifest: d}, nil
}

var platformForm = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+$`)

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// check says what is wrong with a description.
func check(d *protocol.Description) error {
	switch {
	case !nameForm.MatchString(d.GetName()):
		return fmt.Errorf("the name %q is not made of lower-case letters, digits and _", d.GetName())
	case d.Version == "":
		return fmt.Errorf("the plugin %s has no version", d.Name)
	case d.Api != protocol.API:
		return fmt.Errorf("the plugin %s %s is made for version %d of the plugin contract; this Asterism speaks version %d", d.Name, d.Version, d.Api, protocol.API)
	case len(d.Components) == 0:
		return fmt.Errorf("the plugin %s has no components", d.Name)
	}
	seen := map[string]bool{}
	for _, c := range d.Components {
		switch {
		case !nameForm.MatchString(c.Name):
			return fmt.Errorf("the component name %q is not made of lower-case letters, digits and _", c.Name)
		case seen[c.Name]:
			return fmt.Errorf("two components have the name %q", c.Name)
		case protocol.Kind_name[int32(c.Kind)] == "" || c.Kind == protocol.Kind_KIND_UNSPECIFIED:
			return fmt.Errorf("the component %s.%s is of no known kind", d.Name, c.Name)
		case c.Revision == 0:
			return fmt.Errorf("the component %s.%s has no revision", d.Name, c.Name)
		case strings.ContainsFunc(c.Summary, unicode.IsControl) || strings.ContainsFunc(c.Schema, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\r\n", r) }):
			return fmt.Errorf("what the component %s.%s says of itself has control characters", d.Name, c.Name) // for a terminal
		case !strings.Contains(c.Schema, "#Config"):
			return fmt.Errorf("the schema of %s.%s does not define #Config", d.Name, c.Name)
		}
		seen[c.Name] = true
	}
	return nil
}
