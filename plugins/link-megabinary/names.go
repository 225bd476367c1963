package linkmegabinary

import (
	"path"
	"strings"

	"megabinary.dev/sdk/artifact"
)

// names finds the files of an image by what others call them.
type names struct {
	byPath map[string]*artifact.FileEntry
	// sonames holds, by base name, the files that are ELF or links, in the order
	// of their paths.
	sonames map[string][]string
}

func newNames(root *artifact.RootFS) *names {
	n := &names{byPath: make(map[string]*artifact.FileEntry, len(root.Files)), sonames: map[string][]string{}}
	for i := range root.Files {
		f := &root.Files[i]
		n.byPath[f.Path] = f
		if f.Type == "symlink" || f.Kind == artifact.KindELFLibrary || f.Kind == artifact.KindELFProgram {
			base := path.Base(f.Path)
			n.sonames[base] = append(n.sonames[base], f.Path)
		}
	}
	return n
}

// maxLinks is how many symbolic links one path may lead through, as on Linux.
const maxLinks = 40

// resolve follows the symbolic links of an absolute path, in its directories too;
// nil if it leads to no regular file.
func (n *names) resolve(file string) *artifact.FileEntry {
	links := 0
	done, rest := "/", strings.Split(strings.TrimPrefix(file, "/"), "/")
	for len(rest) > 0 {
		next := path.Join(done, rest[0])
		rest = rest[1:]
		f := n.byPath[next]
		if f == nil || f.Type != "symlink" {
			done = next // a directory need not have an entry of its own
			continue
		}
		if links++; links > maxLinks {
			return nil
		}
		if strings.HasPrefix(f.Target, "/") {
			done = "/"
		}
		rest = append(strings.Split(strings.TrimPrefix(f.Target, "/"), "/"), rest...)
	}
	if f := n.byPath[done]; f != nil && f.Type == "file" {
		return f
	}
	return nil
}

// file names the file that a path leads to.
func (n *names) file(name string) *artifact.ExecMapRef {
	r := &artifact.ExecMapRef{Name: name}
	if f := n.resolve(name); f != nil && strings.HasPrefix(name, "/") {
		r.Digest = f.Digest
	}
	return r
}

// libraryDirs are where ld.so of glibc and of musl look, in the order of Debian's
// ld.so.conf.
var libraryDirs = []string{"/usr/local/lib", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"}

// library names the file that ld.so would load for a name of DT_NEEDED: that of the
// default directories, else the only one in the image. Run paths and LD_LIBRARY_PATH
// may lead elsewhere, and whatever they lead to must have an entry of its own.
func (n *names) library(soname string) artifact.ExecMapRef {
	r := artifact.ExecMapRef{Name: soname}
	if strings.HasPrefix(soname, "/") {
		return *n.file(soname)
	}
	for _, dir := range libraryDirs {
		if f := n.resolve(path.Join(dir, soname)); f != nil {
			r.Digest = f.Digest
			return r
		}
	}
	for _, p := range n.sonames[soname] {
		f := n.resolve(p)
		switch {
		case f == nil || f.Digest == r.Digest:
		case r.Digest == "":
			r.Digest = f.Digest
		default: // there are several
			r.Digest = ""
			return r
		}
	}
	return r
}
