// Go's runtime: faults that become panics, panics and recovery, goroutines and
// channels, timers, stacks that grow and move, the garbage collector, threads.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type node struct {
	pad   [64]byte
	left  *node
	right *node
	value int
}

type big struct {
	pad [1 << 13]byte
	x   int
}

//go:noinline
func deref(n *node) int { return n.value }

//go:noinline
func store(n *node) { n.value = 5 }

//go:noinline
func sum(n *node, depth int) int {
	if depth == 0 {
		return n.left.right.value // nil deep inside
	}
	return sum(n, depth-1) + 1
}

type namer interface{ name() string }
type person struct{ s string }

func (p *person) name() string { return p.s }

// caught runs f and tells what it panicked with.
func caught(f func()) (text string) {
	defer func() {
		r := recover()
		if e, ok := r.(runtime.Error); ok {
			text = "runtime error: " + e.Error()
			return
		}
		text = fmt.Sprint(r)
	}()
	f()
	return "nothing"
}

func faults() {
	var nilNode *node
	var nilMap map[string]int
	var nilFunc func()
	var nilNamer namer
	var nilPerson *person
	var nilSlice []int
	var nilBig *big
	zero, minusOne := os.Getpid()*0, -1
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"load", func() { deref(nilNode) }},
		{"store", func() { store(nilNode) }},
		{"deep", func() { sum(&node{}, 100) }},
		{"map", func() { nilMap["a"] = 1 }},
		{"func", func() { nilFunc() }},
		{"interface", func() { _ = nilNamer.name() }},
		{"method", func() { _ = nilPerson.name() }},
		{"index", func() { _ = nilSlice[zero] }},
		{"big", func() { nilBig.x = 3 }},
		{"divide", func() { fmt.Println(5 / zero) }},
		{"modulo", func() { fmt.Println(5 % zero) }},
		{"overflow", func() { fmt.Println((-1 << 63) / minusOne) }},
		{"conversion", func() { var a any = "x"; _ = a.(int) }},
		{"slice", func() { s := make([]int, 3); n := 5 + zero; _ = s[n:] }},
		{"closed", func() { c := make(chan int); close(c); close(c) }},
		{"custom", func() { panic(errors.New("mine")) }},
		{"nested", func() {
			defer func() { panic(fmt.Sprint("again ", recover())) }()
			deref(nil)
		}},
		{"goexit", func() {
			var wg sync.WaitGroup
			wg.Add(1)
			go func() { defer wg.Done(); runtime.Goexit() }()
			wg.Wait()
		}},
		{"many", func() {
			n := 0
			for i := 0; i < 2000; i++ {
				func() {
					defer func() { recover(); n++ }()
					deref(nil)
				}()
			}
			fmt.Println(n)
		}},
		{"typed", func() { reflect.ValueOf(nilPerson).Elem().Field(0).SetString("x") }},
	} {
		fmt.Println(c.name, "->", caught(c.f))
	}
	// What is local survives a fault and the recovery from it.
	total := 0
	for i := 0; i < 50; i++ {
		func(k int) {
			a, b, c := k, k*2, k*3
			defer func() { recover(); total += a + b + c + k }()
			if k%2 == 0 {
				c += deref(nil)
			}
			a++
		}(i)
	}
	fmt.Println("total", total)
	debug.SetPanicOnFault(true)
	fmt.Println("stack", strings.Contains(trace(), "main.deref"))
}

// trace returns the stack of a fault.
func trace() (s string) {
	defer func() {
		recover()
		s = string(debug.Stack())
	}()
	deref(nil)
	return ""
}

//go:noinline
func grow(n int) int {
	var a [128]int
	a[n%128] = n
	if n == 0 {
		return 0
	}
	return grow(n-1) + a[n%128] - n + 1
}

func goroutines() {
	const workers, jobs = 50, 20000
	in, out := make(chan int), make(chan int, 16)
	var wg sync.WaitGroup
	for range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for v := range in {
				out <- v * 2
			}
		}()
	}
	go func() {
		for i := range jobs {
			in <- i
		}
		close(in)
		wg.Wait()
		close(out)
	}()
	sum := 0
	for v := range out {
		sum += v
	}
	fmt.Println("channels", sum)

	var depth [8]int
	for i := range depth {
		wg.Add(1)
		go func() { defer wg.Done(); depth[i] = grow(2000 + i) }()
	}
	wg.Wait()
	fmt.Println("stacks", depth)
	fmt.Println("deep", grow(60000))

	var n atomic.Int64
	var mu sync.Mutex
	counts := map[int]int{}
	for i := range 64 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			runtime.LockOSThread()
			for k := range 500 {
				n.Add(1)
				mu.Lock()
				counts[(i+k)%7]++
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	all := 0
	for _, c := range counts {
		all += c
	}
	fmt.Println("threads", n.Load(), all)
}

func garbage() {
	var build func(d int) *node
	build = func(d int) *node {
		if d == 0 {
			return &node{value: 1}
		}
		return &node{left: build(d - 1), right: build(d - 1), value: d}
	}
	var count func(n *node) int
	count = func(n *node) int {
		if n == nil {
			return 0
		}
		return 1 + count(n.left) + count(n.right)
	}
	keep := build(14)
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 20 {
				if c := count(build(10)); c != 2047 {
					fmt.Println("lost", c)
				}
			}
		}()
	}
	wg.Wait()
	runtime.GC()
	finalized := make(chan bool, 1)
	func() {
		p := &person{"gone"}
		runtime.SetFinalizer(p, func(*person) { finalized <- true })
	}()
	for range 10 {
		runtime.GC()
		select {
		case <-finalized:
			fmt.Println("finalized")
			finalized = nil
		case <-time.After(20 * time.Millisecond):
		}
	}
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	fmt.Println("garbage", count(keep), s.NumGC > 3)
}

func timers() {
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	fmt.Println("timeout", ctx.Err(), time.Since(start) >= 50*time.Millisecond)
	tick := time.NewTicker(time.Millisecond)
	for range 20 {
		<-tick.C
	}
	tick.Stop()
	// A loop without calls is preempted by a signal.
	var stop atomic.Bool
	time.AfterFunc(30*time.Millisecond, func() { stop.Store(true) })
	old := runtime.GOMAXPROCS(1)
	spins := 0
	for !stop.Load() {
		spins++
	}
	runtime.GOMAXPROCS(old)
	fmt.Println("preempted", spins > 0)

	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	for range 10 {
		syscall.Kill(os.Getpid(), syscall.SIGUSR1)
		<-c
	}
	fmt.Println("signals")
	a, b, done := make(chan int), make(chan int), make(chan int)
	go func() {
		for i := range 1000 {
			select {
			case a <- i:
			case b <- -i:
			}
		}
		close(done)
	}()
	total := 0
	for run := true; run; {
		select {
		case v := <-a:
			total += v
		case v := <-b:
			total -= v
		case <-done:
			run = false
		}
	}
	fmt.Println("select", total)
}

func main() {
	faults()
	goroutines()
	garbage()
	timers()
	words := strings.Fields("the quick brown fox jumps over the lazy dog")
	sort.Strings(words)
	fmt.Println(words)
	defer fmt.Println("deferred")
	var p *node
	p.value++ // not recovered: status 2
}
