package inet

import (
	"gvisor.dev/gvisor/pkg/tcpip"

	"megabinary.dev/vkernel/linux"
)

// errno turns an error of the stack into Linux's. A reader of a closed
// connection sees the end of the file, not an error: ErrClosedForReceive is nil.
func errno(err tcpip.Error) error {
	switch err.(type) {
	case nil, *tcpip.ErrClosedForReceive:
		return nil
	case *tcpip.ErrUnknownNICID, *tcpip.ErrUnknownDevice:
		return linux.ENODEV
	case *tcpip.ErrUnknownProtocolOption:
		return linux.ENOPROTOOPT
	case *tcpip.ErrDuplicateNICID, *tcpip.ErrDuplicateAddress:
		return linux.EEXIST
	case *tcpip.ErrHostUnreachable:
		return linux.EHOSTUNREACH
	case *tcpip.ErrHostDown:
		return linux.EHOSTDOWN
	case *tcpip.ErrNetworkUnreachable, *tcpip.ErrNoNet:
		return linux.ENETUNREACH
	case *tcpip.ErrAlreadyConnecting:
		return linux.EALREADY
	case *tcpip.ErrAlreadyConnected:
		return linux.EISCONN
	case *tcpip.ErrNoPortAvailable:
		return linux.EADDRNOTAVAIL
	case *tcpip.ErrPortInUse:
		return linux.EADDRINUSE
	case *tcpip.ErrBadLocalAddress:
		return linux.EADDRNOTAVAIL
	case *tcpip.ErrClosedForSend, *tcpip.ErrAborted:
		return linux.EPIPE
	case *tcpip.ErrWouldBlock:
		return linux.EAGAIN
	case *tcpip.ErrConnectionRefused:
		return linux.ECONNREFUSED
	case *tcpip.ErrTimeout:
		return linux.ETIMEDOUT
	case *tcpip.ErrConnectStarted:
		return linux.EINPROGRESS
	case *tcpip.ErrDestinationRequired:
		return linux.EDESTADDRREQ
	case *tcpip.ErrNotSupported:
		return linux.EOPNOTSUPP
	case *tcpip.ErrQueueSizeNotSupported:
		return linux.ENOTTY
	case *tcpip.ErrNotConnected:
		return linux.ENOTCONN
	case *tcpip.ErrConnectionReset:
		return linux.ECONNRESET
	case *tcpip.ErrConnectionAborted:
		return linux.ECONNABORTED
	case *tcpip.ErrMessageTooLong:
		return linux.EMSGSIZE
	case *tcpip.ErrNoBufferSpace:
		return linux.ENOBUFS
	case *tcpip.ErrBroadcastDisabled:
		return linux.EACCES
	case *tcpip.ErrNotPermitted:
		return linux.EPERM
	case *tcpip.ErrAddressFamilyNotSupported:
		return linux.EAFNOSUPPORT
	case *tcpip.ErrBadBuffer, *tcpip.ErrBadAddress:
		return linux.EFAULT
	case *tcpip.ErrEndpointBusy:
		return linux.EBUSY
	}
	return linux.EINVAL
}
