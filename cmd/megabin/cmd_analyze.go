package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"megabinary.dev/engine"
	"megabinary.dev/image"
	analyzeelf "megabinary.dev/plugins/analyze-elf"
	"megabinary.dev/plugins/recompile"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/stage"
)

// newAnalyzeCmd returns the command that shows what an analysis finds.
func newAnalyzeCmd(a *app) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "analyze FILE|DIRECTORY|IMAGE...",
		Short: "Show how much of the code of ELF files is found, and what is not",
		Long: `Show, for ELF files, for all of them below a directory or in an image, what the
bytes of their text are, which instructions cannot be translated, and which
indirect jumps the analysis cannot follow and why. Files with the same content
count once.

IMAGE is ` + image.Usage + `.`,
		Example: "  megabin analyze /bin/busybox\n  megabin analyze /usr/lib\n  megabin analyze --json oci:app",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			report, err := a.analyze(ctx, args)
			if err != nil {
				return err
			}
			if asJSON {
				encoder := json.NewEncoder(a.stdout)
				encoder.SetIndent("", "  ")
				return encoder.Encode(report)
			}
			return report.print(a.stdout)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with every address")
	cmd.Flags().Int(settingJobs, 0, "files at once (default: one for each CPU)")
	addStoreFlag(cmd)
	return cmd
}

// analyze analyzes files, directories and images and joins what it finds.
func (a *app) analyze(ctx context.Context, names []string) (*analyzeReport, error) {
	var found []elfFile
	for _, name := range names {
		files, err := a.findELF(ctx, name)
		if err != nil {
			return nil, err
		}
		found = append(found, files...)
	}
	start := time.Now()
	files := make([]analysis, len(found))
	err := forEach(ctx, a.settings.GetInt(settingJobs), len(found), func(i int) error {
		var err error
		if files[i], err = found[i].analyze(ctx); err != nil {
			return fmt.Errorf("%s: %w", found[i].path, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(files, func(x, y analysis) int { return cmp.Or(cmp.Compare(x.Path, y.Path), cmp.Compare(x.Digest, y.Digest)) })
	seen := map[string]bool{}
	files = slices.DeleteFunc(files, func(f analysis) bool {
		again := seen[f.Digest]
		seen[f.Digest] = true
		return again
	})
	return newAnalyzeReport(files, time.Since(start)), nil
}

// forEach calls do for each index below n, some at a time, and returns the error
// of the lowest index.
func forEach(ctx context.Context, jobs, n int, do func(i int) error) error {
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	errs := make([]error, n)
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(jobs, n) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				errs[i] = do(i)
			}
		}()
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// elfFile is a file to analyze: in the file system, or in the store together
// with the program that the pipeline has found in it.
type elfFile struct {
	path    string
	open    func() (io.ReaderAt, int64, io.Closer, error)
	program func() (*programpb.Program, error) // nil: not analyzed yet
}

func (f *elfFile) analyze(ctx context.Context) (analysis, error) {
	r, size, closer, err := f.open()
	if err != nil {
		return analysis{}, err
	}
	defer closer.Close()
	var p *programpb.Program
	if f.program != nil {
		p, err = f.program()
	} else {
		p, err = analyzeelf.Analyze(ctx, r, size, analyzeelf.Options{})
	}
	if err != nil {
		return analysis{}, err
	}
	missing, translated, err := recompile.FindUnsupported(ctx, r, p, guestabi.CPUv2)
	if err != nil {
		return analysis{}, err
	}
	out := newAnalysis(f.path, p, missing)
	out.Translated = translated
	return out, nil
}

// findELF returns the ELF files that a name stands for: a file, the programs and
// libraries below a directory, or those of an image.
func (a *app) findELF(ctx context.Context, name string) ([]elfFile, error) {
	info, err := os.Stat(name)
	switch {
	case err == nil && info.Mode().IsRegular():
		return []elfFile{localFile(name)}, nil
	case err == nil && info.IsDir():
		return findBelow(name)
	}
	ref, err := image.ParseRef(name)
	if err != nil {
		return nil, err
	}
	return a.analyzeImage(ctx, ref)
}

func localFile(path string) elfFile {
	return elfFile{path: path, open: func() (io.ReaderAt, int64, io.Closer, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, 0, nil, fmt.Errorf("opening the file: %w", err)
		}
		info, err := f.Stat()
		if err != nil {
			return nil, 0, nil, errors.Join(fmt.Errorf("opening the file: %w", err), f.Close())
		}
		return f, info.Size(), f, nil
	}}
}

// findBelow returns the x86-64 programs and libraries below dir.
func findBelow(dir string) ([]elfFile, error) {
	var files []elfFile
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		head := make([]byte, 20)
		if n, err := f.ReadAt(head, 0); n < len(head) && !errors.Is(err, io.EOF) {
			return err
		}
		if isProgram(head) {
			files = append(files, localFile(path))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for ELF files: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: there is no ELF program or library for x86-64 in it", dir)
	}
	return files, nil
}

// isProgram reports whether head begins a 64-bit little-endian ELF file for
// x86-64 that is a program or a library (gABI: e_ident, e_type, e_machine).
func isProgram(head []byte) bool {
	const typeExec, typeDyn, machine = 2, 3, 62
	return bytes.HasPrefix(head, []byte("\x7fELF\x02\x01")) && len(head) >= 20 &&
		(head[16] == typeExec || head[16] == typeDyn) && head[17] == 0 && head[18] == machine && head[19] == 0
}

// analyzeImage runs the first two stages of the default pipeline, as a build
// does: the results are the same, and in the cache afterwards.
func (a *app) analyzeImage(ctx context.Context, ref image.Ref) ([]elfFile, error) {
	w, err := a.openWorkshop()
	if err != nil {
		return nil, err
	}
	defer w.close()
	pipeline, l, err := readPipeline("")
	if err != nil {
		return nil, err
	}
	wanted := []string{"extract-oci", analyzeelf.Name}
	pipeline.Stages = slices.DeleteFunc(pipeline.Stages, func(s *engine.StageSpec) bool { return !slices.Contains(wanted, s.Uses) })
	pipeline.Plugins = slices.DeleteFunc(pipeline.Plugins, func(p *engine.PluginSpec) bool { return !slices.Contains(wanted, p.Name) })
	plan, err := w.plugins.Plan(ctx, pipeline, l)
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	pulled, err := image.Pull(ctx, ref, w.store)
	if err != nil {
		return nil, err
	}
	runner := &engine.Runner{Store: w.store, Cache: w.cache, Jobs: a.settings.GetInt(settingJobs)}
	outcome, err := runner.Run(ctx, plan, pulled.Descriptors())
	if err != nil {
		return nil, err
	}
	files := []elfFile{}
	for _, d := range outcome.Of(stage.KindAnalyze).Outputs {
		if d.MediaType != artifact.MediaProgram {
			continue
		}
		files = append(files, storedFile(w, d))
	}
	return files, nil
}

// storedFile returns the ELF file of a program that a pipeline has made.
func storedFile(w *workshop, d stage.Descriptor) elfFile {
	return elfFile{
		path: d.Annotations[artifact.AnnotationPath],
		open: func() (io.ReaderAt, int64, io.Closer, error) {
			f, err := w.store.Open(d.Annotations[artifact.AnnotationSubject])
			if err != nil {
				return nil, 0, nil, err
			}
			info, err := f.Stat()
			if err != nil {
				return nil, 0, nil, errors.Join(fmt.Errorf("opening a blob: %w", err), f.Close())
			}
			return f, info.Size(), f, nil
		},
		program: func() (*programpb.Program, error) {
			content, err := w.store.ReadAll(d, d.Size)
			if err != nil {
				return nil, err
			}
			p := new(programpb.Program)
			if err := proto.Unmarshal(content, p); err != nil {
				return nil, fmt.Errorf("decoding program %s: %w", d.Digest, err)
			}
			return p, nil
		},
	}
}
