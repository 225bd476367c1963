package egress

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"megabinary.dev/vkernel/audit"
)

// TestBroker speaks to a host by TLS through the broker, as a guest speaks to it.
func TestBroker(t *testing.T) {
	var seen []string
	host := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method+" "+r.Host+r.URL.RequestURI()+" "+strings.Join(r.Header["Authorization"], ","))
		fmt.Fprint(w, "hello")
	}))
	defer host.Close()
	upstream, err := url.Parse(host.URL)
	if err != nil {
		t.Fatal(err)
	}
	var trail bytes.Buffer
	rule := Rule{Name: "api.example.com", Low: 80, High: 80, Proto: "tcp", Label: "egress[0]", HTTP: &HTTP{
		Upstream: upstream, Header: "Authorization", Value: "Bearer s3cret", Transport: host.Client().Transport,
		Rules: []HTTPRule{{Methods: []string{"GET"}, Path: func(p string) bool { return strings.HasPrefix(p, "/v1/") }}},
	}}
	p := New([]Rule{rule}, nil, audit.New(&trail, "c", ""))
	defer p.Close()
	m := ask(t, p, "api.example.com", dnsmessage.TypeA)
	if len(m.Answers) != 1 {
		t.Fatalf("the name: %+v", m)
	}
	at := netip.AddrFrom4(m.Answers[0].Body.(*dnsmessage.AResource).A)
	if _, err := p.Dial(context.Background(), "tcp", netip.AddrPortFrom(at, 443)); err == nil {
		t.Error("another port of the broker's address")
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return p.Dial(ctx, "tcp", netip.AddrPortFrom(at, 80))
	}}}
	for _, c := range []struct {
		method, url string
		header      http.Header
		want        int
	}{
		{"GET", "http://api.example.com/v1/x?q=1", nil, 200},
		{"GET", "http://api.example.com/v1/x", http.Header{"Authorization": {"Bearer guess"}}, 200},
		{"POST", "http://api.example.com/v1/x", nil, 403},
		{"GET", "http://api.example.com/v2/x", nil, 403},
		{"GET", "http://api.example.com/v1/../admin", nil, 403},
		{"GET", "http://api.example.com/v1/%2e%2e/admin", nil, 403},
		{"GET", "http://api.example.com/v1/a%2fb", nil, 403},
		{"GET", "http://api.example.com/v1//x", nil, 403},
		{"GET", "http://other.example.com/v1/x", nil, 403},
		{"GET", "http://api.example.com/v1/x", http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}, 403},
		{"TRACE", "http://api.example.com/v1/x", nil, 403},
	} {
		req, err := http.NewRequest(c.method, c.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.header != nil {
			req.Header = c.header
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.want || strings.Contains(string(body)+fmt.Sprint(resp.Header), "s3cret") {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.url, resp.StatusCode, body, c.want)
		}
	}
	want := "GET " + upstream.Host + "/v1/x?q=1 Bearer s3cret\nGET " + upstream.Host + "/v1/x Bearer s3cret"
	if got := strings.Join(seen, "\n"); got != want {
		t.Errorf("the host saw\n%s\nwant\n%s", got, want)
	}
	if n := strings.Count(trail.String(), `"event":"http"`); n != 11 || strings.Contains(trail.String(), "s3cret") {
		t.Errorf("%d lines in the trail:\n%s", n, trail.String())
	}
}

func TestPinnedNames(t *testing.T) {
	rule, err := ParseRule("db.example.com:5432")
	if err != nil {
		t.Fatal(err)
	}
	rule.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.9")}
	p := New([]Rule{rule}, nil, nil)
	if m := ask(t, p, "db.example.com", dnsmessage.TypeA); len(m.Answers) != 1 || m.Answers[0].Body.(*dnsmessage.AResource).A != [4]byte{192, 0, 2, 9} {
		t.Errorf("%+v", m)
	}
	if err := p.Allow("tcp", netip.MustParseAddrPort("192.0.2.9:5432")); err != nil {
		t.Error(err)
	}
	if err := p.Allow("tcp", netip.MustParseAddrPort("192.0.2.10:5432")); err == nil {
		t.Error("another address")
	}
	pin := Rule{Name: "localhost", High: 65535, Pin: true}
	p = New([]Rule{pin}, nil, nil)
	p.pinned["localhost"] = []netip.Addr{netip.MustParseAddr("192.0.2.1")} // as an earlier answer
	if list, err := p.resolve(t.Context(), &pin, "localhost"); err != nil || len(list) != 1 || list[0].String() != "192.0.2.1" {
		t.Errorf("%v, %v", list, err)
	}
}
