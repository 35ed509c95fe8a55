package images

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// folder is an open images.folder.
type folder struct {
	config
	files   []file
	fields  []*sdk.Field
	values  [][]any        // of each row of the table, in the order of fields
	row     map[string]int // object's name → row
	name    []string       // of each row, when the table names objects otherwise than files; "" where it names none
	bands   int            // of every record
	bytes   bool           // pixels are delivered as bytes
	fits    bool           // the folder holds FITS, not pictures
	example string         // the file that decided what the folder holds
}

// file is one picture.
type file struct {
	path string // as it can be opened
	slug string // relative to the root, with forward slashes
	name string // of the object, as far as the file says
	size int64
	time int64
}

func newFolder(c config) (sdk.Reader, error) {
	for i, e := range c.Extensions {
		if !strings.HasPrefix(e, ".") || e != strings.ToLower(e) {
			return nil, sdk.FieldError{Field: fmt.Sprintf("extensions.%d", i), What: fmt.Sprintf("%q is no ending: endings begin with a dot and are in lower case", e), Advice: `write for example ".png"`}
		}
	}
	for i, b := range c.Bands {
		if b == "" || slices.Contains(c.Bands[:i], b) {
			return nil, sdk.FieldError{Field: fmt.Sprintf("bands.%d", i), What: fmt.Sprintf("the band name %q is empty or there twice", b), Advice: "give every band a name of its own"}
		}
	}
	if c.Table == "" {
		for _, needs := range []struct {
			field string
			set   bool
		}{{"id", c.ID != ""}, {"file", c.File != ""}, {"columns", len(c.Columns) > 0}} {
			if needs.set {
				return nil, sdk.FieldError{Field: needs.field, What: "there is no table to take it from", Advice: "give the table's path in table, or leave " + needs.field + " out"}
			}
		}
	}
	return &folder{config: c}, nil
}

// Open lists the files, reads the table and decodes the header of the first file that can be decoded.
func (f *folder) Open() (*sdk.Catalogue, error) {
	others, err := f.list()
	if err != nil {
		return nil, err
	}
	if len(f.files) == 0 {
		what := fmt.Sprintf("the folder %s holds no picture: no file ends in %s", f.Root, strings.Join(f.Extensions, ", "))
		if others > 0 {
			what += fmt.Sprintf(", of %d files", others)
		}
		return nil, sdk.DataError{What: what, Advice: "check root, or name the endings in extensions"}
	}
	f.nameFiles()
	facts, err := f.look()
	if err != nil {
		return nil, err
	}
	var notices []*sdk.Notice
	if f.Table != "" {
		if notices, err = f.join(); err != nil {
			return nil, err
		}
	}
	c := &sdk.Catalogue{Count: uint64(len(f.files)), Fields: f.fields, Facts: facts, Dtype: sdk.F32, Scale: 1, Notices: notices, Fingerprint: f.fingerprint()}
	if f.bytes {
		c.Dtype, c.Scale = sdk.U8, 1./255
	}
	return c, nil
}

// list finds the files of the folder and of those directly in it, sorted; others counts the files left aside.
func (f *folder) list() (others int, err error) {
	entries, err := os.ReadDir(f.Root)
	if err != nil {
		if info, statErr := os.Stat(f.Root); statErr == nil && !info.IsDir() {
			return 0, sdk.DataError{What: fmt.Sprintf("root is a file, not a folder: %s", f.Root), Advice: "give the folder that holds the pictures"}
		}
		return 0, sdk.DataError{What: fmt.Sprintf("the folder root = %s cannot be read: %v", f.Root, reason(err)), Advice: "check root; relative paths start at the folder where asterism runs"}
	}
	f.files = nil
	take := func(folder string, entry os.DirEntry) {
		if strings.HasPrefix(entry.Name(), ".") {
			return
		}
		if !slices.ContainsFunc(f.Extensions, func(e string) bool { return strings.HasSuffix(strings.ToLower(entry.Name()), e) }) {
			others++
			return
		}
		one := file{path: filepath.Join(f.Root, folder, entry.Name()), slug: filepath.ToSlash(filepath.Join(folder, entry.Name()))}
		if info, err := os.Stat(one.path); err == nil { // follows links; what is missing shows when it is read
			if info.IsDir() {
				return
			}
			one.size, one.time = info.Size(), info.ModTime().UnixNano()
		}
		f.files = append(f.files, one)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		info, err := os.Stat(filepath.Join(f.Root, entry.Name()))
		if err != nil || !info.IsDir() {
			take("", entry)
			continue
		}
		inner, err := os.ReadDir(filepath.Join(f.Root, entry.Name()))
		if err != nil {
			return 0, sdk.DataError{What: fmt.Sprintf("the folder %s cannot be read: %v", filepath.Join(f.Root, entry.Name()), reason(err)), Advice: "check its permissions"}
		}
		for _, e := range inner {
			take(entry.Name(), e)
		}
	}
	slices.SortFunc(f.files, func(a, b file) int { return strings.Compare(a.slug, b.slug) })
	return others, nil
}

// nameFiles names objects by the file name without its ending; by the path where two folders have the same name, and
// with the ending where one folder has.
func (f *folder) nameFiles() {
	stem := func(name string) string {
		longest := ""
		for _, e := range f.Extensions {
			if strings.HasSuffix(strings.ToLower(name), e) && len(e) > len(longest) {
				longest = e
			}
		}
		return name[:len(name)-len(longest)]
	}
	forms := []func(string) string{
		func(slug string) string { return stem(slug[strings.LastIndexByte(slug, '/')+1:]) },
		stem,
		func(slug string) string { return slug },
	}
	left := make([]int, len(f.files))
	for i := range left {
		left[i] = i
	}
	taken := map[string]bool{}
	for _, form := range forms {
		count := map[string]int{}
		for _, i := range left {
			count[form(f.files[i].slug)]++
		}
		var again []int
		for _, i := range left {
			name := form(f.files[i].slug)
			if count[name] > 1 || taken[name] {
				again = append(again, i)
				continue
			}
			f.files[i].name = name
			taken[name] = true
		}
		left = again
	}
	for _, i := range left { // a path that is another file's name: as good as impossible, and still unique
		f.files[i].name = "./" + f.files[i].slug
	}
}

// look decodes headers until one can be decoded: it decides the shape, the bands and the type of the folder.
func (f *folder) look() (*sdk.SampleFacts, error) {
	firstReason := ""
	for _, one := range f.files {
		p, err := f.decodeFile(one.path, true)
		if err != nil {
			if firstReason == "" {
				firstReason = fmt.Sprintf("%s: %v", one.slug, err)
			}
			continue
		}
		f.example, f.bands, f.bytes, f.fits = one.slug, p.bands(), p.u8 != nil, p.fits
		facts := &sdk.SampleFacts{Bands: f.Bands, Flux: sdk.Stretched, Unit: f.Unit, PixelScale: f.PixelScale}
		for _, n := range p.shape {
			facts.Shape = append(facts.Shape, int64(n))
		}
		if len(f.Bands) == 0 {
			facts.Bands = bandNames(p)
		}
		if len(facts.Bands) != f.bands {
			return nil, sdk.FieldError{Field: "bands", What: fmt.Sprintf("%d bands are named, %s, and %s has %d", len(facts.Bands), strings.Join(facts.Bands, ", "), one.slug, f.bands), Advice: "name as many bands as there are, or leave bands out"}
		}
		if f.Flux == "linear" || f.Flux == "" && p.fits {
			facts.Flux = sdk.Linear
		}
		return facts, nil
	}
	return nil, sdk.DataError{What: fmt.Sprintf("none of the %d files in %s can be decoded; the first, %s", len(f.files), f.Root, firstReason), Advice: "check that the download is complete"}
}

func bandNames(p *pixels) []string {
	switch {
	case !p.fits && p.bands() == 3:
		return []string{"R", "G", "B"}
	case !p.fits:
		return []string{"L"}
	}
	var names []string
	for i := range p.bands() {
		names = append(names, fmt.Sprintf("band%d", i+1))
	}
	return names
}

// join reads the table and finds the row of each file.
func (f *folder) join() ([]*sdk.Notice, error) {
	base := filepath.Base(f.Table)
	text, err := readTable(f.Table)
	if err != nil {
		return nil, sdk.DataError{What: fmt.Sprintf("the table %s cannot be read: %v", f.Table, reason(err)), Advice: "check table; relative paths start at the folder where asterism runs"}
	}
	wanted := slices.Clone(f.Columns)
	for _, c := range []string{f.ID, f.File} {
		if c != "" {
			wanted = append(wanted, c)
		}
	}
	t, err := parseTable(text, wanted)
	if err != nil {
		return nil, sdk.DataError{What: fmt.Sprintf("the table %s cannot be read: %v", f.Table, err), Advice: "it should be CSV, or columns between spaces, under a line of column names"}
	}
	find := func(field, name string) (int, error) {
		i := slices.Index(t.names, name)
		if i < 0 {
			what, advice := t.noColumn(name)
			return 0, sdk.FieldError{Field: field, What: fmt.Sprintf("the table %s %s", base, what), Advice: advice}
		}
		return i, nil
	}
	key, id := 0, -1
	if f.ID != "" {
		if key, err = find("id", f.ID); err != nil {
			return nil, err
		}
	}
	if f.File != "" {
		if f.ID != "" {
			id = key
		}
		if key, err = find("file", f.File); err != nil {
			return nil, err
		}
	}
	f.fields, f.values, f.name, f.row = nil, make([][]any, len(t.rows)), nil, map[string]int{}
	type finding struct {
		what     string
		examples []string
	}
	var cells []finding
	var blank []string
	for i, name := range f.Columns {
		c, err := find(fmt.Sprintf("columns.%d", i), name)
		if err != nil {
			return nil, err
		}
		values, numbers, bad := t.column(c)
		if !slices.ContainsFunc(values, func(v any) bool { return v != nil }) {
			blank = append(blank, name)
		}
		field := &sdk.Field{Name: name, Type: sdk.String}
		if numbers {
			field.Type = sdk.Number
		}
		f.fields = append(f.fields, field)
		for r, v := range values {
			f.values[r] = append(f.values[r], v)
		}
		var examples []string
		for _, r := range bad {
			examples = append(examples, fmt.Sprintf("%s: %s", t.rows[r][key], clip(t.rows[r][c])))
		}
		cells = append(cells, finding{fmt.Sprintf("cells that are no numbers in the column %q, taken as missing", name), examples})
	}
	byFile := f.byFile()
	var orphans, again []string
	found := map[string]bool{}
	names := map[string]bool{}
	for r, row := range t.rows {
		object, known := byFile[filepath.ToSlash(filepath.Clean(row[key]))]
		if !known {
			orphans = append(orphans, row[key])
			continue
		}
		if _, ok := f.row[object]; ok || id >= 0 && row[id] != "" && names[row[id]] {
			again = append(again, fmt.Sprintf("%s, row %d", row[key], r+1))
			continue
		}
		f.row[object] = r
		found[object] = true
		if id >= 0 {
			names[row[id]] = true
		}
	}
	if id >= 0 {
		for _, row := range t.rows {
			f.name = append(f.name, row[id])
		}
	}
	if len(found) == 0 && len(t.rows) > 0 {
		return nil, sdk.DataError{What: fmt.Sprintf("no row of the table %s belongs to a file: its column %q holds %q, and the first file is %q", base, t.names[key], t.rows[0][key], f.files[0].slug),
			Advice: "name the column of object names in id, or the column of file names in file"}
	}
	var bare []string
	for _, one := range f.files {
		if !found[one.name] {
			bare = append(bare, one.slug)
		}
	}
	var notices []*sdk.Notice
	for _, n := range append([]finding{
		{"rows of the table without an image", orphans},
		{"images without a row in the table", bare},
		{"rows of the table for an object that has one", again},
		{"lines of the table with another number of fields than its header", t.ragged},
		{"columns of the table without any value", blank},
	}, cells...) {
		if len(n.examples) > 0 {
			notices = append(notices, &sdk.Notice{What: n.what, Count: uint64(len(n.examples)), Examples: n.examples[:min(3, len(n.examples))]})
		}
	}
	return notices, nil
}

// byFile gives object names by what a table may call them: the name itself, the file's name, its path.
func (f *folder) byFile() map[string]string {
	by := map[string]string{}
	count := map[string]int{}
	for _, one := range f.files {
		count[one.slug[strings.LastIndexByte(one.slug, '/')+1:]]++
	}
	for _, one := range f.files {
		by[one.slug] = one.name
		if base := one.slug[strings.LastIndexByte(one.slug, '/')+1:]; count[base] == 1 {
			by[base] = one.name
		}
	}
	for _, one := range f.files {
		by[one.name] = one.name
	}
	return by
}

func readTable(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("it is not a file")
	}
	if info.Size() > 4<<30 {
		return nil, fmt.Errorf("it has %d GB", info.Size()>>30)
	}
	return os.ReadFile(path)
}

// fingerprint digests everything that records depend on: the configuration, where the files are, and their names, sizes
// and times. A relative path means another place in another folder, so the absolute ones count.
func (f *folder) fingerprint() string {
	h := sha256.New()
	c := f.config
	for _, path := range []*string{&c.Root, &c.Table} {
		if absolute, err := filepath.Abs(*path); err == nil && *path != "" {
			*path = absolute
		}
	}
	text, _ := json.Marshal(c)
	h.Write(text)
	for _, one := range f.files {
		fmt.Fprintf(h, "\n%q %d %d", one.slug, one.size, one.time)
	}
	if info, err := os.Stat(f.Table); f.Table != "" && err == nil {
		io.WriteString(h, fmt.Sprintf("\ntable %d %d", info.Size(), info.ModTime().UnixNano()))
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// Read decodes file i.
func (f *folder) Read(i int, r *sdk.Record) error {
	if i < 0 || i >= len(f.files) {
		return fmt.Errorf("images: there is no record %d of %d", i, len(f.files))
	}
	f.record(f.files[i], r)
	return nil
}

// ReadFile decodes a file that need not be in the folder. Its columns are those of the row that its name belongs to.
func (f *folder) ReadFile(path string, r *sdk.Record) error {
	slug := filepath.Base(path)
	name := slug
	for _, e := range f.Extensions {
		if short := slug[:max(0, len(slug)-len(e))]; strings.HasSuffix(strings.ToLower(slug), e) && len(short) < len(name) {
			name = short
		}
	}
	f.record(file{path: path, slug: slug, name: name}, r)
	return nil
}

func (f *folder) record(one file, r *sdk.Record) {
	*r = sdk.Record{ID: one.name, Values: make([]any, len(f.fields))}
	if row, ok := f.row[one.name]; ok {
		copy(r.Values, f.values[row])
		if f.name != nil && f.name[row] != "" {
			r.ID = f.name[row]
		}
	}
	p, err := f.decodeFile(one.path, false)
	switch {
	case err != nil:
		r.Bad = fmt.Sprintf("%s: %v", one.slug, err)
	case p.fits != f.fits:
		r.Bad = fmt.Sprintf("%s: it is of another kind than %s: one is FITS, the other a picture", one.slug, f.example)
	case p.bands() != f.bands:
		r.Bad = fmt.Sprintf("%s: it has %d bands, %s has %d", one.slug, p.bands(), f.example, f.bands)
	case f.bytes && p.u8 == nil:
		r.Bad = fmt.Sprintf("%s: it has 16 bits a value, %s has 8", one.slug, f.example)
	case f.bytes:
		r.Shape, r.U8 = p.shape, p.u8
	default:
		r.Shape, r.F32 = p.shape, p.floats()
	}
}
