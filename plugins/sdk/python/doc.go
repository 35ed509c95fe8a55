// Package python holds the Python SDK, asterism_plugin; its tests are here, because they run it under the real host.
package python

//go:generate ./generate.sh
