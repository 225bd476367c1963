package machine

// Memory is the linear memory of one process: a reserved host mapping of which
// every byte is readable and writable. Linear address 0 is guest address
// guestabi.AddrBias. Linear page 0 (64 KiB) belongs to the machines that share
// the memory: the kernel maps nothing there.
type Memory struct {
	bytes []byte
}

// Bytes returns the whole linear memory.
func (m *Memory) Bytes() []byte { return m.bytes }
