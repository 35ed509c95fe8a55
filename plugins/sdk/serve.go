package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
)

// process is what init found when this process was started as a plugin; nil otherwise.
var process *struct {
	handshake *os.File // the real standard output, for the one line that the host waits for
	arenas    *protocol.Arenas
	err       error
}

// init prepares a process that the host has started as a plugin, before any author's code that imports the SDK runs:
// what is printed goes to the log and not into the handshake, and the process ends with its host. In every other
// process it does nothing.
func init() {
	if os.Getenv(protocol.CookieName) != protocol.CookieValue {
		return
	}
	process = new(struct {
		handshake *os.File
		arenas    *protocol.Arenas
		err       error
	})
	channel := os.Getenv(protocol.ChannelEnv)
	// The children of the author's code must not take themselves for plugins.
	os.Unsetenv(protocol.CookieName)
	os.Unsetenv(protocol.ChannelEnv)

	fd, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		process.handshake = os.NewFile(uintptr(fd), "handshake")
		err = redirect(2, 1)
	}
	if err != nil {
		process.err = fmt.Errorf("standard output: %w", err)
		return
	}
	fd, err = strconv.Atoi(channel)
	if err == nil {
		process.arenas, err = protocol.ReceiveArenas(fd, hostGone)
	}
	if err != nil {
		process.err = fmt.Errorf("the channel to the host, %s=%q: %w", protocol.ChannelEnv, channel, err)
	}
}

// hostGone ends the process and, as the host starts each plugin in a process group of its own, all its children.
func hostGone() {
	if pid := os.Getpid(); syscall.Getpgrp() == pid {
		syscall.Kill(-pid, syscall.SIGKILL)
	}
	os.Exit(1)
}

// Serve is the main function of a plugin:
//
//	func main() { sdk.Serve(sdk.Plugin{Name: "fuzzy", Version: "1.0.0", Components: …}) }
//
// Run with the argument "describe" it prints the plugin's plugin.json, the file that makes its folder installable.
// Started by asterism it serves the components until the host closes or dies. It does not return.
func Serve(p Plugin) {
	if process == nil {
		os.Exit(byHand(p, os.Args, os.Stdout, os.Stderr))
	}
	if process.err == nil {
		process.err = p.check()
	}
	if process.err != nil {
		fmt.Fprintf(os.Stderr, "the plugin %s cannot start: %v\n", p.Name, process.err)
		os.Exit(1)
	}
	stderr := os.Stderr
	os.Setenv(protocol.CookieName, protocol.CookieValue) // go-plugin looks for it
	os.Stdout = process.handshake
	var once sync.Once
	// go-plugin replaces os.Stdout and os.Stderr by pipes that lose what a dying process wrote last. It has done so
	// when the first call comes; from then on prints go to the real standard error.
	settle := func() {
		once.Do(func() {
			os.Unsetenv(protocol.CookieName)
			os.Stdout, os.Stderr = stderr, stderr
			process.handshake.Close()
		})
	}
	s := newServer(p, process.arenas)
	s.settle = settle
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{ProtocolVersion: protocol.API, MagicCookieKey: protocol.CookieName, MagicCookieValue: protocol.CookieValue},
		Plugins:         plugin.PluginSet{"asterism": wire{server: s}},
		Logger:          hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: stderr}),
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, grpc.MaxRecvMsgSize(protocol.MaxMessage), grpc.MaxSendMsgSize(protocol.MaxMessage),
				grpc.InitialWindowSize(protocol.MaxMessage), grpc.InitialConnWindowSize(protocol.MaxMessage), // fixed: see the host
				grpc.UnaryInterceptor(s.guard))...)
		},
	})
	os.Exit(0)
}

// wire registers the services with go-plugin.
type wire struct {
	plugin.NetRPCUnsupportedPlugin
	server *server
}

// GRPCServer implements go-plugin's interface.
func (w wire) GRPCServer(_ *plugin.GRPCBroker, g *grpc.Server) error {
	w.server.register(g)
	return nil
}

// GRPCClient implements go-plugin's interface; the host has its own.
func (wire) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, fmt.Errorf("this side only serves")
}

// byHand answers a person who runs the plugin.
func byHand(p Plugin, args []string, stdout, stderr io.Writer) int {
	if err := p.check(); err != nil {
		fmt.Fprintf(stderr, "the plugin is not complete: %v\n", err)
		return 1
	}
	if len(args) == 2 && args[1] == "describe" {
		text, err := p.describe(args[0])
		if err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		if _, err := stdout.Write(text); err != nil {
			return 1
		}
		return 0
	}
	if len(args) > 1 {
		fmt.Fprintf(stderr, "%s takes one argument, describe, or none; not %s\n", filepath.Base(args[0]), strings.Join(args[1:], " "))
		return 1
	}
	fmt.Fprintf(stderr, "This is the Asterism plugin %s %s. It is started by asterism when an experiment names one of its components:\n\n", p.Name, p.Version)
	for _, c := range p.Components {
		fmt.Fprintf(stderr, "    %-24s %s\n", p.Name+"."+c.Name, c.Summary)
	}
	fmt.Fprintf(stderr, "\nWith the folder that its source is in:\n\n    asterism plugin test FOLDER\n    asterism run FILE --plugin %s=FOLDER\n    asterism plugin install FOLDER\n", p.Name)
	return 1
}

// describe gives plugin.json: the manifest, and how to start the executable from its own folder.
func (p Plugin) describe(executable string) ([]byte, error) {
	text, err := protojson.Marshal(p.Manifest())
	if err != nil {
		return nil, err
	}
	command, err := json.Marshal([]string{"./" + filepath.Base(executable)})
	if err != nil {
		return nil, err
	}
	text = append(append([]byte(`{"command":`), command...), append([]byte{','}, bytes.TrimSpace(text)[1:]...)...)
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// check finds mistakes of the author that would surface later and elsewhere.
func (p Plugin) check() error {
	if !validName(p.Name) {
		return fmt.Errorf("the name %q is not made of lower-case letters, digits and _", p.Name)
	}
	if p.Version == "" {
		return fmt.Errorf("it has no version")
	}
	if !versionForm.MatchString(p.Version) {
		return fmt.Errorf("the version %q is not three numbers such as 1.2.0, or what comes before them such as 1.2.0-rc.1", p.Version)
	}
	if len(p.Components) == 0 {
		return fmt.Errorf("it has no components")
	}
	seen := map[string]bool{}
	for _, c := range p.Components {
		switch {
		case !validName(c.Name):
			return fmt.Errorf("the component name %q is not made of lower-case letters, digits and _", c.Name)
		case seen[c.Name]:
			return fmt.Errorf("two components have the name %q", c.Name)
		case c.build == nil:
			return fmt.Errorf("the component %s is not made by Dataset, Augmentation, Encoder, Objective or Task", c.Name)
		case c.Revision < 1:
			return fmt.Errorf("the component %s has the revision %d; it is a whole number, from 1", c.Name, c.Revision)
		case !strings.Contains(c.Schema, "#Config"):
			return fmt.Errorf("the schema of the component %s does not define #Config", c.Name)
		}
		seen[c.Name] = true
	}
	return nil
}

var versionForm = regexp.MustCompile(`^(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

func validName(s string) bool {
	for i, r := range s {
		if !(r >= 'a' && r <= 'z' || i > 0 && (r >= '0' && r <= '9' || r == '_')) {
			return false
		}
	}
	return s != ""
}
