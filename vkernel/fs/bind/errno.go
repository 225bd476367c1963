package bind

import (
	"errors"
	"io/fs"

	"megabinary.dev/vkernel/linux"
)

// errnoOf turns a host's error into the guest's; nil stays nil.
func errnoOf(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := hostErrno(err); ok {
		return e
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return linux.ENOENT
	case errors.Is(err, fs.ErrExist):
		return linux.EEXIST
	case errors.Is(err, fs.ErrPermission):
		return linux.EACCES
	case errors.Is(err, fs.ErrInvalid):
		return linux.EINVAL
	}
	return linux.EIO // os.Root's own refusals, among others
}
