package conformance

// engineChecks of an engine are still to come: they need the host's side of engines.
var engineChecks = []check{}
