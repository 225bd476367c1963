package net

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/inet"
	"megabinary.dev/vkernel/vfs"
)

// Ioctl serves the requests of netdevice(7); ENOTTY for others.
func (n *Namespace) Ioctl(t vfs.IoctlTask, req uint32, arg uint64) (uint64, error) {
	switch req {
	case linux.SIOCGIFCONF:
		return 0, n.interfaceList(t, arg)
	case linux.SIOCGIFNAME, linux.SIOCGIFFLAGS, linux.SIOCGIFADDR, linux.SIOCGIFDSTADDR, linux.SIOCGIFBRDADDR, linux.SIOCGIFNETMASK,
		linux.SIOCGIFMETRIC, linux.SIOCGIFMTU, linux.SIOCGIFHWADDR, linux.SIOCGIFINDEX, linux.SIOCGIFTXQLEN:
	default:
		return 0, linux.ENOTTY
	}
	var b [linux.SizeofIfreq]byte
	if err := t.CopyIn(arg, b[:]); err != nil {
		return 0, err
	}
	name, _, _ := bytes.Cut(b[:linux.IFNAMSIZ], []byte{0})
	index := int(int32(binary.LittleEndian.Uint32(b[linux.IFNAMSIZ:])))
	for _, i := range n.Interfaces() {
		if req == linux.SIOCGIFNAME && i.Index == index || req != linux.SIOCGIFNAME && i.Name == string(name) {
			if err := answer(i, req, b[:]); err != nil {
				return 0, err
			}
			return 0, t.CopyOut(arg, b[:])
		}
	}
	return 0, linux.ENODEV
}

// answer fills a struct ifreq.
func answer(i inet.Interface, req uint32, b []byte) error {
	value := b[linux.IFNAMSIZ:]
	clear(value)
	switch req {
	case linux.SIOCGIFNAME:
		clear(b[:linux.IFNAMSIZ])
		copy(b, i.Name)
		binary.LittleEndian.PutUint32(value, uint32(i.Index))
	case linux.SIOCGIFINDEX:
		binary.LittleEndian.PutUint32(value, uint32(i.Index))
	case linux.SIOCGIFFLAGS:
		binary.LittleEndian.PutUint16(value, uint16(i.Flags))
	case linux.SIOCGIFMTU:
		binary.LittleEndian.PutUint32(value, uint32(i.MTU))
	case linux.SIOCGIFTXQLEN:
		binary.LittleEndian.PutUint32(value, uint32(i.TxQueue))
	case linux.SIOCGIFHWADDR:
		binary.LittleEndian.PutUint16(value, i.Type)
		copy(value[2:], i.Hardware[:])
	case linux.SIOCGIFMETRIC:
	default:
		p := i.Addresses[0]
		a := p.Addr()
		switch {
		case req == linux.SIOCGIFNETMASK:
			a = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-p.Bits()))))
		case req == linux.SIOCGIFBRDADDR && i.Flags&linux.IFF_BROADCAST != 0:
			a = inet.Broadcast(p)
		case req == linux.SIOCGIFBRDADDR:
			a = netip.AddrFrom4([4]byte{})
		}
		value[0] = linux.AF_INET
		copy(value[4:], a.AsSlice())
	}
	return nil
}

// interfaceList serves SIOCGIFCONF: a struct ifreq for each IPv4 address.
func (n *Namespace) interfaceList(t vfs.IoctlTask, arg uint64) error {
	var head [16]byte
	if err := t.CopyIn(arg, head[:]); err != nil {
		return err
	}
	room, buf := int(int32(binary.LittleEndian.Uint32(head[:]))), binary.LittleEndian.Uint64(head[8:])
	var out []byte
	for _, i := range n.Interfaces() {
		b := make([]byte, linux.SizeofIfreq)
		copy(b, i.Name)
		if err := answer(i, linux.SIOCGIFADDR, b); err != nil {
			return err
		}
		if buf == 0 || len(out)+len(b) <= room {
			out = append(out, b...)
		}
	}
	binary.LittleEndian.PutUint32(head[:], uint32(len(out)))
	if buf != 0 {
		if err := t.CopyOut(buf, out); err != nil {
			return err
		}
	}
	return t.CopyOut(arg, head[:4])
}
