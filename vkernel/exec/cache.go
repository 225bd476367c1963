package exec

import (
	"bytes"
	"container/list"
	"sync"

	"megabinary.dev/vkernel/pages"
)

// Cache keeps verified contents by file identity. It is safe for concurrent
// use; the nil Cache keeps nothing.
type Cache struct {
	limit int64 // bytes of content

	mu    sync.Mutex
	used  int64
	order *list.List // of *cached, most recently used first
	byID  map[Identity]*list.Element
}

type cached struct {
	id      Identity
	content []byte         // all of it, or the first bytes
	pages   *pages.Content // content, if it may run as code
	whole   bool
	digest  string
}

// head is how much is kept of a file that will not run: what the first line of a
// script may take, so that unknown files do not push out known ones.
const head = maxShebang

// NewCache makes a cache that holds at most limit bytes of content.
func NewCache(limit int64) *Cache {
	return &Cache{limit: limit, order: list.New(), byID: map[Identity]*list.Element{}}
}

// get returns what is kept of a file: all of its content if whole is true, else
// perhaps the first bytes only.
func (c *Cache) get(id Identity, whole bool) (hit *cached, ok bool) {
	if c == nil {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byID[id]
	if !ok {
		return nil, false
	}
	hit = e.Value.(*cached)
	if whole && !hit.whole {
		return nil, false
	}
	c.order.MoveToFront(e)
	return hit, true
}

// put keeps a file, or if e is not whole, no more than its first bytes.
func (c *Cache) put(e *cached) {
	if c == nil {
		return
	}
	if !e.whole && len(e.content) > head {
		e.content = bytes.Clone(e.content[:head])
	} else {
		e.whole = true
	}
	if int64(len(e.content)) > c.limit {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if there, ok := c.byID[e.id]; ok {
		if old := there.Value.(*cached); old.whole && (old.pages != nil || e.pages == nil) {
			return
		}
		c.remove(there)
	}
	c.byID[e.id] = c.order.PushFront(e)
	for c.used += overhead + int64(len(e.content)); c.used > c.limit; {
		c.remove(c.order.Back())
	}
}

// overhead is about what an entry takes beside its content, in bytes.
const overhead = 256

// remove drops an entry. c.mu is held.
func (c *Cache) remove(e *list.Element) {
	old := c.order.Remove(e).(*cached)
	delete(c.byID, old.id)
	c.used -= overhead + int64(len(old.content))
}
