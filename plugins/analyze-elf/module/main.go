// Command module serves the stage analyze-elf: built for wasip1 as a sandboxed
// module, else as a process.
package main

import (
	analyzeelf "megabinary.dev/plugins/analyze-elf"
	"megabinary.dev/sdk/stage/serve"
)

var plugin = serve.New(analyzeelf.Stage())

func main() { plugin.Main() }
