// Package network tests what goes into and out of containers: published ports,
// connections that the policy allows and refuses, names. All traffic stays on the
// host's loopback interface. It has tests only.
package network

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"megabinary.dev/test/images"
)

// limit bounds one container.
const limit = 2 * time.Minute

type built struct{ dir, megabin, image string }

var build = sync.OnceValues(func() (*built, error) {
	megabin, err := filepath.Abs("../../bin/megabin")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(megabin); err != nil {
		return nil, fmt.Errorf("%w: run `make build` first", err)
	}
	dir, err := os.MkdirTemp("", "megabin-network")
	if err != nil {
		return nil, err
	}
	b := &built{dir: dir, megabin: megabin, image: "oci:" + dir + "/mega:latest"}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", dir+"/gohttp", "./gohttp")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building gohttp: %w: %s", err, out)
	}
	files := []images.File{{Path: "/bin", Mode: 0o755, Dir: true}, {Path: "/etc", Mode: 0o755, Dir: true},
		{Path: "/tmp", Mode: 0o1777, Dir: true}, {Path: "/www", Mode: 0o755, Dir: true},
		{Path: "/www/index.html", Mode: 0o644, Data: []byte("published\n")}, {Path: "/www/big", Mode: 0o644, Data: big()}}
	for guest, host := range map[string]string{"/bin/busybox": "/bin/busybox", "/bin/gohttp": dir + "/gohttp"} {
		data, err := os.ReadFile(host)
		if err != nil {
			return nil, fmt.Errorf("reading a program: %w", err)
		}
		files = append(files, images.File{Path: guest, Mode: 0o755, Data: data})
	}
	for _, applet := range []string{"sh", "httpd", "wget", "nc", "cat", "nslookup", "hostname", "ip", "netstat", "sleep"} {
		files = append(files, images.File{Path: "/bin/" + applet, Link: "busybox"})
	}
	img, err := images.Image(v1.Config{Env: []string{"PATH=/bin"}}, files)
	if err != nil {
		return nil, err
	}
	if err := images.WriteLayout(filepath.Join(dir, "src"), "latest", img); err != nil {
		return nil, err
	}
	out, err := exec.Command(megabin, "build", "--plain", "oci:"+dir+"/src:latest", "-o", b.image).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("building the image: %w: %s", err, out)
	}
	return b, nil
})

// big is data of which every block differs.
func big() []byte {
	b := make([]byte, 0, 8<<20)
	for i := 0; len(b) < 8<<20; i++ {
		h := sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		b = append(b, h[:]...)
	}
	return b
}

func TestMain(m *testing.M) {
	code := m.Run()
	if b, err := build(); err == nil {
		os.RemoveAll(b.dir)
	}
	os.Exit(code)
}

func mustBuild(t *testing.T) *built {
	t.Helper()
	b, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs a container to its end and returns what it printed.
func (b *built) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, b.megabin, append([]string{"run"}, args...)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("running %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// start starts a container, which is stopped at the test's end.
func (b *built) start(t *testing.T, args ...string) *bytes.Buffer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	cmd := exec.CommandContext(ctx, b.megabin, append([]string{"run"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		_ = cmd.Wait() // it was killed
		cancel()
	})
	return &out
}

// freePort returns a port of the host that was free just now.
func freePort(t *testing.T, network string) string {
	t.Helper()
	if network == "udp" {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		return fmt.Sprint(pc.LocalAddr().(*net.UDPAddr).Port)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}

// get asks until there is an answer.
func get(t *testing.T, url string) []byte {
	t.Helper()
	var last error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		res, err := http.Get(url)
		if err != nil {
			last = err
			continue
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatalf("%s: %v after %d bytes", url, err, len(body))
		}
		return body
	}
	t.Fatalf("%s: %v", url, last)
	return nil
}

func TestGoServesItself(t *testing.T) {
	if got := mustBuild(t).run(t, mustBuild(t).image, "gohttp"); got != "answers: 200\n" {
		t.Errorf("got %q", got)
	}
}

func TestPublishedPort(t *testing.T) {
	b := mustBuild(t)
	port := freePort(t, "tcp")
	b.start(t, "-p", "127.0.0.1:"+port+":80", b.image, "httpd", "-f", "-p", "80", "-h", "/www")
	if got := get(t, "http://127.0.0.1:"+port+"/index.html"); string(got) != "published\n" {
		t.Errorf("got %q", got)
	}
	if got := get(t, "http://127.0.0.1:"+port+"/big"); !bytes.Equal(got, big()) {
		t.Errorf("8 MiB came out as %d bytes, or others", len(got))
	}
}

func TestPublishedPortOfAServerThatEnds(t *testing.T) {
	b := mustBuild(t)
	port := freePort(t, "tcp")
	b.start(t, "-p", "127.0.0.1:"+port+":7", b.image, "sh", "-c", "cat /www/big | nc -l -p 7")
	var got []byte
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && len(got) == 0; time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		got, _ = io.ReadAll(c) // a reset where nobody listens yet
		c.Close()
	}
	if !bytes.Equal(got, big()) {
		t.Errorf("8 MiB came out as %d bytes, or others", len(got))
	}
}

func TestPublishedUDP(t *testing.T) {
	b := mustBuild(t)
	port := freePort(t, "udp")
	b.start(t, "-p", "127.0.0.1:"+port+":9999/udp", b.image, "gohttp", "echo")
	c, err := net.Dial("udp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 100)
	for range 300 {
		time.Sleep(50 * time.Millisecond)
		if _, err := c.Write([]byte("datagram")); err != nil {
			continue // refused: nobody listens yet
		}
		if err := c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(buf); err == nil {
			if string(buf[:n]) != "datagram" {
				t.Errorf("got %q", buf[:n])
			}
			return
		}
	}
	t.Error("no answer")
}

func TestNothingLeavesByDefault(t *testing.T) {
	b := mustBuild(t)
	if got := b.run(t, b.image, "wget", "-q", "-O-", "http://192.0.2.1/"); !strings.Contains(got, "Network is unreachable") {
		t.Errorf("without a network: %q", got)
	}
	trail := filepath.Join(t.TempDir(), "trail")
	if got := b.run(t, "--network", "bridge", "--audit", trail, b.image, "wget", "-q", "-O-", "http://192.0.2.1/"); !strings.Contains(got, "Operation not permitted") {
		t.Errorf("without a rule: %q", got)
	}
	if got := b.run(t, "--network", "bridge", b.image, "wget", "-q", "-O-", "http://example.org/"); !strings.Contains(got, "bad address") {
		t.Errorf("a name without a rule: %q", got)
	}
	text, err := os.ReadFile(trail)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"event":"connect","uid":0,"path":"tcp/192.0.2.1:80","verdict":"deny","rule":"egress.default"`; !strings.Contains(string(text), want) {
		t.Errorf("the trail has no %s:\n%s", want, text)
	}
}

func TestEgress(t *testing.T) {
	b := mustBuild(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "from the host "+r.Host+"\n") // the client sees what is missing
	}))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	trail := filepath.Join(t.TempDir(), "trail")
	got := b.run(t, "--egress", "host.docker.internal:"+port, "--add-host", "api:host-gateway", "--audit", trail, b.image,
		"sh", "-c", "wget -q -O- http://host.docker.internal:"+port+"/; wget -q -O- http://api:"+port+"/; wget -q -O- http://172.17.0.1:1/; cat /etc/resolv.conf")
	want := "from the host host.docker.internal:" + port + "\nfrom the host api:" + port + "\n" +
		"wget: can't connect to remote host (172.17.0.1): Operation not permitted\nnameserver 172.17.0.1\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	text, err := os.ReadFile(trail)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"path":"tcp/172.17.0.1:` + port + `","verdict":"allow"`, `"path":"tcp/172.17.0.1:1","verdict":"deny"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the trail has no %s:\n%s", want, text)
		}
	}
	if out, err := exec.Command(b.megabin, "audit", "verify", trail).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestBusyboxSeesItsNetwork(t *testing.T) {
	b := mustBuild(t)
	got := b.run(t, b.image, "sh", "-c", "nc -l -p 5000 -e cat & sleep 0.2; echo through | nc -w 2 127.0.0.1 5000; ip addr show lo | grep inet; netstat -ln | head -1; hostname; cat /etc/hosts")
	for _, want := range []string{"through\n", "inet 127.0.0.1/8 scope host", "inet6 ::1/128 scope host", "Active Internet connections (only servers)", "127.0.0.1\tlocalhost"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
