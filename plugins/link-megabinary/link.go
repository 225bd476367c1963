// Package linkmegabinary is the stage that joins units into one megabinary and
// writes the exec map.
package linkmegabinary

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// Linked is a megabinary before its exec map is known.
type Linked struct {
	Units    []artifact.UnitEntry  // by number
	Reports  []artifact.UnitReport // of the units, in their order
	module   *wasm.Module
	codeMaps []byte
}

// unit is one input of Link.
type unit struct {
	module *wasm.Module
	report artifact.UnitReport
	digest string
}

// Link joins units with the module guest. Their numbers follow the digests of
// the files that they were made from, whatever the order of the input.
func Link(modules [][]byte) (*Linked, error) {
	units := make([]unit, len(modules))
	for i, data := range modules {
		u, err := readUnit(data)
		if err != nil {
			return nil, err
		}
		units[i] = u
	}
	slices.SortFunc(units, func(a, b unit) int { return cmp.Compare(a.report.Subject, b.report.Subject) })

	l := &Linked{Units: []artifact.UnitEntry{}}
	cpu, err := commonCPU(units)
	if err != nil {
		return nil, err
	}
	inputs := []wasm.LinkInput{{Name: guestabi.ModuleGuest, Module: guestabi.RuntimeOf(cpu, len(units))}}
	for i, u := range units {
		if i > 0 && units[i-1].report.Subject == u.report.Subject {
			return nil, fmt.Errorf("linking: there are two units for %s", u.report.Subject)
		}
		if err := u.keepCodeMaps(i); err != nil {
			return nil, err
		}
		name := guestabi.UnitModule(i)
		inputs = append(inputs, wasm.LinkInput{Name: name, Module: u.module, Prefix: name + "."})
		e := artifact.UnitEntry{
			Digest: u.report.Subject, UnitDigest: u.digest, PositionIndependent: u.report.PositionIndependent,
			Low: u.report.Low, High: u.report.High, Functions: u.report.Functions,
			ExportEnter: name + "." + guestabi.ExportEnter, ExportAdmitted: name + "." + guestabi.ExportAdmitted,
			CPU: cpu.Label(),
		}
		if u.report.PositionIndependent {
			e.ExportBase = name + "." + guestabi.ExportBase
		}
		l.Units = append(l.Units, e)
		l.Reports = append(l.Reports, u.report)
	}
	if l.module, err = wasm.Link(inputs); err != nil {
		return nil, err
	}
	l.module.Name = "megabinary"
	for i := range l.module.Funcs {
		note := l.module.Funcs[i].Note
		if note == nil { // the linker's own, or that of a unit without code maps
			note = guestabi.AppendCodeMap(nil, nil, 0)
		}
		l.codeMaps = append(l.codeMaps, note...)
	}
	return l, nil
}

// commonCPU returns the processor that all units were made for: the guest sees
// one.
func commonCPU(units []unit) (guestabi.CPU, error) {
	var cpu guestabi.CPU
	for i, u := range units {
		c, err := guestabi.ParseCPU(u.report.CPU)
		if err != nil {
			return 0, fmt.Errorf("linking the unit of %s: %w", u.report.Subject, err)
		}
		if i > 0 && c != cpu {
			return 0, fmt.Errorf("linking: the unit of %s is for %s, that of %s for %s: recompile all with one --cpu",
				units[i-1].report.Subject, cpu, u.report.Subject, c)
		}
		cpu = c
	}
	return cpu, nil
}

// Encode writes the megabinary. If m is not nil it is told the megabinary's
// digest, and its canonical form becomes the megabinary's last section.
func (l *Linked) Encode(m *artifact.ExecMap) ([]byte, error) {
	units, err := json.Marshal(l.Units)
	if err != nil {
		return nil, fmt.Errorf("encoding the list of units: %w", err)
	}
	l.module.Customs = []wasm.Custom{{Name: artifact.SectionUnits, Bytes: units}, {Name: artifact.SectionCodeMap, Bytes: l.codeMaps}}
	body := l.module.Encode()
	if m == nil {
		return body, nil
	}
	sum := sha256.Sum256(body)
	m.Megabinary = "sha256:" + hex.EncodeToString(sum[:])
	text, err := m.MarshalCanonical()
	if err != nil {
		return nil, err
	}
	return wasm.AppendCustom(body, wasm.Custom{Name: artifact.SectionExecMap, Bytes: text}), nil
}

// readUnit reads a unit and holds it against the guest ABI.
func readUnit(data []byte) (unit, error) {
	sum := sha256.Sum256(data)
	u := unit{digest: "sha256:" + hex.EncodeToString(sum[:])}
	var err error
	if u.module, err = wasm.Decode(data); err != nil {
		return unit{}, fmt.Errorf("reading unit %s: %w", u.digest, err)
	}
	section, ok := u.module.Custom(artifact.SectionUnit)
	if !ok {
		return unit{}, fmt.Errorf("reading unit %s: it has no section %s", u.digest, artifact.SectionUnit)
	}
	if err := json.Unmarshal(section, &u.report); err != nil {
		return unit{}, fmt.Errorf("reading section %s of unit %s: %w", artifact.SectionUnit, u.digest, err)
	}
	if err := checkUnit(u.module, &u.report); err != nil {
		return unit{}, fmt.Errorf("reading unit %s of %s: %w", u.digest, u.report.Subject, err)
	}
	return u, nil
}

// keepCodeMaps attaches to each function of the unit its part of the code maps
// of the megabinary, in which the unit gets number i. A unit without that
// section is one whose faults are not precise.
func (u *unit) keepCodeMaps(i int) error {
	section, ok := u.module.Custom(artifact.SectionCodeMap)
	if !ok {
		return nil
	}
	_, maps, err := guestabi.ReadCodeMaps(section, len(u.module.Funcs))
	if err != nil {
		return fmt.Errorf("reading section %s of unit %s: %w", artifact.SectionCodeMap, u.digest, err)
	}
	for k, m := range maps {
		u.module.Funcs[k].Note = guestabi.AppendCodeMap(nil, m, i)
	}
	return nil
}

// checkUnit holds a unit against the guest ABI. That imports from the module
// guest fit is checked when they are resolved.
func checkUnit(m *wasm.Module, r *artifact.UnitReport) error {
	if r.ABI != guestabi.Version {
		return fmt.Errorf("it is for guest ABI %d, not %d", r.ABI, guestabi.Version)
	}
	if !artifact.ValidDigest(r.Subject) {
		return fmt.Errorf("its subject %q is no digest", r.Subject)
	}
	if r.Low > r.High || r.High > 1<<32 {
		return fmt.Errorf("its addresses are [%#x, %#x)", r.Low, r.High)
	}
	if len(m.Data)+len(m.Elems)+len(m.Tables)+len(m.Memories) > 0 || m.HasStart {
		return fmt.Errorf("it has data, elements, a table, a memory or a start function of its own")
	}
	if err := checkImports(m); err != nil {
		return err
	}
	enter, ok := m.FindExport(guestabi.ExportEnter)
	pc := []wasm.ValType{wasm.I32}
	if t, found := m.FuncType(enter.Index); !ok || enter.Kind != wasm.KindFunc || !found || !t.Equal(wasm.FuncType{Params: pc, Results: pc}) {
		return fmt.Errorf("it exports no function %s of type (i32) -> (i32)", guestabi.ExportEnter)
	}
	globals := []string{guestabi.ExportAdmitted}
	if r.PositionIndependent {
		globals = append(globals, guestabi.ExportBase)
	}
	for _, name := range globals {
		e, ok := m.FindExport(name)
		i := int(e.Index) - int(m.Imported(wasm.KindGlobal))
		if !ok || e.Kind != wasm.KindGlobal || i < 0 || m.Globals[i].GlobalType != (wasm.GlobalType{Type: wasm.I32, Mutable: true}) {
			return fmt.Errorf("it exports no mutable global %s of its own of type i32", name)
		}
	}
	return nil
}

// checkImports refuses imports that a vkernel does not provide.
func checkImports(m *wasm.Module) error {
	provided := make(map[string]wasm.FuncType)
	for _, f := range guestabi.KernelFuncs() {
		provided[f.Name] = wasm.FuncType{Params: f.Params, Results: f.Results}
	}
	for i := range m.Imports {
		im := &m.Imports[i]
		switch im.Module {
		case guestabi.ModuleGuest:
		case guestabi.ModuleKernel:
			if t, ok := provided[im.Name]; !ok || im.Kind != wasm.KindFunc || !t.Equal(m.Types[im.Type]) {
				return fmt.Errorf("the guest ABI has no function %s.%s of its type", im.Module, im.Name)
			}
		default:
			return fmt.Errorf("it imports %s.%s, which the guest ABI does not have", im.Module, im.Name)
		}
	}
	return nil
}
