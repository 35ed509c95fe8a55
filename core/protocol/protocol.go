// Package protocol is what crosses the border between Asterism and its plugins: messages, tensors in shared memory,
// and the line over which the memory travels.
//
// Control goes through gRPC, on the messages of asterism.proto. Bytes do not: a Tensor describes memory in an Arena
// that host and plugin both map, and View gives it as a slice:
//
//	a, err := protocol.NewArena(1<<20, protocol.HostWrites)
//	t := &protocol.Tensor{Offset: 64, Dtype: protocol.DType_F32, Shape: []int64{2, 3}}
//	x, err := protocol.View[float32](a.Bytes(), t)
//
// It imports nothing of ours.
package protocol

//go:generate ./generate.sh

// API is the version of the plugin contract that this build speaks.
const API = 1

// MaxMessage is the size in bytes that one gRPC message may have, in either direction.
const MaxMessage = 16 << 20

// The handshake: a process is a plugin when CookieName has CookieValue in its environment, and ChannelEnv then gives
// the descriptor of the channel over which arenas come. DirEnv gives the folder that the plugin is installed in.
const (
	CookieName  = "ASTERISM_PLUGIN"
	CookieValue = "asterism-plugin-1d6f0e5c"
	ChannelEnv  = "ASTERISM_CHANNEL_FD"
	DirEnv      = "ASTERISM_PLUGIN_DIR"
)
