package main

import (
	"reflect"
	"testing"

	"megabinary.dev/vkernel"
	"megabinary.dev/vkernel/linux"
)

func TestLimitFlags(t *testing.T) {
	var spec vkernel.Spec
	l := limitFlags{memory: "64m", cpus: 0.5, pids: 20, ulimits: []string{"nofile=10:20", "cpu=-1"}, storageOpt: []string{"size=2g"}, output: "10k"}
	if err := l.apply(&spec); err != nil {
		t.Fatal(err)
	}
	want := vkernel.Spec{Memory: 64 << 20, CPUs: 0.5, Tasks: 20, Disk: 2 << 30, Output: 10 << 10, Limits: map[int]linux.Rlimit{
		linux.RLIMIT_NOFILE: {Cur: 10, Max: 20}, linux.RLIMIT_CPU: {Cur: linux.RLIM_INFINITY, Max: linux.RLIM_INFINITY}}}
	if !reflect.DeepEqual(spec, want) {
		t.Errorf("got %+v, want %+v", spec, want)
	}
	for _, l := range []limitFlags{{memory: "1k"}, {cpus: -1}, {cpus: 0.001}, {pids: -2}, {ulimits: []string{"nofile"}}, {ulimits: []string{"files=1"}},
		{ulimits: []string{"nofile=2:1"}}, {ulimits: []string{"nofile=-2"}}, {storageOpt: []string{"1g"}}, {output: "many"}} {
		if err := l.apply(&spec); err == nil {
			t.Errorf("%+v was taken", l)
		}
	}
}
