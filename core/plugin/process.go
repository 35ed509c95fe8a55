package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
)

// process is one process of a plugin.
type process struct {
	spec        Spec
	client      *goplugin.Client
	child       *child
	channel     *protocol.Channel
	output      *output
	description *protocol.Description
	conn        *grpc.ClientConn
	ended       atomic.Pointer[string] // the call that found the process ended
	hung        atomic.Pointer[string] // why the host ended it
}

// child is the operating system's process. It stands between the process and go-plugin, which sees of its output the
// handshake line alone: go-plugin 1.8 panics on some lines, and takes anything printed before for the handshake.
type child struct {
	cmd    *exec.Cmd
	output *output
	ready  *io.PipeReader // the handshake line
	tell   *io.PipeWriter
	pid    atomic.Int64  // 0 until it is started
	exited chan struct{} // closed when the process has ended and its output is read

	mu     sync.Mutex // held while the group is killed
	reaped bool       // its number may be another's
}

var handshake = regexp.MustCompile(`^\d+\|\d+\|(unix|tcp)\|[^|]+(\|.*)?$`)

// Start implements go-plugin's Runner.
func (c *child) Start(context.Context) error {
	outR, outW, err := os.Pipe()
	if err != nil {
		return err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		outR.Close()
		outW.Close()
		return err
	}
	c.cmd.Stdout, c.cmd.Stderr = outW, errW
	err = c.cmd.Start()
	outW.Close()
	errW.Close()
	if err != nil {
		outR.Close()
		errR.Close()
		c.tell.Close()
		close(c.exited)
		return err
	}
	c.pid.Store(int64(c.cmd.Process.Pid))
	var readers sync.WaitGroup
	readers.Go(func() { c.output.read(errR, nil) })
	readers.Go(func() {
		told := false
		c.output.read(outR, func(line string) bool {
			if told || !handshake.MatchString(line) {
				return false
			}
			told = true
			io.WriteString(c.tell, line+"\n")
			return true
		})
		// The end of the output is not passed on before that of the process: go-plugin would kill it and hide why it ended.
	})
	go func() {
		awaitExit(int(c.pid.Load()))
		c.Kill(context.Background()) // its children; the group's number cannot be another's before Wait
		c.mu.Lock()
		c.reaped = true
		c.mu.Unlock()
		c.cmd.Wait()
		// A child that left the group may hold the pipes: do not wait for that one.
		read := make(chan struct{})
		go func() { readers.Wait(); close(read) }()
		select {
		case <-read:
		case <-time.After(500 * time.Millisecond):
		}
		outR.Close()
		errR.Close()
		c.tell.Close()
		close(c.exited)
	}()
	return nil
}

// Wait implements go-plugin's Runner.
func (c *child) Wait(context.Context) error { <-c.exited; return nil }

// Kill implements go-plugin's Runner: it ends the process and all its children.
func (c *child) Kill(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	pid := int(c.pid.Load())
	if pid == 0 || c.reaped {
		return nil
	}
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// Stdout implements go-plugin's Runner.
func (c *child) Stdout() io.ReadCloser { return c.ready }

// Stderr implements go-plugin's Runner: nothing, we read it ourselves.
func (c *child) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name implements go-plugin's Runner.
func (c *child) Name() string { return c.output.name }

// ID implements go-plugin's Runner.
func (c *child) ID() string { return fmt.Sprint(c.pid.Load()) }

// Diagnose implements go-plugin's Runner.
func (c *child) Diagnose(context.Context) string { return "" }

// PluginToHost implements go-plugin's Runner.
func (c *child) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

// HostToPlugin implements go-plugin's Runner.
func (c *child) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// ended says whether the process has ended, waiting for it up to patience.
func (c *child) ended(patience time.Duration) bool {
	select { // alone, so that an end counts also when there is no patience left
	case <-c.exited:
		return true
	default:
	}
	select {
	case <-c.exited:
		return true
	case <-time.After(patience):
		return false
	}
}

// how says how the process ended: "exit status 2", "killed".
func (c *child) how() string {
	if c.cmd.ProcessState == nil {
		return "it was never started"
	}
	return c.cmd.ProcessState.String()
}

// start starts a plugin, shakes hands, and checks that it is what was installed.
func (h *Host) start(ctx context.Context, spec Spec) (*process, error) {
	dir, err := h.socketDir()
	if err != nil {
		return nil, err
	}
	if len(spec.Command) == 0 {
		return nil, &fault.Error{Kind: fault.Plugin, Plugin: spec.Name, What: "there is no command to start it with"}
	}
	timeout := h.options.StartTimeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	channel, theirs, err := protocol.NewChannel()
	if err != nil {
		return nil, &fault.Error{Kind: fault.Resource, Plugin: spec.Name, What: "the plugin cannot be started", Err: err}
	}
	defer theirs.Close()
	if least := h.options.Patience.Least; least > 0 {
		channel.Patience = min(channel.Patience, least)
	}
	p := &process{spec: spec, channel: channel, output: newOutput(spec, &h.log)}
	c := &child{output: p.output, exited: make(chan struct{})}
	c.ready, c.tell = io.Pipe()
	c.cmd = exec.Command(protocol.Executable(spec.Command[0]), spec.Command[1:]...)
	c.cmd.Dir = h.options.Work
	c.cmd.ExtraFiles = []*os.File{theirs} // descriptor 3
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.child = c
	p.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{ProtocolVersion: protocol.API, MagicCookieKey: protocol.CookieName, MagicCookieValue: protocol.CookieValue},
		Plugins:          goplugin.PluginSet{"asterism": wire{}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		Logger:           hclog.NewNullLogger(),
		SkipHostEnv:      true,
		StartTimeout:     timeout,
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: dir},
		SyncStdout:       &lineWriter{output: p.output},
		SyncStderr:       &lineWriter{output: p.output},
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(protocol.MaxMessage), grpc.MaxCallSendMsgSize(protocol.MaxMessage)),
			// Windows of a fixed size: otherwise gRPC measures the connection with a ping for each message.
			grpc.WithInitialWindowSize(protocol.MaxMessage), grpc.WithInitialConnWindowSize(protocol.MaxMessage)},
		RunnerFunc: func(_ hclog.Logger, wanted *exec.Cmd, _ string) (runner.Runner, error) {
			c.cmd.Env = append(protocol.Environment(spec.Env), wanted.Env...)
			c.cmd.Env = append(c.cmd.Env, protocol.ChannelEnv+"=3", protocol.DirEnv+"="+spec.Dir)
			return c, nil
		},
	})
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.Kill(context.Background()) })
	err = p.connect(ctx)
	if stop() && err == nil {
		err = p.check()
	} else { // it failed, or was killed at the last moment
		err = cmp.Or(err, context.Cause(ctx))
		err = p.startFault(ctx, err, timeout)
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *process) connect(ctx context.Context) error {
	client, err := p.client.Client()
	if err != nil {
		return err
	}
	raw, err := client.Dispense("asterism")
	if err != nil {
		return err
	}
	p.conn = raw.(*grpc.ClientConn)
	p.description, err = protocol.NewPluginClient(p.conn).Describe(ctx, &protocol.DescribeRequest{})
	return err
}

// startFault says why a plugin did not come up.
func (p *process) startFault(ctx context.Context, err error, timeout time.Duration) error {
	f := &fault.Error{Kind: fault.Plugin, Plugin: p.spec.Name}
	patience := 200 * time.Millisecond
	if ctx.Err() != nil {
		patience = 2 * time.Second // it was killed
	}
	ended := p.child.ended(patience)
	other := strings.Contains(err.Error(), "ncompatible") || strings.Contains(err.Error(), "unsupported plugin protocol") // go-plugin has killed it
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		f.Kind, f.What, f.Err = fault.Cancelled, "interrupted while the plugin was starting", context.Canceled
		return f
	case ctx.Err() != nil || strings.Contains(err.Error(), "timeout while waiting"):
		f.What = fmt.Sprintf("the plugin did not start within %s", timeout)
		f.Do = "see what it waits for: run it by hand: " + strings.Join(p.spec.Command, " ")
	case p.child.pid.Load() == 0:
		f.What, f.Err = "the plugin cannot be started", err
		f.Do = "check that the executable is there and made for this machine"
	case ended && !other:
		f.What = fmt.Sprintf("the plugin ended before it was ready (%s)", p.child.how())
		f.Do = "its last output says why, if it said anything"
	default:
		f.What, f.Err = "the plugin did not start as a plugin of this version of Asterism", err
		f.Do = "build it again with the current SDK"
	}
	f.Log = p.output.tail()
	return f
}

// stop ends the process: it is asked first and killed after two seconds, with all its children.
func (p *process) stop() {
	late := time.AfterFunc(2*time.Second, func() { p.child.Kill(context.Background()) }) // go-plugin asks without a limit
	p.client.Kill()
	late.Stop()
	p.child.Kill(context.Background())
	if p.child.pid.Load() != 0 {
		p.child.ended(2 * time.Second)
	}
	p.channel.Close()
	p.output.close()
}

// wire gives go-plugin's connection to us.
type wire struct {
	goplugin.NetRPCUnsupportedPlugin
}

// GRPCServer implements go-plugin's interface; the SDK has the serving side.
func (wire) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("the host does not serve")
}

// GRPCClient implements go-plugin's interface.
func (wire) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}
