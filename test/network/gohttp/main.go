// Command gohttp serves HTTP to itself with many goroutines: netpoll, timers and
// signals of the Go runtime at work; or, with echo, datagrams. Package network runs
// it in a container.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
)

// echo answers every datagram with itself.
func echo() {
	pc, err := net.ListenPacket("udp", ":9999")
	if err != nil {
		fmt.Println("listen:", err)
		os.Exit(1)
	}
	buf := make([]byte, 2000)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			fmt.Println("read:", err)
			os.Exit(1)
		}
		if _, err := pc.WriteTo(buf[:n], from); err != nil {
			fmt.Println("write:", err)
		}
	}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "echo" {
		echo()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println("listen:", err)
		os.Exit(1)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "hello %s %d", r.URL.Path, n)
	}))
	var wg sync.WaitGroup
	var mu sync.Mutex
	sum := 0
	for i := range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range 10 {
				res, err := http.Get(fmt.Sprintf("http://%s/%d/%d", l.Addr(), i, j))
				if err != nil {
					fmt.Println("get:", err)
					return
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				mu.Lock()
				if err == nil && string(b) == fmt.Sprintf("hello /%d/%d 0", i, j) {
					sum++
				}
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	fmt.Println("answers:", sum)
}
