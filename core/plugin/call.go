package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// call makes one call and turns what comes back into a fault that says which component, where and why.
func call[Q, A any](ctx context.Context, c *configured, name string, f func(context.Context, Q, ...grpc.CallOption) (A, error), request Q) (A, error) {
	answer, err := f(ctx, request)
	if err != nil {
		var none A
		return none, c.fault(ctx, c.ref, name, err)
	}
	return answer, nil
}

// fault explains a failed call.
func (s *supervisor) fault(ctx context.Context, r Ref, name string, err error) error {
	f := &fault.Error{Kind: fault.Plugin, Plugin: r.Name, Path: r.Path, Where: r.Where}
	p := s.now.Load()
	st := status.Convert(err)
	for _, d := range st.Details() {
		if d, ok := d.(*protocol.Fault); ok {
			p.explain(f, d)
			return f
		}
	}
	if cut := interrupted(ctx, err); cut != nil {
		f.Kind, f.What, f.Err = fault.Cancelled, "interrupted during "+name, cut
		if errors.Is(cut, context.DeadlineExceeded) {
			f.Kind, f.What = fault.Plugin, name+" took too long"
		}
		return f
	}
	if p.lost(err) {
		p.crashed(f, name)
		if s.exhausted() {
			f.What += fmt.Sprintf("; it was started anew %d times before", restarts)
		}
		return f
	}
	switch st.Code() {
	case codes.Unavailable:
		f.What, f.Do = "the plugin no longer answers", "its last output may say why"
		f.Log = p.output.tail()
	case codes.ResourceExhausted:
		f.What = fmt.Sprintf("a message of %s is larger than %d MB: %s", name, protocol.MaxMessage>>20, st.Message())
		f.Do = "large data belong into tensors; report this to the plugin's author"
	case codes.Unimplemented:
		f.What = "the plugin does not know the call " + name
		f.Do = "build it again with the current SDK"
	default:
		f.What, f.Do = fmt.Sprintf("%s failed: %s", name, st.Message()), "its last output may say why; if not, report it to the plugin's author"
		f.Log = p.output.tail()
	}
	return f
}

// interrupted gives the reason why a call was given up before the plugin was done, nil when it was not. The plugin keeps
// the deadline too, and may be the first to say that it has passed.
func interrupted(ctx context.Context, err error) error {
	_, limited := ctx.Deadline()
	if ctx.Err() == nil && limited && status.Code(err) == codes.DeadlineExceeded {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// failedLink gives the position, from 1, of the link of a chain that an error is about; 0 when it says none.
func failedLink(err error) int {
	for _, d := range status.Convert(err).Details() {
		if d, ok := d.(*protocol.Fault); ok {
			return int(d.Link)
		}
	}
	return 0
}

// explain takes over what the component itself says.
func (p *process) explain(f *fault.Error, d *protocol.Fault) {
	f.What, f.Do = d.What, d.Advice
	switch d.Cause {
	case protocol.Fault_CONFIG:
		f.Kind = fault.Config
		if d.Field != "" {
			if f.Path != "" {
				f.Path += "."
			}
			f.Path += d.Field
		}
	case protocol.Fault_DATA:
		f.Kind = fault.Data
	case protocol.Fault_RESOURCE:
		f.Kind = fault.Resource
	default:
		if d.Trace != "" {
			f.Log = p.output.trace(d.Trace)
			if f.Do == "" {
				f.Do = "this is a defect of the component: report it to the plugin's author with the output below"
			}
		}
	}
}

// crashed describes the end of a process: how, and what it said about it.
func (p *process) crashed(f *fault.Error, name string) {
	p.child.ended(2 * time.Second)
	f.Log = p.output.tail()
	if hung := p.hung.Load(); hung != nil {
		f.What, f.Do = "the plugin "+*hung+" and was ended", "see what it waits for; report it to the plugin's author with its last output"
		return
	}
	f.What = fmt.Sprintf("the plugin's process ended during %s (%s)", p.last(name), p.child.how())
	f.Do = "report this to the plugin's author with the output below"
	if said := lastWords(f.Log); said != "" {
		f.What += ": " + said
	} else if strings.Contains(p.child.how(), "killed") {
		f.Do = "the system may have ended it for lack of memory: try a smaller batch, or look into the system's log"
	}
}

// last gives the name of the call in which the process ended: the first that found it so.
func (p *process) last(name string) string {
	p.ended.CompareAndSwap(nil, &name)
	return *p.ended.Load()
}

// lastWords finds what a dying process said: the panic of a Go program, the exception of a Python one.
func lastWords(log string) string {
	lines := strings.Split(strings.TrimRight(log, "\n"), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		for _, mark := range []string{"panic: ", "fatal error: ", "SIG", "unexpected fault address"} {
			if strings.HasPrefix(lines[i], mark) {
				return lines[i]
			}
		}
		if strings.HasPrefix(lines[i], "Traceback (most recent call last)") {
			return lines[len(lines)-1]
		}
	}
	return ""
}

// broken is the fault of a plugin that answers against the contract.
func (c *configured) broken(format string, a ...any) error {
	return &fault.Error{Kind: fault.Plugin, Plugin: c.ref.Name, Path: c.ref.Path, Where: c.ref.Where,
		What: fmt.Sprintf(format, a...), Do: "this is a defect of the component: report it to the plugin's author"}
}
