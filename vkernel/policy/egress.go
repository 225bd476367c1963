package policy

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"megabinary.dev/vkernel/net/egress"
)

// Egress is one rule of what may leave.
type Egress = egress.Rule

func (r *reader) egress(n *yaml.Node) {
	r.list("egress", func(i int, n *yaml.Node) {
		var rule Egress
		var to string
		var addresses []string
		pin := ""
		r.fields(n, "an entry of egress", map[string]func(*yaml.Node){
			"to": r.text("to", &to, func(s string) (err error) { rule, err = egress.ParseRule(s); return err }),
			"addresses": r.texts("addresses", &addresses, func(s string) error {
				if a, err := netip.ParseAddr(s); err != nil || !a.Is4() {
					return fmt.Errorf("%q is no IPv4 address", s)
				}
				return nil
			}),
			"pin":  r.boolean("pin", &pin),
			"http": func(n *yaml.Node) { r.http(n, &rule) },
		})
		if (to == "") == (rule.HTTP == nil) {
			r.errorf(n, "an entry of egress needs either to or http")
		}
		if (len(addresses) > 0 || pin != "") && (rule.Name == "" || strings.HasPrefix(rule.Name, "*")) {
			r.errorf(n, "addresses and pin go with a name")
		}
		for _, s := range addresses {
			if a, err := netip.ParseAddr(s); err == nil {
				rule.Addresses = append(rule.Addresses, a)
			}
		}
		if slices.ContainsFunc(r.p.Egress, func(o Egress) bool { return rule.HTTP != nil && o.HTTP != nil && o.Name == rule.Name }) {
			r.errorf(n, "there are two entries with http for %s", rule.Name)
		}
		rule.Pin = pin == "true"
		rule.Label = fmt.Sprintf("egress[%d]", i)
		r.p.Egress = append(r.p.Egress, rule)
	})(n)
}

// boolean takes true or false, as text.
func (r *reader) boolean(what string, into *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Value != "true" && n.Value != "false" {
			r.errorf(n, "%s must be true or false, not %s", what, kindOf(n))
			return
		}
		*into = n.Value
	}
}

func (r *reader) http(n *yaml.Node, rule *Egress) {
	h := &egress.HTTP{}
	var host, upstream string
	port := uint64(80)
	r.fields(n, "http", map[string]func(*yaml.Node){
		"host!": r.text("host", &host, func(s string) error {
			named, err := egress.ParseRule(s)
			if err != nil || named.Name == "" || strings.HasPrefix(s, "*") || strings.ContainsAny(s, ":/") {
				return fmt.Errorf("%q is not a name", s)
			}
			return nil
		}),
		"port":       r.number("port", &port, 65535),
		"upstream":   r.text("upstream", &upstream, func(s string) (err error) { h.Upstream, err = parseUpstream(s); return err }),
		"credential": func(n *yaml.Node) { r.credential(n, h) },
		"rules!": r.list("rules", func(_ int, n *yaml.Node) {
			var hr egress.HTTPRule
			var paths []string
			var patterns []Pattern
			r.fields(n, "an entry of rules", map[string]func(*yaml.Node){
				"methods": r.texts("methods", &hr.Methods, func(s string) error {
					if strings.ToUpper(s) != s || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
						return fmt.Errorf("%q is no method", s)
					}
					return nil
				}),
				"paths!": r.texts("paths", &paths, func(s string) error {
					p, err := ParsePattern(s)
					patterns = append(patterns, p)
					return err
				}),
			})
			hr.Path = func(path string) bool {
				for i := range patterns {
					if patterns[i].Match(path) {
						return true
					}
				}
				return false
			}
			h.Rules = append(h.Rules, hr)
		}),
	})
	if port == 0 {
		r.errorf(n, "port 0 cannot be connected to")
	}
	if h.Upstream == nil {
		h.Upstream = &url.URL{Scheme: "https", Host: host}
	}
	*rule = Egress{Name: strings.ToLower(host), Low: uint16(port), High: uint16(port), Proto: "tcp", HTTP: h}
}

func parseUpstream(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is no URL", s)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%q is not http:// or https:// and a host", s)
	}
	return u, nil
}

// credential reads a secret from where the policy says. It is not part of the
// policy, nor of its digest.
func (r *reader) credential(n *yaml.Node, h *egress.HTTP) {
	var header, prefix, env, file string
	r.fields(n, "credential", map[string]func(*yaml.Node){
		"header!": r.text("header", &header, func(s string) error {
			if strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" || strings.EqualFold(s, "host") {
				return fmt.Errorf("%q is no header to set", s)
			}
			return nil
		}),
		"prefix": r.text("prefix", &prefix, nil),
		"env":    r.text("env", &env, nil),
		"file":   r.text("file", &file, nil),
	})
	if (env == "") == (file == "") {
		r.errorf(n, "credential needs either env or file")
		return
	}
	value, err := r.secret(env, file)
	if err != nil {
		r.errorf(n, "credential: %w", err)
		return
	}
	h.Header, h.Value = http.CanonicalHeaderKey(header), prefix+value
}

func (r *reader) secret(env, file string) (string, error) {
	if env != "" {
		v, ok := r.o.Getenv(env)
		if !ok || v == "" {
			return "", fmt.Errorf("variable %s is not set", env)
		}
		return cleanSecret(v, env)
	}
	b, err := r.o.ReadFile(r.beside(file))
	if err != nil {
		return "", err
	}
	return cleanSecret(strings.TrimRight(string(b), "\r\n"), file)
}

var errNotHeader = errors.New("it holds what no header may")

func cleanSecret(s, from string) (string, error) {
	for _, c := range []byte(s) {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return "", fmt.Errorf("%s: %w", from, errNotHeader)
		}
	}
	return s, nil
}
