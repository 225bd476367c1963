package assembleoci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/stage"
	"megabinary.dev/sdk/stage/stagepb"
)

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return stage.DigestPrefix + hex.EncodeToString(sum[:])
}

// inputs is an image and what is added to it; its fields may be spoiled.
type inputs struct {
	manifest, config, execMap string
	manifestType              string
	withConfig                string // of the stage
}

const (
	module     = "\x00asm some module"
	baseConfig = `{"architecture":"amd64","os":"linux","config":{"Cmd":["/bin/sh"],"Labels":{"x":"<y>"}},"rootfs":{"type":"layers","diff_ids":["sha256:aa"]},"history":[{"created_by":"base"}],"unknown":[1]}`
)

func image() *inputs {
	config := digestOf([]byte(baseConfig))
	manifest := `{"schemaVersion":2,"mediaType":"` + artifact.MediaDockerManifest + `","config":{"mediaType":"` + artifact.MediaDockerConfig +
		`","digest":"` + config + `","size":3},"layers":[{"mediaType":"` + artifact.MediaDockerLayerGzip + `","digest":"sha256:bb","size":7,"urls":["x"]}]}`
	return &inputs{
		manifest: manifest, manifestType: artifact.MediaDockerManifest, config: baseConfig, withConfig: "{}",
		execMap: `{"image":"` + digestOf([]byte(manifest)) + `","root":"sha256:cc"}`,
	}
}

// run runs the stage and returns its outputs by media type.
func (in *inputs) run(t *testing.T) (map[string][]byte, error) {
	t.Helper()
	dir := t.TempDir()
	req := &stagepb.RunRequest{Stage: "assemble-oci", Config: []byte(in.withConfig), In: filepath.Join(dir, "in"), Out: filepath.Join(dir, "out")}
	if err := errors.Join(os.Mkdir(req.In, 0o755), os.Mkdir(req.Out, 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, part := range [][2]string{
		{in.manifestType, in.manifest}, {artifact.MediaDockerConfig, in.config},
		{artifact.MediaMegabinary, module}, {artifact.MediaExecMap, in.execMap},
	} {
		d := digestOf([]byte(part[1]))
		req.Inputs = append(req.Inputs, &stagepb.Descriptor{MediaType: part[0], Digest: d, Size: int64(len(part[1]))})
		if err := os.WriteFile(filepath.Join(req.In, strings.TrimPrefix(d, stage.DigestPrefix)), []byte(part[1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	outputs := make(map[string][]byte)
	var failure error
	stage.Execute(context.Background(), []stage.Stage{Stage()}, req, func(e *stagepb.Event) {
		switch of := e.Of.(type) {
		case *stagepb.Event_Failure:
			failure = errors.New(of.Failure.GetMessage())
		case *stagepb.Event_Result:
			for _, o := range of.Result.GetOutputs() {
				b, err := os.ReadFile(filepath.Join(req.Out, o.GetFile()))
				if err != nil {
					t.Fatal(err)
				}
				outputs[o.GetMediaType()] = b
			}
		}
	})
	return outputs, failure
}

func TestAssemble(t *testing.T) {
	in := image()
	out, err := in.run(t)
	if err != nil {
		t.Fatal(err)
	}
	layer := out[artifact.MediaOCILayerGzip]
	z, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	checkLayer(t, plain, in.execMap)

	var config struct {
		Config  json.RawMessage
		Unknown json.RawMessage
		RootFS  struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
		History []map[string]string
	}
	if err := json.Unmarshal(out[artifact.MediaOCIConfig], &config); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(config.RootFS.DiffIDs, []string{"sha256:aa", digestOf(plain)}) || len(config.History) != 2 ||
		config.History[1]["created"] != "1970-01-01T00:00:00Z" || string(config.Unknown) != "[1]" || !strings.Contains(string(config.Config), "/bin/sh") {
		t.Errorf("the configuration is %s", out[artifact.MediaOCIConfig])
	}

	var manifest struct {
		MediaType   string
		Config      stage.Descriptor
		Layers      []map[string]any
		Annotations map[string]string
	}
	if err := json.Unmarshal(out[artifact.MediaOCIManifest], &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Config.Digest != digestOf(out[artifact.MediaOCIConfig]) || len(manifest.Layers) != 2 || manifest.Layers[1]["digest"] != digestOf(layer) {
		t.Errorf("the manifest is %s", out[artifact.MediaOCIManifest])
	}
	if base := manifest.Layers[0]; base["mediaType"] != artifact.MediaOCILayerGzip || base["digest"] != "sha256:bb" || base["urls"] == nil {
		t.Errorf("the base layer became %v", base)
	}
	want := map[string]string{
		artifact.AnnotationBaseDigest: digestOf([]byte(in.manifest)), artifact.AnnotationMegabinary: digestOf([]byte(module)),
		artifact.AnnotationExecMap: digestOf([]byte(in.execMap)), artifact.AnnotationExecMapRoot: "sha256:cc", artifact.AnnotationABI: "1",
	}
	if !reflect.DeepEqual(manifest.Annotations, want) {
		t.Errorf("the annotations are %v", manifest.Annotations)
	}
	again, err := image().run(t)
	if err != nil || !reflect.DeepEqual(out, again) {
		t.Errorf("a second run differs, %v", err)
	}
}

func checkLayer(t *testing.T, plain []byte, execMap string) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(plain))
	want := []struct{ name, content string }{{".megabinary/", ""}, {".megabinary/execmap.json", execMap}, {".megabinary/megabinary.wasm", module}}
	for _, w := range want {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil || h.Name != w.name || string(b) != w.content || h.ModTime.Unix() != 0 || h.Uname != "" {
			t.Errorf("entry %+v with %q, %v; want %s", h, b, err, w.name)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("there are more entries: %v", err)
	}
}

func TestEpoch(t *testing.T) {
	in := image()
	in.withConfig = `{"sourceDateEpoch":86400}`
	out, err := in.run(t)
	if err != nil || !strings.Contains(string(out[artifact.MediaOCIConfig]), "1970-01-02T00:00:00Z") {
		t.Errorf("the configuration is %s, %v", out[artifact.MediaOCIConfig], err)
	}
}

func TestAssembleRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*inputs)
		want  string
	}{
		{"an exec map of another image", func(in *inputs) { in.execMap = `{"image":"sha256:00"}` }, "the exec map is for image sha256:00"},
		{"an exec map that is no JSON", func(in *inputs) { in.execMap = `{` }, "reading the exec map"},
		{"no manifest", func(in *inputs) { in.manifestType = "text/plain" }, "0 inputs that are a manifest"},
		{"a configuration without rootfs", func(in *inputs) { in.config = `{}` }, "rootfs"},
		{"an image that was rebuilt already", func(in *inputs) {
			in.manifest = `{"layers":[],"annotations":{"dev.megabinary.megabinary":"sha256:11","org.opencontainers.image.base.digest":"sha256:22"}}`
			in.execMap = `{"image":"` + digestOf([]byte(in.manifest)) + `"}`
		}, "has a megabinary already (sha256:11); build from its base, sha256:22"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := image()
			c.spoil(in)
			if _, err := in.run(t); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
