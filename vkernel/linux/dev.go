package linux

// MakeDev encodes a device number as stat(2) reports it (new_encode_dev plus
// the upper halves, as glibc's makedev).
func MakeDev(major, minor uint32) uint64 {
	return uint64(major&0xfff)<<8 | uint64(major&^0xfff)<<32 |
		uint64(minor&0xff) | uint64(minor&^0xff)<<12
}

// DevMajor returns the major number of dev.
func DevMajor(dev uint64) uint32 {
	return uint32(dev>>8)&0xfff | uint32(dev>>32)&^0xfff
}

// DevMinor returns the minor number of dev.
func DevMinor(dev uint64) uint32 {
	return uint32(dev)&0xff | uint32(dev>>12)&^0xff
}

// DirentType returns the DT_ value of a mode.
func DirentType(mode uint32) uint8 { return uint8(mode & S_IFMT >> 12) }

// SignalSet is a set of signals: bit n-1 is signal n.
type SignalSet uint64

// SignalMask returns the set that holds sig alone.
func SignalMask(sig int) SignalSet { return 1 << uint(sig-1) }

// Has says whether sig is in the set.
func (s SignalSet) Has(sig int) bool { return sig >= 1 && sig <= 64 && s&SignalMask(sig) != 0 }

// Signal is a signal number; 0 is none.
type Signal int
