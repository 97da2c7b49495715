package netns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Poller waits for several descriptors at once. Everything but Wake belongs to
// one goroutine.
type Poller struct {
	epfd   int
	events [64]unix.EpollEvent

	wakeMu sync.Mutex  // holds Wake and Close apart
	wakeFD int         // eventfd; -1 after Close
	busy   bool        // the last look found something
	one    [8]byte     // what Wake writes
	count  [8]byte     // what Wait reads
	awake  atomic.Bool // a wake-up is on its way
}

// Event says that a descriptor can be read, or that its device is gone, which
// the next read reports.
type Event struct {
	Data uint32 // as given to Add
}

// wakeData marks the events of the wake-up descriptor, which Add never uses.
const wakeData = 1

// nap is how long Wait sleeps before it waits in the ordinary way.
const nap = 5 * time.Millisecond

// NewPoller makes a poller without descriptors.
func NewPoller() (*Poller, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("new poller: %w", err)
	}
	p := &Poller{epfd: epfd, wakeFD: -1}
	binary.NativeEndian.PutUint64(p.one[:], 1)
	if p.wakeFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("new poller: %w", closeAfter(err, p))
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Pad: wakeData}
	if err := unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, p.wakeFD, &ev); err != nil {
		return nil, fmt.Errorf("new poller: %w", closeAfter(err, p))
	}
	return p, nil
}

// Add starts to watch fd for reading. Its events carry data. It stays ready as
// long as there is something to read.
func (p *Poller) Add(fd int, data uint32) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(data)}
	if err := unix.EpollCtl(p.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("poll descriptor %d: %w", fd, err)
	}
	return nil
}

// Remove stops to watch fd. It must be called before fd is closed.
func (p *Poller) Remove(fd int) error {
	if err := unix.EpollCtl(p.epfd, unix.EPOLL_CTL_DEL, fd, nil); err != nil {
		return fmt.Errorf("stop polling descriptor %d: %w", fd, err)
	}
	return nil
}

// Wait waits until a descriptor is ready, Wake is called or the timeout is over,
// and returns how many events it wrote. A wake-up is not an event: Wait then may
// return 0. A timeout of 0 does not wait, a negative one waits for ever; others
// are rounded up to milliseconds.
func (p *Poller) Wait(events []Event, timeout time.Duration) (int, error) {
	if len(events) == 0 {
		return 0, fmt.Errorf("poll: %w", errNoBuffer)
	}
	n, err := p.wait(p.events[:min(len(events)+1, len(p.events))], timeout)
	if errors.Is(err, unix.EINTR) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("poll: %w", err)
	}
	filled := 0
	for i := range p.events[:n] {
		switch ev := &p.events[i]; {
		case ev.Pad == wakeData:
			p.drain()
		case filled < len(events): // else it is ready the next time too
			events[filled] = Event{Data: uint32(ev.Fd)}
			filled++
		}
	}
	return filled, nil
}

// wait waits in two ways. Soon after an event the thread sleeps and Go's scheduler does not
// know: it would have to be told twice, wake its monitor each time, and perhaps wait for a
// processor, which together takes longer than a frame does. That must not last, as the
// processor is lost to other goroutines, and the monitor interrupts it after 10 ms. What is
// idle waits in the ordinary way.
func (p *Poller) wait(events []unix.EpollEvent, timeout time.Duration) (int, error) {
	if p.busy && (timeout < 0 || timeout > nap) {
		if n, err := p.poll(events, nap/time.Millisecond); n != 0 || err != nil {
			return n, err
		}
		if timeout > 0 {
			timeout -= nap
		}
	}
	if timeout == 0 {
		return p.poll(events, 0)
	}
	ms := -1
	if timeout >= 0 {
		ms = int(min((timeout+time.Millisecond-1)/time.Millisecond, 1<<31-1))
	}
	n, err := unix.EpollWait(p.epfd, events, ms)
	p.busy = n > 0
	return n, err
}

// poll waits without telling Go's scheduler.
func (p *Poller) poll(events []unix.EpollEvent, ms time.Duration) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epfd), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(ms), 0, 0)
	p.busy = errno == 0 && n > 0
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Wake makes the running or the next Wait return. It may be called from any
// goroutine, also after Close, and costs a system call only if no wake-up is on
// its way already.
func (p *Poller) Wake() error {
	if p.awake.Swap(true) {
		return nil
	}
	p.wakeMu.Lock()
	defer p.wakeMu.Unlock()
	if p.wakeFD < 0 {
		return fmt.Errorf("wake poller: %w", ErrClosed)
	}
	if _, err := unix.Write(p.wakeFD, p.one[:]); err != nil {
		return fmt.Errorf("wake poller: %w", err)
	}
	return nil
}

// drain takes the wake-up. The flag goes last: a Wake before it does nothing,
// which is right as Wait returns after it; the other order could lose one.
func (p *Poller) drain() {
	// It is non-blocking and was reported ready; nothing else can happen.
	_, _ = unix.Read(p.wakeFD, p.count[:])
	p.awake.Store(false)
}

// Close closes the poller, not the descriptors that it watches. Closing twice is
// not an error.
func (p *Poller) Close() error {
	p.wakeMu.Lock()
	defer p.wakeMu.Unlock()
	var err error
	for _, fd := range []*int{&p.wakeFD, &p.epfd} {
		if *fd >= 0 {
			err = errors.Join(err, unix.Close(*fd))
			*fd = -1
		}
	}
	if err != nil {
		return fmt.Errorf("close poller: %w", err)
	}
	return nil
}
