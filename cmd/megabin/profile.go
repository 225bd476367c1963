package main

import (
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"megabinary.dev/vkernel/machine"
)

// profile is how long each function ran, by samples.
type profile struct {
	Program  []string        `json:"program"`
	Rate     int             `json:"samplesPerSecond"`
	Duration time.Duration   `json:"durationNanoseconds"` // of the run
	Samples  int             `json:"samples"`             // of running guest code
	Total    time.Duration   `json:"guestNanoseconds"`    // of all tasks together
	Funcs    []*profiledFunc `json:"functions"`           // most time first
	index    map[funcKey]*profiledFunc
}

type funcKey struct{ path, name string }

// profiledFunc is one function. Names that no function has are in brackets.
type profiledFunc struct {
	Path    string        `json:"file"`
	Name    string        `json:"name"`
	Samples int           `json:"samples"`
	Guest   time.Duration `json:"guestNanoseconds"` // it ran
	Host    time.Duration `json:"hostNanoseconds"`  // what it called in the host ran, or waited
}

// betweenFunctions is the name of what runs between a call and the function
// that is called: passing control on.
const betweenFunctions = "[calls]"

// sample adds what all machines do, in the time since the last sample.
func (p *profile) sample(machines *machine.Profiler, pathOf func(unit int) string, since time.Duration) {
	machines.Observe(func(at machine.ProfiledFunction, known, running bool) {
		key := funcKey{name: betweenFunctions}
		if known {
			key = funcKey{pathOf(at.Unit), at.Name}
		}
		f := p.index[key]
		if f == nil {
			f = &profiledFunc{Path: key.path, Name: key.name}
			p.index[key] = f
			p.Funcs = append(p.Funcs, f)
		}
		if !running {
			f.Host += since
			return
		}
		f.Samples++
		f.Guest += since
		p.Samples++
		p.Total += since
	})
}

// sort puts the functions in the order of their time.
func (p *profile) sort() {
	slices.SortFunc(p.Funcs, func(a, b *profiledFunc) int {
		return cmp.Or(cmp.Compare(b.Guest, a.Guest), cmp.Compare(b.Host, a.Host), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Name, b.Name))
	})
}

// print writes the functions that took most.
func (p *profile) print(out io.Writer, most int) error {
	fmt.Fprintf(out, "%.2fs of guest code in %d samples at %d Hz; the run took %.2fs\n\n", p.Total.Seconds(), p.Samples, p.Rate, p.Duration.Seconds())
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "SELF\tSELF%\tSUM%\tHOST\t  FUNCTION")
	var sum time.Duration
	for i, f := range p.Funcs {
		if i == most || f.Guest == 0 && f.Host < p.Duration/100 {
			break
		}
		sum += f.Guest
		percent := func(d time.Duration) float64 { return 100 * d.Seconds() / max(p.Total.Seconds(), 1e-9) }
		fmt.Fprintf(w, "%.2fs\t%.1f%%\t%.1f%%\t%.2fs\t  %s\n", f.Guest.Seconds(), percent(f.Guest), percent(sum), f.Host.Seconds(), f)
	}
	return w.Flush()
}

func (f *profiledFunc) String() string {
	if f.Path == "" {
		return f.Name
	}
	return f.Name + "  " + f.Path
}

// Numbers of fields of perftools.profiles.Profile and its parts (profile.proto
// of github.com/google/pprof).
const (
	pprofSampleType, pprofSample, pprofMapping, pprofLocation, pprofFunction, pprofString = 1, 2, 3, 4, 5, 6
	pprofDuration, pprofPeriodType, pprofPeriod, pprofDefaultType                         = 10, 11, 12, 14
)

// message is a protocol buffer that is being written.
type message []byte

func (m *message) number(field protowire.Number, v int64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), uint64(v))
}

func (m *message) bytes(field protowire.Number, b []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), b)
}

// writePprof writes p as `go tool pprof` reads it.
func (p *profile) writePprof(out io.Writer) error {
	var m message
	texts, number := []string{""}, map[string]int64{"": 0}
	text := func(s string) int64 {
		n, ok := number[s]
		if !ok {
			n = int64(len(texts))
			texts, number[s] = append(texts, s), n
		}
		return n
	}
	valueType := func(field protowire.Number, kind, unit string) {
		var t message
		t.number(1, text(kind))
		t.number(2, text(unit))
		m.bytes(field, t)
	}
	valueType(pprofSampleType, "samples", "count")
	valueType(pprofSampleType, "guest", "nanoseconds")
	valueType(pprofSampleType, "host", "nanoseconds")
	mappings := map[string]int64{}
	for i, f := range p.Funcs {
		id := int64(i + 1)
		mapping, ok := mappings[f.Path]
		if !ok {
			mapping = int64(len(mappings) + 1)
			mappings[f.Path] = mapping
			var b message
			b.number(1, mapping)
			b.number(5, text(f.Path))
			b.number(7, 1) // it has functions
			m.bytes(pprofMapping, b)
		}
		var fn, line, location, sample, values message
		fn.number(1, id)
		fn.number(2, text(f.Name))
		fn.number(3, text(f.Name))
		fn.number(4, text(f.Path))
		m.bytes(pprofFunction, fn)
		line.number(1, id)
		location.number(1, id)
		location.number(2, mapping)
		location.bytes(4, line)
		m.bytes(pprofLocation, location)
		for _, v := range []int64{int64(f.Samples), int64(f.Guest), int64(f.Host)} {
			values = protowire.AppendVarint(values, uint64(v))
		}
		sample.bytes(1, protowire.AppendVarint(nil, uint64(id)))
		sample.bytes(2, values)
		m.bytes(pprofSample, sample)
	}
	m.number(pprofDuration, int64(p.Duration))
	valueType(pprofPeriodType, "guest", "nanoseconds")
	m.number(pprofPeriod, int64(time.Second)/int64(p.Rate))
	m.number(pprofDefaultType, text("guest"))
	for _, s := range texts {
		m.bytes(pprofString, []byte(s))
	}
	z := gzip.NewWriter(out)
	if _, err := z.Write(m); err != nil {
		return fmt.Errorf("writing the profile: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("writing the profile: %w", err)
	}
	return nil
}
