package run

// The folder and the files with which a run shows its samples.
const (
	PicturesDir = "pictures"
	SheetsFile  = "sheets.json"
	MapFile     = "map.json"
)

// Sheet is what one pipeline makes of some samples, step by step: pictures/sheets.json is a list of them.
type Sheet struct {
	View  string      `json:"view"`
	Steps []string    `json:"steps"` // components; the first is empty, for the stored sample
	Lines []SheetLine `json:"lines"`
}

// SheetLine is one view of one sample.
type SheetLine struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`   // of the view as the objective has it: "query"
	Epoch  int      `json:"epoch"`  // in which training draws it, counted from 0
	Images []string `json:"images"` // PNG files in pictures, one after each step
}

// Map is pictures/map.json: where objects lie along the two principal axes of their representations.
type Map struct {
	Objects int        `json:"objects"` // of the run; those shown are drawn from them
	Shares  [2]float64 `json:"shares"`  // of the variance of the representations that the axes hold
	Shown   []MapDot   `json:"shown"`
	Labels  []MapLabel `json:"labels"`
	Mosaic  string     `json:"mosaic"` // PNG file in pictures: in each cell the object nearest to its middle
	Across  int        `json:"across"` // cells of the mosaic
	Down    int        `json:"down"`
	Low     [2]float64 `json:"low"` // the corners of mosaic and map
	High    [2]float64 `json:"high"`
}

// MapDot is an object on the map.
type MapDot struct {
	ID string  `json:"id"`
	X  float64 `json:"x"`
	Y  float64 `json:"y"`
}

// MapLabel is a column by which the objects can be coloured.
type MapLabel struct {
	Name       string     `json:"name"`
	Values     []*float64 `json:"values"` // of each object shown; nil where it is missing; for text the index into Categories
	Categories []string   `json:"categories,omitempty"`
}
