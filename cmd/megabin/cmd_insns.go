package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"megabinary.dev/plugins/recompile"
)

// newInsnsCmd returns the command that prints the table of instructions.
func newInsnsCmd(a *app) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "insns [MNEMONIC...]",
		Short: "Print the instructions that the recompiler knows",
		Long: "Print the table of x86-64 instructions that the recompiler knows: the family, the status flags that each " +
			"reads, writes and leaves undefined, and the number of test cases that compare it with a real CPU. " +
			"An instruction marked absent raises SIGILL, because the guest's CPUID denies it; one marked x86-64-v3 does so " +
			"unless the image is built with --cpu x86-64-v3.",
		Example: "  megabin insns\n  megabin insns adc sbb\n  megabin insns --json",
		RunE: func(_ *cobra.Command, args []string) error {
			insns, err := selectInsns(args)
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(a.stdout)
				enc.SetIndent("", "  ")
				return enc.Encode(insns)
			}
			return printInsns(a, insns)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// selectInsns returns the rows of the given mnemonics, or all.
func selectInsns(mnemonics []string) ([]recompile.Instruction, error) {
	all := recompile.Instructions()
	if len(mnemonics) == 0 {
		return all, nil
	}
	byName := map[string]recompile.Instruction{}
	for _, in := range all {
		byName[in.Mnemonic] = in
	}
	selected := []recompile.Instruction{}
	for _, name := range mnemonics {
		in, ok := byName[strings.ToUpper(name)]
		if !ok {
			return nil, fmt.Errorf("no instruction %s in the table: it raises SIGILL when it is reached", name)
		}
		selected = append(selected, in)
	}
	return selected, nil
}

func printInsns(a *app, insns []recompile.Instruction) error {
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "MNEMONIC\tFAMILY\tREADS\tWRITES\tUNDEFINED\tNOTE\tCASES")
	for _, in := range insns {
		var notes []string
		if in.Lock {
			notes = append(notes, "lock")
		}
		if in.CPU != "" {
			notes = append(notes, in.CPU)
		}
		if in.Absent {
			notes = append(notes, "absent")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\n", strings.ToLower(in.Mnemonic), in.Family, flagList(in.Reads),
			flagList(in.Writes), flagList(in.Undef), strings.Join(notes, " "), in.Cases)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing the instructions: %w", err)
	}
	_, err := fmt.Fprintf(a.stdout, "%d instructions\n", len(insns))
	return err
}

// flagList shortens flags to their first letters: CF PF becomes CP.
func flagList(flags []string) string {
	if len(flags) == 0 {
		return "-"
	}
	s := ""
	for _, f := range flags {
		s += strings.TrimSuffix(f, "F")
	}
	return s
}
