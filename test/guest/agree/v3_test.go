package agree

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/cpu"

	"megabinary.dev/test/images"
)

// TestAgreesWithTheRealCPU runs the programs of test/guest/v3, compiled for
// x86-64-v3, on the host and in an image that was built for that processor.
func TestAgreesWithTheRealCPU(t *testing.T) {
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA || !cpu.X86.HasBMI2 {
		t.Fatal("this host's CPU is not one of x86-64-v3: there is nothing to compare with")
	}
	megabin, err := filepath.Abs("../../../bin/megabin")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("../v3/*.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no programs in test/guest/v3: %v", err)
	}
	dir, files := t.TempDir(), map[string]string{}
	for _, src := range sources {
		program := filepath.Join(dir, strings.TrimSuffix(filepath.Base(src), ".c"))
		out, err := exec.Command("gcc", "-static", "-O2", "-march=x86-64-v3", "-Wall", "-Werror", "-o", program, src).CombinedOutput()
		if err != nil {
			t.Fatalf("compiling %s: %v: %s", src, err, out)
		}
		files["/bin/"+filepath.Base(program)] = program
	}
	img, err := images.Programs(files)
	if err != nil {
		t.Fatal(err)
	}
	if err := images.WriteLayout(filepath.Join(dir, "src"), "latest", img); err != nil {
		t.Fatal(err)
	}
	mega := "oci:" + dir + "/mega:latest"
	if out, err := exec.Command(megabin, "build", "--plain", "--cpu", "x86-64-v3", "oci:"+dir+"/src:latest", "-o", mega).CombinedOutput(); err != nil {
		t.Fatalf("building the image: %v: %s", err, out)
	}
	for name, program := range files {
		want, wantCode := run(t, t.TempDir(), program)
		if strings.Contains("\n"+want, "\nFAIL ") {
			t.Fatalf("%s is wrong about the real CPU:\n%s", name, want)
		}
		got, code := run(t, t.TempDir(), megabin, "run", "-w", "/tmp", mega, name)
		if code != wantCode || got != want {
			t.Errorf("%s: status %d, natively %d; output\n%s\nnatively\n%s", name, code, wantCode, got, want)
		}
	}
}
