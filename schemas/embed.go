// Package schemas holds the CUE module that experiments import as "asterism.dev/schemas:asterism".
//
// There is one tree: the program checks experiments against the same text that an editor sees.
package schemas

import "embed"

// Module is the import path of the module, without its major version.
const Module = "asterism.dev/schemas"

// Experiment is the text of experiment.cue, which defines #Experiment.
//
//go:embed experiment.cue
var Experiment string

// Files is the whole module, cue.mod included, for those who write it where an editor finds it.
//
//go:embed cue.mod/module.cue experiment.cue
var Files embed.FS
