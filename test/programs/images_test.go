//go:build images

package programs

import (
	"os"
	"path/filepath"
	"testing"
)

// TestImages builds every group's image and compares its scripts. It takes half
// an hour with empty caches and needs root: `make test-images` runs it.
func TestImages(t *testing.T) {
	dir := os.Getenv("MEGABIN_IMAGES") // the images stay there
	if dir == "" {
		t.Fatal("MEGABIN_IMAGES must name a directory: use `make test-images`")
	}
	megabin, err := filepath.Abs("../../bin/megabin")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range Groups() {
		t.Run(g.Name, func(t *testing.T) {
			img, err := g.Build(megabin, dir)
			if err != nil {
				t.Fatal(err)
			}
			g.run(t, megabin, img)
			if g.Host != nil {
				t.Run("host", func(t *testing.T) {
					if err := g.Host(megabin, img); err != nil {
						t.Fatal(err)
					}
				})
			}
		})
	}
}
