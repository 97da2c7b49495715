package sim

import (
	"container/heap"
	"time"
)

// item is something that happens at a virtual time.
type item struct {
	at    time.Duration
	seq   uint64 // items of the same time keep their order
	run   func()
	timer *timer
}

// timer is what may be called off before it happens.
type timer struct{ off bool }

// stop calls the timer off. A nil timer may be stopped too.
func (t *timer) stop() {
	if t != nil {
		t.off = true
	}
}

// queue is what is still to happen, a heap ordered by time and order of arrival.
type queue struct {
	items []item
	seq   uint64
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (q *queue) Len() int { return len(q.items) }

func (q *queue) Less(i, j int) bool {
	a, b := &q.items[i], &q.items[j]
	if a.at != b.at {
		return a.at < b.at
	}
	return a.seq < b.seq
}

func (q *queue) Swap(i, j int) { q.items[i], q.items[j] = q.items[j], q.items[i] }

func (q *queue) Push(x any) {
	if it, ok := x.(item); ok {
		q.items = append(q.items, it)
	}
}

func (q *queue) Pop() any {
	last := len(q.items) - 1
	it := q.items[last]
	q.items[last] = item{}
	q.items = q.items[:last]
	return it
}

// add puts an item in.
func (q *queue) add(it item) {
	q.seq++
	it.seq = q.seq
	heap.Push(q, it)
}

// idle says that nothing is left to happen.
func (q *queue) idle() bool {
	for len(q.items) > 0 && q.items[0].timer.off {
		heap.Pop(q)
	}
	return len(q.items) == 0
}

// next takes out the first item that was not called off, if it is due by until.
func (q *queue) next(until time.Duration) (item, bool) {
	if q.idle() || q.items[0].at > until {
		return item{}, false
	}
	it, ok := heap.Pop(q).(item)
	return it, ok
}
