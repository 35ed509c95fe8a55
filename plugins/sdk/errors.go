package sdk

import (
	"errors"
	"syscall"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// FieldError says that one field of the component's configuration cannot be had. The user sees it at the line of the
// experiment where the field stands:
//
//	return nil, sdk.FieldError{Field: "table", What: "no such file: " + path, Advice: "give the path of the catalogue"}
type FieldError struct {
	Field  string // relative to the component's configuration: "size", "bands.0"
	What   string // what is wrong, a clause without a full stop
	Advice string // what to do next; may be empty
}

// Error gives the field and what is wrong.
func (e FieldError) Error() string { return e.Field + ": " + e.What }

// ConfigError says that the configuration as a whole cannot be had, when no single field is to blame.
type ConfigError struct{ What, Advice string }

// Error says what is wrong.
func (e ConfigError) Error() string { return e.What }

// DataError says that the data are not what they should be: a missing folder, a table that cannot be read.
type DataError struct{ What, Advice string }

// Error says what is wrong.
func (e DataError) Error() string { return e.What }

// ResourceError says that the machine refuses: memory, disk, too many open files.
type ResourceError struct{ What, Advice string }

// Error says what is wrong.
func (e ResourceError) Error() string { return e.What }

// as finds an author's error in a chain, given as a value or as a pointer.
func as[T error](err error) (found T, exact, ok bool) {
	var pointer *T
	switch {
	case errors.As(err, &found):
		_, exact = err.(T)
	case errors.As(err, any(&pointer)) && pointer != nil:
		found = *pointer
		_, exact = any(err).(*T)
	default:
		return found, false, false
	}
	return found, exact, true
}

// faultOf turns an author's error into the message that travels to the host.
func faultOf(err error) *protocol.Fault {
	f := &protocol.Fault{}
	var link linkError
	if errors.As(err, &link) {
		f.Link = link.position
		err = link.err
	}
	f.What = err.Error()
	if e, ok := errors.AsType[panicError](err); ok {
		f.Trace = e.trace
	}
	if e, exact, ok := as[FieldError](err); ok {
		f.Cause, f.Field, f.Advice = protocol.Fault_CONFIG, e.Field, e.Advice
		if exact {
			f.What = e.What // the field is said beside it
		}
	} else if e, _, ok := as[ConfigError](err); ok {
		f.Cause, f.Advice = protocol.Fault_CONFIG, e.Advice
	} else if e, _, ok := as[DataError](err); ok {
		f.Cause, f.Advice = protocol.Fault_DATA, e.Advice
	} else if e, _, ok := as[ResourceError](err); ok {
		f.Cause, f.Advice = protocol.Fault_RESOURCE, e.Advice
	} else if errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EMFILE) {
		f.Cause = protocol.Fault_RESOURCE
	}
	return f
}
