package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsPort is where the gateway answers questions about names.
const dnsPort = 53

// dnsTimeout bounds one question to the host's resolver.
const dnsTimeout = 5 * time.Second

// Answer answers a DNS query: from the names that were given, or, for names that
// a rule is about, through the host's resolver. All other names are refused. nil
// means that there is nothing to answer.
func (p *Policy) Answer(ctx context.Context, query []byte) []byte {
	var parser dnsmessage.Parser
	head, err := parser.Start(query)
	if err != nil || head.Response {
		return nil
	}
	reply := dnsmessage.Header{ID: head.ID, Response: true, OpCode: head.OpCode, RecursionDesired: head.RecursionDesired, RecursionAvailable: true}
	q, err := parser.Question()
	if err != nil || head.OpCode != 0 {
		reply.RCode = dnsmessage.RCodeNotImplemented
		return build(reply, nil, nil)
	}
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	list, rcode := p.lookup(ctx, name, q.Type)
	reply.RCode = rcode
	return build(reply, &q, list)
}

func build(head dnsmessage.Header, q *dnsmessage.Question, list []netip.Addr) []byte {
	b := dnsmessage.NewBuilder(nil, head)
	b.EnableCompression()
	if q != nil {
		err := errors.Join(b.StartQuestions(), b.Question(*q), b.StartAnswers())
		for _, a := range list {
			h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 60}
			if a.Is4() {
				err = errors.Join(err, b.AResource(h, dnsmessage.AResource{A: a.As4()}))
			} else {
				err = errors.Join(err, b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: a.As16()}))
			}
		}
		if err != nil {
			return nil
		}
	}
	out, err := b.Finish()
	if err != nil {
		return nil
	}
	return out
}

// maxAnswers keeps an answer within a datagram.
const maxAnswers = 16

// lookup returns the addresses of a name. There is no way out by IPv6, so AAAA
// has no answers.
func (p *Policy) lookup(ctx context.Context, name string, t dnsmessage.Type) ([]netip.Addr, dnsmessage.RCode) {
	if a, ok := p.names[name]; ok {
		if t == dnsmessage.TypeA && a.Is4() {
			return []netip.Addr{a}, dnsmessage.RCodeSuccess
		}
		return nil, dnsmessage.RCodeSuccess
	}
	rule := p.about(name)
	if rule == nil {
		if err := p.record("resolve", name, "deny", "egress.default", "no rule names it"); err != nil {
			return nil, dnsmessage.RCodeServerFailure
		}
		return nil, dnsmessage.RCodeRefused
	}
	if t != dnsmessage.TypeA {
		return nil, dnsmessage.RCodeSuccess
	}
	if err := p.record("resolve", name, "allow", rule.label(), ""); err != nil {
		return nil, dnsmessage.RCodeServerFailure
	}
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	list, err := p.resolve(ctx, rule, name)
	if err != nil {
		var missing *net.DNSError
		if errors.As(err, &missing) && missing.IsNotFound {
			return nil, dnsmessage.RCodeNameError
		}
		return nil, dnsmessage.RCodeServerFailure
	}
	var public []netip.Addr
	for _, a := range list[:min(len(list), maxAnswers)] {
		if a = a.Unmap(); !a.IsLoopback() && !a.IsUnspecified() { // that would be the container itself
			public = append(public, a)
		}
	}
	p.learn(name, public)
	return public, dnsmessage.RCodeSuccess
}
