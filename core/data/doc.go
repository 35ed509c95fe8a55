// Package data keeps the objects of an experiment: pixels, ids and columns, in files that are mapped into memory and
// gathered at random.
//
// Ingest streams the records of dataset plugins through a frame (one size, one list of bands) into a directory:
//
//	store.json           facts, columns, what was left out, sizes and hashes of the rest
//	objects.arrow        id, sample id, source and the columns of every object
//	pixels-00000.arrow … the pixels, uncompressed, as fixed-shape tensors; bytes stay bytes
//	bad.jsonl            every record that was left out, and why
//
// All are Arrow IPC files that other software reads. Open checks them and gives a Store; Split parts its rows into
// training, validation and test; Statistics measures the bands.
package data
