package linux

// Requests of ioctl(2) for terminals and files.
const (
	TCGETS          = 0x5401
	TCSETS          = 0x5402
	TCSETSW         = 0x5403
	TCSETSF         = 0x5404
	TCSBRK          = 0x5409
	TCXONC          = 0x540a
	TCFLSH          = 0x540b
	TIOCEXCL        = 0x540c
	TIOCNXCL        = 0x540d
	TIOCSCTTY       = 0x540e
	TIOCGPGRP       = 0x540f
	TIOCSPGRP       = 0x5410
	TIOCOUTQ        = 0x5411
	TIOCSTI         = 0x5412
	TIOCGWINSZ      = 0x5413
	TIOCSWINSZ      = 0x5414
	FIONREAD        = 0x541b
	TIOCINQ         = 0x541b
	FIONBIO         = 0x5421
	TIOCNOTTY       = 0x5422
	TIOCSETD        = 0x5423
	TIOCGETD        = 0x5424
	TCSBRKP         = 0x5425
	TIOCGSID        = 0x5429
	TIOCGPTN        = 0x80045430
	TIOCSPTLCK      = 0x40045431
	TIOCGPTLCK      = 0x80045439
	TIOCGPTPEER     = 0x5441
	TIOCPKT         = 0x5420
	TIOCGPKT        = 0x80045438
	TIOCSIG         = 0x40045436
	TIOCGDEV        = 0x80045432
	TIOCGEXCL       = 0x80045440
	TCGETS2         = 0x802c542a
	TCSETS2         = 0x402c542b
	TCSETSW2        = 0x402c542c
	TCSETSF2        = 0x402c542d
	FIONCLEX        = 0x5450
	FIOCLEX         = 0x5451
	FIOASYNC        = 0x5452
	FIOQSIZE        = 0x5460
	FICLONE         = 0x40049409
	FICLONERANGE    = 0x4020940d
	FIGETBSZ        = 2
	FS_IOC_GETFLAGS = 0x80086601
	FS_IOC_SETFLAGS = 0x40086602
	TCGETA          = 0x5405
	TCSETA          = 0x5406
	TCSETAW         = 0x5407
	TCSETAF         = 0x5408
	BLKGETSIZE64    = 0x80081272
	RNDGETENTCNT    = 0x80045200
)

// Input modes of termios(3).
const (
	IGNBRK  = 1
	BRKINT  = 2
	IGNPAR  = 4
	PARMRK  = 8
	INPCK   = 16
	ISTRIP  = 32
	INLCR   = 0x40
	IGNCR   = 0x80
	ICRNL   = 0x100
	IUCLC   = 0x200
	IXON    = 0x400
	IXANY   = 0x800
	IXOFF   = 0x1000
	IMAXBEL = 0x2000
	IUTF8   = 0x4000
)

// Output modes of termios(3).
const (
	OPOST  = 1
	OLCUC  = 2
	ONLCR  = 4
	OCRNL  = 8
	ONOCR  = 16
	ONLRET = 32
	OFILL  = 0x40
	OFDEL  = 0x80
	TABDLY = 0x1800
	XTABS  = 0x1800
)

// What TCXONC does.
const (
	TCOOFF = 0
	TCOON  = 1
	TCIOFF = 2
	TCION  = 3
)

// Queues of TCFLSH.
const (
	TCIFLUSH  = 0
	TCOFLUSH  = 1
	TCIOFLUSH = 2
)

// What a master in packet mode is told (ioctl_tty(2)).
const (
	TIOCPKT_FLUSHREAD  = 1
	TIOCPKT_FLUSHWRITE = 2
	TIOCPKT_STOP       = 4
	TIOCPKT_START      = 8
	TIOCPKT_NOSTOP     = 16
	TIOCPKT_DOSTOP     = 32
)

// Control modes of termios(3).
const (
	CSIZE  = 48
	CS8    = 48
	CSTOPB = 0x40
	CREAD  = 0x80
	PARENB = 0x100
	PARODD = 0x200
	HUPCL  = 0x400
	CLOCAL = 0x800
	B38400 = 15
)

// Local modes of termios(3).
const (
	ISIG    = 1
	ICANON  = 2
	ECHO    = 8
	ECHOE   = 16
	ECHOK   = 32
	ECHONL  = 0x40
	NOFLSH  = 0x80
	TOSTOP  = 0x100
	ECHOCTL = 0x200
	ECHOPRT = 0x400
	ECHOKE  = 0x800
	FLUSHO  = 0x1000
	PENDIN  = 0x4000
	IEXTEN  = 0x8000
)

// Control characters of termios(3).
const (
	VINTR    = 0
	VQUIT    = 1
	VERASE   = 2
	VKILL    = 3
	VEOF     = 4
	VTIME    = 5
	VMIN     = 6
	VSWTC    = 7
	VSTART   = 8
	VSTOP    = 9
	VSUSP    = 10
	VEOL     = 11
	VREPRINT = 12
	VDISCARD = 13
	VWERASE  = 14
	VLNEXT   = 15
	VEOL2    = 16
	NCCS     = 19
)
