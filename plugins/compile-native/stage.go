package compilenative

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/stage"
)

// Name and Version of the stage. The version is part of the cache key: bump it
// when the output changes.
const (
	Name    = "compile-native"
	Version = "2"
)

// schema is the JSON schema of the stage's configuration.
const schema = `{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "platforms": {"type": "array", "items": {"enum": ["linux/amd64"]}, "default": ["linux/amd64"], "description": "what objects are made for"},
    "compiler": {"type": "string", "description": "first line of clang --version: another compiler is refused, because its objects differ"}
  }
}`

type config struct {
	Platforms []string `json:"platforms"`
	Compiler  string   `json:"compiler"`
}

// Stage returns the stage that compiles a unit to native objects.
func Stage() stage.Stage { return compiler{} }

type compiler struct{}

func (compiler) Describe() stage.Description {
	return stage.Description{
		Name: Name, Kind: stage.KindRecompile, Version: Version,
		Takes:  []string{artifact.MediaUnit},
		Gives:  []string{artifact.MediaObject},
		Schema: json.RawMessage(schema),
		Doc:    "Compiles a unit ahead of time to native shared objects, with clang.",
	}
}

func (compiler) Run(ctx context.Context, req stage.Request) error {
	c := config{Platforms: Platforms()}
	if err := req.Config(&c); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	tools, err := FindTools()
	if err != nil {
		return err
	}
	version, err := tools.Version(ctx)
	if err != nil {
		return err
	}
	if c.Compiler != "" && c.Compiler != version {
		return fmt.Errorf("the compiler is %q, the pipeline asks for %q", version, c.Compiler)
	}
	in := stage.ByMediaType(req, artifact.MediaUnit)
	if len(in) != 1 {
		return fmt.Errorf("reading inputs: want one of type %s, have %d", artifact.MediaUnit, len(in))
	}
	unit, err := stage.ReadAll(req, in[0])
	if err != nil {
		return err
	}
	for _, platform := range c.Platforms {
		if err := compileFor(ctx, req, platform, tools, in[0], unit); err != nil {
			return err
		}
	}
	return nil
}

func compileFor(ctx context.Context, req stage.Request, platform string, tools Tools, in stage.Descriptor, unit []byte) (err error) {
	dir, err := os.MkdirTemp("", "compile-native-")
	if err != nil {
		return fmt.Errorf("making a folder to compile in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	object, err := Compile(ctx, unit, dir, Options{
		Platform: platform, Tools: tools, Workers: runtime.NumCPU(),
		Progress: func(done, total int) { req.Progress(int64(done), int64(total), "files of C") },
	})
	if err != nil {
		return err
	}
	f, err := os.Open(object)
	if err != nil {
		return fmt.Errorf("reading the object: %w", err)
	}
	defer f.Close()
	w, err := req.Create(artifact.MediaObject, map[string]string{
		artifact.AnnotationSubject: in.Annotations[artifact.AnnotationSubject], artifact.AnnotationUnit: in.Digest, artifact.AnnotationPlatform: platform,
	})
	if err != nil {
		return fmt.Errorf("creating an object: %w", err)
	}
	n, err := io.Copy(w, f)
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("writing an object: %w", err)
	}
	req.Metric("bytes."+platform, float64(n))
	return nil
}
