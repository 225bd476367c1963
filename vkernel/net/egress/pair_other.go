//go:build !unix

package egress

import "net"

// connPair returns two ends of a connection.
func connPair() (a, b net.Conn, err error) {
	a, b = net.Pipe()
	return a, b, nil
}
