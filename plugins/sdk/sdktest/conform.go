package sdktest

import (
	"errors"
	"os"
	"os/exec"
	"testing"
)

// Conform checks the plugin in a folder against the contract, as `asterism plugin test FOLDER` does, and shows what was
// found. It is all that an author's own test needs to say:
//
//	func TestConforms(t *testing.T) { sdktest.Conform(t, ".") }
//
// The command is the one that the variable ASTERISM names, an absolute path, or else asterism in PATH.
func Conform(t testing.TB, folder string) {
	t.Helper()
	command := os.Getenv("ASTERISM")
	if command == "" {
		found, err := exec.LookPath("asterism")
		if err != nil {
			t.Fatalf("the conformance kit is in asterism, which is not to be had (%v): put it into PATH, or name it, as in: ASTERISM=/where/it/is/asterism go test", err)
		}
		command = found
	}
	said, err := exec.CommandContext(t.Context(), command, "plugin", "test", folder).CombinedOutput()
	t.Logf("%s plugin test %s\n%s", command, folder, said)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		t.Fatalf("the plugin does not pass: %v", err)
	case err != nil:
		t.Fatalf("the conformance kit cannot be started: %v; ASTERISM is %q", err, os.Getenv("ASTERISM"))
	}
}
