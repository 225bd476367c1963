// Package confine takes from the host process what running containers does not
// need, for good: should a guest ever get control of it, files, programs, other
// processes and networks of the host stay out of reach. It is for a process that
// runs containers and does nothing else, such as megabin run.
package confine

import "fmt"

// Options say what stays.
type Options struct {
	ReadDirs  []string // files and directories below may be read
	WriteDirs []string // below may be changed, too
	// ReadFiles may be read, such as the configuration of the resolver. Of all
	// these, what does not exist is left out.
	ReadFiles []string
	Connect   bool // connections may be made
	// Listen are the ports that may be listened at; 0 is any that the kernel picks.
	Listen []uint16
	Code   Code
}

// Code says which pages may become executable. None is that while it can be
// written.
type Code uint8

// What an engine needs.
const (
	CodeNone  Code = iota // an interpreter: no page
	CodeFiles             // native code: pages of files, as they are
	CodeMade              // a compiler: any page
)

// network says whether the process needs sockets at all.
func (o *Options) network() bool { return o.Connect || len(o.Listen) > 0 }

// Report says what was given up, one entry each for a person, and what could not
// be, and why.
type Report struct {
	Done, Missing []string
}

func (r *Report) missing(what string, err error) {
	r.Missing = append(r.Missing, fmt.Sprintf("%s: %v", what, err))
}

// NameFiles are what Go's resolver and TLS read.
func NameFiles() (files, dirs []string) {
	return []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/services", "/etc/gai.conf"},
		[]string{"/etc/ssl", "/etc/pki", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"}
}
