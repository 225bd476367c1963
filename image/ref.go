// Package image moves images between the places where people keep them and the
// store: OCI layouts, archives and registries.
package image

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Transport is a kind of place.
type Transport string

// The transports.
const (
	OCI           Transport = "oci"            // oci:DIR[:TAG]
	OCIArchive    Transport = "oci-archive"    // oci-archive:FILE[:TAG]
	DockerArchive Transport = "docker-archive" // docker-archive:FILE[:REF]
	Registry      Transport = "docker"         // docker://REF, or REF
)

// Ref names an image in a place.
type Ref struct {
	Transport Transport
	Path      string // of OCI, OCIArchive and DockerArchive
	Tag       string // likewise; "": the only image there is
	Name      name.Reference
}

func (r Ref) String() string {
	if r.Transport == Registry {
		return "docker://" + r.Name.String()
	}
	s := string(r.Transport) + ":" + r.Path
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	return s
}

// Usage lists the forms of a reference, for messages and help.
const Usage = "oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF], docker://REF or REF"

// ParseRef reads a reference.
func ParseRef(s string) (Ref, error) {
	if s == "" {
		return Ref{}, fmt.Errorf("the image reference is empty; use %s", Usage)
	}
	if rest, ok := strings.CutPrefix(s, "docker://"); ok {
		return parseName(s, rest)
	}
	for _, transport := range []Transport{OCI, OCIArchive, DockerArchive} {
		rest, ok := strings.CutPrefix(s, string(transport)+":")
		if !ok {
			continue
		}
		path, tag := splitTag(rest, transport)
		if path == "" {
			return Ref{}, fmt.Errorf("image reference %q names no path", s)
		}
		return Ref{Transport: transport, Path: path, Tag: tag}, nil
	}
	if strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".") {
		return Ref{}, fmt.Errorf("%q is a path, not an image reference; use %s", s, hint(s))
	}
	return parseName(s, s)
}

func parseName(whole, s string) (Ref, error) {
	ref, err := name.ParseReference(s)
	if err != nil {
		return Ref{}, fmt.Errorf("image reference %q: %w; use %s", whole, err, Usage)
	}
	return Ref{Transport: Registry, Name: ref}, nil
}

// hint guesses which transport a bare path wants.
func hint(path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return Usage
	case info.IsDir():
		return "oci:" + path
	}
	return "oci-archive:" + path + " or docker-archive:" + path
}

// splitTag cuts the tag from a path. A path that exists as a whole has none; a
// docker archive's tag is a whole reference, which may hold slashes and a colon.
func splitTag(s string, transport Transport) (path, tag string) {
	if _, err := os.Stat(s); err == nil {
		return filepath.Clean(s), ""
	}
	i := strings.LastIndex(s, ":")
	if transport == DockerArchive {
		i = strings.Index(s, ":")
	}
	if i < 0 || transport != DockerArchive && strings.Contains(s[i:], "/") {
		return cleanPath(s), ""
	}
	return cleanPath(s[:i]), s[i+1:]
}

func cleanPath(s string) string {
	if s == "" {
		return ""
	}
	return filepath.Clean(s)
}
