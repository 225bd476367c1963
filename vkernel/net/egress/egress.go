// Package egress is the policy of what leaves a container: which addresses it
// may talk to, and which names it may resolve. Without a rule, none. Every
// connection and every refusal is a line in the audit trail.
package egress

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
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
	Name      string       // lower case; "*.example.com" is every name below, "*" every name
	Low, High uint16       // ports
	Proto     string       // tcp or udp; "": both

	Label     string       // in the audit trail; "": egress.rule
	Addresses []netip.Addr // of Name, which is not resolved then
	Pin       bool         // the first resolution of Name stays
	HTTP      *HTTP        // requests go through a broker; Name and Low are set
}

func (r *Rule) label() string {
	if r.Label == "" {
		return "egress.rule"
	}
	return r.Label
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

// Everything allows all addresses, names and the host itself.
func Everything() []Rule {
	any := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	return []Rule{{Prefix: any, High: 65535}, {Prefix: netip.PrefixFrom(inet.Gateway, 32), High: 65535}, {Name: "*", High: 65535}}
}

func (r *Rule) fits(proto string, port uint16) bool {
	return (r.Proto == "" || r.Proto == proto) && r.Low <= port && port <= r.High
}

// names says whether the rule is about a name.
func (r *Rule) names(name string) bool {
	if r.Name == "*" {
		return true
	}
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

	// Observe is told of each connection, as a rule that allows it; nil: nobody is.
	Observe func(to string)

	brokers map[netip.Addr]*broker // by the address that stands for them

	mu       sync.Mutex
	resolved map[netip.Addr]map[string]bool // which names led to an address
	pinned   map[string][]netip.Addr
}

var _ inet.Egress = (*Policy)(nil)

// New makes a policy. names are answered without asking anyone; trail may be nil.
func New(rules []Rule, names map[string]netip.Addr, trail *audit.Log) *Policy {
	all := map[string]netip.Addr{HostName: inet.Gateway}
	for n, a := range names {
		all[strings.ToLower(n)] = a
	}
	p := &Policy{rules: rules, trail: trail, names: all, brokers: map[netip.Addr]*broker{},
		resolved: map[netip.Addr]map[string]bool{}, pinned: map[string][]netip.Addr{}}
	for i := range rules {
		if rules[i].HTTP != nil {
			at := netip.AddrFrom4([4]byte{198, 18, byte((i + 1) >> 8), byte(i + 1)}) // RFC 2544: nobody's
			p.brokers[at] = newBroker(&rules[i], trail)
			p.names[rules[i].Name] = at
		}
	}
	return p
}

// Close ends what brokers have open.
func (p *Policy) Close() error {
	for _, b := range p.brokers {
		b.close()
	}
	return nil
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
	r := p.rule(proto, to)
	if r == nil {
		return nil, p.Allow(proto, to)
	}
	if err := p.record("connect", proto+"/"+to.String(), "allow", r.label(), ""); err != nil {
		return nil, err
	}
	if p.Observe != nil {
		p.Observe(p.called(to.Addr()) + ":" + strconv.Itoa(int(to.Port())) + "/" + proto)
	}
	if b := p.brokers[to.Addr()]; b != nil {
		return b.dial()
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

// called returns the name that an address was found by, or the address.
func (p *Policy) called(a netip.Addr) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, at := range p.names {
		if at == a {
			return name
		}
	}
	if names := slices.Sorted(maps.Keys(p.resolved[a])); len(names) > 0 {
		return names[0]
	}
	return a.String()
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

// about returns the first rule about a name, nil if there is none.
func (p *Policy) about(name string) *Rule {
	for i := range p.rules {
		if p.rules[i].names(name) {
			return &p.rules[i]
		}
	}
	return nil
}

// resolve asks the host's resolver, unless the rule or an earlier answer says
// where the name leads.
func (p *Policy) resolve(ctx context.Context, r *Rule, name string) ([]netip.Addr, error) {
	if len(r.Addresses) > 0 {
		return r.Addresses, nil
	}
	p.mu.Lock()
	list := p.pinned[name]
	p.mu.Unlock()
	if list != nil {
		return list, nil
	}
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", name)
	if err == nil && r.Pin {
		p.mu.Lock()
		defer p.mu.Unlock()
		if earlier := p.pinned[name]; earlier != nil {
			return earlier, nil
		}
		if len(p.pinned) < maxResolved {
			p.pinned[name] = list
		}
	}
	return list, err
}
