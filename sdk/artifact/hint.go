package artifact

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
)

// Hint says that a run reached code which the analysis of a file had missed. A
// file of hints holds one in each line, as canonical JSON.
type Hint struct {
	Address string `json:"address"` // link-time, 0x<hex>
	Digest  string `json:"digest"`  // of the ELF file, sha256:<hex>
	Path    string `json:"path"`    // where it was in the container: for people
}

// Line returns the hint as it stands in a file, with its line end.
func (h Hint) Line() ([]byte, error) {
	b, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encoding a hint: %w", err)
	}
	return append(b, '\n'), nil
}

// maxHintLine bounds a line of a file of hints, in bytes.
const maxHintLine = 64 << 10

// ReadHints returns the addresses that the lines of r name, by digest, sorted
// and each once: what the configuration of an analyzer takes.
func ReadHints(r io.Reader) (map[string][]string, error) {
	digest := regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	address := regexp.MustCompile(`^0x[0-9a-f]{1,16}$`)
	hints := map[string][]string{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxHintLine)
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var h Hint
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&h); err != nil {
			return nil, fmt.Errorf("line %d is no hint: %w", n, err)
		}
		if !digest.MatchString(h.Digest) || !address.MatchString(h.Address) {
			return nil, fmt.Errorf("line %d is no hint: want {\"address\":\"0x...\",\"digest\":\"sha256:...\"}, not %s", n, line)
		}
		hints[h.Digest] = append(hints[h.Digest], h.Address)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	for d := range hints {
		slices.Sort(hints[d])
		hints[d] = slices.Compact(hints[d])
	}
	return hints, nil
}
