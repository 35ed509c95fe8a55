package stage

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
)

// Key gives the key of a stage: the first 32 hexadecimal digits of the SHA-256 of Describe(name, parts).
func Key(name string, parts any) string {
	sum := sha256.Sum256([]byte(Describe(name, parts)))
	return hex.EncodeToString(sum[:16])
}

// Describe gives the text whose digest is the key, {"name":…,"parts":…} as canonical JSON, for Do to keep beside the
// result: two keys differ where their descriptions do.
//
// Canonical JSON has sorted keys, no spaces and one way to write a number (1, 1.0 and 1e0 are the same). Parts that
// JSON cannot write (a function, a NaN) are a mistake in the calling code and panic.
func Describe(name string, parts any) string {
	text, err := json.Marshal(map[string]any{"name": name, "parts": parts})
	if err != nil {
		panic(fmt.Sprintf("stage: the parts of the key of %q: %v", name, err))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(fmt.Sprintf("stage: the parts of the key of %q: %v", name, err)) // Marshal wrote it
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(plain(v)); err != nil {
		panic(fmt.Sprintf("stage: the parts of the key of %q: %v", name, err))
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// plain writes every number in a decoded JSON value in its one way.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any: // Encode sorts the keys
		for k := range v {
			v[k] = plain(v[k])
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case json.Number:
		if i, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
			return u
		}
		f, err := strconv.ParseFloat(v.String(), 64)
		if err != nil {
			return v // beyond float64: as it is written
		}
		if i := int64(f); f > -1<<53 && f < 1<<53 && float64(i) == f {
			return i
		}
		return f
	}
	return v
}
