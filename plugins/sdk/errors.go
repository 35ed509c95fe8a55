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

// faultOf turns an author's error into the message that travels to the host.
func faultOf(err error) *protocol.Fault {
	if p := (*FieldError)(nil); errors.As(err, &p) {
		err = *p
	}
	var field FieldError
	var config ConfigError
	var data DataError
	var resource ResourceError
	f := &protocol.Fault{What: err.Error()}
	var link linkError
	if errors.As(err, &link) {
		f.Link = link.position
		err = link.err
	}
	switch {
	case errors.As(err, &field):
		f.Cause, f.Field, f.Advice = protocol.Fault_CONFIG, field.Field, field.Advice
		if err == error(field) {
			f.What = field.What
		}
	case errors.As(err, &config):
		f.Cause, f.Advice = protocol.Fault_CONFIG, config.Advice
	case errors.As(err, &data):
		f.Cause, f.Advice = protocol.Fault_DATA, data.Advice
	case errors.As(err, &resource):
		f.Cause, f.Advice = protocol.Fault_RESOURCE, resource.Advice
	case errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EMFILE):
		f.Cause = protocol.Fault_RESOURCE
	}
	return f
}
