package exec

import (
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
	content *pages.Content
	digest  string
}

// NewCache makes a cache that holds at most limit bytes of content.
func NewCache(limit int64) *Cache {
	return &Cache{limit: limit, order: list.New(), byID: map[Identity]*list.Element{}}
}

func (c *Cache) get(id Identity) (content *pages.Content, digest string, ok bool) {
	if c == nil {
		return nil, "", false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byID[id]
	if !ok {
		return nil, "", false
	}
	c.order.MoveToFront(e)
	hit := e.Value.(*cached)
	return hit.content, hit.digest, true
}

func (c *Cache) put(id Identity, content *pages.Content, digest string) {
	if c == nil || int64(len(content.Bytes())) > c.limit {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byID[id]; ok {
		return
	}
	c.byID[id] = c.order.PushFront(&cached{id, content, digest})
	for c.used += int64(len(content.Bytes())); c.used > c.limit; {
		last := c.order.Back()
		old := c.order.Remove(last).(*cached)
		delete(c.byID, old.id)
		c.used -= int64(len(old.content.Bytes()))
	}
}
