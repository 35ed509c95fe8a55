package reporttest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A check that cannot fail checks nothing: the console of a faulty page is seen, what its script made is in the DOM.
func TestFaultyPagesAreSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a page.html")
	page := `<!doctype html><link rel=icon href="data:,"><p>x</p><script>document.body.append("made"); console.error("trouble"); undefined.x</script>`
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	dom, console := Open(t, "file://"+path)
	all := strings.Join(console, "\n")
	if !strings.Contains(all, "trouble") || !strings.Contains(all, "TypeError") {
		t.Errorf("the console's messages are not seen: %q", console)
	}
	if !strings.Contains(dom, "made") {
		t.Errorf("the DOM is %q", dom)
	}
}

func TestLoadsAreFound(t *testing.T) {
	page := `<img src="https://a/b.png"><a href="#x"><img alt="q" src='data:image/png;base64,AA'><script src=x.js></script>
<style>@import "y.css"; p { background: url(http://z/q.png) } i { background: url("data:,") }</style>
<p>a text that names https://example.org and src="text" loads nothing</p>`
	got := strings.Join(Loads([]byte(page)), " ")
	if want := "https://a/b.png x.js y.css http://z/q.png"; got != want {
		t.Errorf("found %q, want %q", got, want)
	}
}
