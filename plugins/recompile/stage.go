package recompile

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/stage"
)

// Name and Version of the stage. The version is part of the cache key: bump it
// when the output changes.
const (
	Name    = "recompile"
	Version = "2"
)

// schema is the JSON schema of the stage's configuration.
const schema = `{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "optimise": {"type": "boolean", "default": true, "description": "false runs the required passes only"},
    "disablePasses": {"type": "array", "items": {"type": "string"}, "description": "passes to leave out"},
    "verify": {"type": "boolean", "description": "check the IR between passes"},
    "plain": {
      "type": "object",
      "description": "functions that get the required passes only: lists of FIRST-LAST, hexadecimal addresses, by the file's sha256, or * for all other files",
      "additionalProperties": {"type": "array", "items": {"type": "string", "pattern": "^[0-9a-f]{1,8}-[0-9a-f]{1,8}$"}}
    },
    "cpu": {"enum": ["x86-64-v2", "x86-64-v3"], "default": "x86-64-v2", "description": "the processor that the guest sees: all files of an image have the same"}
  }
}`

type config struct {
	Optimise      *bool    `json:"optimise"`
	DisablePasses []string `json:"disablePasses"`
	Verify        bool     `json:"verify"`
	CPU           string   `json:"cpu"`

	Plain map[string][]string `json:"plain"`
}

// Stage returns the stage that turns an ELF file and the program in it into a
// unit.
func Stage() stage.Stage { return recompiler{} }

// StageAfter is Stage with Options.After, for tests of what looks for faults.
func StageAfter(after func(pass string, f *ir.Func)) stage.Stage { return recompiler{after} }

type recompiler struct {
	after func(pass string, f *ir.Func)
}

func (recompiler) Describe() stage.Description {
	return stage.Description{
		Name: Name, Kind: stage.KindRecompile, Version: Version,
		Takes:  []string{artifact.MediaELF, artifact.MediaProgram},
		Gives:  []string{artifact.MediaUnit, artifact.MediaUnitReport},
		Schema: json.RawMessage(schema),
		Doc:    "Recompiles the x86-64 program of an ELF file into a WebAssembly unit.",
	}
}

func (s recompiler) Run(ctx context.Context, req stage.Request) error {
	var c config
	if err := req.Config(&c); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	cpu, err := guestabi.ParseCPU(c.CPU)
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	elf, err := only(req, artifact.MediaELF)
	if err != nil {
		return err
	}
	defer elf.Close()
	program, err := readProgram(req)
	if err != nil {
		return err
	}
	plain, err := plainFunctions(c.Plain, program.GetSha256())
	if err != nil {
		return err
	}
	unit, report, err := Recompile(ctx, elf, program, Options{
		Plain: plain, After: s.after,
		NoOpt: c.Optimise != nil && !*c.Optimise, DisablePasses: c.DisablePasses, Verify: c.Verify, CPU: cpu,
		Progress: func(done, total int) { req.Progress(int64(done), int64(total), "functions") },
	})
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(report.Unknown)) {
		req.Metric("unknown."+name, float64(report.Unknown[name]))
	}
	if report.Refused > 0 {
		req.Metric("refused", float64(report.Refused))
	}
	req.Metric("functions", float64(report.Functions))
	req.Metric("instructions", float64(report.Instructions))
	annotations := map[string]string{artifact.AnnotationSubject: report.Subject}
	if err := write(req, artifact.MediaUnit, annotations, unit); err != nil {
		return err
	}
	text, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("encoding the report: %w", err)
	}
	return write(req, artifact.MediaUnitReport, annotations, text)
}

// only opens the one input of a media type.
func only(req stage.Request, mediaType string) (stage.Blob, error) {
	in := stage.ByMediaType(req, mediaType)
	if len(in) != 1 {
		return nil, fmt.Errorf("reading inputs: want one of type %s, have %d", mediaType, len(in))
	}
	return req.Open(in[0])
}

func readProgram(req stage.Request) (*programpb.Program, error) {
	blob, err := only(req, artifact.MediaProgram)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	b, err := io.ReadAll(blob)
	if err != nil {
		return nil, fmt.Errorf("reading the program: %w", err)
	}
	p := new(programpb.Program)
	if err := proto.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("decoding the program: %w", err)
	}
	return p, nil
}

func write(req stage.Request, mediaType string, annotations map[string]string, b []byte) error {
	w, err := req.Create(mediaType, annotations)
	if err != nil {
		return fmt.Errorf("creating %s: %w", mediaType, err)
	}
	if _, err := w.Write(b); err != nil {
		w.Close()
		return fmt.Errorf("writing %s: %w", mediaType, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("closing %s: %w", mediaType, err)
	}
	return nil
}
