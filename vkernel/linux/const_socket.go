package linux

// Address families, types and levels of socket(2).
const (
	AF_UNSPEC       = 0
	AF_UNIX         = 1
	AF_INET         = 2
	AF_INET6        = 10
	AF_NETLINK      = 16
	AF_PACKET       = 17
	SOCK_STREAM     = 1
	SOCK_DGRAM      = 2
	SOCK_RAW        = 3
	SOCK_SEQPACKET  = 5
	SOCK_CLOEXEC    = 0x80000
	SOCK_NONBLOCK   = 0x800
	SOL_SOCKET      = 1
	SHUT_RD         = 0
	SHUT_WR         = 1
	SHUT_RDWR       = 2
	SCM_RIGHTS      = 1
	SCM_CREDENTIALS = 2
)

// Socket options.
const (
	SO_DEBUG      = 1
	SO_REUSEADDR  = 2
	SO_TYPE       = 3
	SO_ERROR      = 4
	SO_DONTROUTE  = 5
	SO_BROADCAST  = 6
	SO_SNDBUF     = 7
	SO_RCVBUF     = 8
	SO_KEEPALIVE  = 9
	SO_OOBINLINE  = 10
	SO_LINGER     = 13
	SO_REUSEPORT  = 15
	SO_PASSCRED   = 16
	SO_PEERCRED   = 17
	SO_RCVLOWAT   = 18
	SO_SNDLOWAT   = 19
	SO_RCVTIMEO   = 20
	SO_SNDTIMEO   = 21
	SO_ACCEPTCONN = 30
	SO_PROTOCOL   = 38
	SO_DOMAIN     = 39
)

// Flags of send(2) and recv(2).
const (
	MSG_OOB          = 1
	MSG_PEEK         = 2
	MSG_CTRUNC       = 8
	MSG_TRUNC        = 32
	MSG_DONTWAIT     = 0x40
	MSG_EOR          = 0x80
	MSG_WAITALL      = 0x100
	MSG_NOSIGNAL     = 0x4000
	MSG_MORE         = 0x8000
	MSG_CMSG_CLOEXEC = 0x40000000
)
