// Package stage keeps what was computed once: directories named by the content of what made them.
//
// A stage's key is the digest of everything its result depends on. Do looks the key up and, when it is not there,
// builds the stage in a directory beside, syncs it, writes stage.json and renames it into place, so that a stage is
// either complete or absent, whenever and however a process ends. Two processes that want the same stage build it once:
// a lock makes one wait for the other.
//
// In a cache directory lie, for a key K:
//
//	K/              a complete stage: its files and stage.json
//	K.building-…/   being built, or left by a crash; removed by the next builder of K and by GC
//	K.lock          flock of whoever builds or removes K
//	.digests/       digests of files outside, remembered by size, mtime and inode
//
// A process holds a shared lock on the stage.json of each stage that it uses until it closes its Cache; GC leaves those
// stages alone.
package stage
