package image

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"megabinary.dev/engine/store"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/stage"
)

func newStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parse(t *testing.T, s string) Ref {
	t.Helper()
	ref, err := ParseRef(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func newImage(t *testing.T, mediaType types.MediaType) v1.Image {
	t.Helper()
	image, err := random.Image(1000, 3)
	if err != nil {
		t.Fatal(err)
	}
	return mutate.MediaType(image, mediaType)
}

// asLayout writes an index as an OCI layout.
func asLayout(t *testing.T, ix v1.ImageIndex) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	if _, err := layout.Write(dir, ix); err != nil {
		t.Fatal(err)
	}
	return dir
}

func digest(t *testing.T, image interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

func startRegistry(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// TestThereAndBack moves an image through every transport; its digest stays.
func TestThereAndBack(t *testing.T) {
	host := startRegistry(t)
	for _, mediaType := range []types.MediaType{types.OCIManifestSchema1, types.DockerManifestSchema2} {
		dir := t.TempDir()
		original := newImage(t, mediaType)
		source := asLayout(t, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: original}))
		s := newStore(t)
		image, err := Pull(context.Background(), parse(t, "oci:"+source), s)
		if err != nil {
			t.Fatal(err)
		}
		if image.Manifest.Digest != digest(t, original) || len(image.Layers) != 3 {
			t.Fatalf("pulled %+v", image)
		}
		for _, dest := range []string{
			"oci:" + dir + "/layout", "oci:" + dir + "/layout:v1", "oci-archive:" + dir + "/a.tar:v2",
			host + "/some/app:v3", "docker://" + host + "/app",
		} {
			t.Run(string(mediaType)+" "+strings.NewReplacer(host, "HOST", dir, "DIR").Replace(dest), func(t *testing.T) {
				ref := parse(t, dest)
				if err := Push(context.Background(), s, image, ref); err != nil {
					t.Fatal(err)
				}
				other := newStore(t)
				back, err := Pull(context.Background(), ref, other)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(image, back) {
					t.Errorf("it came back as %+v, not %+v", back, image)
				}
				for _, d := range back.Descriptors() {
					if err := other.Verify(d); err != nil {
						t.Error(err)
					}
				}
				if loaded, err := Load(other, back.Manifest); err != nil || !reflect.DeepEqual(loaded, back) {
					t.Errorf("Load gives %+v, %v", loaded, err)
				}
			})
		}
	}
}

// TestDockerArchive reads what `docker save` writes; its manifest is made anew,
// so that the configuration is what must stay.
func TestDockerArchive(t *testing.T) {
	original := newImage(t, types.DockerManifestSchema2)
	source := asLayout(t, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: original}))
	s := newStore(t)
	image, err := Pull(context.Background(), parse(t, "oci:"+source), s)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.tar")
	ref := parse(t, "docker-archive:"+path)
	if err := Push(context.Background(), s, image, ref); err != nil {
		t.Fatal(err)
	}
	read, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if layers, err := read.Layers(); err != nil || len(layers) != len(image.Layers) {
		t.Errorf("others read %d layers: %v", len(layers), err)
	}
	for _, ref := range []Ref{ref, parse(t, "docker-archive:"+path+":megabinary:latest")} {
		back, err := Pull(context.Background(), ref, newStore(t))
		if err != nil {
			t.Fatal(err)
		}
		if back.Config.Digest != image.Config.Digest || len(back.Layers) != len(image.Layers) {
			t.Errorf("it came back as %+v", back)
		}
	}
	if _, err := Pull(context.Background(), parse(t, "docker-archive:"+path+":other:tag"), newStore(t)); err == nil {
		t.Error("a tag that is not in the archive was found")
	}
}

func TestPlatformIsPicked(t *testing.T) {
	amd, arm := newImage(t, types.OCIManifestSchema1), newImage(t, types.OCIManifestSchema1)
	platform := func(arch string) v1.Descriptor {
		return v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}
	}
	both := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: arm, Descriptor: platform("arm64")}, mutate.IndexAddendum{Add: amd, Descriptor: platform("amd64")})
	outer := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: both})
	image, err := Pull(context.Background(), parse(t, "oci:"+asLayout(t, outer)), newStore(t))
	if err != nil || image.Manifest.Digest != digest(t, amd) {
		t.Errorf("picked %v, %v", image.Manifest, err)
	}
	none := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: arm, Descriptor: platform("arm64")})})
	if _, err := Pull(context.Background(), parse(t, "oci:"+asLayout(t, none)), newStore(t)); err == nil || !strings.Contains(err.Error(), "only for linux/arm64") {
		t.Errorf("error %v", err)
	}
}

func TestUnknownImages(t *testing.T) {
	host := startRegistry(t)
	one := asLayout(t, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: newImage(t, types.OCIManifestSchema1),
		Descriptor: v1.Descriptor{Annotations: map[string]string{artifact.AnnotationImageRefName: "v1"}}}))
	for _, c := range []struct{ name, ref, want string }{
		{"no directory", "oci:/nonexistent", "the directory does not exist"},
		{"no layout", "oci:" + t.TempDir(), "it is no OCI layout"},
		{"no tag", "oci:" + one + ":v2", "it holds v1"},
		{"an empty layout", "oci:" + asLayout(t, empty.Index), "the layout is empty"},
		{"no archive", "oci-archive:/nonexistent", "the file does not exist"},
		{"no docker archive", "docker-archive:/nonexistent", "the file does not exist"},
		{"not in the registry", host + "/no/such:image", "the registry does not know it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Pull(context.Background(), parse(t, c.ref), newStore(t))
			var unknown *UnknownError
			if !errors.As(err, &unknown) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	if _, err := Pull(context.Background(), parse(t, "127.0.0.1:1/app"), newStore(t)); err == nil || !strings.Contains(err.Error(), "the registry 127.0.0.1:1 cannot be reached; for an image on this machine write oci:DIR") {
		t.Errorf("no registry: %v", err)
	}
}

func TestBadReferences(t *testing.T) {
	for ref, want := range map[string]string{
		"":            "is empty",
		"oci:":        "names no path",
		"/some/dir":   "is a path, not an image reference",
		"./dir":       "is a path, not an image reference",
		"UPPER/case":  "oci:DIR[:TAG]",
		"docker://::": "oci:DIR[:TAG]",
	} {
		if _, err := ParseRef(ref); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", ref, err, want)
		}
	}
}

// TestBadContent changes a layout in ways that must be found.
func TestBadContent(t *testing.T) {
	edit := func(path string, change func([]byte) []byte) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			name := filepath.Join(dir, path)
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, change(b), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	original := newImage(t, types.OCIManifestSchema1)
	manifest, err := original.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	blob := func(h v1.Hash) string { return "blobs/sha256/" + h.Hex }
	self := strings.TrimPrefix(digest(t, original), stage.DigestPrefix)
	for _, c := range []struct {
		name string
		edit func(t *testing.T, dir string)
		want string
	}{
		{"a layer with a flipped byte", edit(blob(manifest.Layers[1].Digest), flip), "layer 1, " + manifest.Layers[1].Digest.String() + ": content does not match"},
		{"a layer that is longer", edit(blob(manifest.Layers[0].Digest), func(b []byte) []byte { return append(b, 0) }), "bytes, not"},
		{"a configuration with a flipped byte", edit(blob(manifest.Config.Digest), flip), "configuration " + manifest.Config.Digest.String() + ": content does not match"},
		{"a manifest with a flipped byte", edit("blobs/sha256/"+self, flip), "manifest sha256:" + self + ": content does not match"},
		{"an index that is no JSON", edit("index.json", func([]byte) []byte { return []byte("{") }), "index.json"},
		{"an index with a bad digest", edit("index.json", func([]byte) []byte {
			return []byte(`{"manifests":[{"mediaType":"` + artifact.MediaOCIManifest + `","digest":"sha256:../../../etc/passwd"}]}`)
		}), "hexadecimal digits"},
		{"a layer that is missing", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, blob(manifest.Layers[2].Digest))); err != nil {
				t.Fatal(err)
			}
		}, "layer 2, " + manifest.Layers[2].Digest.String() + ": the blob is missing"},
		{"a blob that links out", func(t *testing.T, dir string) {
			name := filepath.Join(dir, blob(manifest.Layers[2].Digest))
			if err := errors.Join(os.Remove(name), os.Symlink("/etc/passwd", name)); err != nil {
				t.Fatal(err)
			}
		}, "escapes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := asLayout(t, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: original}))
			c.edit(t, dir)
			_, err := Pull(context.Background(), parse(t, "oci:"+dir), newStore(t))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestIndexLoop reads an index that holds itself, which a registry could serve
// and no layout can: digests make loops impossible, depth makes chains finite.
func TestIndexLoop(t *testing.T) {
	ix := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: newImage(t, types.OCIManifestSchema1)})
	for range maxIndexDepth + 2 {
		ix = mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: ix})
	}
	if _, err := Pull(context.Background(), parse(t, "oci:"+asLayout(t, ix)), newStore(t)); err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("error %v", err)
	}
}

func TestPushKeepsOtherTags(t *testing.T) {
	s := newStore(t)
	dir := filepath.Join(t.TempDir(), "out")
	for _, tag := range []string{"a", "b", "a"} {
		source := asLayout(t, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: newImage(t, types.OCIManifestSchema1)}))
		image, err := Pull(context.Background(), parse(t, "oci:"+source), s)
		if err != nil {
			t.Fatal(err)
		}
		if err := Push(context.Background(), s, image, parse(t, "oci:"+dir+":"+tag)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var ix index
	if err := json.Unmarshal(b, &ix); err != nil || len(ix.Manifests) != 2 {
		t.Errorf("the index is %s, %v", b, err)
	}
	if _, err := Pull(context.Background(), parse(t, "oci:"+dir), newStore(t)); err == nil || !strings.Contains(err.Error(), "it holds 2 images; name one") {
		t.Errorf("error %v", err)
	}
}
