package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"
)

// TestFeed loses what is too much for a client that does not read, and says so.
func TestFeed(t *testing.T) {
	t.Parallel()
	f := newFeed()
	at := time.Unix(1700000000, 123)
	f.put(messageEvent, "worker", at, []byte("head "), []byte("body"))
	big := make([]byte, 400<<10)
	const sent = 20 // twice as much as fits
	for range sent {
		f.put(messageFrame, "other", at, nil, big)
	}
	select {
	case <-f.more:
	default:
		t.Error("nobody is told that there is something")
	}
	r := bytes.NewReader(f.take(nil))
	var buf []byte
	m, err := readMessage(r, &buf)
	if err != nil || m.kind != messageEvent || m.node != "worker" || !m.at.Equal(at) || string(m.body) != "head body" {
		t.Errorf("first message %+v, %v", m, err)
	}
	frames, lost := 0, uint64(0)
	for {
		m, err := readMessage(r, &buf)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch m.kind {
		case messageFrame:
			frames++
		case messageLost:
			lost += binary.LittleEndian.Uint64(m.body)
		}
	}
	if frames == 0 || lost == 0 || frames+int(lost) != sent {
		t.Errorf("%d frames, %d lost, want %d together", frames, lost, sent)
	}
	if rest := f.take(nil); len(rest) != 0 {
		t.Errorf("taken twice: %d bytes", len(rest))
	}
}

// FuzzReadMessage reads streams that nobody has written.
func FuzzReadMessage(f *testing.F) {
	f.Add(appendMessage(nil, messageEvent, "worker", time.Unix(1, 2), []byte("head"), []byte("body")))
	f.Add(appendMessage(nil, messageFrame, "", time.Unix(1, 2), make([]byte, frameHeadSize), nil))
	f.Add([]byte{10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		var buf []byte
		for {
			m, err := readMessage(r, &buf)
			if err != nil {
				return
			}
			if _, err := parseFrame(m.body); err != nil && !errors.Is(err, errMessage) {
				t.Error(err)
			}
		}
	})
}
