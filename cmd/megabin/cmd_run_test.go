package main

import (
	"slices"
	"strings"
	"testing"
)

func TestParseSize(t *testing.T) {
	for in, want := range map[string]uint64{"": 0, "1m": 1 << 20, "64M": 64 << 20, "2g": 2 << 30, "2GiB": 2 << 30,
		"1048576": 1 << 20, "2048kb": 2 << 20, "100g": 100 << 30, "1t": 1 << 40} {
		if got, err := parseSize(in); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"x", "-1", "9999t", "0", "1k", "12kk", "99999999999999999999", "m"} {
		if got, err := parseSize(in); err == nil {
			t.Errorf("%q was taken for %d", in, got)
		}
	}
}

func TestParseVolume(t *testing.T) {
	m, err := parseVolume("/a:/b:ro")
	if err != nil || m.Host != "/a" || m.Guest != "/b" || !m.ReadOnly {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := parseVolume("sub:/b"); err != nil || !strings.HasSuffix(m.Host, "/sub") || m.Host[0] != '/' || m.ReadOnly {
		t.Errorf("%+v, %v", m, err)
	}
	for _, in := range []string{"/a", "/a:b", ":/b", "/a:/b:rx", "/a:/b:ro:x"} {
		if m, err := parseVolume(in); err == nil {
			t.Errorf("%q was taken for %+v", in, m)
		}
	}
}

func TestMergeEnv(t *testing.T) {
	t.Setenv("FROM_HOST", "h")
	got := mergeEnv([]string{"A=1", "B=2"}, []string{"B=3", "C=", "FROM_HOST", "NOT_SET_ANYWHERE"})
	if want := []string{"A=1", "B=3", "C=", "FROM_HOST=h"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRunSpecFollowsDocker(t *testing.T) {
	var c imageConfig
	c.Config.Entrypoint, c.Config.Cmd = []string{"/entry", "-x"}, []string{"default"}
	c.Config.WorkingDir, c.Config.User = "/work", "7"
	a := &app{}
	for _, tc := range []struct {
		flags   runFlags
		command []string
		want    string
	}{
		{runFlags{}, nil, "/entry -x default"},
		{runFlags{}, []string{"a", "b"}, "/entry -x a b"},
		{runFlags{entrypoint: "/other"}, nil, "/other"},
		{runFlags{entrypoint: "/other"}, []string{"a"}, "/other a"},
	} {
		spec, err := a.runSpec(tc.flags, c, tc.command)
		if err != nil || strings.Join(spec.Args, " ") != tc.want {
			t.Errorf("%+v %q: %q, %v; want %q", tc.flags, tc.command, spec.Args, err, tc.want)
		}
		if spec.Dir != "/work" || spec.User != "7" || spec.Stdin != nil {
			t.Errorf("directory %q, user %q, input %v", spec.Dir, spec.User, spec.Stdin)
		}
	}
	spec, err := a.runSpec(runFlags{dir: "/d", user: "8:9"}, c, nil)
	if err != nil || spec.Dir != "/d" || spec.User != "8:9" {
		t.Errorf("flags do not win: %+v, %v", spec, err)
	}
	if _, err := a.runSpec(runFlags{}, imageConfig{}, nil); err == nil {
		t.Error("no command is no error")
	}
}

func TestParseNetwork(t *testing.T) {
	n, err := parseNetwork(runFlags{publish: []string{"127.0.0.1:8080:80", "53:53/udp", "7000-7002:80-82"}, egress: []string{"10.0.0.0/8:443"},
		addHosts: []string{"db:10.1.1.1", "host:host-gateway"}})
	if err != nil || !n.Connected || len(n.Egress) != 1 || n.Hosts["host"].String() != "172.17.0.1" {
		t.Errorf("%+v, %v", n, err)
	}
	var ports []string
	for _, p := range n.Ports {
		ports = append(ports, p.String())
	}
	want := []string{"127.0.0.1:8080:80/tcp", "0.0.0.0:53:53/udp", "0.0.0.0:7000:80/tcp", "0.0.0.0:7001:81/tcp", "0.0.0.0:7002:82/tcp"}
	if !slices.Equal(ports, want) {
		t.Errorf("got %q, want %q", ports, want)
	}
	if n, err := parseNetwork(runFlags{}); err != nil || n.Connected {
		t.Errorf("without flags: %+v, %v", n, err)
	}
	for _, o := range []runFlags{{network: "host"}, {network: "none", publish: []string{"80"}}, {publish: []string{"x"}}, {publish: []string{"1:2:3:4"}},
		{publish: []string{"80/sctp"}}, {publish: []string{"1-3:5-6"}}, {egress: []string{"?"}}, {addHosts: []string{"x"}}} {
		if n, err := parseNetwork(o); err == nil {
			t.Errorf("%+v was taken for %+v", o, n)
		}
	}
}
