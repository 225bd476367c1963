// Command mkimage writes one of the images of package images as an OCI layout.
//
//	go run ./test/images/mkimage busybox out/busybox
//	go run ./test/images/mkimage programs out/kernels /bin/fib=out/fib ...
//	go run ./test/images/mkimage debian out/python python3.11
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"megabinary.dev/test/images"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: mkimage busybox|programs|debian DIR [GUEST=HOST...|PACKAGE...]")
	}
	var img v1.Image
	var err error
	switch args[0] {
	case "busybox":
		img, err = images.Busybox()
	case "programs":
		files := map[string]string{}
		for _, a := range args[2:] {
			guest, host, ok := strings.Cut(a, "=")
			if !ok {
				return fmt.Errorf("%q is not GUEST=HOST", a)
			}
			files[guest] = host
		}
		img, err = images.Programs(files)
	case "debian":
		var rootfs string
		if rootfs, err = images.RootFS(filepath.Dir(args[1]), args[2:]...); err != nil {
			return err
		}
		img, err = images.FromTar(v1.Config{Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, Cmd: []string{"/bin/bash"}}, rootfs)
	default:
		return fmt.Errorf("there is no image called %q", args[0])
	}
	if err != nil {
		return err
	}
	return images.WriteLayout(args[1], "latest", img)
}
