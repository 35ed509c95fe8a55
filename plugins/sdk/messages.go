package sdk

import (
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Messages that authors read and write, under the SDK's name; their fields are documented in the contract,
// core/protocol/asterism.proto.
type (
	// SampleFacts says what a sample is: shape, bands, flux, unit, pixel scale.
	SampleFacts = protocol.SampleFacts
	// BandStatistics are taken over the training split, one for each band.
	BandStatistics = protocol.BandStatistics
	// Flux says what pixel values mean.
	Flux = protocol.Flux
	// DType is the type of a tensor's or a record's values.
	DType = protocol.DType
	// Catalogue is what a dataset holds.
	Catalogue = protocol.Catalogue
	// Field describes a column.
	Field = protocol.Field
	// Notice counts things that are not errors, with examples.
	Notice = protocol.Notice
	// AugmentationPlan says what an augmentation leaves, reads and adds.
	AugmentationPlan = protocol.AugmentationPlan

	// Model is a graph of layers; NewModel builds one.
	Model = protocol.Model
	// Parameter is a named array of a model.
	Parameter = protocol.Parameter
	// Init says how a parameter starts.
	Init = protocol.Init
	// Layer is a node of a model.
	Layer = protocol.Layer

	// ProgramRequest is what an objective knows when it plans.
	ProgramRequest = protocol.ProgramRequest
	// Program is what the training loop must do for an objective.
	Program = protocol.Program
	// LabelFacts describes a label column.
	LabelFacts = protocol.LabelFacts
	// ViewNeed is a view of each sample: a name and a pipeline.
	ViewNeed = protocol.ViewNeed
	// Head is a model on top of an output of the encoder.
	Head = protocol.Head
	// Pass is one run of a view through a network.
	Pass = protocol.Pass
	// Tap is an output of a pass that the loss reads.
	Tap = protocol.Tap
	// Network says which copy of the weights a pass uses.
	Network = protocol.Network
	// Fact is a line for the plan.
	Fact = protocol.Fact
	// LossAnswer is a loss with metrics.
	LossAnswer = protocol.LossAnswer
	// Metric is a named number.
	Metric = protocol.Metric

	// TaskNeedsRequest is what a task knows when it says what it needs.
	TaskNeedsRequest = protocol.TaskNeedsRequest
	// TaskNeeds says which labels a task reads and how much its answers take.
	TaskNeeds = protocol.TaskNeeds
	// ScoreAnswer is how well a task did.
	ScoreAnswer = protocol.ScoreAnswer
	// Figure is data that the report draws; make one with MatrixFigure, ScatterFigure or PanelsFigure.
	Figure = protocol.Figure
	// Matrix is a confusion matrix: rows are the truth.
	Matrix = protocol.Matrix
	// Scatter is a cloud of points, lines, or lines over a cloud.
	Scatter = protocol.Scatter
	// ScatterSeries is one line of a Scatter.
	ScatterSeries = protocol.Scatter_Series
	// Panels are pictures of objects: a query and its neighbours a line.
	Panels = protocol.Panels
	// PanelsLine is one line of Panels.
	PanelsLine = protocol.Panels_Line
)

// Values of the enumerations.
const (
	F32 = protocol.DType_F32
	F64 = protocol.DType_F64
	U8  = protocol.DType_U8
	I64 = protocol.DType_I64

	Linear    = protocol.Flux_LINEAR
	Stretched = protocol.Flux_STRETCHED

	Number = protocol.Field_NUMBER
	String = protocol.Field_STRING

	Online   = protocol.Network_ONLINE
	Momentum = protocol.Network_MOMENTUM

	Neither = protocol.Metric_NEITHER
	Higher  = protocol.Metric_HIGHER
	Lower   = protocol.Metric_LOWER
)

// MatrixFigure makes a figure of a confusion matrix.
func MatrixFigure(title string, m *Matrix) *Figure {
	return &Figure{Title: title, Is: &protocol.Figure_Matrix{Matrix: m}}
}

// ScatterFigure makes a figure of points and lines.
func ScatterFigure(title string, s *Scatter) *Figure {
	return &Figure{Title: title, Is: &protocol.Figure_Scatter{Scatter: s}}
}

// PanelsFigure makes a figure of objects and their neighbours.
func PanelsFigure(title string, p *Panels) *Figure {
	return &Figure{Title: title, Is: &protocol.Figure_Panels{Panels: p}}
}

type (
	// Source gives keyed draws: uniforms, integers, normals, permutations.
	Source = key.Source
	// Key names a stream of randomness; At gives its Source at two counters.
	Key = key.Key
)

// NewKey makes the key of (seed, purpose, path…), for randomness that is not a view's: a bootstrap, a subset.
func NewKey(seed uint64, purpose string, path ...string) Key { return key.New(seed, purpose, path...) }

// SampleID gives the sample id of an object from its name.
func SampleID(id string) uint64 { return key.Sample(id) }
