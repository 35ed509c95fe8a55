package main

import (
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

// The plugin keeps the contract.
func TestConforms(t *testing.T) { sdktest.Conform(t, ".") }
