package linux

import "encoding/binary"

// Every type below is a struct of the x86-64 ABI. Size is its size in bytes;
// Marshal writes it to b and Unmarshal reads it from b, both of which must
// hold Size bytes.

var le = binary.LittleEndian

// Stat is struct stat.
type Stat struct {
	Dev                 uint64
	Ino                 uint64
	Nlink               uint64
	Mode                uint32
	UID                 uint32
	GID                 uint32
	Rdev                uint64
	Size                int64
	Blksize             int64
	Blocks              int64 // in units of 512 bytes
	Atime, Mtime, Ctime Timespec
}

// StatSize is the size of struct stat.
const StatSize = 144

// Marshal writes s to b.
func (s *Stat) Marshal(b []byte) {
	clear(b[:StatSize])
	le.PutUint64(b[0:], s.Dev)
	le.PutUint64(b[8:], s.Ino)
	le.PutUint64(b[16:], s.Nlink)
	le.PutUint32(b[24:], s.Mode)
	le.PutUint32(b[28:], s.UID)
	le.PutUint32(b[32:], s.GID)
	le.PutUint64(b[40:], s.Rdev)
	le.PutUint64(b[48:], uint64(s.Size))
	le.PutUint64(b[56:], uint64(s.Blksize))
	le.PutUint64(b[64:], uint64(s.Blocks))
	s.Atime.Marshal(b[72:])
	s.Mtime.Marshal(b[88:])
	s.Ctime.Marshal(b[104:])
}

// StatxTimestamp is struct statx_timestamp.
type StatxTimestamp struct {
	Sec  int64
	Nsec uint32
}

// Statx is struct statx.
type Statx struct {
	Mask                       uint32
	Blksize                    uint32
	Attributes                 uint64
	Nlink                      uint32
	UID                        uint32
	GID                        uint32
	Mode                       uint16
	Ino                        uint64
	Size                       uint64
	Blocks                     uint64
	AttributesMask             uint64
	Atime, Btime, Ctime, Mtime StatxTimestamp
	RdevMajor, RdevMinor       uint32
	DevMajor, DevMinor         uint32
	MntID                      uint64
}

// StatxSize is the size of struct statx.
const StatxSize = 256

// Marshal writes s to b.
func (s *Statx) Marshal(b []byte) {
	clear(b[:StatxSize])
	le.PutUint32(b[0:], s.Mask)
	le.PutUint32(b[4:], s.Blksize)
	le.PutUint64(b[8:], s.Attributes)
	le.PutUint32(b[16:], s.Nlink)
	le.PutUint32(b[20:], s.UID)
	le.PutUint32(b[24:], s.GID)
	le.PutUint16(b[28:], s.Mode)
	le.PutUint64(b[32:], s.Ino)
	le.PutUint64(b[40:], s.Size)
	le.PutUint64(b[48:], s.Blocks)
	le.PutUint64(b[56:], s.AttributesMask)
	for i, t := range []StatxTimestamp{s.Atime, s.Btime, s.Ctime, s.Mtime} {
		le.PutUint64(b[64+16*i:], uint64(t.Sec))
		le.PutUint32(b[72+16*i:], t.Nsec)
	}
	le.PutUint32(b[128:], s.RdevMajor)
	le.PutUint32(b[132:], s.RdevMinor)
	le.PutUint32(b[136:], s.DevMajor)
	le.PutUint32(b[140:], s.DevMinor)
	le.PutUint64(b[144:], s.MntID)
}

// Statfs is struct statfs.
type Statfs struct {
	Type, Bsize           int64
	Blocks, Bfree, Bavail uint64
	Files, Ffree          uint64
	Fsid                  [2]int32
	Namelen, Frsize       int64
	Flags                 int64
}

// StatfsSize is the size of struct statfs.
const StatfsSize = 120

// Marshal writes s to b.
func (s *Statfs) Marshal(b []byte) {
	clear(b[:StatfsSize])
	for i, v := range []uint64{uint64(s.Type), uint64(s.Bsize), s.Blocks, s.Bfree, s.Bavail, s.Files, s.Ffree,
		uint64(uint32(s.Fsid[0])) | uint64(uint32(s.Fsid[1]))<<32, uint64(s.Namelen), uint64(s.Frsize), uint64(s.Flags)} {
		le.PutUint64(b[8*i:], v)
	}
}

// Dirent is one entry of a directory, for struct linux_dirent and
// linux_dirent64.
type Dirent struct {
	Ino  uint64
	Off  int64 // the offset that seeks behind the entry
	Type uint8
	Name string
}

// Append64 appends d as struct linux_dirent64, padded to 8 bytes.
func (d *Dirent) Append64(b []byte) []byte {
	start := len(b)
	b = le.AppendUint64(b, d.Ino)
	b = le.AppendUint64(b, uint64(d.Off))
	n := d.Len64()
	b = le.AppendUint16(b, uint16(n))
	b = append(b, d.Type)
	b = append(b, d.Name...)
	return append(b, make([]byte, start+n-len(b))...)
}

// Len64 is the length of what Append64 appends.
func (d *Dirent) Len64() int { return (19 + len(d.Name) + 1 + 7) &^ 7 }

// Append appends d as struct linux_dirent, padded to 8 bytes; its last byte is
// the type.
func (d *Dirent) Append(b []byte) []byte {
	start := len(b)
	b = le.AppendUint64(b, d.Ino)
	b = le.AppendUint64(b, uint64(d.Off))
	n := d.Len()
	b = le.AppendUint16(b, uint16(n))
	b = append(b, d.Name...)
	b = append(b, make([]byte, start+n-len(b))...)
	b[start+n-1] = d.Type
	return b
}

// Len is the length of what Append appends.
func (d *Dirent) Len() int { return (18 + len(d.Name) + 2 + 7) &^ 7 }

// Timespec is struct timespec.
type Timespec struct{ Sec, Nsec int64 }

// TimespecSize is the size of struct timespec.
const TimespecSize = 16

// Marshal writes t to b.
func (t *Timespec) Marshal(b []byte) {
	le.PutUint64(b[0:], uint64(t.Sec))
	le.PutUint64(b[8:], uint64(t.Nsec))
}

// Unmarshal reads t from b.
func (t *Timespec) Unmarshal(b []byte) {
	t.Sec, t.Nsec = int64(le.Uint64(b[0:])), int64(le.Uint64(b[8:]))
}

// Valid says whether t is a valid duration or time for the kernel.
func (t Timespec) Valid() bool { return t.Sec >= 0 && t.Nsec >= 0 && t.Nsec < 1e9 }

// Nanos returns t in nanoseconds, clamped to what fits.
func (t Timespec) Nanos() int64 {
	const maxSec = (1<<63 - 1) / int64(1e9)
	if t.Sec >= maxSec {
		return 1<<63 - 1
	}
	return t.Sec*1e9 + t.Nsec
}

// TimespecOf converts nanoseconds.
func TimespecOf(ns int64) Timespec {
	t := Timespec{ns / 1e9, ns % 1e9}
	if t.Nsec < 0 {
		t.Sec, t.Nsec = t.Sec-1, t.Nsec+1e9
	}
	return t
}

// Before says whether t is earlier than u.
func (t Timespec) Before(u Timespec) bool {
	return t.Sec < u.Sec || t.Sec == u.Sec && t.Nsec < u.Nsec
}

// Timeval is struct timeval.
type Timeval struct{ Sec, Usec int64 }

// TimevalSize is the size of struct timeval.
const TimevalSize = 16

// Marshal writes t to b.
func (t *Timeval) Marshal(b []byte) {
	le.PutUint64(b[0:], uint64(t.Sec))
	le.PutUint64(b[8:], uint64(t.Usec))
}

// Unmarshal reads t from b.
func (t *Timeval) Unmarshal(b []byte) {
	t.Sec, t.Usec = int64(le.Uint64(b[0:])), int64(le.Uint64(b[8:]))
}

// TimevalOf converts nanoseconds.
func TimevalOf(ns int64) Timeval {
	t := TimespecOf(ns)
	return Timeval{t.Sec, t.Nsec / 1000}
}

// Itimerval is struct itimerval.
type Itimerval struct{ Interval, Value Timeval }

// ItimervalSize is the size of struct itimerval.
const ItimervalSize = 32

// Marshal writes t to b.
func (t *Itimerval) Marshal(b []byte) { t.Interval.Marshal(b); t.Value.Marshal(b[16:]) }

// Unmarshal reads t from b.
func (t *Itimerval) Unmarshal(b []byte) { t.Interval.Unmarshal(b); t.Value.Unmarshal(b[16:]) }

// Itimerspec is struct itimerspec.
type Itimerspec struct{ Interval, Value Timespec }

// ItimerspecSize is the size of struct itimerspec.
const ItimerspecSize = 32

// Marshal writes t to b.
func (t *Itimerspec) Marshal(b []byte) { t.Interval.Marshal(b); t.Value.Marshal(b[16:]) }

// Unmarshal reads t from b.
func (t *Itimerspec) Unmarshal(b []byte) { t.Interval.Unmarshal(b); t.Value.Unmarshal(b[16:]) }

// Iovec is struct iovec.
type Iovec struct{ Base, Len uint64 }

// IovecSize is the size of struct iovec.
const IovecSize = 16

// Unmarshal reads v from b.
func (v *Iovec) Unmarshal(b []byte) { v.Base, v.Len = le.Uint64(b[0:]), le.Uint64(b[8:]) }

// Utsname is struct new_utsname. Longer strings are cut at 64 bytes.
type Utsname struct {
	Sysname, Nodename, Release, Version, Machine, Domainname string
}

// UtsnameSize is the size of struct new_utsname.
const UtsnameSize = 6 * 65

// Marshal writes u to b.
func (u *Utsname) Marshal(b []byte) {
	clear(b[:UtsnameSize])
	for i, s := range []string{u.Sysname, u.Nodename, u.Release, u.Version, u.Machine, u.Domainname} {
		copy(b[65*i:65*i+64], s)
	}
}

// Rusage is struct rusage; its fields that we never count are not named.
type Rusage struct {
	Utime, Stime         Timeval
	Maxrss               int64 // KiB
	Minflt, Majflt       int64
	Inblock, Oublock     int64 // in units of 512 bytes
	Nvcsw, Nivcsw        int64
	Msgsnd, Msgrcv, Nsig int64
}

// RusageSize is the size of struct rusage.
const RusageSize = 144

// Marshal writes r to b.
func (r *Rusage) Marshal(b []byte) {
	clear(b[:RusageSize])
	r.Utime.Marshal(b)
	r.Stime.Marshal(b[16:])
	for i, v := range []int64{r.Maxrss, 0, 0, 0, r.Minflt, r.Majflt, 0, r.Inblock, r.Oublock,
		r.Msgsnd, r.Msgrcv, r.Nsig, r.Nvcsw, r.Nivcsw} {
		le.PutUint64(b[32+8*i:], uint64(v))
	}
}

// Rlimit is struct rlimit64.
type Rlimit struct{ Cur, Max uint64 }

// RlimitSize is the size of struct rlimit64.
const RlimitSize = 16

// Marshal writes r to b.
func (r *Rlimit) Marshal(b []byte) { le.PutUint64(b[0:], r.Cur); le.PutUint64(b[8:], r.Max) }

// Unmarshal reads r from b.
func (r *Rlimit) Unmarshal(b []byte) { r.Cur, r.Max = le.Uint64(b[0:]), le.Uint64(b[8:]) }

// Pollfd is struct pollfd.
type Pollfd struct {
	FD              int32
	Events, Revents int16
}

// PollfdSize is the size of struct pollfd.
const PollfdSize = 8

// Marshal writes p to b.
func (p *Pollfd) Marshal(b []byte) {
	le.PutUint32(b[0:], uint32(p.FD))
	le.PutUint16(b[4:], uint16(p.Events))
	le.PutUint16(b[6:], uint16(p.Revents))
}

// Unmarshal reads p from b.
func (p *Pollfd) Unmarshal(b []byte) {
	p.FD, p.Events, p.Revents = int32(le.Uint32(b[0:])), int16(le.Uint16(b[4:])), int16(le.Uint16(b[6:]))
}

// EpollEvent is struct epoll_event, which is packed on x86-64.
type EpollEvent struct {
	Events uint32
	Data   uint64
}

// EpollEventSize is the size of struct epoll_event.
const EpollEventSize = 12

// Marshal writes e to b.
func (e *EpollEvent) Marshal(b []byte) { le.PutUint32(b[0:], e.Events); le.PutUint64(b[4:], e.Data) }

// Unmarshal reads e from b.
func (e *EpollEvent) Unmarshal(b []byte) { e.Events, e.Data = le.Uint32(b[0:]), le.Uint64(b[4:]) }

// Flock is struct flock.
type Flock struct {
	Type, Whence int16
	Start, Len   int64
	PID          int32
}

// FlockSize is the size of struct flock.
const FlockSize = 32

// Marshal writes f to b.
func (f *Flock) Marshal(b []byte) {
	clear(b[:FlockSize])
	le.PutUint16(b[0:], uint16(f.Type))
	le.PutUint16(b[2:], uint16(f.Whence))
	le.PutUint64(b[8:], uint64(f.Start))
	le.PutUint64(b[16:], uint64(f.Len))
	le.PutUint32(b[24:], uint32(f.PID))
}

// Unmarshal reads f from b.
func (f *Flock) Unmarshal(b []byte) {
	f.Type, f.Whence = int16(le.Uint16(b[0:])), int16(le.Uint16(b[2:]))
	f.Start, f.Len = int64(le.Uint64(b[8:])), int64(le.Uint64(b[16:]))
	f.PID = int32(le.Uint32(b[24:]))
}

// Termios is the kernel's struct termios.
type Termios struct {
	Iflag, Oflag, Cflag, Lflag uint32
	Line                       uint8
	CC                         [NCCS]uint8
}

// TermiosSize is the size of the kernel's struct termios.
const TermiosSize = 36

// Marshal writes t to b.
func (t *Termios) Marshal(b []byte) {
	for i, v := range []uint32{t.Iflag, t.Oflag, t.Cflag, t.Lflag} {
		le.PutUint32(b[4*i:], v)
	}
	b[16] = t.Line
	copy(b[17:TermiosSize], t.CC[:])
}

// Unmarshal reads t from b.
func (t *Termios) Unmarshal(b []byte) {
	t.Iflag, t.Oflag, t.Cflag, t.Lflag = le.Uint32(b[0:]), le.Uint32(b[4:]), le.Uint32(b[8:]), le.Uint32(b[12:])
	t.Line = b[16]
	copy(t.CC[:], b[17:TermiosSize])
}

// Sizes of the kernel's struct termios2, which is a termios with two speeds
// behind it, and of struct termio.
const (
	Termios2Size = TermiosSize + 8
	TermioSize   = 18
)

// termioCC is how many control characters struct termio has.
const termioCC = 8

// MarshalTermio writes t to b as a struct termio.
func (t *Termios) MarshalTermio(b []byte) {
	for i, v := range []uint32{t.Iflag, t.Oflag, t.Cflag, t.Lflag} {
		le.PutUint16(b[2*i:], uint16(v))
	}
	b[8] = t.Line
	copy(b[9:9+termioCC], t.CC[:])
}

// UnmarshalTermio changes of t what the struct termio in b holds.
func (t *Termios) UnmarshalTermio(b []byte) {
	for i, v := range []*uint32{&t.Iflag, &t.Oflag, &t.Cflag, &t.Lflag} {
		*v = *v&^0xffff | uint32(le.Uint16(b[2*i:]))
	}
	t.Line = b[8]
	copy(t.CC[:termioCC], b[9:])
}

// DefaultTermios is what a terminal starts with (tty_std_termios).
func DefaultTermios() Termios {
	t := Termios{
		Iflag: ICRNL | IXON,
		Oflag: OPOST | ONLCR,
		Cflag: B38400 | CS8 | CREAD,
		Lflag: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
	}
	copy(t.CC[:], []uint8{VINTR: 3, VQUIT: 28, VERASE: 127, VKILL: 21, VEOF: 4, VMIN: 1, VSTART: 17, VSTOP: 19,
		VSUSP: 26, VREPRINT: 18, VDISCARD: 15, VWERASE: 23, VLNEXT: 22, VEOL2: 0})
	return t
}

// Winsize is struct winsize.
type Winsize struct{ Row, Col, Xpixel, Ypixel uint16 }

// WinsizeSize is the size of struct winsize.
const WinsizeSize = 8

// Marshal writes w to b.
func (w *Winsize) Marshal(b []byte) {
	le.PutUint16(b[0:], w.Row)
	le.PutUint16(b[2:], w.Col)
	le.PutUint16(b[4:], w.Xpixel)
	le.PutUint16(b[6:], w.Ypixel)
}

// Unmarshal reads w from b.
func (w *Winsize) Unmarshal(b []byte) {
	w.Row, w.Col, w.Xpixel, w.Ypixel = le.Uint16(b[0:]), le.Uint16(b[2:]), le.Uint16(b[4:]), le.Uint16(b[6:])
}

// Sysinfo is struct sysinfo.
type Sysinfo struct {
	Uptime                                                       int64
	Loads                                                        [3]uint64
	Totalram, Freeram, Sharedram, Bufferram, Totalswap, Freeswap uint64
	Procs                                                        uint16
	Totalhigh, Freehigh                                          uint64
	Unit                                                         uint32
}

// SysinfoSize is the size of struct sysinfo.
const SysinfoSize = 112

// Marshal writes s to b.
func (s *Sysinfo) Marshal(b []byte) {
	clear(b[:SysinfoSize])
	for i, v := range []uint64{uint64(s.Uptime), s.Loads[0], s.Loads[1], s.Loads[2], s.Totalram, s.Freeram,
		s.Sharedram, s.Bufferram, s.Totalswap, s.Freeswap} {
		le.PutUint64(b[8*i:], v)
	}
	le.PutUint16(b[80:], s.Procs)
	le.PutUint64(b[88:], s.Totalhigh)
	le.PutUint64(b[96:], s.Freehigh)
	le.PutUint32(b[104:], s.Unit)
}
