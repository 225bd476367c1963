// Command testplugin is a plugin for the engine's tests. Built as a process and
// as an Extism module, it gives the same bytes; told so, it misbehaves.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"megabinary.dev/sdk/stage"
	"megabinary.dev/sdk/stage/serve"
)

var plugin = serve.New(upper{}, split{}, join{}, bad{})

func main() { plugin.Main() }

// The media types of the test's artifacts.
const (
	typeText = "text/plain"
	typeLine = "text/x-line"
)

// upper makes its texts upper-case.
type upper struct{}

func (upper) Describe() stage.Description {
	return stage.Description{
		Name: "upper", Kind: stage.KindAnalyze, Version: "1", Doc: "Makes text upper-case.",
		Takes: []string{typeText + "?", typeLine + "?"}, Gives: []string{typeText},
		Schema: json.RawMessage(`{"type":"object","properties":{"suffix":{"type":"string"},"count":{"type":"integer"},"marks":{"type":"object","byInput":true}},"additionalProperties":false}`),
	}
}

func (upper) Run(_ context.Context, req stage.Request) error {
	var config struct {
		Suffix string            `json:"suffix"`
		Count  int               `json:"count"`
		Marks  map[string]string `json:"marks"` // by input
	}
	if err := req.Config(&config); err != nil {
		return err
	}
	for i, d := range req.Inputs() {
		text, err := read(req, d)
		if err != nil {
			return err
		}
		req.Progress(int64(i), int64(len(req.Inputs())), d.Digest)
		if bytes.Equal(text, []byte("poison")) {
			return errors.New("poison cannot be made louder")
		}
		if err := write(req, typeText, append(bytes.ToUpper(text), config.Suffix+config.Marks[d.Digest]...), nil); err != nil {
			return err
		}
	}
	req.Diagnose(stage.Diagnostic{Severity: stage.SeverityInfo, Message: "all upper"})
	req.Metric("texts", float64(len(req.Inputs())))
	return nil
}

// split makes a line of each line.
type split struct{}

func (split) Describe() stage.Description {
	return stage.Description{
		Name: "split", Kind: stage.KindExtract, Version: "1", Doc: "Splits text into lines.",
		Takes: []string{typeText}, Gives: []string{typeLine},
	}
}

func (split) Run(_ context.Context, req stage.Request) error {
	for _, d := range req.Inputs() {
		text, err := read(req, d)
		if err != nil {
			return err
		}
		scanner := bufio.NewScanner(bytes.NewReader(text))
		for n := 1; scanner.Scan(); n++ {
			annotations := map[string]string{"dev.megabinary.path": fmt.Sprintf("/line%d", n)}
			if err := write(req, typeLine, scanner.Bytes(), annotations); err != nil {
				return err
			}
		}
	}
	return nil
}

// join joins texts.
type join struct{}

func (join) Describe() stage.Description {
	return stage.Description{
		Name: "join", Kind: stage.KindAssemble, Version: "1", Doc: "Joins texts.",
		Takes: []string{typeText}, Gives: []string{typeText},
	}
}

func (join) Run(_ context.Context, req stage.Request) error {
	var all []string
	for _, d := range req.Inputs() {
		text, err := read(req, d)
		if err != nil {
			return err
		}
		all = append(all, string(text))
	}
	return write(req, typeText, []byte(strings.Join(all, "\n")), nil)
}

// bad misbehaves as its configuration says.
type bad struct{}

func (bad) Describe() stage.Description {
	return stage.Description{
		Name: "bad", Kind: stage.KindReport, Version: "1", Doc: "Misbehaves.",
		Takes: []string{typeText}, Gives: []string{typeText},
		Schema: json.RawMessage(`{"type":"object","properties":{"how":{"type":"string"},"path":{"type":"string"}}}`),
	}
}

func (bad) Run(ctx context.Context, req stage.Request) error {
	var config struct {
		How  string `json:"how"`
		Path string `json:"path"`
	}
	if err := req.Config(&config); err != nil {
		return err
	}
	switch config.How {
	case "crash":
		fmt.Fprintln(os.Stderr, "the last words of a plugin")
		time.Sleep(50 * time.Millisecond) // so that they are read
		os.Exit(3)
	case "panic":
		panic("a bug in the stage")
	case "fail":
		return errors.New("the stage does not like its input")
	case "hang":
		for config.Path == "" { // calls nothing, so that nothing but a signal ends it
		}
		for { // deaf to ctx, but not to a signal
			if _, err := os.Stat(config.Path); err != nil {
				os.WriteFile(config.Path, []byte("hanging"), 0o600)
			}
		}
	case "wrong type":
		return write(req, "text/html", []byte("x"), nil)
	case "not closed":
		_, err := req.Create(typeText, nil)
		return err
	case "unnamed file":
		w, err := req.Create(typeText, nil)
		if err != nil {
			return err
		}
		if f, ok := w.(interface{ Name() string }); ok {
			err = os.WriteFile(filepath.Join(filepath.Dir(f.Name()), "extra"), nil, 0o600)
		}
		return errors.Join(err, w.Close())
	case "change input":
		path := inputPath(req)
		return errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte("changed"), 0o600))
	case "memory":
		var all [][]byte
		for range 1 << 12 {
			all = append(all, bytes.Repeat([]byte{1}, 1<<20))
		}
		return fmt.Errorf("could take %d MiB", len(all))
	case "read", "list", "symlink", "write input":
		return escape(req, config.How, config.Path)
	}
	return fmt.Errorf("how %q is not known", config.How)
}

// inputPath returns the file of the first input: it leaks through Blob.
func inputPath(req stage.Request) string {
	blob, err := req.Open(req.Inputs()[0])
	if err != nil {
		return ""
	}
	defer blob.Close()
	if f, ok := blob.(interface{ Name() string }); ok {
		return f.Name()
	}
	return ""
}

// escape tries to leave the sandbox and gives what it found.
func escape(req stage.Request, how, path string) error {
	var found string
	switch how {
	case "read":
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found = string(b)
	case "list":
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		found = fmt.Sprint(entries)
	case "symlink":
		if err := os.Symlink(path, stage.OutDir+"/link"); err != nil {
			return err
		}
		b, err := os.ReadFile(stage.OutDir + "/link")
		if err != nil {
			return err
		}
		found = string(b)
	case "write input":
		if err := os.WriteFile(inputPath(req), []byte("changed"), 0o600); err != nil {
			return err
		}
	}
	return write(req, typeText, []byte(found), nil)
}

func read(req stage.Request, d stage.Descriptor) ([]byte, error) {
	blob, err := req.Open(d)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	return io.ReadAll(blob)
}

func write(req stage.Request, mediaType string, content []byte, annotations map[string]string) error {
	w, err := req.Create(mediaType, annotations)
	if err != nil {
		return err
	}
	_, err = w.Write(content)
	return errors.Join(err, w.Close())
}
