package linkmegabinary_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	linkmegabinary "megabinary.dev/plugins/link-megabinary"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/stage"
	"megabinary.dev/sdk/stage/stagepb"
	"megabinary.dev/sdk/wasm"
)

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func subject(name string) string { return digestOf([]byte(name)) }

// newUnit is a unit for the file called name; change spoils it.
func newUnit(t *testing.T, name string, change func(*wasm.Module, *artifact.UnitReport)) []byte {
	t.Helper()
	m := &wasm.Module{Name: name}
	pc := m.Type([]wasm.ValType{wasm.I32}, []wasm.ValType{wasm.I32})
	fault := m.ImportFunc(guestabi.ModuleKernel, guestabi.FuncFault, m.Type([]wasm.ValType{wasm.I32, wasm.I32}, []wasm.ValType{wasm.I32}))
	m.ImportMemory(guestabi.ModuleGuest, guestabi.ImportMemory, wasm.Limits{Min: 1})
	i32 := wasm.GlobalType{Type: wasm.I32, Mutable: true}
	m.Export(guestabi.ExportBase, wasm.KindGlobal, m.AddGlobal(wasm.Global{GlobalType: i32}))
	m.Export(guestabi.ExportAdmitted, wasm.KindGlobal, m.AddGlobal(wasm.Global{GlobalType: i32}))
	b := wasm.NewBody(1)
	b.I32Const(int32(guestabi.FaultMiss))
	b.LocalGet(0)
	b.ReturnCall(fault)
	m.Export(guestabi.ExportEnter, wasm.KindFunc, m.AddFunc(b.Func(pc, name)))
	report := artifact.UnitReport{
		ABI: guestabi.Version, Subject: subject(name), PositionIndependent: true, Low: 0x1000, High: 0x2000,
		Functions: 3, TextBytes: 200, TranslatedBytes: 150, Recompiler: "test 1",
		Unknown: map[string]int{"vaddps": 2, "vmulps": 3},
	}
	if change != nil {
		change(m, &report)
	}
	section, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	m.Customs = []wasm.Custom{{Name: artifact.SectionUnit, Bytes: section}}
	return m.Encode()
}

var rootFS = artifact.RootFS{
	ManifestDigest: subject("manifest"),
	Files: []artifact.FileEntry{
		{Path: "/bin/prog", Type: "file", Mode: 0o755, Digest: subject("prog"), Size: 4, Kind: artifact.KindELFProgram},
		{Path: "/bin/again", Type: "file", Mode: 0o4755, Digest: subject("prog"), Size: 4, Kind: artifact.KindELFProgram},
		{Path: "/bin/arm", Type: "file", Mode: 0o755, Digest: subject("arm"), Kind: artifact.KindELFForeign},
		{Path: "/bin/link", Type: "symlink", Target: "prog"},
		{Path: "/bin/script", Type: "file", Mode: 0o755, Digest: subject("script"), Kind: artifact.KindScript, Interpreter: "/bin/sh"},
		{Path: "/etc/data", Type: "file", Mode: 0o644, Digest: subject("data"), Kind: artifact.KindData},
		{Path: "/etc/odd", Type: "file", Mode: 0o755, Digest: subject("odd"), Kind: artifact.KindData},
		{Path: "/lib/failed.so", Type: "file", Mode: 0o644, Digest: subject("failed"), Kind: artifact.KindELFLibrary},
		{Path: "/lib/libc.so", Type: "file", Mode: 0o644, Digest: subject("libc"), Kind: artifact.KindELFLibrary},
		{Path: "/lib/unseen.so", Type: "file", Mode: 0o644, Digest: subject("unseen"), Kind: artifact.KindELFLibrary},
	},
}

// runStage runs the stage over files and returns its outputs by media type.
func runStage(t *testing.T, inputs map[string][][]byte) (map[string][]byte, []*stagepb.Event, error) {
	t.Helper()
	in, out := t.TempDir(), t.TempDir()
	req := &stagepb.RunRequest{Stage: linkmegabinary.Name, In: in, Out: out}
	for _, mediaType := range []string{artifact.MediaRootFS, artifact.MediaUnit, artifact.MediaProgram} {
		for _, b := range inputs[mediaType] {
			d := stage.Descriptor{MediaType: mediaType, Digest: digestOf(b), Size: int64(len(b))}
			if err := os.WriteFile(filepath.Join(in, strings.TrimPrefix(d.Digest, "sha256:")), b, 0o600); err != nil {
				t.Fatal(err)
			}
			req.Inputs = append(req.Inputs, stage.DescriptorToWire(d))
		}
	}
	var events []*stagepb.Event
	stage.Execute(context.Background(), []stage.Stage{linkmegabinary.Stage()}, req, func(e *stagepb.Event) { events = append(events, e) })
	last := events[len(events)-1]
	if f := last.GetFailure(); f != nil {
		return nil, events, stageError(f.GetMessage())
	}
	results := map[string][]byte{}
	for _, o := range last.GetResult().GetOutputs() {
		b, err := os.ReadFile(filepath.Join(out, o.GetFile()))
		if err != nil {
			t.Fatal(err)
		}
		results[o.GetMediaType()] = b
	}
	return results, events, nil
}

type stageError string

func (e stageError) Error() string { return string(e) }

func goodInputs(t *testing.T) map[string][][]byte {
	root, err := json.Marshal(rootFS)
	if err != nil {
		t.Fatal(err)
	}
	program := func(name, interpreter string, needed ...string) []byte {
		b, err := proto.Marshal(&programpb.Program{Sha256: strings.TrimPrefix(subject(name), "sha256:"), Interpreter: interpreter, Needed: needed})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return map[string][][]byte{
		artifact.MediaRootFS:  {root},
		artifact.MediaUnit:    {newUnit(t, "prog", nil), newUnit(t, "libc", nil)},
		artifact.MediaProgram: {program("prog", "/lib64/ld.so", "libc.so"), program("libc", ""), program("failed", "")},
	}
}

func TestStage(t *testing.T) {
	got, events, err := runStage(t, goodInputs(t))
	if err != nil {
		t.Fatal(err)
	}
	m, err := artifact.ParseExecMap(got[artifact.MediaExecMap])
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string]artifact.ExecMapEntry{}
	for _, e := range m.Entries {
		for _, p := range e.Paths {
			byPath[p.Path] = e
		}
	}
	if len(m.Entries) != 7 {
		t.Errorf("%d entries: %+v", len(m.Entries), m.Entries)
	}
	for path, want := range map[string]struct {
		verdict artifact.Verdict
		reason  string
	}{
		"/bin/prog":      {artifact.VerdictRun, ""},
		"/bin/again":     {artifact.VerdictRun, ""},
		"/lib/libc.so":   {artifact.VerdictRun, ""},
		"/bin/script":    {artifact.VerdictScript, ""},
		"/bin/arm":       {artifact.VerdictRefuse, "ELF file of another architecture, or malformed"},
		"/etc/odd":       {artifact.VerdictRefuse, "neither an ELF file nor a script"},
		"/lib/failed.so": {artifact.VerdictRefuse, "ELF file was analyzed but not recompiled"},
		"/lib/unseen.so": {artifact.VerdictRefuse, "ELF file was not analyzed"},
	} {
		if e, ok := byPath[path]; !ok || e.Verdict != want.verdict || e.Reason != want.reason {
			t.Errorf("%s: %q because %q, want %q because %q", path, e.Verdict, e.Reason, want.verdict, want.reason)
		}
	}
	prog := byPath["/bin/prog"]
	if prog.Interpreter.Name != "/lib64/ld.so" || prog.Needed[0] != (artifact.ExecMapRef{Name: "libc.so", Digest: subject("libc")}) || len(prog.Needed) != 1 || len(prog.Paths) != 2 || prog.Coverage != 0.75 || prog.Unknown != 5 || prog.Recompiler != "test 1" {
		t.Errorf("the program's entry is %+v", prog)
	}
	if *byPath["/bin/script"].Interpreter != (artifact.ExecMapRef{Name: "/bin/sh"}) || byPath["/bin/script"].Language != artifact.Shell {
		t.Errorf("the script's entry is %+v", byPath["/bin/script"])
	}
	if _, err := m.CheckMegabinary(got[artifact.MediaMegabinary]); err != nil {
		t.Error(err)
	}
	checkModule(t, got[artifact.MediaMegabinary], got[artifact.MediaExecMap], &prog)
	diagnosed := 0
	for _, e := range events {
		if e.GetDiagnostic() != nil {
			diagnosed++
		}
	}
	if diagnosed != 5 { // three refused ELF files, two with unknown instructions
		t.Errorf("%d diagnostics", diagnosed)
	}
}

// checkModule looks at a megabinary from outside.
func checkModule(t *testing.T, module, execMap []byte, prog *artifact.ExecMapEntry) {
	t.Helper()
	section, err := wasm.FindCustom(module, artifact.SectionExecMap)
	if err != nil || !bytes.Equal(section, execMap) {
		t.Errorf("the megabinary's copy of the exec map differs: %v", err)
	}
	section, err = wasm.FindCustom(module, artifact.SectionUnits)
	if err != nil {
		t.Fatal(err)
	}
	var units []artifact.UnitEntry
	if err := json.Unmarshal(section, &units); err != nil {
		t.Fatal(err)
	}
	if len(units) != 2 || units[prog.Unit].Digest != prog.Digest {
		t.Fatalf("units are %+v", units)
	}
	m, err := wasm.Decode(module)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range units {
		for _, name := range []string{u.ExportEnter, u.ExportBase, u.ExportAdmitted} {
			if _, ok := m.FindExport(name); !ok {
				t.Errorf("there is no export %q", name)
			}
		}
	}
	for _, im := range m.Imports {
		if im.Module != guestabi.ModuleKernel {
			t.Errorf("the megabinary imports %s.%s", im.Module, im.Name)
		}
	}
}

func TestOutputDoesNotDependOnTheOrderOfInputs(t *testing.T) {
	in := goodInputs(t)
	first, _, err := runStage(t, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range in {
		for i, j := 0, len(of)-1; i < j; i, j = i+1, j-1 {
			of[i], of[j] = of[j], of[i]
		}
	}
	second, _, err := runStage(t, in)
	if err != nil {
		t.Fatal(err)
	}
	for mediaType := range first {
		if !bytes.Equal(first[mediaType], second[mediaType]) {
			t.Errorf("%s differs", mediaType)
		}
	}
}

func TestBadUnitsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*wasm.Module, *artifact.UnitReport)
		want   string
	}{
		"abi":     {func(_ *wasm.Module, r *artifact.UnitReport) { r.ABI = 99 }, "for guest ABI 99"},
		"subject": {func(_ *wasm.Module, r *artifact.UnitReport) { r.Subject = "prog" }, "is no digest"},
		"range":   {func(_ *wasm.Module, r *artifact.UnitReport) { r.High = 1 << 40 }, "its addresses are"},
		"data":    {func(m *wasm.Module, _ *artifact.UnitReport) { m.Data = []wasm.Data{{Mode: wasm.Passive}} }, "data, elements"},
		"import":  {func(m *wasm.Module, _ *artifact.UnitReport) { m.Imports[0].Module = "env" }, "imports env.fault"},
		"kernel":  {func(m *wasm.Module, _ *artifact.UnitReport) { m.Imports[0].Name = "reboot" }, "no function vkernel.reboot"},
		"guest":   {func(m *wasm.Module, _ *artifact.UnitReport) { m.Imports[0].Module = guestabi.ModuleGuest }, "does not export it"},
		"enter":   {func(m *wasm.Module, _ *artifact.UnitReport) { m.Exports[2].Name = "entry" }, "exports no function enter"},
		"base":    {func(m *wasm.Module, _ *artifact.UnitReport) { m.Globals[0].Mutable = false }, "no mutable global base"},
		"body": {func(m *wasm.Module, _ *artifact.UnitReport) {
			b := wasm.NewBody(1)
			b.Call(1000)
			m.Funcs[0].Code = b.Func(0, "").Code
		}, "index 1000 of 2"},
	} {
		in := goodInputs(t)
		in[artifact.MediaUnit] = [][]byte{newUnit(t, "prog", c.change)}
		if _, _, err := runStage(t, in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	in := goodInputs(t)
	in[artifact.MediaUnit] = append(in[artifact.MediaUnit], newUnit(t, "prog", func(m *wasm.Module, _ *artifact.UnitReport) { m.Name = "other" }))
	if _, _, err := runStage(t, in); err == nil || !strings.Contains(err.Error(), "two units for") {
		t.Errorf("two units of one file: %v", err)
	}
	in[artifact.MediaUnit] = [][]byte{[]byte("not wasm")}
	if _, _, err := runStage(t, in); err == nil || !strings.Contains(err.Error(), "not a WebAssembly module") {
		t.Errorf("no module: %v", err)
	}
}

// TestOneProcessor wants one for all units, which travels with the megabinary.
func TestOneProcessor(t *testing.T) {
	forCPU := func(name, cpu string) []byte {
		return newUnit(t, name, func(_ *wasm.Module, r *artifact.UnitReport) { r.CPU = cpu })
	}
	hasYMM := func(linked *linkmegabinary.Linked) bool {
		data, err := linked.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		m, err := wasm.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		_, ok := m.FindExport(guestabi.YMMH0.String())
		return ok
	}
	linked, err := linkmegabinary.Link([][]byte{forCPU("a", "x86-64-v3"), forCPU("b", "x86-64-v3")})
	if err != nil {
		t.Fatal(err)
	}
	if linked.Units[0].CPU != "x86-64-v3" || linked.Units[1].CPU != "x86-64-v3" || !hasYMM(linked) {
		t.Errorf("ymm registers: %v, units %+v", hasYMM(linked), linked.Units)
	}
	if linked, err = linkmegabinary.Link([][]byte{forCPU("a", "")}); err != nil {
		t.Fatal(err)
	}
	if linked.Units[0].CPU != "" || hasYMM(linked) {
		t.Error("a megabinary for x86-64-v2 has ymm registers")
	}
	for _, other := range []string{"", "x86-64-v9"} {
		if _, err := linkmegabinary.Link([][]byte{forCPU("a", "x86-64-v3"), forCPU("b", other)}); err == nil || !strings.Contains(err.Error(), "x86-64-v3") {
			t.Errorf("units for x86-64-v3 and %q: %v", other, err)
		}
	}
}
