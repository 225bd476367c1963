// Package kernel says how the C programs of test/bench are built.
package kernel

// Libraries returns the linker's arguments that a program of test/bench needs
// beside the C library, most often none. Debian's libraries are made for glibc:
// a program with libraries cannot be built with musl-gcc.
func Libraries(name string) []string {
	switch name {
	case "lua":
		return []string{"-llua5.4", "-lm"}
	case "sqlite":
		return []string{"-lsqlite3", "-lm"}
	}
	return nil
}
