package machine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"megabinary.dev/sdk/guestabi"
)

// boundUnit is a unit that was admitted to a machine.
type boundUnit struct {
	base     guestabi.PC
	instance api.Module // nil until the unit is entered
	baseAt   api.Global // nil if the unit is not position-independent
}

// settle makes the machine's first instance: that of its only unit, or the
// runtime that units share.
func (m *wazeroMachine) settle() error {
	if m.module != nil {
		return nil
	}
	m.alone = -1
	if len(m.bound) <= 1 && !m.shared {
		m.alone = 0
		for unit := range m.bound {
			m.alone = unit
		}
	}
	var err error
	if m.alone >= 0 {
		err = m.settleAlone()
	} else {
		m.module, err = m.instantiate(partKey{unit: runtimePart}, m.Context)
		if err == nil {
			err = m.findPlaces()
		}
	}
	if err == nil {
		m.run, err = m.function(guestabi.ExportRun)
		m.rsp = m.module.ExportedGlobal(guestabi.RSP.String())
	}
	if m.engine.profiler != nil && err == nil {
		at := m.module.ExportedGlobal(guestabi.LastPC.String())
		m.profiled.at.Store(&at)
	}
	if err == nil {
		m.LoadContext(&m.pending)
	}
	return err
}

func (m *wazeroMachine) settleAlone() error {
	var err error
	if m.module, err = m.instantiate(partKey{m.alone, true}, m.Context); err != nil {
		return err
	}
	b := m.bound[m.alone]
	if b == nil {
		return nil // entering it will say so
	}
	b.instance = m.module
	return m.admit(m.alone, b, alonePrefix)
}

// admit sets the globals of an instance of unit whose exports have a prefix.
func (m *wazeroMachine) admit(unit int, b *boundUnit, prefix string) error {
	if m.engine.units[unit].ExportBase != "" {
		b.baseAt = b.instance.ExportedGlobal(prefix + guestabi.ExportBase)
		if err := set(b.baseAt, uint64(b.base)); err != nil {
			return fmt.Errorf("binding unit %d: %w", unit, err)
		}
	}
	if err := set(b.instance.ExportedGlobal(prefix+guestabi.ExportAdmitted), 1); err != nil {
		return fmt.Errorf("binding unit %d: %w", unit, err)
	}
	return nil
}

func set(g api.Global, v uint64) error {
	to, ok := g.(api.MutableGlobal)
	if !ok {
		return errors.New("it lacks a mutable global of the guest ABI")
	}
	to.Set(v)
	return nil
}

// instantiate makes an instance of a part over the machine's memory and tests
// that its functions are code: a damaged cache holds only their skeleton.
func (m *wazeroMachine) instantiate(k partKey, ctx context.Context) (api.Module, error) {
	p := m.engine.parts
	ctx = experimental.WithMemoryAllocator(ctx, sharedMemory{m.mem})
	for again := false; ; again = true {
		compiled, err := p.get(m.Context, k)
		if err != nil {
			return nil, err
		}
		instance, err := p.engine.runtime.InstantiateModule(ctx, compiled, p.engine.instance)
		if err != nil {
			return nil, fmt.Errorf("making an instance of part %v: %w", k, err)
		}
		if k.unit == runtimePart || k.alone {
			slot := m.mem.slot()
			_, err = instance.ExportedFunction(guestabi.ExportSaveContext).Call(m, uint64(slot))
			m.mem.releaseSlot(slot)
		} else {
			_, err = instance.ExportedFunction(guestabi.ExportAttach).Call(m, uint64(k.unit))
		}
		if err == nil {
			return instance, nil
		}
		err = errors.Join(fmt.Errorf("making an instance of part %v: %w", k, err), instance.Close(m.Context))
		if again || p.cache == nil {
			return nil, err
		}
		p.forget(m.Context, k)
	}
}

// Bind implements Machine. What compiling the unit costs is paid in the
// background from now on, or when it is entered.
func (m *wazeroMachine) Bind(unit int, base guestabi.PC) error {
	if unit < 0 || unit >= len(m.engine.units) {
		return fmt.Errorf("binding unit %d: the megabinary has %d", unit, len(m.engine.units))
	}
	if m.engine.units[unit].ExportBase == "" && base != 0 {
		return fmt.Errorf("binding unit %d at base %#x: it is not position-independent", unit, base)
	}
	b := m.bound[unit]
	if b == nil {
		b = &boundUnit{base: base}
		m.bound[unit] = b
		if len(m.bound) > 1 {
			for unit := range m.bound {
				m.engine.parts.prepare(partKey{unit: unit})
			}
		}
		if unit == m.alone && m.module != nil { // it was made before
			b.instance = m.module
			return m.admit(unit, b, alonePrefix)
		}
		return nil
	}
	if b.base == base {
		return nil
	}
	b.base = base
	if b.instance == nil || b.baseAt == nil {
		return nil
	}
	return set(b.baseAt, uint64(base))
}

// enter makes a unit ready to be entered and lets dispatch remember where it
// is. It returns what dispatch finds it by. If the machine's only unit calls
// another one it returns -1, and Run goes on at pc with instances that share.
func (m *wazeroMachine) enter(unit int, pc guestabi.PC) (int, error) {
	if m.alone >= 0 {
		if unit == m.alone {
			return 0, nil
		}
		m.SaveContext(&m.pending)
		m.moved, m.movedTo, m.shared = true, pc, true
		return -1, nil
	}
	b := m.bound[unit]
	if b == nil {
		return -1, fmt.Errorf("entering unit %d: it was not bound", unit)
	}
	if b.instance == nil {
		instance, err := m.instantiate(partKey{unit: unit}, experimental.WithImportResolver(m.Context, m.resolveImport))
		if err != nil {
			return -1, err
		}
		b.instance = instance
		if err := m.admit(unit, b, ""); err != nil {
			return -1, err
		}
	}
	u := &m.engine.units[unit]
	m.remember(uint32(u.Low)+b.base, uint32(u.High-u.Low), uint32(unit))
	return unit, nil
}

// leaveAlone closes the instance that enter decided to leave, whose frames are
// gone, and makes that of the runtime.
func (m *wazeroMachine) leaveAlone() error {
	m.moved = false
	err := m.module.Close(m.Context)
	m.module, m.run, m.save, m.load = nil, nil, nil, nil
	for _, b := range m.bound {
		b.instance, b.baseAt = nil, nil
	}
	if err != nil {
		return fmt.Errorf("making a machine anew: %w", err)
	}
	return m.settle()
}

func (m *wazeroMachine) resolveImport(name string) api.Module {
	if name == guestabi.ModuleGuest {
		return m.module
	}
	return nil
}

// generationWord is what tells all machines over a memory that units went.
func (m *Memory) generationWord() *uint32 {
	return (*uint32)(unsafe.Pointer(&m.bytes[guestabi.GenerationAt])) // mappings are page aligned
}

// UnitsGone makes all machines over m ask again where units are.
func (m *Memory) UnitsGone() { atomic.AddUint32(m.generationWord(), 1) }

// findPlaces finds the globals that remember writes.
func (m *wazeroMachine) findPlaces() error {
	find := func(name string) (api.MutableGlobal, error) {
		g, ok := m.module.ExportedGlobal(name).(api.MutableGlobal)
		if !ok {
			return nil, fmt.Errorf("making a machine: the runtime exports no mutable global %q", name)
		}
		return g, nil
	}
	var err error
	if m.generation, err = find(guestabi.PlaceGeneration); err != nil {
		return err
	}
	for i := range m.places {
		for f := range m.places[i] {
			if m.places[i][f], err = find(guestabi.PlaceGlobal(i, guestabi.PlaceField(f))); err != nil {
				return err
			}
		}
	}
	return nil
}

// remember lets dispatch find a unit's code without asking. What was remembered
// longest goes; all of it does if units are gone since.
func (m *wazeroMachine) remember(low, size, unit uint32) {
	if now := uint64(atomic.LoadUint32(m.mem.generationWord())); now != m.generation.Get() {
		for _, slot := range m.places {
			slot[guestabi.PlaceSize].Set(0)
		}
		m.generation.Set(now)
	}
	slot := &m.places[m.nextPlace%guestabi.PlaceSlots]
	m.nextPlace++
	slot[guestabi.PlaceLow].Set(uint64(low))
	slot[guestabi.PlaceSize].Set(uint64(size))
	slot[guestabi.PlaceUnit].Set(uint64(unit))
}

// closeInstances closes all instances of the machine.
func (m *wazeroMachine) closeInstances() error {
	var err error
	for _, b := range m.bound {
		if b.instance != nil && b.instance != m.module {
			err = errors.Join(err, b.instance.Close(m.Context))
		}
	}
	if m.module != nil {
		err = errors.Join(err, m.module.Close(m.Context))
	}
	m.module, m.bound = nil, nil
	return err
}
