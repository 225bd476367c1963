package syscalls

import "megabinary.dev/vkernel/load"

// codeAddress returns the link-time address of what lies at off, page aligned,
// in an ELF file.
func codeAddress(content []byte, off uint64) (uint64, bool) {
	img, err := load.Parse(content)
	if err != nil {
		return 0, false
	}
	return img.AddressOf(off)
}
