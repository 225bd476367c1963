package image

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// TestReferrers attaches to images in a layout, in a registry with the referrers
// API and in one without, where an index by tag stands for it.
func TestReferrers(t *testing.T) {
	const kind = "application/vnd.example.note"
	ctx := context.Background()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	defer server.Close()
	s := newStore(t)
	source := asLayout(t, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: newImage(t, types.OCIManifestSchema1)}))
	image, err := Pull(ctx, parse(t, "oci:"+source), s)
	if err != nil {
		t.Fatal(err)
	}
	other := image.Manifest
	other.Digest = "sha256:" + strings.Repeat("a", 64)
	layout := filepath.Join(t.TempDir(), "layout")
	for name, dest := range map[string]string{
		"layout": "oci:" + layout, "layout with a tag": "oci:" + layout + "2:v1",
		"registry": strings.TrimPrefix(server.URL, "http://") + "/app:v1", "registry without the API": startRegistry(t) + "/app:v1",
	} {
		t.Run(name, func(t *testing.T) {
			ref := parse(t, dest)
			if err := Push(ctx, s, image, ref); err != nil {
				t.Fatal(err)
			}
			if all, err := Referrers(ctx, ref, image.Manifest, kind, 100); err != nil || len(all) != 0 {
				t.Fatalf("before: %v, %v", all, err)
			}
			for _, text := range []string{"one", "two", "one"} {
				if err := Attach(ctx, ref, image.Manifest, Referrer{ArtifactType: kind, Content: []byte(text), Annotations: map[string]string{"a": text}}); err != nil {
					t.Fatal(err)
				}
			}
			if err := Attach(ctx, ref, image.Manifest, Referrer{ArtifactType: kind + "2", Content: []byte("three")}); err != nil {
				t.Fatal(err)
			}
			if err := Attach(ctx, ref, other, Referrer{ArtifactType: kind, Content: []byte("about another")}); err != nil {
				t.Fatal(err)
			}
			all, err := Referrers(ctx, ref, image.Manifest, kind, 100)
			if err != nil || len(all) != 2 {
				t.Fatalf("%+v, %v", all, err)
			}
			for _, r := range all {
				if text := string(r.Content); text != "one" && text != "two" || r.Annotations["a"] != text {
					t.Errorf("%+v", r)
				}
			}
			if _, err := Referrers(ctx, ref, image.Manifest, kind, 2); err == nil {
				t.Error("a referrer larger than allowed was read")
			}
			// The image is as before, and is still the one that the reference names.
			back, err := Pull(ctx, ref, newStore(t))
			if err != nil || back.Manifest.Digest != image.Manifest.Digest {
				t.Errorf("the image: %+v, %v", back, err)
			}
		})
	}
	if err := Attach(ctx, parse(t, "oci-archive:x.tar"), image.Manifest, Referrer{}); !errors.Is(err, ErrNoReferrers) {
		t.Errorf("an archive: %v", err)
	}
	// A new image in the place of the old one leaves the referrers of others.
	if err := Push(ctx, s, image, parse(t, "oci:"+layout)); err != nil {
		t.Fatal(err)
	}
	if all, err := Referrers(ctx, parse(t, "oci:"+layout), image.Manifest, kind, 100); err != nil || len(all) != 2 {
		t.Errorf("after a push: %+v, %v", all, err)
	}
	// Blobs that are not what their digest says are refused.
	blobs, err := filepath.Glob(filepath.Join(layout, "blobs/sha256/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blobs {
		if content, err := os.ReadFile(b); err == nil && string(content) == "one" {
			if err := os.WriteFile(b, []byte("bad"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := Referrers(ctx, parse(t, "oci:"+layout), image.Manifest, kind, 100); err == nil {
		t.Error("a changed blob was read")
	}
}
