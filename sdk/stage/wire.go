package stage

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"megabinary.dev/sdk/stage/stagepb"
)

// InDir and OutDir are where a sandboxed stage sees its inputs and outputs.
const (
	InDir  = "/in"
	OutDir = "/out"
)

// DigestPrefix begins every digest; 64 hexadecimal digits follow.
const DigestPrefix = "sha256:"

// HexOf returns the hexadecimal part of a digest, which is also the name of the
// file that holds its bytes.
func HexOf(digest string) (string, error) {
	h, ok := strings.CutPrefix(digest, DigestPrefix)
	if !ok || len(h) != 64 || strings.ToLower(h) != h {
		return "", fmt.Errorf("digest %q is not sha256:<64 lower-case hexadecimal digits>", digest)
	}
	if _, err := hex.DecodeString(h); err != nil {
		return "", fmt.Errorf("digest %q: %w", digest, err)
	}
	return h, nil
}

// TakesType says whether the stage takes artifacts of a media type.
func (d Description) TakesType(mediaType string) bool {
	for _, t := range d.Takes {
		if strings.TrimSuffix(t, "?") == mediaType {
			return true
		}
	}
	return false
}

// Validate says what is wrong with a description.
func (d Description) Validate() error {
	var errs []error
	if d.Name == "" || strings.ContainsAny(d.Name, " /\\\n\t") {
		errs = append(errs, fmt.Errorf("name %q is empty or holds spaces or slashes", d.Name))
	}
	switch d.Kind {
	case KindExtract, KindAnalyze, KindRecompile, KindPolyfill, KindLink, KindAssemble, KindReport:
	default:
		errs = append(errs, fmt.Errorf("kind %q is unknown", d.Kind))
	}
	if d.Version == "" {
		errs = append(errs, errors.New("version is empty; it is part of the cache key"))
	}
	if len(d.Takes) == 0 {
		errs = append(errs, errors.New("takes names no media type"))
	}
	if len(d.Gives) == 0 {
		errs = append(errs, errors.New("gives names no media type"))
	}
	if len(d.Schema) > 0 && !json.Valid(d.Schema) {
		errs = append(errs, errors.New("schema is not JSON"))
	}
	return errors.Join(errs...)
}

// DescriptionToWire converts for the wire.
func DescriptionToWire(d Description) *stagepb.Description {
	return &stagepb.Description{
		Name:    d.Name,
		Kind:    string(d.Kind),
		Version: d.Version,
		Takes:   d.Takes,
		Gives:   d.Gives,
		Schema:  d.Schema,
		Permissions: &stagepb.Permissions{
			Memory:  d.Permissions.Memory,
			Timeout: d.Permissions.Timeout,
			Paths:   d.Permissions.Paths,
			Hosts:   d.Permissions.Hosts,
		},
		Doc: d.Doc,
	}
}

// DescriptionFromWire converts from the wire. It does not validate.
func DescriptionFromWire(p *stagepb.Description) Description {
	return Description{
		Name:    p.GetName(),
		Kind:    Kind(p.GetKind()),
		Version: p.GetVersion(),
		Takes:   p.GetTakes(),
		Gives:   p.GetGives(),
		Schema:  p.GetSchema(),
		Permissions: Permissions{
			Memory:  p.GetPermissions().GetMemory(),
			Timeout: p.GetPermissions().GetTimeout(),
			Paths:   p.GetPermissions().GetPaths(),
			Hosts:   p.GetPermissions().GetHosts(),
		},
		Doc: p.GetDoc(),
	}
}

// DescriptionsFromReply converts and validates what a plugin says of its stages.
func DescriptionsFromReply(reply *stagepb.DescribeReply) ([]Description, error) {
	if len(reply.GetStages()) == 0 {
		return nil, errors.New("the plugin describes no stage")
	}
	var all []Description
	seen := make(map[string]bool)
	for _, p := range reply.GetStages() {
		d := DescriptionFromWire(p)
		if err := d.Validate(); err != nil {
			return nil, fmt.Errorf("the description of stage %q: %w", d.Name, err)
		}
		if seen[d.Name] {
			return nil, fmt.Errorf("the plugin describes stage %q twice", d.Name)
		}
		seen[d.Name] = true
		all = append(all, d)
	}
	return all, nil
}

// DescribeAll is the plugin's side of Describe.
func DescribeAll(stages []Stage) *stagepb.DescribeReply {
	reply := new(stagepb.DescribeReply)
	for _, s := range stages {
		reply.Stages = append(reply.Stages, DescriptionToWire(s.Describe()))
	}
	return reply
}

// DescriptorToWire converts for the wire.
func DescriptorToWire(d Descriptor) *stagepb.Descriptor {
	return &stagepb.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, Annotations: d.Annotations}
}

// DescriptorFromWire converts from the wire.
func DescriptorFromWire(p *stagepb.Descriptor) Descriptor {
	return Descriptor{MediaType: p.GetMediaType(), Digest: p.GetDigest(), Size: p.GetSize(), Annotations: p.GetAnnotations()}
}
