// Package stage is the contract between the engine and a plugin. A stage turns
// input artifacts into output artifacts; only descriptors cross the border, the
// bytes lie in files. The same Go source serves as an out-of-process plugin and
// as a sandboxed Extism module (built with GOOS=wasip1): see package serve below.
package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// Kind is the place of a stage in a pipeline.
type Kind string

// The kinds of stage.
const (
	KindExtract   Kind = "extract"
	KindAnalyze   Kind = "analyze"
	KindRecompile Kind = "recompile"
	KindPolyfill  Kind = "polyfill"
	KindLink      Kind = "link"
	KindAssemble  Kind = "assemble"
	KindReport    Kind = "report"
)

// Descriptor names an artifact: an OCI content descriptor.
type Descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"` // sha256:<64 hexadecimal digits>
	Size        int64             `json:"size"`   // bytes
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Description is what a stage says of itself before it runs.
type Description struct {
	Name        string          `json:"name"`
	Kind        Kind            `json:"kind"`
	Version     string          `json:"version"`          // part of the cache key: bump when output changes
	Takes       []string        `json:"takes"`            // media types; "?" at the end of one: may be missing
	Gives       []string        `json:"gives"`            // media types
	Schema      json.RawMessage `json:"schema,omitempty"` // JSON schema of the configuration
	Permissions Permissions     `json:"permissions"`
	Doc         string          `json:"doc"` // one sentence
}

// Permissions are what a stage asks for and what pipeline.yaml grants. The zero
// value grants nothing beyond the stage's own inputs and outputs.
type Permissions struct {
	Memory  int64    `json:"memory,omitempty" yaml:"memory"`   // bytes
	Timeout string   `json:"timeout,omitempty" yaml:"timeout"` // time.ParseDuration
	Paths   []string `json:"paths,omitempty" yaml:"paths"`     // host paths to read
	Hosts   []string `json:"hosts,omitempty" yaml:"hosts"`     // network hosts
}

// Severity is the weight of a diagnostic.
type Severity string

// The severities. An error does not end the stage: returning an error does.
const (
	SeverityInfo    Severity = "info"
	SeverityWarning Severity = "warning"
	SeverityError   Severity = "error"
)

// Diagnostic is something that a person should know about an input.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	Subject  string   `json:"subject,omitempty"` // path or digest
	Message  string   `json:"message"`
}

// Request is one run of a stage.
type Request interface {
	// Inputs returns the input descriptors in the engine's order.
	Inputs() []Descriptor
	// Open opens the bytes of an input for reading.
	Open(d Descriptor) (Blob, error)
	// Config decodes the stage's configuration (already valid under Schema).
	Config(into any) error
	// Create starts an output. It becomes an artifact when closed without
	// error; the engine hashes it and stores it.
	Create(mediaType string, annotations map[string]string) (io.WriteCloser, error)
	// Diagnose reports something to the user.
	Diagnose(d Diagnostic)
	// Progress reports done of total units of work, with a word on what.
	Progress(done, total int64, what string)
	// Metric reports a number about this run, such as "functions".
	Metric(name string, value float64)
}

// Blob is an open input.
type Blob interface {
	io.Reader
	io.ReaderAt
	io.Closer
	Size() int64
}

// Stage is what a plugin implements.
type Stage interface {
	Describe() Description
	Run(ctx context.Context, req Request) error
}

// ByMediaType returns the inputs of one media type, in order.
func ByMediaType(req Request, mediaType string) []Descriptor {
	var of []Descriptor
	for _, d := range req.Inputs() {
		if d.MediaType == mediaType {
			of = append(of, d)
		}
	}
	return of
}

// ReadAll returns the bytes of an input.
func ReadAll(req Request, d Descriptor) ([]byte, error) {
	blob, err := req.Open(d)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", d.Digest, err)
	}
	defer blob.Close()
	b := make([]byte, blob.Size())
	if _, err := io.ReadFull(blob, b); err != nil {
		return nil, fmt.Errorf("reading %s: %w", d.Digest, err)
	}
	return b, nil
}
