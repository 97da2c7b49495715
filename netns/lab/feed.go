package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// feedSize is how many bytes wait for a client that follows a lab before more is lost.
const feedSize = 4 << 20

// feed is what one client follows. Nodes' goroutines put messages in and never wait
// for it; the client's goroutine takes them out. What finds it full is counted.
type feed struct {
	mu   sync.Mutex
	buf  []byte
	lost map[string]uint64 // by node, since the last take
	more chan struct{}     // has an element if there is something to take
}

func newFeed() *feed {
	return &feed{lost: make(map[string]uint64), more: make(chan struct{}, 1)}
}

// Message kinds.
const (
	messageEvent uint8 = iota + 1 // body: a raw notification
	messageFrame                  // body: a frame at a hook, see frameHead
	messageLost                   // body: how many messages are missing here, 8 bytes
)

// A message is its length as four bytes, kind, time as nanoseconds since 1970 in eight
// bytes, length and text of the node's name, body. Numbers are little endian.
const (
	messageFixed = 1 + 8 + 1
	maxMessage   = 512 << 10
)

var errMessage = errors.New("malformed message")

// put appends a message whose body has two parts.
func (f *feed) put(kind uint8, node string, at time.Time, head, body []byte) {
	f.mu.Lock()
	if n := messageFixed + len(node) + len(head) + len(body); len(f.buf)+4+n > feedSize {
		f.lost[node]++
	} else {
		f.buf = appendMessage(f.buf, kind, node, at, head, body)
	}
	f.mu.Unlock()
	select {
	case f.more <- struct{}{}:
	default:
	}
}

func appendMessage(to []byte, kind uint8, node string, at time.Time, head, body []byte) []byte {
	to = binary.LittleEndian.AppendUint32(to, uint32(messageFixed+len(node)+len(head)+len(body)))
	to = append(to, kind)
	to = binary.LittleEndian.AppendUint64(to, uint64(at.UnixNano()))
	to = append(to, uint8(len(node)))
	to = append(to, node...)
	to = append(to, head...)
	return append(to, body...)
}

// take takes all messages out, the count of lost ones last, and leaves an empty buffer
// for the next ones.
func (f *feed) take(empty []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.buf
	for node, n := range f.lost {
		out = appendMessage(out, messageLost, node, time.Now(), nil, binary.LittleEndian.AppendUint64(nil, n))
	}
	f.buf = empty[:0]
	clear(f.lost)
	return out
}

// message is a decoded message. Its body is valid until the next read.
type message struct {
	kind uint8
	node string
	at   time.Time
	body []byte
}

// readMessage reads a message from a stream into buf, which grows as needed.
func readMessage(r io.Reader, buf *[]byte) (message, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return message{}, err
	}
	n := int(binary.LittleEndian.Uint32(length[:]))
	if n < messageFixed || n > maxMessage {
		return message{}, fmt.Errorf("%w: %d bytes", errMessage, n)
	}
	*buf = slices.Grow((*buf)[:0], n)[:n]
	if _, err := io.ReadFull(r, *buf); err != nil {
		return message{}, fmt.Errorf("%w: %w", errMessage, err)
	}
	b := *buf
	end := messageFixed + int(b[9])
	if end > n {
		return message{}, fmt.Errorf("%w: name of %d bytes in %d", errMessage, b[9], n)
	}
	return message{
		kind: b[0], at: time.Unix(0, int64(binary.LittleEndian.Uint64(b[1:]))),
		node: string(b[messageFixed:end]), body: b[end:],
	}, nil
}
