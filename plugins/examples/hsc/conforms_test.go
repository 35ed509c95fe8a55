package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

// The plugin keeps the contract.
func TestConforms(t *testing.T) {
	if _, err := exec.LookPath("asterism"); err != nil && os.Getenv("ASTERISM") == "" {
		t.Skip("needs asterism in PATH, or ASTERISM=/where/it/is/asterism")
	}
	sdktest.Conform(t, ".")
}
