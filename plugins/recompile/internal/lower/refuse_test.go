package lower

import (
	"encoding/json"
	"testing"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/artifact"
)

// TestRefused lowers a function of loops in loops with an entry in each, which
// has more routes than are allowed, and finds it in the report.
func TestRefused(t *testing.T) {
	const depth = 760 // depth*depth/2 routes
	blocks := make([]walkBlock, 2*depth+1)
	for i := range depth {
		blocks[i] = walkBlock{kind: ir.TermJump, succ: []int{i + 1}, entry: true}
		blocks[2*depth-1-i] = walkBlock{kind: ir.TermBranch, succ: []int{i, 2*depth - i}}
	}
	blocks[2*depth] = walkBlock{kind: ir.TermRet}
	small := walkFunc([]walkBlock{{kind: ir.TermRet, entry: true}})
	small.PC, small.Blocks[0].PC = walkBase-walkStep, walkBase-walkStep
	in := &Input{Name: "large", Funcs: []*ir.Func{small, walkFunc(blocks)}, Low: walkBase - walkStep, High: walkPC(len(blocks) + 1)}
	m, err := Unit(in)
	if err != nil {
		t.Fatal(err)
	}
	if in.Report.Refused != 1 {
		t.Errorf("%d functions refused, want 1", in.Report.Refused)
	}
	for _, c := range m.Customs {
		var r artifact.UnitReport
		if c.Name != artifact.SectionUnit {
			continue
		}
		if err := json.Unmarshal(c.Bytes, &r); err != nil || r.Refused != 1 {
			t.Errorf("the unit's section says %s (%v)", c.Bytes, err)
		}
	}
}
