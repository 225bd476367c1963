package programs

import (
	"path/filepath"
	"testing"
)

func TestSmallImage(t *testing.T) {
	megabin, err := filepath.Abs("../../bin/megabin")
	if err != nil {
		t.Fatal(err)
	}
	img, err := BuildSmall(megabin, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Small().Scripts {
		compare(t, megabin, img, &s)
	}
}

func compare(t *testing.T, megabin string, img *Image, s *Script) {
	want, wantCode, err := img.Native(s.Name)
	if err != nil {
		t.Fatalf("natively: %v: %s", err, want)
	}
	got, code, err := img.Megabin(megabin, s.Name)
	if err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	if code != wantCode {
		t.Errorf("status %d, natively %d", code, wantCode)
	}
	if d := s.Compare(want, got); d != "" {
		t.Errorf("output differs:\n%s", d)
	}
}
