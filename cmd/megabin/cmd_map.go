package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"text/tabwriter"

	"github.com/spf13/cobra"

	megabinary "megabinary.dev"
	"megabinary.dev/sdk/artifact"
)

// newMapCmd returns the commands over exec maps.
func newMapCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "map",
		Short: "Compare exec maps; print their JSON schema",
		Example: `  megabin map diff oci:app-mega oci:app-mega-2
  megabin map schema > execmap.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of exec maps",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(a.stdout, megabinary.ExecMapSchema())
			return err
		},
	}, newMapDiffCmd(a))
	return cmd
}

func newMapDiffCmd(a *app) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Say what may run in B and not in A, and the other way round",
		Long: `Compare the exec maps of two rebuilt images, or files of megabin inspect --map
--json (NAME.json), path by path. The exit code is 0 if they allow the same, else 1.`,
		Example: "  megabin map diff oci:app-mega:v1 oci:app-mega:v2",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			w, err := a.openWorkshop()
			if err != nil {
				return err
			}
			defer w.close()
			from, err := a.mapFile(ctx, w, args[0])
			if err != nil {
				return err
			}
			to, err := a.mapFile(ctx, w, args[1])
			if err != nil {
				return err
			}
			d := diffMaps(from, to)
			if asJSON {
				encoder := json.NewEncoder(a.stdout)
				encoder.SetIndent("", "  ")
				err = encoder.Encode(d)
			} else {
				err = d.print(a.stdout)
			}
			if err == nil && len(d.Changes) > 0 {
				err = &exitError{Code: 1}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addStoreFlag(cmd)
	return cmd
}

// mapDiff is what differs between two exec maps.
type mapDiff struct {
	From    mapName     `json:"from"`
	To      mapName     `json:"to"`
	Changes []mapChange `json:"changes"` // sorted by path
}

type mapName struct {
	Name     string `json:"name,omitempty"`
	Sequence uint64 `json:"sequence"`
	Root     string `json:"root"`
	Image    string `json:"image"`
}

// mapChange is one path that differs.
type mapChange struct {
	Path string   `json:"path"`
	What string   `json:"what"` // added, removed or changed
	How  []string `json:"how,omitempty"`
	From *mapSide `json:"from,omitempty"`
	To   *mapSide `json:"to,omitempty"`
}

// mapSide is what one map says of a path.
type mapSide struct {
	Digest  string               `json:"digest"`
	Verdict artifact.Verdict     `json:"verdict"`
	Kind    artifact.ExecKind    `json:"kind"`
	Binding artifact.ExecMapPath `json:"binding"`
	Reason  string               `json:"reason,omitempty"`
	entry   *artifact.ExecMapEntry
}

func sides(m *artifact.ExecMap) map[string]*mapSide {
	all := make(map[string]*mapSide)
	for i := range m.Entries {
		e := &m.Entries[i]
		for _, p := range e.Paths {
			all[p.Path] = &mapSide{Digest: e.Digest, Verdict: e.Verdict, Kind: e.Kind, Binding: p, Reason: e.Reason, entry: e}
		}
	}
	return all
}

func diffMaps(from, to *artifact.ExecMap) *mapDiff {
	name := func(m *artifact.ExecMap) mapName { return mapName{m.Name, m.Sequence, m.Root, m.Image} }
	d := &mapDiff{From: name(from), To: name(to), Changes: []mapChange{}}
	a, b := sides(from), sides(to)
	both := make(map[string]bool)
	for p := range a {
		both[p] = true
	}
	for p := range b {
		both[p] = true
	}
	for _, p := range sortedNames(both) {
		switch x, y := a[p], b[p]; {
		case x == nil:
			d.Changes = append(d.Changes, mapChange{Path: p, What: "added", To: y})
		case y == nil:
			d.Changes = append(d.Changes, mapChange{Path: p, What: "removed", From: x})
		default:
			if how := x.differences(y); len(how) > 0 {
				d.Changes = append(d.Changes, mapChange{Path: p, What: "changed", How: how, From: x, To: y})
			}
		}
	}
	return d
}

// differences says in what two sides differ, other than in numbers of units.
func (x *mapSide) differences(y *mapSide) []string {
	var how []string
	note := func(what string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			how = append(how, fmt.Sprintf("%s %v -> %v", what, a, b))
		}
	}
	note("content", x.Digest, y.Digest)
	note("verdict", x.Verdict, y.Verdict)
	note("kind", x.Kind, y.Kind)
	note("reason", x.Reason, y.Reason)
	if x.Binding.Mode != y.Binding.Mode {
		how = append(how, fmt.Sprintf("mode %#o -> %#o", x.Binding.Mode, y.Binding.Mode))
	}
	note("owner", [2]int{x.Binding.UID, x.Binding.GID}, [2]int{y.Binding.UID, y.Binding.GID})
	note("capabilities", x.Binding.Capabilities, y.Binding.Capabilities)
	note("language", x.entry.Language, y.entry.Language)
	note("recompiler", x.entry.Recompiler, y.entry.Recompiler)
	note("coverage", x.entry.Coverage, y.entry.Coverage)
	note("needed", x.entry.Needed, y.entry.Needed)
	note("polyfill", x.entry.Polyfill, y.entry.Polyfill)
	return how
}

func (d *mapDiff) print(out io.Writer) error {
	for _, side := range []struct {
		mark string
		name mapName
	}{{"---", d.From}, {"+++", d.To}} {
		fmt.Fprintf(out, "%s %s", side.mark, side.name.Root)
		if side.name.Name != "" {
			fmt.Fprintf(out, " (%s, number %d)", side.name.Name, side.name.Sequence)
		}
		fmt.Fprintln(out)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, c := range d.Changes {
		switch {
		case c.From == nil:
			fmt.Fprintf(w, "+ %s\t%s\t%s\t%s\n", c.Path, c.To.Verdict, c.To.Kind, c.To.Digest)
		case c.To == nil:
			fmt.Fprintf(w, "- %s\t%s\t%s\t%s\n", c.Path, c.From.Verdict, c.From.Kind, c.From.Digest)
		default:
			fmt.Fprintf(w, "~ %s\n", c.Path)
			for _, how := range c.How {
				fmt.Fprintf(w, "    %s\n", how)
			}
		}
	}
	return w.Flush()
}

// readLimited reads a file of at most limit bytes.
func readLimited(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("%s: more than the %d bytes allowed", name, limit)
	}
	return content, err
}
