package stage

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"megabinary.dev/sdk/stage/stagepb"
)

// funcStage is a stage made of a function.
type funcStage func(ctx context.Context, req Request) error

func (funcStage) Describe() Description {
	return Description{
		Name: "f", Kind: KindReport, Version: "1", Takes: []string{"text/plain", "text/x?"}, Gives: []string{"text/plain"},
		Schema: json.RawMessage(`{}`), Permissions: Permissions{Memory: 1, Timeout: "1s", Paths: []string{"/p"}, Hosts: []string{"h"}}, Doc: "Does.",
	}
}

func (f funcStage) Run(ctx context.Context, req Request) error { return f(ctx, req) }

// run runs a stage over one input and returns the events.
func run(t *testing.T, name, config string, f funcStage) (events []*stagepb.Event, out string) {
	t.Helper()
	dir := t.TempDir()
	req := &stagepb.RunRequest{Stage: name, Config: []byte(config), In: dir, Out: filepath.Join(dir, "out")}
	digest := DigestPrefix + strings.Repeat("a", 64)
	req.Inputs = []*stagepb.Descriptor{{MediaType: "text/plain", Digest: digest, Size: 3}}
	if err := errors.Join(os.Mkdir(req.Out, 0o755), os.WriteFile(filepath.Join(dir, strings.Repeat("a", 64)), []byte("abc"), 0o644)); err != nil {
		t.Fatal(err)
	}
	Execute(context.Background(), []Stage{f}, req, func(e *stagepb.Event) { events = append(events, e) })
	return events, req.Out
}

func TestExecute(t *testing.T) {
	events, out := run(t, "f", `{"n":2}`, func(_ context.Context, req Request) error {
		var config struct{ N int }
		if err := req.Config(&config); err != nil || config.N != 2 {
			t.Errorf("the configuration is %+v, %v", config, err)
		}
		blob, err := req.Open(req.Inputs()[0])
		if err != nil {
			return err
		}
		defer blob.Close()
		b := make([]byte, 2)
		if _, err := blob.ReadAt(b, 1); err != nil || string(b) != "bc" || blob.Size() != 3 {
			t.Errorf("read %q of %d, %v", b, blob.Size(), err)
		}
		req.Progress(1, 2, "w")
		req.Metric("m", 3)
		req.Diagnose(Diagnostic{Severity: SeverityInfo, Subject: "s", Message: "d"})
		for _, content := range []string{"x", "y"} {
			w, err := req.Create("text/plain", map[string]string{"k": content})
			if err != nil {
				return err
			}
			if _, err := w.Write([]byte(content)); err != nil {
				return err
			}
			if err := w.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	if len(events) != 4 || events[0].GetProgress().GetTotal() != 2 || events[1].GetMetric().GetValue() != 3 || events[2].GetDiagnostic().GetMessage() != "d" {
		t.Fatalf("events %v", events)
	}
	outputs := events[3].GetResult().GetOutputs()
	if len(outputs) != 2 || outputs[1].GetAnnotations()["k"] != "y" {
		t.Fatalf("outputs %v", outputs)
	}
	if b, err := os.ReadFile(filepath.Join(out, outputs[1].GetFile())); err != nil || string(b) != "y" {
		t.Errorf("the output is %q, %v", b, err)
	}
}

func TestExecuteFails(t *testing.T) {
	for _, c := range []struct {
		name, stage, config, want string
		f                         funcStage
	}{
		{"another stage", "g", "", `no stage "g"`, nil},
		{"an error", "f", "", "no good", func(context.Context, Request) error { return errors.New("no good") }},
		{"a panic", "f", "", "panic: oh", func(context.Context, Request) error { panic("oh") }},
		{"an open output", "f", "", "output 0 of type text/plain was not closed", func(_ context.Context, req Request) error {
			_, err := req.Create("text/plain", nil)
			return err
		}},
		{"an output without type", "f", "", "the media type is empty", func(_ context.Context, req Request) error {
			_, err := req.Create("", nil)
			return err
		}},
		{"an unknown key", "f", `{"m":1}`, `unknown field "m"`, func(_ context.Context, req Request) error { return req.Config(&struct{ N int }{}) }},
		{"an input that is not there", "f", "", "opening input sha256:bbb", func(_ context.Context, req Request) error {
			_, err := req.Open(Descriptor{Digest: DigestPrefix + strings.Repeat("b", 64)})
			return err
		}},
		{"an input that climbs", "f", "", "is not sha256:", func(_ context.Context, req Request) error {
			_, err := req.Open(Descriptor{Digest: "sha256:../../etc/passwd"})
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			events, _ := run(t, c.stage, c.config, c.f)
			if len(events) != 1 || !strings.Contains(events[0].GetFailure().GetMessage(), c.want) {
				t.Errorf("events %v, want %q", events, c.want)
			}
		})
	}
}

func TestDescriptionOverTheWire(t *testing.T) {
	want := funcStage(nil).Describe()
	all, err := DescriptionsFromReply(DescribeAll([]Stage{funcStage(nil)}))
	if err != nil || len(all) != 1 || !reflect.DeepEqual(all[0], want) {
		t.Errorf("got %+v, %v", all, err)
	}
	if !want.TakesType("text/x") || !want.TakesType("text/plain") || want.TakesType("text/x?") {
		t.Error("TakesType is wrong")
	}
	if _, err := DescriptionsFromReply(DescribeAll([]Stage{funcStage(nil), funcStage(nil)})); err == nil {
		t.Error("one name twice was accepted")
	}
	if _, err := DescriptionsFromReply(new(stagepb.DescribeReply)); err == nil {
		t.Error("no stage was accepted")
	}
}

func TestValidate(t *testing.T) {
	good := funcStage(nil).Describe()
	for want, spoil := range map[string]func(*Description){
		"name":    func(d *Description) { d.Name = "a/b" },
		"kind":    func(d *Description) { d.Kind = "x" },
		"version": func(d *Description) { d.Version = "" },
		"takes":   func(d *Description) { d.Takes = nil },
		"gives":   func(d *Description) { d.Gives = nil },
		"schema":  func(d *Description) { d.Schema = json.RawMessage("{") },
	} {
		d := good
		spoil(&d)
		if err := d.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}

func TestHexOf(t *testing.T) {
	h := strings.Repeat("0f", 32)
	if got, err := HexOf("sha256:" + h); got != h || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, d := range []string{"", h, "sha256:", "sha256:" + h[1:], "sha256:" + h + "0", "sha256:" + strings.ToUpper(h), "sha512:" + h, "sha256:" + strings.Repeat("g", 64), "sha256:" + strings.Repeat("../", 21) + "x"} {
		if got, err := HexOf(d); err == nil {
			t.Errorf("%q is %q", d, got)
		}
	}
}
