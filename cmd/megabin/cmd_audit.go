package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"megabinary.dev/vkernel/audit"
)

// The values of run --audit-full.
const (
	auditStop = "stop"
	auditDrop = "drop-and-count"
)

// openAudit starts the trail's file.
func (o *runFlags) openAudit() (*audit.File, error) {
	if o.auditFull != auditStop && o.auditFull != auditDrop {
		return nil, fmt.Errorf("--audit-full %q is neither %s nor %s", o.auditFull, auditStop, auditDrop)
	}
	size, err := parseSize(o.auditRotate)
	if err != nil {
		return nil, fmt.Errorf("--audit-rotate: %w", err)
	}
	if o.auditKeep < 0 {
		return nil, fmt.Errorf("--audit-keep %d is less than 0", o.auditKeep)
	}
	return audit.Create(o.audit, audit.FileOptions{MaxSize: int64(size), Keep: o.auditKeep})
}

// newAuditCmd returns the commands over audit trails.
func newAuditCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Check, read and export the trail that run --audit writes",
		Long: `Check, read and export the trail that run --audit writes. A FILE of - is standard
input; the full files that rotation left beside FILE belong to it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuditVerifyCmd(a), newAuditTailCmd(a), newAuditQueryCmd(a), newAuditExportCmd(a))
	return cmd
}

// openTrail opens a trail, or standard input.
func (a *app) openTrail(name string) (*audit.Reader, io.Closer, error) {
	if name == "-" {
		return audit.NewReader(a.stdin).FromAnywhere(), io.NopCloser(a.stdin), nil
	}
	return audit.Open(name)
}

// records calls each for every record of a trail.
func (a *app) records(name string, each func(r *audit.Record, line []byte) error) (err error) {
	in, c, err := a.openTrail(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for {
		r, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := each(&r, in.Line()); err != nil {
			return err
		}
	}
}

func newAuditVerifyCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE",
		Short: "Check that no line of a trail was changed, dropped or moved",
		Long: `Check the hash chain of an audit trail. The status is 0 if the chain is whole. A
chain whose end was cut off is whole, too: a trail that ends as a container does
has an end line, and what is printed says whether it is there.`,
		Example: "  megabin run --audit trail.jsonl oci:app-mega true\n  megabin audit verify trail.jsonl",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			in, c, err := a.openTrail(args[0])
			if err != nil {
				return err
			}
			defer c.Close()
			var lines, first, suppressed uint64
			for {
				r, err := in.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				if lines++; lines == 1 {
					first = r.Seq
				}
				suppressed += r.Suppressed
			}
			fmt.Fprintf(a.stdout, "%s: %d lines, the chain is whole\n", args[0], lines)
			if lines > 0 && first != 1 {
				fmt.Fprintf(a.stdout, "it begins with line %d: those before it are gone\n", first)
			}
			if suppressed > 0 {
				fmt.Fprintf(a.stdout, "%d records were kept back by the rate limits, which the lines say\n", suppressed)
			}
			if !in.Ended() {
				fmt.Fprintln(a.stdout, "its last line is not that of a container's end: it runs yet, was killed, or lines are missing there")
			}
			return nil
		},
	}
}

func newAuditTailCmd(a *app) *cobra.Command {
	var follow, asJSON bool
	var last int
	cmd := &cobra.Command{
		Use:     "tail FILE",
		Short:   "Print the last records of a trail",
		Example: "  megabin audit tail -f trail.jsonl",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if follow {
				ctx, stop := interruptible(cmd)
				defer stop()
				return a.follow(ctx, args[0], asJSON)
			}
			var lines []string
			err := a.records(args[0], func(r *audit.Record, line []byte) error {
				lines = append(lines, printed(r, line, asJSON))
				if len(lines) > 2*last+16 {
					lines = slices.Clone(lines[len(lines)-last:])
				}
				return nil
			})
			for _, l := range lines[max(0, len(lines)-last):] {
				fmt.Fprintln(a.stdout, l)
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "print what comes, from the file's beginning on")
	cmd.Flags().IntVarP(&last, "lines", "n", 10, "how many records")
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON lines")
	return cmd
}

func (a *app) follow(ctx context.Context, name string, asJSON bool) error {
	in, c, err := audit.Follow(ctx, name)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		r, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintln(a.stdout, printed(&r, in.Line(), asJSON))
		if in.Ended() {
			return nil
		}
	}
}

// printed is a record as a line, in which nothing is a terminal's command.
func printed(r *audit.Record, line []byte, asJSON bool) string {
	if asJSON {
		return audit.EscapeJSON(string(line))
	}
	return audit.Text(r)
}

// auditFilter says which records are asked for; empty fields ask for all.
type auditFilter struct {
	events               []string
	verdict, rule        string
	path, subject        string
	pid                  int
	since, until         string
	sinceTime, untilTime time.Time
}

func (f *auditFilter) prepare() (err error) {
	if f.verdict != "" && f.verdict != "allow" && f.verdict != "deny" && f.verdict != "would-deny" {
		return fmt.Errorf("--verdict %q is none of allow, deny, would-deny", f.verdict)
	}
	if _, err := path.Match(f.path, ""); err != nil {
		return fmt.Errorf("--path %q: %w", f.path, err)
	}
	for _, t := range []struct {
		text string
		into *time.Time
		flag string
	}{{f.since, &f.sinceTime, "since"}, {f.until, &f.untilTime, "until"}} {
		if t.text == "" {
			continue
		}
		if *t.into, err = time.Parse(time.RFC3339, t.text); err != nil {
			return fmt.Errorf("--%s %q is no time such as 2006-01-02T15:04:05Z", t.flag, t.text)
		}
	}
	return nil
}

func (f *auditFilter) fits(r *audit.Record) bool {
	if f.path != "" {
		if ok, err := path.Match(f.path, r.Path); err != nil || !ok {
			return false
		}
	}
	if f.since != "" || f.until != "" {
		at, err := time.Parse(time.RFC3339Nano, r.Time)
		if err != nil || f.since != "" && at.Before(f.sinceTime) || f.until != "" && at.After(f.untilTime) {
			return false
		}
	}
	return (len(f.events) == 0 || slices.Contains(f.events, r.Event)) && (f.verdict == "" || r.Verdict == f.verdict) &&
		strings.HasPrefix(r.Rule, f.rule) && (f.pid == 0 || r.PID == f.pid) &&
		strings.HasPrefix(strings.TrimPrefix(r.Subject, "sha256:"), strings.TrimPrefix(f.subject, "sha256:"))
}

func newAuditQueryCmd(a *app) *cobra.Command {
	var f auditFilter
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "query FILE",
		Short:   "Print the records that fit",
		Example: "  megabin audit query trail.jsonl --verdict deny\n  megabin audit query trail.jsonl --event exec,exit --pid 7 --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := f.prepare(); err != nil {
				return err
			}
			return a.records(args[0], func(r *audit.Record, line []byte) error {
				if f.fits(r) {
					fmt.Fprintln(a.stdout, printed(r, line, asJSON))
				}
				return nil
			})
		},
	}
	fl := cmd.Flags()
	fl.StringSliceVar(&f.events, "event", nil, "events, such as exec,map,file,syscall,connect,http,privilege,exit")
	fl.StringVar(&f.verdict, "verdict", "", "allow, deny or would-deny")
	fl.StringVar(&f.rule, "rule", "", "what the rule's name begins with, such as exec. or files.rules[3]")
	fl.StringVar(&f.path, "path", "", "a pattern of paths, in which * stands within one component")
	fl.StringVar(&f.subject, "subject", "", "what the sha256 of the program begins with")
	fl.IntVar(&f.pid, "pid", 0, "a process")
	fl.StringVar(&f.since, "since", "", "a time, RFC 3339")
	fl.StringVar(&f.until, "until", "", "a time, RFC 3339")
	fl.BoolVar(&asJSON, "json", false, "JSON lines, as they stand in the trail")
	return cmd
}

func newAuditExportCmd(a *app) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "export FILE",
		Short: "Print a trail for other systems: OCSF or OpenTelemetry",
		Long: `Print a trail, one event in a line of JSON: --format ocsf as classes of the Open
Cybersecurity Schema Framework ` + audit.OCSFVersion + `, --format otlp as requests of OpenTelemetry's log
protocol, which a collector's otlpjsonfile receiver reads.`,
		Example: "  megabin audit export --format ocsf trail.jsonl > events.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			make := map[string]func(*audit.Record) map[string]any{"ocsf": audit.OCSF, "otlp": audit.OTLP}[format]
			if make == nil {
				return fmt.Errorf("--format %q is neither ocsf nor otlp", format)
			}
			w := bufio.NewWriter(a.stdout)
			err := a.records(args[0], func(r *audit.Record, _ []byte) error {
				line, err := json.Marshal(make(r))
				if err != nil {
					return err
				}
				_, err = w.WriteString(audit.EscapeJSON(string(line)) + "\n")
				return err
			})
			return errors.Join(err, w.Flush())
		},
	}
	cmd.Flags().StringVar(&format, "format", "ocsf", "ocsf or otlp")
	return cmd
}
