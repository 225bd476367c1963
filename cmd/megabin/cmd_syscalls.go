package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"megabinary.dev/vkernel/syscalls"
)

// newSyscallsCmd returns the command that prints the table of syscalls.
func newSyscallsCmd(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "syscalls",
		Short:   "List the syscalls that guests may make, and how much of each is there",
		Example: "  megabin syscalls\n  megabin syscalls --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			type row struct {
				Number int    `json:"number"`
				Name   string `json:"name"`
				Level  string `json:"level"`
				Note   string `json:"note,omitempty"`
			}
			var rows []row
			for _, r := range syscalls.Table() {
				if r.Handler != nil {
					rows = append(rows, row{r.Number, r.Name, string(r.Level), r.Note})
				}
			}
			if asJSON {
				enc := json.NewEncoder(a.stdout)
				enc.SetIndent("", "  ")
				return enc.Encode(rows)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "NUMBER\tNAME\tSUPPORT\tNOTE")
			for _, r := range rows {
				fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", r.Number, r.Name, r.Level, r.Note)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
