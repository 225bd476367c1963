package analyzeelf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	"megabinary.dev/sdk/artifact"
	pb "megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/stage"
)

// Name and Version of the stage. The version is part of the cache key: bump it
// when the output changes.
const (
	Name    = "analyze-elf"
	Version = "1"
)

// memory is what the largest programs of a distribution need, in bytes.
const memory = 2 << 30

// schema is the JSON schema of the stage's configuration.
const schema = `{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "hints": {
      "type": "object",
      "byInput": true,
      "description": "by digest of an ELF file, the addresses of code that runs have missed",
      "propertyNames": {"pattern": "^sha256:[0-9a-f]{64}$"},
      "additionalProperties": {"type": "array", "items": {"type": "string", "pattern": "^0x[0-9a-f]{1,16}$"}}
    }
  }
}`

type config struct {
	Hints map[string][]string `json:"hints"`
}

// Stage returns the stage that finds the code in ELF files.
func Stage() stage.Stage { return analyzer{} }

type analyzer struct{}

func (analyzer) Describe() stage.Description {
	return stage.Description{
		Name: Name, Kind: stage.KindAnalyze, Version: Version,
		Takes: []string{artifact.MediaELF}, Gives: []string{artifact.MediaProgram},
		Schema:      json.RawMessage(schema),
		Permissions: stage.Permissions{Memory: memory},
		Doc:         "Finds functions, basic blocks, jump tables and code pointers in an x86-64 ELF file.",
	}
}

func (analyzer) Run(ctx context.Context, req stage.Request) error {
	var c config
	if err := req.Config(&c); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	inputs := stage.ByMediaType(req, artifact.MediaELF)
	for n, d := range inputs {
		req.Progress(int64(n), int64(len(inputs)), name(d))
		if err := analyzeOne(ctx, req, d, c); err != nil {
			return fmt.Errorf("%s: %w", name(d), err)
		}
	}
	req.Progress(int64(len(inputs)), int64(len(inputs)), "files")
	return nil
}

func name(d stage.Descriptor) string {
	if p := d.Annotations[artifact.AnnotationPath]; p != "" {
		return p
	}
	return d.Digest
}

func analyzeOne(ctx context.Context, req stage.Request, d stage.Descriptor, c config) error {
	sha256, err := stage.HexOf(d.Digest) // the engine has checked it
	if err != nil {
		return err
	}
	opts := Options{SHA256: sha256}
	for _, h := range c.Hints[d.Digest] {
		addr, err := strconv.ParseUint(h, 0, 64)
		if err != nil {
			return fmt.Errorf("reading hint %q: %w", h, err)
		}
		opts.Hints = append(opts.Hints, addr)
	}
	blob, err := req.Open(d)
	if err != nil {
		return err
	}
	defer blob.Close()
	program, err := Analyze(ctx, blob, blob.Size(), opts)
	if err != nil {
		return err
	}
	report(req, d, program)
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(program)
	if err != nil {
		return fmt.Errorf("encoding the program: %w", err)
	}
	annotations := map[string]string{artifact.AnnotationSubject: d.Digest}
	if p := d.Annotations[artifact.AnnotationPath]; p != "" {
		annotations[artifact.AnnotationPath] = p
	}
	out, err := req.Create(artifact.MediaProgram, annotations)
	if err != nil {
		return err
	}
	_, err = out.Write(encoded)
	return errors.Join(err, out.Close())
}

// report tells the user what was not found.
func report(req stage.Request, d stage.Descriptor, p *pb.Program) {
	cov := p.GetCoverage()
	req.Metric("functions", float64(len(p.GetFunctions())))
	req.Metric("instructions", float64(cov.GetInstructions()))
	req.Metric("textBytes", float64(cov.GetTextBytes()-cov.GetPaddingBytes()))
	req.Metric("coveredBytes", float64(cov.GetFunctionBytes()))
	req.Metric("unknownInstructions", float64(len(p.GetUnknown())))
	req.Metric("unresolvedJumps", float64(len(p.GetUnresolved())))
	if p.GetGeneratesCode() {
		req.Diagnose(stage.Diagnostic{
			Severity: stage.SeverityWarning, Subject: name(d),
			Message: "the program asks for memory that it can both write and run; code that it generates will not run",
		})
	}
	if covered := Covered(cov); covered < lowCoverage {
		req.Diagnose(stage.Diagnostic{
			Severity: stage.SeverityWarning, Subject: name(d),
			Message: fmt.Sprintf("only %.1f %% of the code was found", covered*100),
		})
	}
}

// lowCoverage is the share of text below which a file is worth a warning: all
// compiled programs that were measured have more.
const lowCoverage = 0.97
