package run

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

func at(seconds float64) time.Time {
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9))
}

// The golden file is made by testdata/events.py from the format's description, with its own checksum.
func TestEventsAreTheBytesOfTheFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	w, err := openEvents(path, 0, at(1700000000.5))
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		step   uint64
		wall   float64
		values []Scalar
	}{
		{0, 1700000001, []Scalar{{"train/loss", 8.125}}},
		{300, 1700000002.25, []Scalar{{"train/loss", 0.1}, {"train/σ", -2.5e-8}}},
		{1 << 40, 1700000003, []Scalar{{string(bytes.Repeat([]byte("x"), 200)), math.Inf(1)}}},
	}
	for _, s := range steps {
		if err := w.Scalars(s.step, at(s.wall), s.values...); err != nil {
			t.Fatal(err)
		}
	}
	offset := w.Offset()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/events.golden")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("file:\n%x\nwant:\n%x", got, want)
	}
	if offset != int64(len(want)) {
		t.Errorf("Offset is %d after %d bytes", offset, len(want))
	}
}

// A run resumed from a checkpoint has the file that an uninterrupted one has: steps after the checkpoint are written once.
func TestEventsResumeAtTheCheckpoint(t *testing.T) {
	dir := t.TempDir()
	write := func(w *EventWriter, from, to uint64) {
		t.Helper()
		for step := from; step < to; step++ {
			if err := w.Scalars(step, at(1e9+float64(step)), Scalar{"train/loss", 1 / float64(step+1)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	open := func(name string, offset int64) *EventWriter {
		t.Helper()
		w, err := openEvents(filepath.Join(dir, name), offset, at(1e9))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.Close() })
		return w
	}
	whole := open("whole", 0)
	write(whole, 0, 20)

	first := open("resumed", 0)
	write(first, 0, 10)
	checkpoint := first.Offset()
	write(first, 10, 17) // lost: after the checkpoint
	first.file.Close()
	second := open("resumed", checkpoint)
	write(second, 10, 20)

	a, _ := os.ReadFile(whole.Path())
	b, _ := os.ReadFile(second.Path())
	if !bytes.Equal(a, b) {
		t.Fatalf("a resumed file has %d bytes, an uninterrupted one %d, or they differ", len(b), len(a))
	}
	steps := parseSteps(t, b)
	if len(steps) != 20 {
		t.Fatalf("%d events with scalars, want 20", len(steps))
	}
	for i, step := range steps {
		if step != uint64(i) {
			t.Errorf("event %d is of step %d", i, step)
		}
	}
}

// parseSteps reads the framing with a checksum of its own and gives the steps of the events with scalars.
func parseSteps(t *testing.T, b []byte) (steps []uint64) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 12 {
			t.Fatal("half a record at the end")
		}
		n := binary.LittleEndian.Uint64(b)
		if got, want := binary.LittleEndian.Uint32(b[8:]), slowMaskedCRC(b[:8]); got != want {
			t.Fatalf("checksum of a length is %08x, want %08x", got, want)
		}
		event := b[12 : 12+n]
		if got, want := binary.LittleEndian.Uint32(b[12+n:]), slowMaskedCRC(event); got != want {
			t.Fatalf("checksum of an event is %08x, want %08x", got, want)
		}
		b = b[16+n:]
		var step uint64
		scalars := false
		for len(event) > 0 {
			number, kind, size := protowire.ConsumeTag(event)
			event = event[size:]
			switch {
			case number == 2 && kind == protowire.VarintType:
				step, _ = protowire.ConsumeVarint(event)
			case number == 5:
				scalars = true
			}
			event = event[protowire.ConsumeFieldValue(number, kind, event):]
		}
		if scalars {
			steps = append(steps, step)
		}
	}
	return steps
}

// slowMaskedCRC is CRC-32C bit by bit.
func slowMaskedCRC(b []byte) uint32 {
	crc := ^uint32(0)
	for _, c := range b {
		crc ^= uint32(c)
		for range 8 {
			crc = crc>>1 ^ 0x82f63b78*(crc&1)
		}
	}
	crc = ^crc
	return (crc>>15 | crc<<17) + 0xa282ead8
}

func TestEventsRefuseAnOffsetBeyondTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	if err := os.WriteFile(path, []byte("short"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenEvents(path, 100); err == nil {
		t.Fatal("opened at an offset that the file does not have")
	}
	if b, _ := os.ReadFile(path); string(b) != "short" {
		t.Errorf("the refused file was changed: %q", b)
	}
}
