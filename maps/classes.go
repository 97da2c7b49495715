package maps

// classes counts a table's entries by a class of their keys, so that who asks for one key after the other can leave out
// those that no entry is like.
type classes[K any] struct {
	of      func(k *K) uint8 // the class of a key, less than 8
	count   [8]uint32
	present uint8 // bit n: count[n] > 0
}

func (c *classes[K]) add(k *K) {
	n := c.of(k)
	c.count[n]++
	c.present |= 1 << n
}

func (c *classes[K]) remove(k *K) {
	n := c.of(k)
	if c.count[n]--; c.count[n] == 0 {
		c.present &^= 1 << n
	}
}
