package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/santhosh-tekuri/jsonschema/v6"

	megabinary "megabinary.dev"
	"megabinary.dev/test/images"
)

// fails runs megabin, which must end with a code and say something.
func (o operator) fails(code int, want string, args ...string) string {
	o.t.Helper()
	got, stdout, stderr := megabin(o.t, args...)
	if got != code || !strings.Contains(stdout+stderr, want) {
		o.t.Errorf("megabin %s: exit code %d, want %d with %q\n%s%s", strings.Join(args, " "), got, code, want, stdout, stderr)
	}
	return stdout
}

// TestSigned goes the whole way in a layout and in a registry: keygen, build, sign,
// verify, run, and what must be refused on it.
func TestSigned(t *testing.T) {
	o := newOperator(t)
	t.Setenv("XDG_STATE_HOME", o.path("state"))
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	defer server.Close()
	o.run("keygen", o.path("k"))
	o.run("keygen", "--algorithm", "ed25519", o.path("other"))
	o.fails(exitFailure, "exists", "keygen", o.path("k"))
	if info, err := os.Stat(o.path("k.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key: %v, %v", info, err)
	}
	source := o.tinyImage()
	for name, place := range map[string]string{"layout": "oci:" + o.path("out") + ":", "registry": strings.TrimPrefix(server.URL, "http://") + "/app:"} {
		t.Run(name, func(t *testing.T) {
			o := operator{t, o.dir}
			app := "app-" + name
			build := func(tag, name, sequence string) string {
				o.run("build", source, "-o", place+tag, "--map-name", name, "--map-sequence", sequence)
				return place + tag
			}
			v2 := build("v2", app, "2")
			o.fails(exitFailure, "is not signed", "verify", "--key", o.path("k.pub"), v2)
			o.fails(exitNotExecutable, "is not signed", "run", "--verify", o.path("k.pub"), v2)
			o.run("sign", "--key", o.path("other.key"), v2)
			o.fails(exitFailure, "no valid signature", "verify", "--key", o.path("k.pub"), v2)
			o.fails(exitNotExecutable, "no valid signature", "run", "--verify", o.path("k.pub"), v2)
			o.run("sign", "--key", o.path("k.key"), v2)
			if out := o.run("verify", "--key", o.path("k.pub"), v2); !strings.Contains(out, "signature of key sha256:") {
				t.Errorf("verify says %s", out)
			}
			o.fails(7, "", "run", "--verify", o.path("k.pub"), v2)
			v3 := build("v3", app, "3")
			o.run("sign", "--key", o.path("k.key"), v3)
			o.fails(7, "", "run", "--verify", o.path("k.pub"), v3)
			o.fails(exitNotExecutable, "an older image may not come back", "run", "--verify", o.path("k.pub"), v2)
			o.fails(7, "", "run", v2) // nobody asked
			t.Setenv("MEGABIN_VERIFY", o.path("k.pub"))
			o.fails(exitNotExecutable, "older image", "run", v2)
			o.fails(7, "", "run", "--verify-state", o.path("elsewhere-"+name), v2)
		})
	}
	archive := "oci-archive:" + o.path("a.tar")
	o.run("build", source, "-o", archive)
	o.fails(exitFailure, "use oci:DIR or a registry", "sign", "--key", o.path("k.key"), archive)
	o.fails(exitFailure, "--map-sequence", "build", source, "-o", archive, "--map-sequence", "3")
	o.fails(exitFailure, "private key", "sign", "--key", o.path("k.pub"), archive)
	o.fails(exitFailure, "public key", "verify", "--key", o.path("k.key"), "oci:"+o.path("out")+":v2")
}

func TestRebuild(t *testing.T) {
	o := newOperator(t)
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	source := o.tinyImage()
	o.run("build", source, "-o", "oci:"+o.path("out"), "--map-name", "app", "--map-sequence", "2", "--cpu", "x86-64-v3")
	t.Setenv("SOURCE_DATE_EPOCH", "")
	if out := o.run("verify", "--rebuild", source, "oci:"+o.path("out")); !strings.Contains(out, "every byte is the same") {
		t.Errorf("%s", out)
	}
	o.run("build", "--native", source, "-o", "oci:"+o.path("native"))
	if out := o.run("verify", "--rebuild", source, "oci:"+o.path("native")); !strings.Contains(out, "every byte is the same") {
		t.Errorf("with native code: %s", out)
	}
	if out := o.run("inspect", "--map", "--json", "oci:"+o.path("native")); !strings.Contains(out, `"objects":[`) {
		t.Errorf("no native code in %s", out)
	}
	img, err := images.Image(v1.Config{Cmd: []string{"/bin/tiny"}}, []images.File{{Path: "/bin/tiny", Mode: 0o755, Data: tinyELF(8)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := images.WriteLayout(o.path("another"), "latest", img); err != nil {
		t.Fatal(err)
	}
	o.fails(exitFailure, "its source image is sha256:", "verify", "--rebuild", "oci:"+o.path("another"), "oci:"+o.path("out"))
}

func TestMapCommands(t *testing.T) {
	o := newOperator(t)
	source := o.tinyImage()
	a, b := "oci:"+o.path("a"), "oci:"+o.path("b")
	o.run("build", source, "-o", a)
	img, err := images.Image(v1.Config{Cmd: []string{"/bin/tiny"}}, []images.File{
		{Path: "/bin/tiny", Mode: 0o4755, Data: tinyELF(7)}, {Path: "/bin/new", Mode: 0o755, Data: tinyELF(9)},
		{Path: "/bin/link", Link: "new"}, {Path: "/run.sh", Mode: 0o755, Data: []byte("#!/bin/arm\n")}, {Path: "/bin/arm", Mode: 0o755, Data: []byte("\x7fELF arm")},
		{Path: "/lib/x.py", Mode: 0o644, Data: []byte("pass\n")}, {Path: "/text", Mode: 0o644, Data: []byte("text")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := images.WriteLayout(o.path("source-b"), "latest", img); err != nil {
		t.Fatal(err)
	}
	o.run("build", "oci:"+o.path("source-b"), "-o", b)

	// The map is what the published schema says, and the commands read it again.
	text := o.run("inspect", "--map", "--json", b)
	var parsed any
	if err := json.Unmarshal([]byte(o.run("map", "schema")), &parsed); err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", parsed); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(v); err != nil {
		t.Error(err)
	}
	if published, err := os.ReadFile("../../docs/execmap.schema.json"); err != nil || !bytes.Equal(published, []byte(megabinary.ExecMapSchema())) {
		t.Errorf("the schema is not the published one: %v", err)
	}
	if err := os.WriteFile(o.path("b.json"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := o.run("map", "diff", b, o.path("b.json")); strings.Count(out, "\n") != 2 {
		t.Errorf("a map differs from itself: %s", out)
	}
	out := o.fails(1, "", "map", "diff", a, b)
	for _, want := range []string{"+ /bin/new  run  program", "- /bin/also  run  program", "~ /bin/tiny\n    mode 0755 -> 04755", "+ /bin/arm  refuse  foreign", "+ /lib/x.py"} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	var d mapDiff
	if err := json.Unmarshal([]byte(o.fails(1, "", "map", "diff", "--json", a, b)), &d); err != nil || len(d.Changes) != 6 {
		t.Errorf("%+v, %v", d.Changes, err)
	}
	for _, e := range []struct {
		code       int
		file, want string
	}{
		{0, "/bin/new", "runs: unit "}, {0, "/bin/link", "it is /bin/new"}, {0, "/bin/tiny", "setuid and setgid bits count with mode 04755"},
		{exitNotExecutable, "/bin/arm", "another architecture"}, {exitNotExecutable, "/run.sh", "it needs /bin/arm, which does not run"},
		{0, "/lib/x.py", "known code of python"}, {exitNotExecutable, "/text", "the exec map does not have this content"},
		{exitNotExecutable, "/nothing", "no such file"}, {exitNotExecutable, "/bin", "it is a dir"}, {exitNotExecutable, "sha256:" + strings.Repeat("0", 64), "to do"},
		{exitFailure, "tiny", "neither an absolute path nor a digest"},
	} {
		o.fails(e.code, e.want, "explain", b, e.file)
	}
	var x fileExplanation
	if err := json.Unmarshal([]byte(o.run("explain", "--json", b, "/bin/new")), &x); err != nil || !x.Runs || x.Entry == nil {
		t.Errorf("%+v, %v", x, err)
	}
	if out := o.run("inspect", "--map", b); !strings.Contains(out, "/bin/new runs: ") || !strings.Contains(out, "kind     foreign") {
		t.Errorf("inspect --map: %s", out)
	}
}
