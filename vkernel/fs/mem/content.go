package mem

import (
	"io"
	"maps"
	"slices"

	"megabinary.dev/vkernel/linux"
)

// chunkSize is how much of a file is copied at once when it is changed, bytes.
const chunkSize = 64 << 10

// content is the bytes of a regular file, up to its node's size: chunks that
// were written over what the base has. Where neither has any, bytes are zero.
type content struct {
	base     io.ReaderAt
	baseSize int64            // bytes of base that still count
	chunks   map[int64]*chunk // by offset / chunkSize; sparse
	held     int64            // sum of the capacities of chunks, bytes
}

// chunk holds bytes from the start of its place on; the rest of the place is
// zero.
type chunk struct {
	owner *layer
	data  []byte
}

func (c *content) clone() content {
	d := *c
	d.chunks = maps.Clone(c.chunks)
	return d
}

// readAt fills p, which must lie within the file's size.
func (c *content) readAt(p []byte, off int64) error {
	for len(p) > 0 {
		i, in := off/chunkSize, int(off%chunkSize)
		n := min(len(p), chunkSize-in)
		if ch := c.chunks[i]; ch != nil {
			k := 0
			if in < len(ch.data) {
				k = copy(p[:n], ch.data[in:])
			}
			clear(p[k:n])
		} else if err := c.readBase(p[:n], off); err != nil {
			return err
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func (c *content) readBase(p []byte, off int64) error {
	k := 0
	if off < c.baseSize && c.base != nil {
		k = int(min(int64(len(p)), c.baseSize-off))
		if n, _ := c.base.ReadAt(p[:k], off); n < k {
			return linux.EIO
		}
	}
	clear(p[k:])
	return nil
}

// growth returns how many more bytes of memory a write of n bytes at off takes.
func (c *content) growth(off int64, n int) int64 {
	var sum int64
	for end := off + int64(n); off < end; {
		i := off / chunkSize
		upTo := min(end, (i+1)*chunkSize)
		need := upTo - i*chunkSize
		if ch := c.chunks[i]; ch == nil {
			sum += capFor(max(need, c.baseIn(i)))
		} else if need > int64(cap(ch.data)) {
			sum += capFor(need) - int64(cap(ch.data))
		}
		off = upTo
	}
	return sum
}

// baseIn returns how many bytes of chunk i the base has.
func (c *content) baseIn(i int64) int64 { return min(max(c.baseSize-i*chunkSize, 0), chunkSize) }

// capFor returns the capacity of a chunk that must hold n bytes: a power of two.
func capFor(n int64) int64 {
	size := int64(512)
	for size < n {
		size *= 2
	}
	return size
}

// writeAt writes p at off.
func (c *content) writeAt(owner *layer, p []byte, off int64) error {
	for len(p) > 0 {
		i, in := off/chunkSize, int(off%chunkSize)
		n := min(len(p), chunkSize-in)
		data, err := c.writable(owner, i, in+n)
		if err != nil {
			return err
		}
		copy(data[in:], p[:n])
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// writable returns the data of chunk i, at least n bytes long, owned by owner.
func (c *content) writable(owner *layer, i int64, n int) ([]byte, error) {
	ch := c.chunks[i]
	if ch != nil && ch.owner == owner && cap(ch.data) >= n {
		if old := len(ch.data); old < n {
			ch.data = ch.data[:n]
			clear(ch.data[old:])
		}
		return ch.data, nil
	}
	if c.chunks == nil {
		c.chunks = map[int64]*chunk{}
	}
	var data []byte
	if ch != nil {
		size := max(n, len(ch.data))
		data = make([]byte, size, max(capFor(int64(size)), int64(cap(ch.data))))
		copy(data, ch.data)
		c.held += int64(cap(data) - cap(ch.data))
	} else {
		base := c.baseIn(i)
		size := max(int64(n), base)
		data = make([]byte, size, capFor(size))
		if err := c.readBase(data[:base], i*chunkSize); err != nil {
			return nil, err
		}
		c.held += int64(cap(data))
	}
	c.chunks[i] = &chunk{owner, data}
	return data, nil
}

func (c *content) drop(i int64) {
	c.held -= int64(cap(c.chunks[i].data))
	delete(c.chunks, i)
}

// truncate drops what lies behind size.
func (c *content) truncate(owner *layer, size int64) {
	c.baseSize = min(c.baseSize, size)
	keep := (size + chunkSize - 1) / chunkSize
	for i := range c.chunks {
		if i >= keep {
			c.drop(i)
		}
	}
	in := int(size % chunkSize)
	ch := c.chunks[keep-1]
	if in == 0 || ch == nil || len(ch.data) <= in {
		return
	}
	if ch.owner == owner {
		ch.data = ch.data[:in]
		return
	}
	data := make([]byte, in, cap(ch.data))
	copy(data, ch.data)
	c.chunks[keep-1] = &chunk{owner, data}
}

// zero makes bytes [off, end) zero, giving memory back where whole chunks go.
func (c *content) zero(owner *layer, off, end int64) error {
	if off >= end {
		return nil
	}
	var places []int64
	for i := range c.chunks {
		if i >= off/chunkSize && i*chunkSize < end {
			places = append(places, i)
		}
	}
	for i := off / chunkSize; i*chunkSize < min(end, c.baseSize); i++ {
		if c.chunks[i] == nil {
			places = append(places, i)
		}
	}
	for _, i := range places {
		start := i * chunkSize
		from, to := max(off, start)-start, min(end, start+chunkSize)-start
		if from == 0 && to == chunkSize && c.chunks[i] != nil && c.baseIn(i) == 0 {
			c.drop(i)
			continue
		}
		data, err := c.writable(owner, i, int(to))
		if err != nil {
			return err
		}
		clear(data[from:to])
	}
	return nil
}

// allocated estimates the bytes that are not holes.
func (c *content) allocated(size int64) int64 {
	const page = 4096
	return (min(c.held+c.baseSize, size) + page - 1) &^ (page - 1)
}

// seekHole returns the first offset from off on that lies in a hole, or in
// data, at the granularity of chunks; size if there is none.
func (c *content) seekHole(off, size int64, hole bool) int64 {
	places := slices.Sorted(maps.Keys(c.chunks))
	for off < size {
		i := off / chunkSize
		at, has := slices.BinarySearch(places, i)
		if (!has && off >= c.baseSize) == hole {
			return off
		}
		switch {
		case has:
			off = (i + 1) * chunkSize
		case off < c.baseSize:
			off = min(c.baseSize, (i+1)*chunkSize)
		case at < len(places):
			off = places[at] * chunkSize
		default:
			off = size
		}
	}
	return size
}
