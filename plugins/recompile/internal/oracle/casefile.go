package oracle

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

// Line is one line of a case file:
//
//	bytes | what it shows | state before | state after
//
// Lines that are empty or start with # are kept as they are.
type Line struct {
	Text  string // of a line that is no case
	Case  *Case
	Bytes string
	Note  string
	In    string
	Out   string
}

// ReadCases reads a case file.
func ReadCases(path string) ([]Line, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lines []Line
	for i, text := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		line, err := parseLine(text)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func parseLine(text string) (Line, error) {
	if text == "" || text[0] == '#' {
		return Line{Text: text}, nil
	}
	cols := strings.Split(text, "|")
	if len(cols) != 3 && len(cols) != 4 {
		return Line{}, fmt.Errorf("%d columns, not bytes | comment | before | after", len(cols))
	}
	for i := range cols {
		cols[i] = strings.TrimSpace(cols[i])
	}
	code, err := hex.DecodeString(strings.ReplaceAll(cols[0], " ", ""))
	if err != nil || len(code) == 0 || len(code) > MaxCode {
		return Line{}, fmt.Errorf("%q is not 1 to %d bytes in hexadecimal", cols[0], MaxCode)
	}
	st := DefaultState()
	if err := ParseState(st, cols[2]); err != nil {
		return Line{}, err
	}
	line := Line{Case: &Case{Code: code, State: st}, Bytes: cols[0], Note: cols[1], In: cols[2]}
	if len(cols) == 4 {
		line.Out = cols[3]
	}
	return line, nil
}

// WriteCases writes a case file.
func WriteCases(path string, lines []Line) error {
	var b strings.Builder
	for _, l := range lines {
		if l.Case == nil {
			b.WriteString(l.Text + "\n")
			continue
		}
		b.WriteString(strings.TrimRight(strings.Join([]string{l.Bytes, l.Note, l.In, l.Out}, " | "), " ") + "\n")
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
