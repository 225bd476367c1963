//go:build wasip1

package serve

import (
	"context"
	"encoding/binary"

	"google.golang.org/protobuf/proto"

	"megabinary.dev/sdk/stage"
	"megabinary.dev/sdk/stage/stagepb"
)

// Plugin is a set of stages that one module serves.
type Plugin struct{}

// served holds the stages of this module. An exported wasm function has no
// receiver, so they stand in a variable, set once by New before any call.
var served []stage.Stage

// New makes these stages the module's. Call it in a package-level variable: a
// reactor module's main never runs.
func New(stages ...stage.Stage) *Plugin {
	served = stages
	return &Plugin{}
}

// Main does nothing in a module: the engine calls its exports.
func (p *Plugin) Main() {}

// Extism's host interface, as far as a stage needs it. Offsets and lengths are
// in bytes in Extism's own memory, which only these functions reach.

//go:wasmimport extism:host/env input_length
func inputLength() uint64

//go:wasmimport extism:host/env input_load_u8
func inputLoadU8(offset uint64) uint32

//go:wasmimport extism:host/env input_load_u64
func inputLoadU64(offset uint64) uint64

//go:wasmimport extism:host/env alloc
func alloc(size uint64) uint64

//go:wasmimport extism:host/env free
func free(offset uint64)

//go:wasmimport extism:host/env store_u8
func storeU8(offset uint64, value uint32)

//go:wasmimport extism:host/env store_u64
func storeU64(offset uint64, value uint64)

//go:wasmimport extism:host/env output_set
func outputSet(offset, size uint64)

// The engine's one function: an event of a running stage, encoded.
//
//go:wasmimport extism:host/user megabinary_event
func hostEvent(offset uint64)

// input returns the input of this call.
func input() []byte {
	b := make([]byte, inputLength())
	i := 0
	for ; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], inputLoadU64(uint64(i)))
	}
	for ; i < len(b); i++ {
		b[i] = byte(inputLoadU8(uint64(i)))
	}
	return b
}

// store copies b into Extism's memory.
func store(b []byte) (offset uint64) {
	offset = alloc(uint64(len(b)))
	i := 0
	for ; i+8 <= len(b); i += 8 {
		storeU64(offset+uint64(i), binary.LittleEndian.Uint64(b[i:]))
	}
	for ; i < len(b); i++ {
		storeU8(offset+uint64(i), uint32(b[i]))
	}
	return offset
}

// The exports' statuses.
const (
	statusOK       = 0
	statusNonsense = 1 // the engine's message could not be decoded, or ours not encoded
)

func reply(m proto.Message) int32 {
	b, err := proto.Marshal(m)
	if err != nil {
		return statusNonsense
	}
	outputSet(store(b), uint64(len(b)))
	return statusOK
}

//go:wasmexport describe
func describe() int32 {
	return reply(stage.DescribeAll(served))
}

//go:wasmexport run
func run() int32 {
	req := new(stagepb.RunRequest)
	if err := proto.Unmarshal(input(), req); err != nil {
		return statusNonsense
	}
	last := new(stagepb.RunReply)
	stage.Execute(context.Background(), served, req, func(e *stagepb.Event) {
		switch e.Of.(type) {
		case *stagepb.Event_Result, *stagepb.Event_Failure:
			last.Events = append(last.Events, e)
		default:
			if b, err := proto.Marshal(e); err == nil {
				offset := store(b)
				hostEvent(offset)
				free(offset)
			}
		}
	})
	return reply(last)
}
