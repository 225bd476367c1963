package layers

import (
	"strings"
	"testing"

	"megabinary.dev/vkernel/linux"
)

func TestMap(t *testing.T) {
	content := strings.Repeat("0123456789", 1000)
	tree, err := openLayers(t, makeTar(t, folder("d"), file("before", "x"), file("d/f", content), file("d/empty", ""), symlink("l", "d/f")))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/d/f": content, "/before": "x", "/d/empty": ""} {
		b, release, err := tree.Map(path, 20_000)
		if err != nil || string(b) != want {
			t.Errorf("%s: %d bytes, %v", path, len(b), err)
			continue
		}
		if err := release(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"/nothing", "/d/f/g", "/d", "/l", "/"} {
		if _, _, err := tree.Map(path, 20_000); linux.ErrnoOf(err) != linux.ENOENT {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, _, err := tree.Map("/d/f", 9_999); err == nil || !strings.Contains(err.Error(), "more than the 9999 allowed") {
		t.Errorf("too large: %v", err)
	}
}
