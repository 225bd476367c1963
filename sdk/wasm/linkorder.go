package wasm

import (
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// orderBlocks is how many basic blocks a function may have before its place
// depends on its size.
const orderBlocks = 64

// orderFuncs gives the definitions of all inputs their places: functions of
// fewer than orderBlocks blocks in the order of the inputs, then those of less
// than twice as many, and so on.
//
// wazero v1.12.0 initializes a table for every function that is as long as the
// largest function before it, in blocks, needed (buildSparseTable in
// internal/engine/wazevo/ssa/pass_cfg.go). That is nothing if functions grow;
// else it is three quarters and more of the time of compiling a large module.
// Small functions stay together, program by program, because code that is used
// together should lie together.
func (l *linker) orderFuncs() {
	type place struct {
		in    *linkInput
		i     int // element of in.Module.Funcs
		class int
	}
	var places []place
	for _, in := range l.inputs {
		for i, class := range sizeClasses(in.Module.Funcs) {
			places = append(places, place{in, i, class})
		}
	}
	slices.SortStableFunc(places, func(a, b place) int { return a.class - b.class })
	first := l.out.ReserveFuncs(len(places))
	for slot, p := range places {
		p.in.index[KindFunc][len(p.in.imports[KindFunc])+p.i] = first + uint32(slot)
	}
}

// sizeClasses returns for each function how often its number of blocks doubles
// orderBlocks, on all processors. What cannot be decoded is reported later,
// when it is copied.
func sizeClasses(funcs []Func) []int {
	classes := make([]int, len(funcs))
	onAllProcessors(len(funcs), func(i int) {
		blocks := 0
		_ = Walk(funcs[i].Code, func(in *Inst, _ int) error {
			blocks += blocksOf(in)
			return nil
		})
		classes[i] = bits.Len(uint(blocks / orderBlocks))
	})
	return classes
}

// blocksOf returns how many basic blocks an instruction makes of its function,
// as wazero lowers it.
func blocksOf(in *Inst) int {
	switch in.Op {
	case OpBlock, OpBrIf:
		return 1 // what follows
	case OpLoop:
		return 2
	case OpIf:
		return 3
	case OpBrTable:
		return len(in.Labels) // each has a block of its own that jumps on
	}
	return 0
}

// onAllProcessors calls do for each i below n, many at once.
func onAllProcessors(n int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n/64+1) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}
