// Package reporttest checks reports as their readers see them: in a browser.
package reporttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// CheckInBrowser opens the report at path in headless Chromium, without network, and fails the test when the console shows
// a message, when the page asks for anything outside itself, or when a heading or text of want is not on the page. Without
// Chromium the test is skipped, or fails where ASTERISM_REQUIRE=1.
func CheckInBrowser(t testing.TB, path string, want ...string) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, load := range Loads(page) {
		t.Errorf("%s loads %q", filepath.Base(path), load)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	dom, console := Open(t, (&url.URL{Scheme: "file", Path: filepath.ToSlash(absolute)}).String())
	for _, line := range console {
		t.Errorf("the browser's console says: %s", line)
	}
	for _, heading := range append([]string{"Results", "Training", "Data", "Plan", "Experiment", "Provenance"}, want...) {
		if !strings.Contains(html.UnescapeString(dom), heading) {
			t.Errorf("the page does not show %q", heading)
		}
	}
}

var (
	attribute = regexp.MustCompile(`(?is)<[a-z][^<>]*?\s(?:src|srcset|href|xlink:href|poster|action|data|background)\s*=\s*["']?([^"'\s>]*)`)
	inStyle   = regexp.MustCompile(`(?is)(?:url\(\s*["']?|@import\s+["']?)([^"')\s]*)`)
	styles    = regexp.MustCompile(`(?is)<style[^>]*>(.*?)</style>|\sstyle\s*=\s*"([^"]*)"`)
)

// Loads lists what a page would load or link to outside itself: everything but places on the page and data in it.
func Loads(page []byte) []string {
	var found []string
	add := func(target []byte) {
		s := string(target)
		if s != "" && !strings.HasPrefix(s, "#") && !strings.HasPrefix(s, "data:") {
			found = append(found, s)
		}
	}
	for _, m := range attribute.FindAllSubmatch(page, -1) {
		add(m[1])
	}
	for _, style := range styles.FindAll(page, -1) {
		for _, m := range inStyle.FindAllSubmatch(style, -1) {
			add(m[1])
		}
	}
	return found
}

// Open gives the DOM of the page at an address after loading, and the lines of its console.
func Open(t testing.TB, address string) (dom string, console []string) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("ASTERISM_REQUIRE") == "1" {
			t.Fatal("chromium is required by ASTERISM_REQUIRE=1 and is not installed")
		}
		t.Skip("chromium is not installed: the report is not opened in a browser")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	profile, err := os.MkdirTemp("", "browser")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(profile)
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--user-data-dir="+profile, "--enable-logging=stderr", "--v=0", "--virtual-time-budget=3000", "--dump-dom",
		address)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its helpers end with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("chromium: %v\n%s", err, last(log.String(), 20))
	}
	if out.Len() == 0 {
		t.Fatalf("chromium shows nothing\n%s", last(log.String(), 20))
	}
	for _, line := range strings.Split(log.String(), "\n") {
		if strings.Contains(line, "CONSOLE") {
			console = append(console, line)
		}
	}
	return out.String(), console
}

func last(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if skipped := len(lines) - n; skipped > 0 {
		lines = append([]string{fmt.Sprintf("(%d lines before)", skipped)}, lines[skipped:]...)
	}
	return strings.Join(lines, "\n")
}
