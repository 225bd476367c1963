package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"megabinary.dev/vkernel/audit"
)

// HTTP says which requests may be made of one host, and what is added to them.
// The guest speaks plain HTTP to an address that stands for the host; the broker
// speaks to the host itself, by TLS if Upstream says so.
type HTTP struct {
	Upstream *url.URL // scheme and host; no path
	Rules    []HTTPRule
	// Header is set to Value in every request: a credential that the guest does
	// not see. Empty: none is.
	Header, Value string
	// Transport speaks to the host; nil: one of its own.
	Transport http.RoundTripper
}

// HTTPRule allows requests.
type HTTPRule struct {
	Methods []string // empty: any
	Path    func(path string) bool
}

// allows says whether a request may be made, or why not.
func (h *HTTP) allows(r *http.Request) (bool, string) {
	p := r.URL.Path
	switch {
	case r.URL.RawPath != "" || p != path.Clean(p) && p != path.Clean(p)+"/" || strings.ContainsAny(p, "\\\x00"):
		return false, "its path has more than one reading"
	case r.Header.Get("Upgrade") != "":
		return false, "it asks for another protocol"
	case r.Method == http.MethodTrace || r.Method == http.MethodConnect:
		return false, "its method is " + r.Method
	}
	for i := range h.Rules {
		if (len(h.Rules[i].Methods) == 0 || slices.Contains(h.Rules[i].Methods, r.Method)) && h.Rules[i].Path(p) {
			return true, ""
		}
	}
	return false, "no rule allows it"
}

// broker answers the connections to one host.
type broker struct {
	rule   *Rule
	trail  *audit.Log
	server *http.Server
	proxy  *httputil.ReverseProxy
	conns  chan net.Conn
	done   chan struct{}
	once   sync.Once
}

// Times that a guest may take, and how much it may send as header, in bytes.
const (
	headerTimeout = 30 * time.Second
	idleTimeout   = 90 * time.Second
	maxHeader     = 64 << 10
)

func newBroker(r *Rule, trail *audit.Log) *broker {
	b := &broker{rule: r, trail: trail, conns: make(chan net.Conn), done: make(chan struct{})}
	silent := log.New(io.Discard, "", 0)
	transport := r.HTTP.Transport
	if transport == nil {
		transport = b.transport()
	}
	b.proxy = &httputil.ReverseProxy{Transport: transport, ErrorLog: silent, Rewrite: b.rewrite, ErrorHandler: b.failed,
		FlushInterval: -1}
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: silent}
	return b
}

// transport connects to the addresses that the rule gives, or to what the name
// resolves to here.
func (b *broker) transport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	if list := b.rule.Addresses; len(list) > 0 {
		dial := t.DialContext
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			for _, a := range list {
				var c net.Conn
				if c, err = dial(ctx, network, net.JoinHostPort(a.String(), port)); err == nil {
					return c, nil
				}
			}
			return nil, err
		}
	}
	return t
}

// dial returns a connection to the broker.
func (b *broker) dial() (net.Conn, error) {
	guest, host, err := connPair()
	if err != nil {
		return nil, fmt.Errorf("connecting to the broker: %w", err)
	}
	b.once.Do(func() { go func() { _ = b.server.Serve(b) }() }) // ends with ErrServerClosed
	select {
	case b.conns <- host:
		return guest, nil
	case <-b.done:
		return nil, errors.Join(net.ErrClosed, guest.Close(), host.Close())
	}
}

func (b *broker) close() {
	select {
	case <-b.done:
	default:
		close(b.done)
	}
	_ = b.server.Close() // waits for Accept to end
	if t, ok := b.proxy.Transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// Accept, Close and Addr make it the net.Listener of its server.
func (b *broker) Accept() (net.Conn, error) {
	select {
	case c := <-b.conns:
		return c, nil
	case <-b.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (b *broker) Close() error { return nil }

// Addr implements net.Listener.
func (b *broker) Addr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }

// ServeHTTP checks a request, notes it and passes it on.
func (b *broker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.Host
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	ok, why := b.rule.HTTP.allows(r)
	if !strings.EqualFold(name, b.rule.Name) {
		ok, why = false, "it is for another host"
	}
	rec := audit.Record{Event: "http", Path: r.Method + " http://" + r.Host + r.URL.EscapedPath(), Verdict: "allow", Rule: b.rule.label()}
	if !ok {
		rec.Verdict, rec.Rule, rec.Reason = "deny", "egress.http", why
	}
	switch err := b.trail.Append(rec); {
	case err != nil:
		http.Error(w, "the audit trail cannot be written", http.StatusServiceUnavailable)
	case !ok:
		http.Error(w, "megabin: the policy refuses this request: "+why, http.StatusForbidden)
	default:
		b.proxy.ServeHTTP(w, r)
	}
}

func (b *broker) rewrite(r *httputil.ProxyRequest) {
	h := b.rule.HTTP
	r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = h.Upstream.Scheme, h.Upstream.Host, h.Upstream.Host
	if h.Header != "" {
		r.Out.Header.Set(h.Header, h.Value)
	}
}

func (b *broker) failed(w http.ResponseWriter, _ *http.Request, err error) {
	// The error may hold what the guest is not to see.
	http.Error(w, "megabin: the host cannot be reached", http.StatusBadGateway)
	_ = b.trail.Append(audit.Record{Event: "http", Path: b.rule.HTTP.Upstream.String(), Reason: err.Error()}) // the next request finds out
}
