// Package egress is the policy of what leaves a container: which addresses it
// may talk to, and which names it may resolve. Without a rule, none. Every
// connection and every refusal is a line in the audit trail.
package egress

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"megabinary.dev/vkernel/audit"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/inet"
)

// Rule allows connections to a network, or to what a name resolves to.
type Rule struct {
	Prefix    netip.Prefix // valid unless Name is set
	Name      string       // lower case; "*.example.com" is every name below
	Low, High uint16       // ports
	Proto     string       // tcp or udp; "": both
}

// HostName is the name of the host's own loopback interface, as docker has it.
const HostName = "host.docker.internal"

// ParseRule reads TARGET[:PORT[-PORT]][/tcp|/udp], where TARGET is an IPv4
// address or network, a name, *.NAME, or any.
func ParseRule(s string) (Rule, error) {
	bad := func(why string) (Rule, error) {
		return Rule{}, fmt.Errorf("%q is no rule: %s; use TARGET[:PORT[-PORT]][/tcp|/udp] with an address, a network, a name or any", s, why)
	}
	r := Rule{High: 65535}
	rest := s
	for _, p := range []string{"tcp", "udp"} {
		if t, ok := strings.CutSuffix(rest, "/"+p); ok {
			rest, r.Proto = t, p
		}
	}
	target, ports, hasPorts := strings.Cut(rest, ":")
	if hasPorts {
		low, high, isRange := strings.Cut(ports, "-")
		if !isRange {
			high = low
		}
		l, err1 := strconv.ParseUint(low, 10, 16)
		h, err2 := strconv.ParseUint(high, 10, 16)
		if err1 != nil || err2 != nil || l == 0 || l > h {
			return bad("the ports are " + strconv.Quote(ports))
		}
		r.Low, r.High = uint16(l), uint16(h)
	}
	if target == "any" {
		r.Prefix = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		return r, nil
	}
	if p, err := netip.ParsePrefix(target); err == nil && p.Addr().Is4() {
		r.Prefix = p.Masked()
		return r, nil
	}
	if a, err := netip.ParseAddr(target); err == nil && a.Is4() {
		r.Prefix = netip.PrefixFrom(a, 32)
		return r, nil
	}
	name := strings.TrimPrefix(target, "*.")
	if name == "" || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-._") != "" || strings.Trim(name, "0123456789.") == "" {
		return bad("the target is " + strconv.Quote(target))
	}
	r.Name = strings.ToLower(target)
	return r, nil
}

func (r *Rule) fits(proto string, port uint16) bool {
	return (r.Proto == "" || r.Proto == proto) && r.Low <= port && port <= r.High
}

// names says whether the rule is about a name.
func (r *Rule) names(name string) bool {
	if below, ok := strings.CutPrefix(r.Name, "*"); ok {
		return strings.HasSuffix(name, below)
	}
	return r.Name != "" && r.Name == name
}

// Policy implements inet.Egress by rules.
type Policy struct {
	rules []Rule
	trail *audit.Log
	names map[string]netip.Addr // given by the operator

	mu       sync.Mutex
	resolved map[netip.Addr]map[string]bool // which names led to an address
}

var _ inet.Egress = (*Policy)(nil)

// New makes a policy. names are answered without asking anyone; trail may be nil.
func New(rules []Rule, names map[string]netip.Addr, trail *audit.Log) *Policy {
	all := map[string]netip.Addr{HostName: inet.Gateway}
	for n, a := range names {
		all[strings.ToLower(n)] = a
	}
	return &Policy{rules: rules, trail: trail, names: all, resolved: map[netip.Addr]map[string]bool{}}
}

// rule finds the rule that allows an address; nil: none does.
func (p *Policy) rule(proto string, to netip.AddrPort) *Rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.rules {
		r := &p.rules[i]
		if !r.fits(proto, to.Port()) {
			continue
		}
		if r.Prefix.IsValid() && r.Prefix.Contains(to.Addr()) && (to.Addr() != inet.Gateway || r.Prefix.Bits() == 32) {
			return r // the host's own loopback must be named
		}
		for name := range p.resolved[to.Addr()] {
			if r.names(name) {
				return r
			}
		}
		for name, a := range p.names {
			if a == to.Addr() && r.names(name) {
				return r
			}
		}
	}
	return nil
}

// record writes a line of the trail. If that fails nothing may pass.
func (p *Policy) record(event, what, verdict, rule, reason string) error {
	return p.trail.Append(audit.Record{Event: event, Path: what, Verdict: verdict, Rule: rule, Reason: reason})
}

// Allow implements inet.Egress.
func (p *Policy) Allow(proto string, to netip.AddrPort) error {
	if to.Addr() == inet.Gateway && to.Port() == dnsPort {
		return nil
	}
	if p.rule(proto, to) != nil {
		return nil
	}
	if err := p.record("connect", proto+"/"+to.String(), "deny", "egress.default", "no rule allows it"); err != nil {
		return linux.EIO
	}
	return linux.EPERM
}

// Dial implements inet.Egress.
func (p *Policy) Dial(ctx context.Context, proto string, to netip.AddrPort) (net.Conn, error) {
	if p.rule(proto, to) == nil {
		return nil, p.Allow(proto, to)
	}
	if err := p.record("connect", proto+"/"+to.String(), "allow", "egress.rule", ""); err != nil {
		return nil, err
	}
	if to.Addr() == inet.Gateway {
		to = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), to.Port())
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, proto, to.String())
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", to, err)
	}
	return c, nil
}

// maxResolved bounds how many addresses are remembered.
const maxResolved = 4096

// learn remembers that a name led to addresses.
func (p *Policy) learn(name string, list []netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range list {
		if p.resolved[a] == nil {
			if len(p.resolved) >= maxResolved {
				return
			}
			p.resolved[a] = map[string]bool{}
		}
		p.resolved[a][name] = true
	}
}

// mayResolve says whether some rule is about a name.
func (p *Policy) mayResolve(name string) bool {
	for i := range p.rules {
		if p.rules[i].names(name) {
			return true
		}
	}
	return false
}
