// Command megabin rebuilds container images so that none of their machine code
// runs, and runs the result: see docs/ARCHITECTURE.md.
package main

import "os"

func main() {
	os.Exit(executeIn(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, true))
}
