package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"megabinary.dev/image"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/vkernel"
)

// newInspectCmd returns the command that shows what is in an image.
func newInspectCmd(a *app) *cobra.Command {
	asJSON, all, onlyMap := false, false, false
	cmd := &cobra.Command{
		Use:   "inspect IMAGE",
		Short: "Show what is in an image: layers, files by verdict, units, coverage, sizes",
		Long: `Show what is in an image. Of a rebuilt one, show which files may run, how much of
their code was recompiled, and why others are refused. With --map, show the whole
exec map; --map --json is its canonical form, byte for byte.

IMAGE is ` + image.Usage + `.`,
		Example: "  megabin inspect oci:app-mega\n  megabin inspect --all oci:app-mega\n  megabin inspect --json oci:app-mega\n  megabin inspect --map --json oci:app-mega > map.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			ref, err := image.ParseRef(args[0])
			if err != nil {
				return err
			}
			w, err := a.openWorkshop()
			if err != nil {
				return err
			}
			defer w.close()
			img, err := image.Pull(ctx, ref, w.store)
			if err != nil {
				return err
			}
			m, err := openMega(w.store, img)
			if err != nil && !errors.Is(err, vkernel.ErrNotRebuilt) {
				return err
			}
			if onlyMap {
				if m == nil {
					return fmt.Errorf("image %s: %w", ref, err)
				}
				return a.printMap(m, asJSON)
			}
			r := inspect(ref, img, m)
			if asJSON {
				encoder := json.NewEncoder(a.stdout)
				encoder.SetIndent("", "  ")
				return encoder.Encode(r)
			}
			return r.print(a.stdout, all)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&onlyMap, "map", false, "show the exec map")
	cmd.Flags().BoolVar(&all, "all", false, "list every file, not only those with code")
	addStoreFlag(cmd)
	return cmd
}

// printMap shows an exec map.
func (a *app) printMap(m *mega, asJSON bool) error {
	if asJSON {
		_, err := a.stdout.Write(m.ExecMapBytes)
		return err
	}
	fmt.Fprintf(a.stdout, "root        %s\nimage       %s\nmegabinary  %s\n", m.ExecMap.Root, m.ExecMap.Image, m.ExecMap.Megabinary)
	if m.ExecMap.Name != "" {
		fmt.Fprintf(a.stdout, "name        %s, number %d\n", m.ExecMap.Name, m.ExecMap.Sequence)
	}
	x := &explainer{byDigest: map[string]*artifact.ExecMapEntry{}, seen: map[string]bool{}}
	for i := range m.ExecMap.Entries {
		e := &m.ExecMap.Entries[i]
		x.byDigest[e.Digest] = e
	}
	for i := range m.ExecMap.Entries {
		e := &m.ExecMap.Entries[i]
		fmt.Fprintln(a.stdout)
		clear(x.seen)
		if err := x.digest(e.Paths[0].Path, e.Digest).print(a.stdout); err != nil {
			return err
		}
	}
	return nil
}

// report is what inspect shows.
type report struct {
	Image       string                    `json:"image"`
	Digest      string                    `json:"digest"`
	Layers      []layerReport             `json:"layers"`
	Rebuilt     bool                      `json:"rebuilt"`
	Base        string                    `json:"base,omitempty"` // digest of the manifest that it was built from
	ABI         string                    `json:"abi,omitempty"`
	Megabinary  *blobReport               `json:"megabinary,omitempty"`
	ExecMap     *blobReport               `json:"execMap,omitempty"`
	ExecMapRoot string                    `json:"execMapRoot,omitempty"`
	Verdicts    map[artifact.Verdict]int  `json:"verdicts,omitempty"`
	Kinds       map[artifact.ExecKind]int `json:"kinds,omitempty"`
	Units       []artifact.UnitEntry      `json:"units,omitempty"`
	Files       []artifact.ExecMapEntry   `json:"files,omitempty"`
	Coverage    float64                   `json:"coverage,omitempty"` // mean over units
	Unknown     int                       `json:"unknownInstructions,omitempty"`
}

type layerReport struct {
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"`
	Size      int64  `json:"size"`
}

type blobReport struct {
	Digest string `json:"digest"`
	Size   int    `json:"size"`
}

// inspect gathers the report; m is nil if the image was not rebuilt.
func inspect(ref image.Ref, img image.Image, m *mega) *report {
	r := &report{Image: ref.String(), Digest: img.Manifest.Digest}
	for _, l := range img.Layers {
		r.Layers = append(r.Layers, layerReport{l.Digest, l.MediaType, l.Size})
	}
	if m == nil {
		return r
	}
	r.Rebuilt = true
	r.Base = m.Annotations[artifact.AnnotationBaseDigest]
	r.ABI = m.Annotations[artifact.AnnotationABI]
	r.Megabinary = &blobReport{m.Digest, len(m.Megabinary)}
	r.ExecMap = &blobReport{m.ExecMapDigest, len(m.ExecMapBytes)}
	r.ExecMapRoot = m.ExecMap.Root
	r.Units, r.Files = m.Units, m.ExecMap.Entries
	r.Verdicts, r.Kinds = make(map[artifact.Verdict]int), make(map[artifact.ExecKind]int)
	units := 0
	for _, e := range m.ExecMap.Entries {
		r.Verdicts[e.Verdict] += len(e.Paths)
		r.Kinds[e.Kind] += len(e.Paths)
		r.Unknown += e.Unknown
		if e.Unit >= 0 {
			r.Coverage += e.Coverage
			units++
		}
	}
	if units > 0 {
		r.Coverage /= float64(units)
	}
	return r
}

func (r *report) print(out io.Writer, all bool) error {
	fmt.Fprintf(out, "%s\n%s\n\nLAYERS\n", r.Image, r.Digest)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for i, l := range r.Layers {
		fmt.Fprintf(w, "  %d\t%s\t%s\t%s\n", i, l.Digest, size(l.Size), l.MediaType)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if !r.Rebuilt {
		fmt.Fprintf(out, "\n%s\n", vkernel.ErrNotRebuilt)
		return nil
	}
	fmt.Fprintf(out, "\nMEGABINARY  %s, %s, guest ABI %s\nEXEC MAP    %s, %s\n  root      %s\nBASE        %s\n",
		r.Megabinary.Digest, size(int64(r.Megabinary.Size)), r.ABI, r.ExecMap.Digest, size(int64(r.ExecMap.Size)), r.ExecMapRoot, r.Base)
	fmt.Fprintf(out, "FILES       %s\n", counts(r.Verdicts))
	fmt.Fprintf(out, "KINDS       %s\n", counts(r.Kinds))
	fmt.Fprintf(out, "UNITS       %d, mean coverage %.2f %%, %d unknown instructions\n\n", len(r.Units), 100*r.Coverage, r.Unknown)
	fmt.Fprintln(w, "VERDICT\tKIND\tUNIT\tCOVERAGE\tUNKNOWN\tSIZE\tPATH")
	for _, e := range r.Files {
		if !all && e.Unit < 0 && (e.Verdict == artifact.VerdictScript || e.Kind == artifact.ExecData) {
			continue
		}
		printEntry(w, e)
	}
	return w.Flush()
}

func printEntry(w io.Writer, e artifact.ExecMapEntry) {
	unit, coverage := "-", "-"
	if e.Unit >= 0 {
		unit, coverage = fmt.Sprint(e.Unit), fmt.Sprintf("%.2f %%", 100*e.Coverage)
	}
	path := e.Paths[0].Path
	if n := len(e.Paths); n > 1 {
		path += fmt.Sprintf(" and %d more", n-1)
	}
	if e.Reason != "" {
		path += ": " + e.Reason
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", e.Verdict, e.Kind, unit, coverage, e.Unknown, size(e.Size), path)
}

// counts prints numbers by name, the largest first.
func counts[K ~string](m map[K]int) string {
	names := make([]K, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b K) int {
		if m[a] != m[b] {
			return m[b] - m[a]
		}
		return strings.Compare(string(a), string(b))
	})
	var all []string
	for _, name := range names {
		all = append(all, fmt.Sprintf("%d %s", m[name], name))
	}
	return strings.Join(all, ", ")
}
