package programs

import (
	"path/filepath"
	"testing"
)

func TestSmallImage(t *testing.T) {
	megabin, err := filepath.Abs("../../bin/megabin")
	if err != nil {
		t.Fatal(err)
	}
	img, err := BuildSmall(megabin, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	small := Small()
	small.run(t, megabin, img)
}

// run compares the scripts and sessions of a group, whose image is img.
func (g *Group) run(t *testing.T, megabin string, img *Image) {
	for _, s := range g.Scripts {
		t.Run(s.Name, func(t *testing.T) {
			compare(t, s.Differ, func() (string, int, error) { return img.Native(s.Name) },
				func() (string, int, error) { return img.Megabin(megabin, s.Name) })
		})
	}
	for _, s := range g.Sessions {
		t.Run("session-"+s.Name, func(t *testing.T) {
			compare(t, s.Differ, func() (string, int, error) { return s.Native(img) },
				func() (string, int, error) { return s.Megabin(megabin, img) })
		})
	}
}

// compare runs something natively and here and compares output and exit code.
func compare(t *testing.T, differ []Difference, native, here func() (string, int, error)) {
	want, wantCode, err := native()
	if err != nil {
		t.Fatalf("natively: %v: %s", err, want)
	}
	got, code, err := here()
	if err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	if code != wantCode {
		t.Errorf("status %d, natively %d", code, wantCode)
	}
	if d := Compare(differ, want, got); d != "" {
		t.Errorf("output differs:\n%s", d)
	}
}
