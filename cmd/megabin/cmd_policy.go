package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"megabinary.dev/vkernel/exec"
	"megabinary.dev/vkernel/policy"
	"megabinary.dev/vkernel/syscalls"
)

// policyOptions are what policies are read with.
func policyOptions() policy.Options {
	return policy.Options{Levels: execLevels(), Kernel: syscalls.UnameRelease}
}

// execLevels are the exec controller's.
func execLevels() []string {
	return texts(exec.Levels())
}

// loadPolicy reads the policy that run --policy names; without one it is docker's
// seccomp profile.
func loadPolicy(file string) (*policy.Policy, error) {
	if file == "" {
		return policy.Default(syscalls.UnameRelease)
	}
	return policy.Load(file, policyOptions())
}

// newPolicyCmd returns the commands over policies.
func newPolicyCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Check, show or record what a container may do",
		Long: `A policy is one YAML file for one container: system calls (by docker's and OCI's
seccomp profiles, by name and argument, by program), files, connections, limits,
environment, and the level of the exec controller. docs/POLICY.md describes it.`,
		Example: "  megabin policy record -o policy.yaml oci:app-mega ./prog\n  megabin policy check policy.yaml\n  megabin run --policy policy.yaml oci:app-mega ./prog",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:     "check FILE...",
		Short:   "Read policies and say what is wrong with them, with line and column",
		Example: "  megabin policy check policy.yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var errs []error
			for _, file := range args {
				p, err := policy.Load(file, policyOptions())
				if err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintf(a.stdout, "%s: %s\n", file, p.Digest)
				if len(p.Ignored) > 0 {
					fmt.Fprintf(a.stdout, "  not on linux/amd64, and left out: %s\n", strings.Join(p.Ignored, " "))
				}
			}
			return errors.Join(errs...)
		},
	})
	var path, digest string
	show := &cobra.Command{
		Use:     "show [FILE]",
		Short:   "Print what a policy decides; without FILE, the default",
		Example: "  megabin policy show policy.yaml --path /usr/bin/curl",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := loadPolicy(strings.Join(args, ""))
			if err != nil {
				return err
			}
			return showPolicy(a.stdout, p, path, digest)
		},
	}
	show.Flags().StringVar(&path, "path", "", "the system calls of the program at this path")
	show.Flags().StringVar(&digest, "digest", "", "the system calls of the program with this sha256:HEX")
	cmd.AddCommand(show, newPolicyRecordCmd(a), &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON schema of policies",
		Example: "  megabin policy schema > policy.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(a.stdout, policy.Schema())
			return err
		},
	})
	return cmd
}

func showPolicy(w io.Writer, p *policy.Policy, path, digest string) error {
	fmt.Fprintf(w, "digest %s\n", p.Digest)
	if p.ExecLevel != "" {
		fmt.Fprintf(w, "exec level %s\n", p.ExecLevel)
	}
	if f := p.Files; f != nil {
		fmt.Fprintf(w, "files: %s, but\n", f.Default)
		for _, r := range f.Rules {
			fmt.Fprintf(w, "  %s: %s\n", r.Pattern.Text, r.Access)
		}
	}
	for _, e := range p.Egress {
		what := e.Name
		if what == "" {
			what = e.Prefix.String()
		}
		if e.HTTP != nil {
			what = "http://" + what + " by way of a broker to " + e.HTTP.Upstream.String()
		}
		fmt.Fprintf(w, "egress: %s, ports %d to %d %s\n", what, e.Low, e.High, e.Proto)
	}
	filter := p.Filter(path, digest)
	if filter == nil {
		fmt.Fprintln(w, "every system call is allowed")
		return nil
	}
	by := map[string][]string{}
	var order []string
	filter.Table(func(_ int, name string, v policy.Verdict, decided bool) {
		what := v.String()
		if !decided {
			what = "by its arguments"
		}
		if by[what] == nil {
			order = append(order, what)
		}
		by[what] = append(by[what], name)
	})
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, what := range order {
		fmt.Fprintf(t, "%s\t%d\t%s\n", what, len(by[what]), strings.Join(by[what], " "))
	}
	return t.Flush()
}

func newPolicyRecordCmd(a *app) *cobra.Command {
	var output string
	run := runCommand(a, func(ctx context.Context, o runFlags, ref string, command []string) error {
		return a.recordPolicy(ctx, o, output, ref, command)
	})
	run.Use = "record [flags] IMAGE [COMMAND [ARG...]]"
	run.Short = "Run a command, refuse nothing that a policy is about, and write a policy under which the same run passes"
	run.Long = `Run a command as megabin run does, with its flags, and note what it does: each
program's system calls, which files it uses and how, what it connects to. The
policy that allows just that is written at the end, whatever the exit status.
Process ids in paths and what lies in /tmp become patterns. What the command would
do on another day is not in it: read it before you use it.`
	run.Example = "  megabin policy record -o policy.yaml oci:app-mega ./prog\n  megabin run --policy policy.yaml oci:app-mega ./prog"
	run.Flags().StringVarP(&output, "output", "o", "", "file to write the policy to (default standard error)")
	return run
}

// recordPolicy runs a command with a recorder and writes what it makes.
func (a *app) recordPolicy(ctx context.Context, o runFlags, output, ref string, command []string) error {
	o.recorder = policy.NewRecorder()
	out := a.stderr
	if output != "" { // opened now: the process gives up making files
		f, err := os.Create(output)
		if err != nil {
			return fmt.Errorf("writing the policy: %w", err)
		}
		defer f.Close()
		out = f
	}
	runErr := a.run(ctx, o, ref, command)
	var exit *exitError
	if runErr != nil && !errors.As(runErr, &exit) {
		return runErr
	}
	text, err := o.recorder.Policy("recorded from " + strings.Join(append([]string{ref}, command...), " "))
	if err != nil {
		return errors.Join(runErr, err)
	}
	_, err = out.Write(text)
	return errors.Join(runErr, err)
}
