package protocol

//go:generate ./generate.sh

// API is the version of the plugin contract that this build speaks.
const API = 1
