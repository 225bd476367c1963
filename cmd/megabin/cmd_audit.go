package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"megabinary.dev/vkernel/audit"
)

// newAuditCmd returns the commands over audit trails.
func newAuditCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Check the trail that run --audit writes",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:     "verify FILE",
		Short:   "Check that no line of a trail was changed, dropped or moved",
		Long:    "Check the hash chain of an audit trail. A FILE of - is standard input. The status is 0 if the chain is whole.",
		Example: "  megabin run --audit trail.jsonl oci:app-mega true\n  megabin audit verify trail.jsonl",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var in io.Reader = a.stdin
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("opening the audit trail: %w", err)
				}
				defer f.Close()
				in = f
			}
			lines, err := audit.Verify(in)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			fmt.Fprintf(a.stdout, "%s: %d lines, the chain is whole\n", args[0], lines)
			return nil
		},
	})
	return cmd
}
