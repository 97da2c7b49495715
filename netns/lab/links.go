package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/hooklab/hooklab/netns"
)

// linkDir is where `ip netns` looks for namespaces.
const linkDir = "/run/netns"

// NoLinks is the error for links in a lab without root.
func NoLinks() error {
	return fmt.Errorf("netns links: %w: need root: %s is root's, and nobody outside could enter the namespaces; 'hooklab exec' does", netns.ErrPermission, linkDir)
}

// nameLink names a space for `ip netns`: LAB-NODE, LAB-POD, LAB-NAMESPACE-POD for pods of
// other namespaces than default, LAB-health-NODE; with the kind before the name if that is
// taken by another space of the lab.
func (s *State) nameLink(at *Space) {
	name := at.Name
	switch {
	case at.Kind == KindPod && at.Namespace != "default":
		name = at.Namespace + "-" + name
	case at.Kind == KindHealth:
		name = string(KindHealth) + "-" + name
	}
	at.Link = short(s.Name + "-" + name)
	if slices.ContainsFunc(s.Spaces, func(o Space) bool { return o.Link == at.Link && o.Pin != at.Pin }) {
		at.Link = short(s.Name + "-" + at.file())
	}
}

// nameLinks names all spaces.
func (s *State) nameLinks() {
	for i := range s.Spaces {
		s.nameLink(&s.Spaces[i])
	}
}

// checkLinks refuses names that somebody else has, before anything is made.
func (l *Lab) checkLinks() error {
	for i := range l.state.Spaces {
		s := &l.state.Spaces[i]
		if s.Link == "" {
			continue
		}
		if _, err := os.Lstat(filepath.Join(linkDir, s.Link)); err == nil {
			return linkTaken(s)
		}
	}
	return nil
}

func linkTaken(s *Space) error {
	return inputErrorf("%s for %s exists and is not this lab's: give the lab another name, or leave out --netns-links", filepath.Join(linkDir, s.Link), s.Ref())
}

// addLink shows a space to `ip netns`, if it has a name for that.
func (l *Lab) addLink(s *Space) error {
	if s.Link == "" {
		return nil
	}
	if err := os.MkdirAll(linkDir, 0o755); err != nil {
		return err
	}
	owner, err := l.home.owner(s)
	if err != nil {
		return err
	}
	err = l.spaces[s.Pin].Show(filepath.Join(linkDir, s.Link), owner)
	if errors.Is(err, fs.ErrExist) {
		return linkTaken(s)
	}
	return err
}

// removeLink undoes addLink. The space's pin must still be there.
func (h home) removeLink(s *Space) error {
	if s.Link == "" {
		return nil
	}
	if filepath.Base(s.Link) != s.Link {
		return fmt.Errorf("state names a link outside of %s: %q", linkDir, s.Link)
	}
	pin, err := h.pin(s)
	if err != nil {
		return err
	}
	owner, err := h.owner(s)
	if err != nil {
		return err
	}
	return netns.Unshow(filepath.Join(linkDir, s.Link), pin, owner)
}

// owner is what the file of a link has in it.
func (h home) owner(s *Space) (string, error) {
	path, err := filepath.Abs(h.path(s.Pin))
	return "hooklab " + path + "\n", err
}
