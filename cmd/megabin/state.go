package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"megabinary.dev/vkernel"
)

// snapshot is what a running container says of itself to whoever connects to its
// socket: one JSON object, after which the connection ends. Nothing is read.
type snapshot struct {
	ID         string        `json:"id"`
	Image      string        `json:"image"`
	Command    []string      `json:"command"`
	Started    time.Time     `json:"started"`
	PID        int           `json:"pid"` // of the host's process
	CPU        time.Duration `json:"cpu_ns"`
	Processors int           `json:"processors"`
	Memory     uint64        `json:"memory"` // bytes
	MaxMemory  uint64        `json:"max_memory"`
	Tasks      int           `json:"tasks"`
	NetRead    uint64        `json:"net_read"`
	NetSent    uint64        `json:"net_sent"`
	DiskRead   uint64        `json:"disk_read"`
	Written    uint64        `json:"disk_written"`
	OOMKills   int           `json:"oom_kills"`
}

// containerName is what a container may be called, as in docker.
var containerName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$`)

const socketSuffix = ".sock"

// stateDir returns the directory of the sockets of this user's containers, which
// only this user can enter: $XDG_RUNTIME_DIR/megabin, or one of its own in the
// directory for temporary files. It is made if it is not there.
func stateDir() (string, error) {
	base, name := os.Getenv("XDG_RUNTIME_DIR"), "megabin"
	if base == "" {
		base, name = os.TempDir(), fmt.Sprintf("megabin-%d", os.Getuid())
	}
	dir := filepath.Join(base, name)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("making the directory of sockets: %w", err)
	}
	// Anybody may make a name in /tmp: a link, or a directory of theirs.
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("looking at the directory of sockets: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s is no directory that only you can enter: remove it, or set XDG_RUNTIME_DIR", dir)
	}
	return dir, nil
}

// errNameTaken means that a container of this name runs.
var errNameTaken = errors.New("a container of this name runs already: megabin ps lists them")

// listen makes the socket of a container, nil if there can be none: a container
// runs without, too.
func (a *app) listen(id string) (net.Listener, error) {
	dir, err := stateDir()
	var l net.Listener
	if err == nil {
		path := filepath.Join(dir, id+socketSuffix)
		if _, err := ask(path); err == nil {
			return nil, fmt.Errorf("--name %s: %w", id, errNameTaken)
		}
		_, _ = running(context.Background(), nil) // removes sockets of processes that were killed, or could not
		l, err = net.Listen("unix", path)         // closing it removes the file
	}
	if err != nil {
		a.log.Warn().Err(err).Msg("megabin stats and ps will not see this container")
		return nil, nil
	}
	return l, nil
}

// published is how a container is seen by others.
type published struct {
	socket net.Listener // nil: not at all
	image  string
}

// publish lets others ask what the container uses, until the function that it
// returns is called.
func (a *app) publish(p published, c *vkernel.Container, spec vkernel.Spec) (stop func()) {
	l := p.socket
	started := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return // it was closed
			}
			_ = conn.SetDeadline(time.Now().Add(askTimeout)) // one that does not read keeps others waiting, no longer
			if err := json.NewEncoder(conn).Encode(snapshotOf(c, spec, p.image, started)); err != nil {
				a.log.Debug().Err(err).Msg("telling what the container uses")
			}
			_ = conn.Close()
		}
	}()
	return func() {
		_ = l.Close()
		<-done
	}
}

func snapshotOf(c *vkernel.Container, spec vkernel.Spec, image string, started time.Time) snapshot {
	st := c.Stats()
	s := snapshot{ID: spec.ID, Image: image, Command: spec.Args, Started: started, PID: os.Getpid(), CPU: st.CPU, Processors: runtime.NumCPU(),
		Memory: st.Memory, MaxMemory: st.MaxMemory, Tasks: st.Tasks, NetRead: st.NetRead, NetSent: st.NetSent,
		DiskRead: st.DiskRead, Written: st.Written, OOMKills: st.OOM}
	// This process serves one container: what it used is exact.
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err == nil {
		s.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return s
}

const (
	askTimeout  = 2 * time.Second
	maxSnapshot = 1 << 20 // bytes
)

// ask reads the snapshot of the container whose socket path is.
func ask(path string) (snapshot, error) {
	var s snapshot
	conn, err := net.DialTimeout("unix", path, askTimeout)
	if err != nil {
		return s, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(askTimeout))
	if err := json.NewDecoder(io.LimitReader(conn, maxSnapshot)).Decode(&s); err != nil {
		return s, fmt.Errorf("asking %s: %w", path, err)
	}
	return s, nil
}

// running returns the snapshots of this user's containers, or of those that are
// named, in the order of their names.
func running(ctx context.Context, names []string) ([]snapshot, error) {
	dir, err := stateDir()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", err)
	}
	var list []snapshot
	found := map[string]bool{}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), socketSuffix)
		if !ok || len(names) > 0 && !slices.Contains(names, id) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		s, err := ask(path)
		if errors.Is(err, syscall.ECONNREFUSED) {
			_ = os.Remove(path) // its process was killed
			continue
		}
		if err != nil || ctx.Err() != nil {
			continue // it ends just now
		}
		found[id] = true
		list = append(list, s)
	}
	for _, n := range names {
		if !found[n] {
			return nil, fmt.Errorf("no container is called %s: megabin ps lists those that run", n)
		}
	}
	return list, nil
}
