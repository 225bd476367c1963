package artifact

import (
	"reflect"
	"strings"
	"testing"
)

func TestHints(t *testing.T) {
	one, two := "sha256:"+strings.Repeat("1", 64), "sha256:"+strings.Repeat("2", 64)
	var file strings.Builder
	for _, h := range []Hint{{"0x20", two, "/bin/b"}, {"0x10", one, "/bin/a"}, {"0x1f", two, "/bin/b"}, {"0x20", two, "/other"}} {
		line, err := h.Line()
		if err != nil {
			t.Fatal(err)
		}
		file.Write(line)
	}
	if first, _, _ := strings.Cut(file.String(), "\n"); first != `{"address":"0x20","digest":"`+two+`","path":"/bin/b"}` {
		t.Errorf("not canonical: %s", first)
	}
	hints, err := ReadHints(strings.NewReader(file.String() + "\n"))
	want := map[string][]string{one: {"0x10"}, two: {"0x1f", "0x20"}}
	if err != nil || !reflect.DeepEqual(hints, want) {
		t.Errorf("%v, %v; want %v", hints, err, want)
	}
	for _, bad := range []string{"no JSON", `{"address":"12","digest":"` + one + `"}`, `{"address":"0x1","digest":"sha256:1"}`,
		`{"address":"0x1","digest":"` + one + `","unknown":1}`} {
		if _, err := ReadHints(strings.NewReader("\n" + bad)); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: error %v", bad, err)
		}
	}
}
