package linkmegabinary

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/proto"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/stage"
)

// Name and Version of the stage. The version is part of the cache key: bump it
// when the output changes.
const (
	Name    = "link-megabinary"
	Version = "2"
)

// schema is the JSON schema of the stage's configuration.
const schema = `{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "mapName": {"type": "string", "maxLength": 256, "description": "names the application whose exec maps the numbers order"},
    "mapSequence": {"type": "integer", "minimum": 0, "maximum": 9007199254740991, "description": "a host that accepted a map refuses one of the same name with a lower number"}
  }
}`

type config struct {
	MapName     string `json:"mapName"`
	MapSequence uint64 `json:"mapSequence"`
}

// Stage returns the stage that joins units into a megabinary.
func Stage() stage.Stage { return linker{} }

type linker struct{}

func (linker) Describe() stage.Description {
	return stage.Description{
		Name: Name, Kind: stage.KindLink, Version: Version,
		Takes:  []string{artifact.MediaRootFS, artifact.MediaUnit, artifact.MediaUnitReport, artifact.MediaProgram, artifact.MediaObject + "?"},
		Gives:  []string{artifact.MediaMegabinary, artifact.MediaExecMap},
		Schema: json.RawMessage(schema),
		Doc:    "Joins units into one WebAssembly module and writes the exec map.",
	}
}

func (linker) Run(ctx context.Context, req stage.Request) error {
	var c config
	if err := req.Config(&c); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	root, err := readRootFS(req)
	if err != nil {
		return err
	}
	modules, err := readAll(ctx, req, artifact.MediaUnit)
	if err != nil {
		return err
	}
	programs, err := readPrograms(ctx, req)
	if err != nil {
		return err
	}
	linked, err := Link(modules)
	if err != nil {
		return err
	}
	m := linked.ExecMap(root, programs)
	linked.addObjects(m, stage.ByMediaType(req, artifact.MediaObject))
	m.Name, m.Sequence = c.MapName, c.MapSequence
	module, err := linked.Encode(m)
	if err != nil {
		return err
	}
	text, err := m.MarshalCanonical()
	if err != nil {
		return err
	}
	diagnose(req, linked, m)
	if err := write(req, artifact.MediaMegabinary, module); err != nil {
		return err
	}
	return write(req, artifact.MediaExecMap, text)
}

func readRootFS(req stage.Request) (*artifact.RootFS, error) {
	in := stage.ByMediaType(req, artifact.MediaRootFS)
	if len(in) != 1 {
		return nil, fmt.Errorf("reading inputs: want one of type %s, have %d", artifact.MediaRootFS, len(in))
	}
	b, err := stage.ReadAll(req, in[0])
	if err != nil {
		return nil, err
	}
	root := new(artifact.RootFS)
	if err := json.Unmarshal(b, root); err != nil {
		return nil, fmt.Errorf("decoding the root file system: %w", err)
	}
	return root, nil
}

// readPrograms returns the programs by the digests of their ELF files.
func readPrograms(ctx context.Context, req stage.Request) (map[string]*programpb.Program, error) {
	blobs, err := readAll(ctx, req, artifact.MediaProgram)
	if err != nil {
		return nil, err
	}
	programs := make(map[string]*programpb.Program, len(blobs))
	for _, b := range blobs {
		p := new(programpb.Program)
		if err := proto.Unmarshal(b, p); err != nil {
			return nil, fmt.Errorf("decoding a program: %w", err)
		}
		programs["sha256:"+p.GetSha256()] = p
	}
	return programs, nil
}

func readAll(ctx context.Context, req stage.Request, mediaType string) ([][]byte, error) {
	in := stage.ByMediaType(req, mediaType)
	out := make([][]byte, 0, len(in))
	for i, d := range in {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("reading inputs: %w", err)
		}
		b, err := stage.ReadAll(req, d)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
		req.Progress(int64(i+1), int64(len(in)), "reading "+mediaType)
	}
	return out, nil
}

// diagnose tells what will not run, and the numbers.
func diagnose(req stage.Request, l *Linked, m *artifact.ExecMap) {
	byVerdict := map[artifact.Verdict]int{}
	known := make(map[string]bool, len(m.Entries))
	for i := range m.Entries {
		e := &m.Entries[i]
		known[e.Digest] = true
		byVerdict[e.Verdict]++
		if e.Verdict == artifact.VerdictRefuse && e.Kind != artifact.ExecData {
			req.Diagnose(stage.Diagnostic{Severity: stage.SeverityWarning, Subject: e.Paths[0].Path, Message: "will be refused: " + e.Reason})
		}
		if e.Unknown > 0 {
			req.Diagnose(stage.Diagnostic{Severity: stage.SeverityInfo, Subject: e.Paths[0].Path,
				Message: fmt.Sprintf("%d instructions are not known and raise SIGILL when reached", e.Unknown)})
		}
	}
	for _, u := range l.Units {
		if !known[u.Digest] {
			req.Diagnose(stage.Diagnostic{Severity: stage.SeverityWarning, Subject: u.Digest, Message: "the image has no file for this unit"})
		}
	}
	req.Metric("units", float64(len(l.Units)))
	req.Metric("files.run", float64(byVerdict[artifact.VerdictRun]))
	req.Metric("files.script", float64(byVerdict[artifact.VerdictScript]))
	req.Metric("files.refuse", float64(byVerdict[artifact.VerdictRefuse]))
}

func write(req stage.Request, mediaType string, b []byte) error {
	w, err := req.Create(mediaType, nil)
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
