package main

import (
	"path/filepath"
	"testing"

	"github.com/asterism-ssl/asterism/core/report/reporttest"
)

// TestReportOfARun opens the page that a real run leaves in a browser: no error, nothing loaded from elsewhere, every
// question answered on it.
func TestReportOfARun(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	dir := t.TempDir()
	if out, err := command(t, dir, "--progress", "none", "run", "tiny.cue").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "runs", "tiny-*", "report.html"))
	if err != nil || len(pages) != 1 {
		t.Fatalf("%d reports: %v", len(pages), err)
	}
	reporttest.CheckInBrowser(t, pages[0], "tiny", "morphology", "photoz", "neighbours", "untrained", "Confusion", "skysim.galaxies")
}
