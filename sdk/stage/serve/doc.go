// Package serve makes a program with stages into a plugin. The same source
// builds both kinds:
//
//	package main
//
//	import "megabinary.dev/sdk/stage/serve"
//
//	var plugin = serve.New(mystage.Stage())
//
//	func main() { plugin.Main() }
//
//	go build -o mystage .                                                  # process
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o mystage.wasm . # sandbox
//
// As a process it is a go-plugin server (gRPC, AutoMTLS); as a module it exports
// the Extism functions "describe" and "run". This is the one package of the SDK
// that imports more than the standard library and protobuf: go-plugin and gRPC,
// in the process build only.
package serve
