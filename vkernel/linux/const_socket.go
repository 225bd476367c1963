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
	SOCK_RDM        = 4
	SOCK_SEQPACKET  = 5
	SOCK_TYPE_MASK  = 0xf
	SOCK_CLOEXEC    = 0x80000
	SOCK_NONBLOCK   = 0x800
	SOL_SOCKET      = 1
	SHUT_RD         = 0
	SHUT_WR         = 1
	SHUT_RDWR       = 2
	SCM_RIGHTS      = 1
	SCM_CREDENTIALS = 2
	SCM_MAX_FD      = 253
	SOMAXCONN       = 4096
	AF_MAX          = 46

	SizeofSockaddrIn  = 16
	SizeofSockaddrIn6 = 28
	SizeofSockaddrUn  = 110
	SizeofSockaddrNl  = 12
	SizeofSockaddr    = 128 // struct sockaddr_storage
	SizeofCmsghdr     = 16
	SizeofUcred       = 12
	SizeofMsghdr      = 56
	SizeofMmsghdr     = 64
)

// Protocols, which are levels of socket options, too.
const (
	IPPROTO_IP     = 0
	IPPROTO_ICMP   = 1
	IPPROTO_TCP    = 6
	IPPROTO_UDP    = 17
	IPPROTO_IPV6   = 41
	IPPROTO_ICMPV6 = 58
	IPPROTO_MAX    = 263
)

// Options of SOL_SOCKET.
const (
	SO_DEBUG        = 1
	SO_REUSEADDR    = 2
	SO_TYPE         = 3
	SO_ERROR        = 4
	SO_DONTROUTE    = 5
	SO_BROADCAST    = 6
	SO_SNDBUF       = 7
	SO_RCVBUF       = 8
	SO_KEEPALIVE    = 9
	SO_OOBINLINE    = 10
	SO_NO_CHECK     = 11
	SO_PRIORITY     = 12
	SO_LINGER       = 13
	SO_REUSEPORT    = 15
	SO_PASSCRED     = 16
	SO_PEERCRED     = 17
	SO_RCVLOWAT     = 18
	SO_SNDLOWAT     = 19
	SO_RCVTIMEO     = 20
	SO_SNDTIMEO     = 21
	SO_BINDTODEVICE = 25
	SO_TIMESTAMP    = 29
	SO_ACCEPTCONN   = 30
	SO_PEERSEC      = 31
	SO_SNDBUFFORCE  = 32
	SO_RCVBUFFORCE  = 33
	SO_PASSSEC      = 34
	SO_MARK         = 36
	SO_PROTOCOL     = 38
	SO_DOMAIN       = 39
	SO_PEEK_OFF     = 42
	SO_BUSY_POLL    = 46
	SO_INCOMING_CPU = 49
	SO_COOKIE       = 57
	SO_PEERGROUPS   = 59
	SO_ZEROCOPY     = 60
	SO_RCVTIMEO_NEW = 66
	SO_SNDTIMEO_NEW = 67
)

// Options of IPPROTO_TCP.
const (
	TCP_NODELAY       = 1
	TCP_MAXSEG        = 2
	TCP_CORK          = 3
	TCP_KEEPIDLE      = 4
	TCP_KEEPINTVL     = 5
	TCP_KEEPCNT       = 6
	TCP_SYNCNT        = 7
	TCP_LINGER2       = 8
	TCP_DEFER_ACCEPT  = 9
	TCP_WINDOW_CLAMP  = 10
	TCP_INFO          = 11
	TCP_QUICKACK      = 12
	TCP_CONGESTION    = 13
	TCP_USER_TIMEOUT  = 18
	TCP_FASTOPEN      = 23
	TCP_NOTSENT_LOWAT = 25
)

// Options of IPPROTO_IP and IPPROTO_IPV6.
const (
	IP_TOS             = 1
	IP_TTL             = 2
	IP_HDRINCL         = 3
	IP_RECVOPTS        = 6
	IP_PKTINFO         = 8
	IP_MTU_DISCOVER    = 10
	IP_RECVERR         = 11
	IP_RECVTTL         = 12
	IP_RECVTOS         = 13
	IP_MTU             = 14
	IP_FREEBIND        = 15
	IP_BIND_NO_PORT    = 24
	IP_MULTICAST_IF    = 32
	IP_MULTICAST_TTL   = 33
	IP_MULTICAST_LOOP  = 34
	IP_ADD_MEMBERSHIP  = 35
	IP_DROP_MEMBERSHIP = 36

	IPV6_UNICAST_HOPS   = 16
	IPV6_MULTICAST_IF   = 17
	IPV6_MULTICAST_HOPS = 18
	IPV6_MULTICAST_LOOP = 19
	IPV6_JOIN_GROUP     = 20
	IPV6_LEAVE_GROUP    = 21
	IPV6_MTU_DISCOVER   = 23
	IPV6_MTU            = 24
	IPV6_RECVERR        = 25
	IPV6_V6ONLY         = 26
	IPV6_RECVPKTINFO    = 49
	IPV6_PKTINFO        = 50
	IPV6_RECVHOPLIMIT   = 51
	IPV6_HOPLIMIT       = 52
	IPV6_RECVTCLASS     = 66
	IPV6_TCLASS         = 67
)

// Flags of send(2) and recv(2).
const (
	MSG_OOB          = 1
	MSG_PEEK         = 2
	MSG_DONTROUTE    = 4
	MSG_CTRUNC       = 8
	MSG_TRUNC        = 0x20
	MSG_DONTWAIT     = 0x40
	MSG_EOR          = 0x80
	MSG_WAITALL      = 0x100
	MSG_CONFIRM      = 0x800
	MSG_ERRQUEUE     = 0x2000
	MSG_NOSIGNAL     = 0x4000
	MSG_MORE         = 0x8000
	MSG_WAITFORONE   = 0x10000
	MSG_FASTOPEN     = 0x20000000
	MSG_CMSG_CLOEXEC = 0x40000000
)

// Requests of ioctl(2) on sockets (netdevice(7)).
const (
	SIOCATMARK     = 0x8905
	SIOCGIFNAME    = 0x8910
	SIOCGIFCONF    = 0x8912
	SIOCGIFFLAGS   = 0x8913
	SIOCGIFADDR    = 0x8915
	SIOCGIFDSTADDR = 0x8917
	SIOCGIFBRDADDR = 0x8919
	SIOCGIFNETMASK = 0x891b
	SIOCGIFMETRIC  = 0x891d
	SIOCGIFMTU     = 0x8921
	SIOCGIFHWADDR  = 0x8927
	SIOCGIFINDEX   = 0x8933
	SIOCGIFTXQLEN  = 0x8942
	SIOCOUTQ       = 0x5411 // TIOCOUTQ

	IFNAMSIZ      = 16
	SizeofIfreq   = 40
	IFF_UP        = 1
	IFF_BROADCAST = 2
	IFF_LOOPBACK  = 8
	IFF_RUNNING   = 0x40
	IFF_MULTICAST = 0x1000
	IFF_LOWER_UP  = 0x10000

	ARPHRD_ETHER    = 1
	ARPHRD_LOOPBACK = 772
)

// rtnetlink(7).
const (
	NETLINK_ROUTE          = 0
	NETLINK_KOBJECT_UEVENT = 15
	SizeofNlmsghdr         = 16

	NLM_F_REQUEST = 1
	NLM_F_MULTI   = 2
	NLM_F_ACK     = 4
	NLM_F_ROOT    = 0x100
	NLM_F_MATCH   = 0x200
	NLM_F_DUMP    = NLM_F_ROOT | NLM_F_MATCH
	NLMSG_NOOP    = 1
	NLMSG_ERROR   = 2
	NLMSG_DONE    = 3

	RTM_NEWLINK  = 16
	RTM_GETLINK  = 18
	RTM_NEWADDR  = 20
	RTM_GETADDR  = 22
	RTM_NEWROUTE = 24
	RTM_GETROUTE = 26

	IFLA_ADDRESS   = 1
	IFLA_BROADCAST = 2
	IFLA_IFNAME    = 3
	IFLA_MTU       = 4
	IFLA_TXQLEN    = 13
	IFLA_OPERSTATE = 16

	IFA_ADDRESS   = 1
	IFA_LOCAL     = 2
	IFA_LABEL     = 3
	IFA_BROADCAST = 4
	IFA_FLAGS     = 8

	IFA_F_PERMANENT = 0x80

	RTA_DST           = 1
	RTA_OIF           = 4
	RTA_GATEWAY       = 5
	RTA_PREFSRC       = 7
	RTA_TABLE         = 15
	RT_TABLE_MAIN     = 254
	RTPROT_BOOT       = 3
	RTPROT_KERNEL     = 2
	RT_SCOPE_UNIVERSE = 0
	RT_SCOPE_LINK     = 253
	RT_SCOPE_HOST     = 254
	RTN_UNICAST       = 1
)
