package main

import (
	"fmt"
	"os"

	"megabinary.dev/test/images"
)

func main() {
	m := map[string]string{}
	for _, k := range os.Args[3:] {
		m["bin/"+k] = os.Args[1] + "/" + k
	}
	img, err := images.Programs(m)
	if err == nil {
		err = images.WriteLayout(os.Args[2], "latest", img)
	}
	fmt.Println(err)
}
