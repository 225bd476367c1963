package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// statsInterval is the time over which a share of CPU is taken.
const statsInterval = time.Second

// statsRow is a line of stats; JSON has docker's names.
type statsRow struct {
	Container string `json:"Container"`
	Name      string `json:"Name"`
	CPU       string `json:"CPUPerc"`
	Memory    string `json:"MemUsage"`
	MemoryOf  string `json:"MemPerc"`
	Net       string `json:"NetIO"`
	Block     string `json:"BlockIO"`
	PIDs      int    `json:"PIDs"`
}

// newStatsCmd returns the command that shows what running containers use.
func newStatsCmd(a *app) *cobra.Command {
	var noStream bool
	var format string
	cmd := &cobra.Command{
		Use:   "stats [flags] [CONTAINER...]",
		Short: "Show what running containers use",
		Long: `Show what the containers of this user that megabin run has started use: CPU of
the process that runs a container, the vkernel's own included; memory that the guest
has touched; bytes over the network other than loopback; bytes of files read and
written; processes and threads.`,
		Example: "  megabin stats\n  megabin stats --no-stream --format json web",
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "table" && format != "json" {
				return fmt.Errorf("--format %q is neither table nor json", format)
			}
			return a.stats(cmd.Context(), args, noStream, format == "json")
		},
	}
	cmd.Flags().BoolVar(&noStream, "no-stream", false, "print once and end")
	cmd.Flags().StringVar(&format, "format", "table", "table or json: a line for each container")
	return cmd
}

func (a *app) stats(ctx context.Context, names []string, once, asJSON bool) error {
	before, err := running(ctx, names)
	if err != nil {
		return err
	}
	taken := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(statsInterval):
		}
		now, err := running(ctx, names)
		if err != nil {
			return err
		}
		rows := statsRows(before, now, time.Since(taken))
		before, taken = now, time.Now()
		if !once && !asJSON {
			fmt.Fprint(a.stdout, "\x1b[H\x1b[2J") // clears the screen
		}
		if err := printStats(a.stdout, rows, asJSON); err != nil || once {
			return err
		}
	}
}

// statsRows makes the rows of now; elapsed is the time since before was taken.
func statsRows(before, now []snapshot, elapsed time.Duration) []statsRow {
	cpu := map[string]time.Duration{}
	for _, s := range before {
		cpu[s.ID] = s.CPU
	}
	rows := make([]statsRow, 0, len(now))
	for _, s := range now {
		used := s.CPU
		if was, ok := cpu[s.ID]; ok {
			used -= was
		}
		limit, share := "none", "-"
		if s.MaxMemory > 0 {
			limit = binarySize(s.MaxMemory)
			share = fmt.Sprintf("%.2f%%", 100*float64(s.Memory)/float64(s.MaxMemory))
		}
		rows = append(rows, statsRow{
			Container: s.ID, Name: s.ID, CPU: fmt.Sprintf("%.2f%%", 100*used.Seconds()/elapsed.Seconds()),
			Memory: binarySize(s.Memory) + " / " + limit, MemoryOf: share,
			Net: decimalSize(s.NetRead) + " / " + decimalSize(s.NetSent), Block: decimalSize(s.DiskRead) + " / " + decimalSize(s.Written),
			PIDs: s.Tasks,
		})
	}
	return rows
}

func printStats(w io.Writer, rows []statsRow, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		for _, r := range rows {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	fmt.Fprintln(t, "CONTAINER\tCPU %\tMEM USAGE / LIMIT\tMEM %\tNET I/O\tBLOCK I/O\tPIDS")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\n", r.Name, r.CPU, r.Memory, r.MemoryOf, r.Net, r.Block, r.PIDs)
	}
	return t.Flush()
}

// newPSCmd returns the command that lists running containers.
func newPSCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "ps",
		Short:   "List running containers",
		Example: "  megabin ps",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := running(cmd.Context(), nil)
			if err != nil {
				return err
			}
			t := tabwriter.NewWriter(a.stdout, 0, 8, 3, ' ', 0)
			fmt.Fprintln(t, "CONTAINER\tIMAGE\tCOMMAND\tUP\tPID")
			for _, s := range list {
				fmt.Fprintf(t, "%s\t%s\t%s\t%v\t%d\n", s.ID, s.Image, shortCommand(s.Command), time.Since(s.Started).Round(time.Second), s.PID)
			}
			return t.Flush()
		},
	}
}

// shortCommand is a command in one short line of printable characters.
func shortCommand(argv []string) string {
	const most = 40
	s := fmt.Sprintf("%q", strings.Join(argv, " "))
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	return s
}

// binarySize prints bytes as docker prints memory.
func binarySize(n uint64) string { return humanSize(n, 1024, "B", "KiB", "MiB", "GiB", "TiB") }

// decimalSize prints bytes as docker prints what was transferred.
func decimalSize(n uint64) string { return humanSize(n, 1000, "B", "kB", "MB", "GB", "TB") }

func humanSize(n uint64, base float64, units ...string) string {
	v, i := float64(n), 0
	for v >= base && i < len(units)-1 {
		v, i = v/base, i+1
	}
	return fmt.Sprintf("%.4g%s", v, units[i])
}
