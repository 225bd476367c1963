package kernel

import (
	"bytes"
	"sync"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/vkernel/exec"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// codeWatch watches what an interpreter reads as code. It belongs to a program:
// the processes that a fork makes share it.
type codeWatch struct {
	sources *exec.Sources

	mu sync.Mutex
	// streams are the descriptions that code comes from which are no files, with
	// what was read and is not in the trail yet. A description that is closed stays:
	// its address is not used again while it is here.
	streams map[*vfs.FileDescription]*stream
}

type stream struct {
	how  string
	code []byte
}

// maxStream is how much code is gathered for one line of the trail, in bytes.
const maxStream = 64 << 10

// askSources asks the exec controller about the code that the program of r gets
// with its arguments, and returns what to watch, or nil.
func (t *Task) askSources(r resolved, env []string) (*codeWatch, error) {
	request := t.execRequest(r.execFn, r.args)
	s, d, err := t.c.cfg.Controller.Start(r.decision.Entry, request, r.args, env, t.tg.prog() == nil)
	if err != nil {
		t.k.log.Error("code cannot be checked and does not run", "path", r.execFn, "err", err)
		return nil, linux.EACCES
	}
	if !d.Allow {
		return nil, t.refused(r.execFn, exec.UseExec, &d)
	}
	if s == nil {
		return nil, nil
	}
	w := &codeWatch{sources: s, streams: map[*vfs.FileDescription]*stream{}}
	if s.Stdin {
		if desc, err := t.Files().Get(0); err == nil {
			w.streams[desc] = &stream{how: string(s.Language) + " standard input"}
			desc.DecRef()
		}
	}
	return w, nil
}

// execRequest is a request to the exec controller from t.
func (t *Task) execRequest(name string, args []string) exec.Request {
	return exec.Request{Path: name, Args: args, PID: t.TGID(), PPID: t.tg.ParentID(), CallerUID: int(t.Creds().UID), Subject: t.tg.ExeDigest()}
}

// refused says so in the log and returns the guest's errno.
func (t *Task) refused(name string, use exec.Use, d *exec.Decision) error {
	t.k.log.Warn("refused to run a file", "path", name, "use", string(use), "pid", t.TGID(), "rule", d.Rule,
		"reason", d.Reason, "digest", d.Digest)
	return linux.EACCES
}

// OpenedFile is told of what t has just opened for reading. If t runs an
// interpreter that takes it for code, it asks the exec controller and returns a
// description of the verified bytes in the place of d.
func (t *Task) OpenedFile(d *vfs.FileDescription, name string) (*vfs.FileDescription, error) {
	w := t.code
	if w == nil || d.Writable() || d.Inode() == nil {
		return d, nil
	}
	st, err := d.Inode().Stat()
	if err != nil {
		return d, err
	}
	request := t.execRequest(name, nil)
	if st.Mode&linux.S_IFMT != linux.S_IFREG {
		if st.Mode&linux.S_IFMT == linux.S_IFDIR {
			return d, nil
		}
		return d, t.openedStream(w, d, request)
	}
	content, err := d.Content()
	if err != nil {
		return d, nil // of a file system that has no code, such as proc
	}
	request.File, request.Mode, request.UID, request.GID = codeFile{content, d.Inode()}, st.Mode&0o7777, int(st.UID), int(st.GID)
	decision, err := t.c.cfg.Controller.CheckSource(t.c.ctx, w.sources, request)
	switch {
	case err != nil:
		t.k.log.Error("code cannot be checked and is not read", "path", name, "err", err)
		return d, linux.EACCES
	case !decision.Allow:
		return d, t.refused(name, exec.UseSource, &decision)
	case decision.Rule == "":
		return d, nil
	}
	verified := vfs.NewContentDescription(decision.Content, d)
	d.DecRef()
	return verified, nil
}

func (t *Task) openedStream(w *codeWatch, d *vfs.FileDescription, request exec.Request) error {
	decision, err := t.c.cfg.Controller.CheckNoFile(w.sources, request)
	switch {
	case err != nil:
		t.k.log.Error("code cannot be checked and is not read", "path", request.Path, "err", err)
		return linux.EACCES
	case !decision.Allow:
		return t.refused(request.Path, exec.UseSource, &decision)
	case decision.Rule != "":
		w.mu.Lock()
		w.streams[d] = &stream{how: string(w.sources.Language) + " " + request.Path}
		w.mu.Unlock()
	}
	return nil
}

// HasRead is told of what t has read; nothing at the end of a file.
func (t *Task) HasRead(d *vfs.FileDescription, p []byte) {
	w := t.code
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.streams[d]
	if s == nil {
		return
	}
	s.code = append(s.code, p...)
	_, isTerminal := d.File().(interface{ CheckRead(vfs.IoctlTask) error })
	if len(p) == 0 || len(s.code) >= maxStream || isTerminal && bytes.HasSuffix(p, []byte("\n")) {
		t.logStream(s)
	}
}

// logCode writes to the trail what was read of code since the last time: before
// what that code does, a fork, an exec or an exit.
func (t *Task) logCode() {
	w := t.code
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.streams {
		t.logStream(s)
	}
}

// logStream writes what was read of s to the trail. w.mu is held.
func (t *Task) logStream(s *stream) {
	if len(s.code) == 0 {
		return
	}
	code := s.code
	s.code = nil
	if err := t.c.cfg.Controller.Read(t.execRequest("", nil), s.how, code); err != nil {
		t.k.log.Error("code cannot be logged: the container ends", "container", t.c.cfg.ID, "err", err)
		t.c.Kill()
	}
}

// CheckExec implements execveat(2) with AT_EXECVE_CHECK: whether t could execute
// the file, for interpreters that ask (Documentation/userspace-api/check_exec.rst).
func (t *Task) CheckExec(f ExecFile) error {
	loc, err := t.openCode(f)
	if err != nil {
		return err
	}
	d, err := t.check(loc, exec.UseExec, f.Path, nil)
	if err == linux.ENOEXEC {
		return linux.EACCES
	}
	if err == nil && d.Entry != nil && d.Entry.Verdict == artifact.VerdictRefuse {
		return linux.EACCES
	}
	return err
}
