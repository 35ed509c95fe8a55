package run

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"os"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// EventWriter appends scalars to a TensorBoard event file. The file is a sequence of TFRecords, each an Event message;
// both are written by hand, since a handful of fields is all that scalars need. A record is handed to the system whole,
// and taken back when it could not be written whole, so the file never ends in half a record of ours.
//
// Not safe for concurrent use.
type EventWriter struct {
	path   string
	file   *os.File
	offset int64
	event  []byte // scratch: one Event
	value  []byte // scratch: one Summary, then one Value
	record []byte // scratch: the framed Event
}

// Scalar is one value of an event. TensorBoard keeps it in single precision.
type Scalar struct {
	Tag   string // "train/loss"
	Value float64
}

// EventsFile is the event file of a run directory. TensorBoard looks for tfevents in a name; the rest is ours, and always
// the same, so that a directory has one.
const EventsFile = "events.out.tfevents.0.asterism"

// OpenEvents opens the event file at path for writing from offset on: 0 starts it anew, any other offset is one that
// Offset gave, and what was written after it is cut off, so that a run resumed from a checkpoint shows no step twice.
func OpenEvents(path string, offset int64) (*EventWriter, error) {
	return openEvents(path, offset, time.Now())
}

func openEvents(path string, offset int64, now time.Time) (*EventWriter, error) {
	file, err := Continue(path, offset)
	if err != nil {
		return nil, err
	}
	w := &EventWriter{path: path, file: file, offset: offset}
	if offset == 0 {
		// Event{wall_time = 1, file_version = 3}: TensorBoard wants it first.
		w.event = appendWallTime(w.event[:0], now)
		w.event = protowire.AppendTag(w.event, 3, protowire.BytesType)
		w.event = protowire.AppendString(w.event, "brain.Event:2")
		if err := w.append(); err != nil {
			file.Close()
			return nil, unwritten(path, err)
		}
	}
	return w, nil
}

// Scalars writes one event with the values of one step, measured at the time wall.
func (w *EventWriter) Scalars(step uint64, wall time.Time, values ...Scalar) error {
	// Event{wall_time = 1 double, step = 2 int64, summary = 5 Summary}; Summary{value = 1 repeated Value};
	// Value{tag = 1 string, simple_value = 2 float}.
	w.value = w.value[:0]
	for _, v := range values {
		size := protowire.SizeTag(1) + protowire.SizeBytes(len(v.Tag)) + protowire.SizeTag(2) + protowire.SizeFixed32()
		w.value = protowire.AppendTag(w.value, 1, protowire.BytesType)
		w.value = protowire.AppendVarint(w.value, uint64(size))
		w.value = protowire.AppendTag(w.value, 1, protowire.BytesType)
		w.value = protowire.AppendString(w.value, v.Tag)
		w.value = protowire.AppendTag(w.value, 2, protowire.Fixed32Type)
		w.value = protowire.AppendFixed32(w.value, math.Float32bits(float32(v.Value)))
	}
	w.event = appendWallTime(w.event[:0], wall)
	w.event = protowire.AppendTag(w.event, 2, protowire.VarintType)
	w.event = protowire.AppendVarint(w.event, step)
	w.event = protowire.AppendTag(w.event, 5, protowire.BytesType)
	w.event = protowire.AppendBytes(w.event, w.value)
	if err := w.append(); err != nil {
		return unwritten(w.path, err)
	}
	return nil
}

// Offset is the length of the file so far, for a checkpoint to keep.
func (w *EventWriter) Offset() int64 { return w.offset }

// Path is where the events are.
func (w *EventWriter) Path() string { return w.path }

// Sync waits until what was written is on the disk: a checkpoint must not keep an offset that a power cut takes away.
func (w *EventWriter) Sync() error { return w.file.Sync() }

// Close syncs and closes the file.
func (w *EventWriter) Close() error { return errors.Join(w.file.Sync(), w.file.Close()) }

func appendWallTime(b []byte, t time.Time) []byte {
	b = protowire.AppendTag(b, 1, protowire.Fixed64Type)
	return protowire.AppendFixed64(b, math.Float64bits(float64(t.Unix())+float64(t.Nanosecond())/1e9))
}

// append frames w.event as a TFRecord and writes it: length (8 bytes), its checksum (4), the data, their checksum (4), all
// little endian.
func (w *EventWriter) append() error {
	w.record = binary.LittleEndian.AppendUint64(w.record[:0], uint64(len(w.event)))
	w.record = binary.LittleEndian.AppendUint32(w.record, maskedCRC(w.record[:8]))
	w.record = append(w.record, w.event...)
	w.record = binary.LittleEndian.AppendUint32(w.record, maskedCRC(w.event))
	if _, err := w.file.WriteAt(w.record, w.offset); err != nil {
		return errors.Join(err, w.file.Truncate(w.offset))
	}
	w.offset += int64(len(w.record))
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is the checksum of TFRecords: CRC-32C, rotated right by 15 bits and offset, so that a checksum of data that
// hold checksums stays meaningful.
func maskedCRC(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}
