package dev

import (
	"bytes"
	"testing"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

func TestDevices(t *testing.T) {
	fs, err := New(Options{Terminal: true})
	if err != nil {
		t.Fatal(err)
	}
	ns := vfs.NewMountNamespace(fs, vfs.MountOptions{}, &Devices{})
	c := &vfs.Caller{Creds: vfs.NewCreds(0, 0), Root: ns.Root(), Cwd: ns.Root()}
	for _, tc := range []struct {
		name          string
		openErr       error
		read          int
		write         int
		writeErr      error
		nonZeroIsGood bool
	}{
		{"/null", nil, 0, 8, nil, false},
		{"/zero", nil, 8, 8, nil, false},
		{"/full", nil, 8, 0, linux.ENOSPC, false},
		{"/urandom", nil, 8, 8, nil, true},
		{"/tty", linux.ENXIO, 0, 0, nil, false},
		{"/console", linux.EIO, 0, 0, nil, false},
	} {
		d, err := c.Open(vfs.Path{}, tc.name, linux.O_RDWR, 0)
		if err != tc.openErr {
			t.Errorf("opening %s: %v, want %v", tc.name, err, tc.openErr)
		}
		if err != nil {
			continue
		}
		p := bytes.Repeat([]byte{1}, 8)
		if n, err := d.Read(p); n != tc.read || err != nil {
			t.Errorf("%s: read %d, %v", tc.name, n, err)
		}
		if tc.read > 0 && !tc.nonZeroIsGood && !bytes.Equal(p, make([]byte, 8)) {
			t.Errorf("%s: read %x", tc.name, p)
		}
		if n, err := d.Write(p, 0); n != tc.write || err != tc.writeErr {
			t.Errorf("%s: wrote %d, %v", tc.name, n, err)
		}
		d.DecRef()
	}
}
