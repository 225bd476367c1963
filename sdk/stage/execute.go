package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"

	"megabinary.dev/sdk/stage/stagepb"
)

// Execute is the plugin's side of Run, for both kinds of plugin: it runs the
// stage that req names over the files in req.In and req.Out. The last event
// that it emits is a Result or a Failure. A panic of the stage is a Failure with
// the stack. Calls of emit never overlap.
func Execute(ctx context.Context, stages []Stage, req *stagepb.RunRequest, emit func(*stagepb.Event)) {
	run := &fileRequest{wire: req, emit: emit}
	outputs, err := run.execute(ctx, stages)
	if err != nil {
		run.send(&stagepb.Event{Of: &stagepb.Event_Failure{Failure: &stagepb.Failure{Message: err.Error()}}})
		return
	}
	run.send(&stagepb.Event{Of: &stagepb.Event_Result{Result: &stagepb.Result{Outputs: outputs}}})
}

// fileRequest is a Request over two directories.
type fileRequest struct {
	wire   *stagepb.RunRequest
	inputs []Descriptor

	mu      sync.Mutex // guards all below, and calls of emit
	emit    func(*stagepb.Event)
	outputs []*output // in the order of Create
}

type output struct {
	wire   *stagepb.Output
	closed bool
}

func (r *fileRequest) execute(ctx context.Context, stages []Stage) (outputs []*stagepb.Output, err error) {
	defer func() {
		if p := recover(); p != nil {
			outputs, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	for _, d := range r.wire.GetInputs() {
		r.inputs = append(r.inputs, DescriptorFromWire(d))
	}
	for _, s := range stages {
		if s.Describe().Name != r.wire.GetStage() {
			continue
		}
		if err := s.Run(ctx, r); err != nil {
			return nil, err
		}
		return r.finished()
	}
	return nil, fmt.Errorf("this plugin has no stage %q", r.wire.GetStage())
}

// finished returns the outputs, none of which may still be open.
func (r *fileRequest) finished() ([]*stagepb.Output, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var wire []*stagepb.Output
	for i, o := range r.outputs {
		if !o.closed {
			return nil, fmt.Errorf("output %d of type %s was not closed", i, o.wire.MediaType)
		}
		wire = append(wire, o.wire)
	}
	return wire, nil
}

func (r *fileRequest) send(e *stagepb.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emit(e)
}

func (r *fileRequest) Inputs() []Descriptor { return r.inputs }

// fileBlob is an input in a file.
type fileBlob struct {
	*os.File
	size int64
}

func (b fileBlob) Size() int64 { return b.size }

func (r *fileRequest) Open(d Descriptor) (Blob, error) {
	name, err := HexOf(d.Digest)
	if err != nil {
		return nil, fmt.Errorf("opening an input: %w", err)
	}
	f, err := os.Open(filepath.Join(r.wire.GetIn(), name))
	if err != nil {
		return nil, fmt.Errorf("opening input %s: %w", d.Digest, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("opening input %s: %w", d.Digest, err)
	}
	return fileBlob{File: f, size: info.Size()}, nil
}

func (r *fileRequest) Config(into any) error {
	config := r.wire.GetConfig()
	if len(config) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(config))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("decoding the configuration: %w", err)
	}
	return nil
}

// outputFile is an output under way.
type outputFile struct {
	*os.File
	request *fileRequest
	output  *output
}

func (f *outputFile) Close() error {
	err := f.File.Close()
	if err == nil {
		f.request.mu.Lock()
		f.output.closed = true
		f.request.mu.Unlock()
	}
	return err
}

func (r *fileRequest) Create(mediaType string, annotations map[string]string) (io.WriteCloser, error) {
	if mediaType == "" {
		return nil, errors.New("creating an output: the media type is empty")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	name := strconv.Itoa(len(r.outputs))
	f, err := os.OpenFile(filepath.Join(r.wire.GetOut(), name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("creating an output of type %s: %w", mediaType, err)
	}
	o := &output{wire: &stagepb.Output{File: name, MediaType: mediaType, Annotations: maps.Clone(annotations)}}
	r.outputs = append(r.outputs, o)
	return &outputFile{File: f, request: r, output: o}, nil
}

func (r *fileRequest) Diagnose(d Diagnostic) {
	r.send(&stagepb.Event{Of: &stagepb.Event_Diagnostic{Diagnostic: &stagepb.Diagnostic{
		Severity: string(d.Severity), Subject: d.Subject, Message: d.Message,
	}}})
}

func (r *fileRequest) Progress(done, total int64, what string) {
	r.send(&stagepb.Event{Of: &stagepb.Event_Progress{Progress: &stagepb.Progress{Done: done, Total: total, What: what}}})
}

func (r *fileRequest) Metric(name string, value float64) {
	r.send(&stagepb.Event{Of: &stagepb.Event_Metric{Metric: &stagepb.Metric{Name: name, Value: value}}})
}
