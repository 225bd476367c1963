package image

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"megabinary.dev/engine/store"
)

const someDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// FuzzManifest reads manifests and indexes.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + someDigest + `","size":0},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"` + someDigest + `","size":3}]}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + someDigest + `","size":1,"platform":{"os":"linux","architecture":"amd64"}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parseManifest(b); err == nil && len(m.Layers) > maxLayers {
			t.Fatalf("%d layers", len(m.Layers))
		}
		var ix index
		if json.Unmarshal(b, &ix) == nil {
			if d, err := pickPlatform(ix); err == nil && len(ix.Manifests) == 0 {
				t.Fatalf("%+v out of nothing", d)
			}
		}
	})
}

// FuzzLayout reads a layout whose index, and one blob of it, are hostile. Nothing
// may be made outside of the store.
func FuzzLayout(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"`+someDigest+`","size":0}]}`), []byte(nil))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:../../../../etc/passwd","size":9}]}`), []byte("{}"))
	f.Fuzz(func(t *testing.T, index, blob []byte) {
		dir := t.TempDir()
		layout := filepath.Join(dir, "layout")
		if err := os.MkdirAll(filepath.Join(layout, "blobs", "sha256"), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "index.json": index,
			"blobs/sha256/" + strings.TrimPrefix(someDigest, "sha256:"): blob} {
			if err := os.WriteFile(filepath.Join(layout, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := store.Open(filepath.Join(dir, "store"))
		if err != nil {
			t.Fatal(err)
		}
		ref, err := ParseRef("oci:" + layout)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Pull(t.Context(), ref, s); err == nil && len(blob) == 0 {
			t.Fatal("an image out of nothing")
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 2 {
			t.Fatalf("%v, %v", entries, err)
		}
	})
}
