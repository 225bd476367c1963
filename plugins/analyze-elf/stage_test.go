package analyzeelf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"megabinary.dev/sdk/artifact"
	pb "megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/stage"
	"megabinary.dev/sdk/stage/stagepb"
)

// runStage runs the stage over one file and returns its events and output
// directory. %DIGEST in config stands for the file's digest.
func runStage(t *testing.T, data []byte, config string) (events []*stagepb.Event, digest, out string) {
	t.Helper()
	sum := sha256.Sum256(data)
	digest = stage.DigestPrefix + hex.EncodeToString(sum[:])
	in, out := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(in, hex.EncodeToString(sum[:])), data, 0o600); err != nil {
		t.Fatal(err)
	}
	stage.Execute(context.Background(), []stage.Stage{Stage()}, &stagepb.RunRequest{
		Stage: Name, In: in, Out: out, Config: []byte(strings.ReplaceAll(config, "%DIGEST", digest)),
		Inputs: []*stagepb.Descriptor{stage.DescriptorToWire(stage.Descriptor{
			MediaType: artifact.MediaELF, Digest: digest, Size: int64(len(data)),
			Annotations: map[string]string{artifact.AnnotationPath: "/bin/tiny"},
		})},
	}, func(e *stagepb.Event) { events = append(events, e) })
	return events, digest, out
}

func TestStage(t *testing.T) {
	code := unhex(t, "c3b890c3c30f0b")
	events, digest, out := runStage(t, tiny(code), `{"hints":{"%DIGEST":["0x40007a"]}}`)
	result := events[len(events)-1].GetResult()
	if result == nil || len(result.Outputs) != 1 {
		t.Fatalf("last event: %v", events[len(events)-1])
	}
	o := result.Outputs[0]
	if o.MediaType != artifact.MediaProgram || o.Annotations[artifact.AnnotationSubject] != digest || o.Annotations[artifact.AnnotationPath] != "/bin/tiny" {
		t.Errorf("output: %v", o)
	}
	encoded, err := os.ReadFile(filepath.Join(out, o.File))
	if err != nil {
		t.Fatal(err)
	}
	p := new(pb.Program)
	if err := proto.Unmarshal(encoded, p); err != nil {
		t.Fatal(err)
	}
	hinted := false
	for _, f := range p.Functions {
		hinted = hinted || f.Start == 0x40007a && f.Origin == pb.Origin_ORIGIN_HINT
	}
	if stage.DigestPrefix+p.Sha256 != digest || !hinted {
		t.Errorf("digest %s, want %s; hint taken: %v", p.Sha256, digest, hinted)
	}
	direct, err := analyze(tiny(code), Options{Hints: []uint64{0x40007a}})
	if err != nil || !proto.Equal(direct, p) {
		t.Errorf("the stage and Analyze differ (%v)", err)
	}
}

func TestStageFails(t *testing.T) {
	for _, c := range []struct {
		name, config, want string
		data               []byte
	}{
		{"bad file", "{}", "/bin/tiny: analyzing ELF file: reading ELF file at offset 0x0: not an ELF file", make([]byte, 100)},
		{"unknown key", `{"hint":{}}`, `unknown field "hint"`, tiny([]byte{0xc3})},
		{"bad hint", `{"hints":{"%DIGEST":["there"]}}`, `reading hint "there"`, tiny([]byte{0xc3})},
	} {
		t.Run(c.name, func(t *testing.T) {
			events, _, out := runStage(t, c.data, c.config)
			if f := events[len(events)-1].GetFailure(); f == nil || !strings.Contains(f.Message, c.want) {
				t.Errorf("last event %v, want %q", events[len(events)-1], c.want)
			}
			if left, err := os.ReadDir(out); err != nil || len(left) != 0 {
				t.Errorf("%d outputs left, %v", len(left), err)
			}
		})
	}
}

// TestSwitches holds the targets of jump tables in code that compilers make.
func TestSwitches(t *testing.T) {
	for _, flags := range [][]string{
		{"-O0", "-static"}, {"-O2", "-static"}, {"-Os", "-static"}, {"-O0", "-static-pie"}, {"-O2", "-static-pie"},
	} {
		t.Run(strings.Join(flags, ""), func(t *testing.T) {
			p, _ := analyzeFile(t, build(t, "flow.c", "gcc", "gcc", append([]string{"-fno-inline", "-fno-tree-switch-conversion"}, flags...)...))
			// gcc -Os takes the last case of byteSwitch for the default.
			for name, want := range map[string]int{"byteSwitch": 7, "unbounded": 6, "interpret": 6} {
				if got := tableTargets(p, name); got < want {
					t.Errorf("%s: a jump has %d targets, want %d", name, got, want)
				}
			}
		})
	}
}

// tableTargets returns the number of targets of the largest jump table in the
// function.
func tableTargets(p *pb.Program, name string) int {
	most := 0
	for _, f := range p.Functions {
		if f.Name == name || strings.HasPrefix(f.Name, name+".") { // gcc clones it
			for _, b := range f.Blocks {
				most = max(most, len(b.Targets))
			}
		}
	}
	return most
}
