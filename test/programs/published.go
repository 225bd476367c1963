package programs

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// nginxConf is for one that the host's client talks to.
const nginxConf = `worker_processes 2; daemon off; pid /run/nginx.pid; error_log stderr; user www-data;
events { worker_connections 128; }
http { sendfile on; tcp_nopush on; access_log off;
  server { listen 80; root /scripts; location / { default_type text/plain; } location /proxy/ { proxy_pass http://127.0.0.1:8000/; } }
  server { listen 8000; location / { return 200 "$request_method $request_uri\n"; } }
}
`

// PublishedNginx runs nginx in a container and asks it from the host, through a
// published port: files, ranges, many clients at once; then it ends it with
// SIGTERM.
func PublishedNginx(megabin string, img *Image) error {
	scripts, err := filepath.Abs("scripts")
	if err != nil {
		return err
	}
	conf, err := os.MkdirTemp("", "nginx")
	if err != nil {
		return err
	}
	defer os.RemoveAll(conf)
	if err := os.WriteFile(filepath.Join(conf, "nginx.conf"), []byte(nginxConf), 0o644); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := l.Addr().String()
	l.Close() // free until the container takes it
	cmd := exec.Command(megabin, "run", "-p", addr+":80", "-v", scripts+":/scripts:ro", "-v", conf+":/conf:ro", img.Ref, "/usr/sbin/nginx", "-c", "/conf/nginx.conf")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	timer := time.AfterFunc(timeout, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := waitFor(addr, ended); err != nil {
		return fmt.Errorf("%w: %s", err, out.String())
	}
	asked := ask("http://"+addr, scripts)
	_ = cmd.Process.Signal(syscall.SIGTERM) // one that has ended already says so below
	if err := <-ended; err != nil {
		return fmt.Errorf("nginx ended: %w: %s", err, out.String())
	}
	if asked != nil {
		return fmt.Errorf("%w: %s", asked, out.String())
	}
	return nil
}

// waitFor waits until a server answers at addr.
func waitFor(addr string, ended <-chan error) error {
	for {
		if res, err := http.Get("http://" + addr); err == nil {
			return res.Body.Close()
		}
		select {
		case err := <-ended:
			return fmt.Errorf("the server ended before it answered: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ask compares what a server gives with the files of a directory.
func ask(url, dir string) error {
	want, err := os.ReadFile(filepath.Join(dir, "nginx.sh"))
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodGet, url+"/nginx.sh", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Range", "bytes=100-199")
	if err := fetch(req, http.StatusPartialContent, string(want[100:200])); err != nil {
		return err
	}
	if req, err = http.NewRequest(http.MethodPost, url+"/proxy/x?y=z", strings.NewReader("body")); err != nil {
		return err
	}
	if err := fetch(req, http.StatusOK, "POST /x?y=z\n"); err != nil {
		return err
	}
	errs := make(chan error, 50)
	var clients sync.WaitGroup
	for range 10 {
		clients.Go(func() {
			for range 5 {
				req, err := http.NewRequest(http.MethodGet, url+"/nginx.sh", nil)
				if err == nil {
					err = fetch(req, http.StatusOK, string(want))
				}
				errs <- err
			}
		})
	}
	clients.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func fetch(req *http.Request, status int, want string) error {
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != status || string(got) != want {
		return fmt.Errorf("%s %s: status %d, want %d; body of %d bytes, want %d", req.Method, req.URL, res.StatusCode, status, len(got), len(want))
	}
	return nil
}
