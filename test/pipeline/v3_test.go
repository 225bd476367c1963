package pipeline

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/cpu"

	"megabinary.dev/plugins/recompile"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/machine"
)

var v3 = recompile.Options{Verify: true, CPU: guestabi.CPUv3}

// natively runs a program for x86-64-v3 on the CPU, or under qemu on one that
// has less.
func natively(t *testing.T, argv ...string) string {
	t.Helper()
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA || !cpu.X86.HasBMI2 {
		argv = append([]string{tool(t, "qemu-x86_64-static", "qemu-user-static"), "-cpu", "max"}, argv...)
	}
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil {
		t.Fatalf("%v: %v", argv, err)
	}
	return string(out)
}

// TestKernelsV3 runs kernels of test/bench that were compiled for x86-64-v3,
// whose loops gcc makes of ymm registers, fused multiplications and BMI.
func TestKernelsV3(t *testing.T) {
	for name, n := range map[string]string{
		"matmul": "3", "nbody": "3000", "sha256": "20", "hash": "300", "mix": "20", "sort": "3", "string": "20", "sieve": "2",
	} {
		t.Run(name, func(t *testing.T) {
			source := filepath.Join("..", "bench", "kernels", name+".c")
			path := filepath.Join(t.TempDir(), name)
			gcc := tool(t, "musl-gcc", "musl-tools")
			if msg, err := exec.Command(gcc, "-O3", "-march=x86-64-v3", "-static", "-o", path, source).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, msg)
			}
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b := build(t, file, v3)
			if len(b.report.Unknown) > 0 || b.report.CPU != guestabi.CPUv3.String() {
				t.Errorf("unknown instructions %v, for %q", b.report.Unknown, b.report.CPU)
			}
			want := natively(t, path, n)
			if got := b.run(t, machine.WazeroOptions{}, 0, "", path, n).stdout; got != want {
				t.Errorf("got %q, natively %q", got, want)
			}
		})
	}
}

// The program calls what glibc has in several versions, with every length and
// alignment that its vector loops tell apart.
const versions = `
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <wchar.h>
static unsigned char a[9000], b[9000];
static uint64_t sum;
static void add(uint64_t v) { sum = (sum ^ v) * 0x9e3779b97f4a7c15 + (sum >> 29); }
static void bytes(const unsigned char *p, size_t n) { for (size_t i = 0; i < n; i++) add(p[i]); }
static void fill(void) { for (size_t i = 0; i < sizeof a; i++) a[i] = 1 + i * 7 % 251, b[i] = 1 + i * 7 % 251; }
int main(void) {
	printf("%d %d %d %d\n", __builtin_cpu_supports("avx2") != 0, __builtin_cpu_supports("fma") != 0,
		__builtin_cpu_supports("bmi2") != 0, __builtin_cpu_supports("x86-64-v3") != 0);
	static const size_t sizes[] = {0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 300, 511, 1024, 2049, 4100};
	fill();
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (size_t off = 0; off < 33; off += 1 + off / 3) {
			size_t n = sizes[i];
			memcpy(a + off, b + 4096, n), bytes(a + off, n < 40 ? n : 40);
			memmove(a + off + 5, a + off, n), bytes(a + off, n < 40 ? n : 40);
			memset(a + off, n, n), bytes(a, 80);
			fill();
			a[off + n] = 0;
			add(strlen((char *)a + off)), add(strnlen((char *)a + off, n + 3));
			add(memcmp(a + off, b + off, n) == 0), add(memcmp(a + off, b + off, n + 1) > 0);
			add(strcmp((char *)a + off, (char *)b + off) < 0), add(strncmp((char *)a + off, (char *)b + off, n) == 0);
			add(strcasecmp((char *)a + off, (char *)b + off) < 0);
			add((unsigned char *)memchr(a + off, 0, n + 1) - a), add((unsigned char *)memrchr(a, 0, sizeof a) - a);
			add(strchr((char *)a + off, a[off + n / 2]) - (char *)a), add(strrchr((char *)a + off, 0) - (char *)a);
			add((unsigned char *)rawmemchr(b + off, b[off + n]) - b);
			strcpy((char *)b + 4096, (char *)a + off), bytes(b + 4096, 50);
			char *s = strstr((char *)a + off, "lsz");
			add(s ? s - (char *)a : -1), add(strspn((char *)a + off, "\x01\x08\x0f"));
			fill();
		}
	printf("%016llx\n", (unsigned long long)sum);
	for (double x = -20; x < 20; x += 0.37) {
		double r[] = {sin(x), cos(x), tan(x), exp(x), log(x + 21), pow(x + 21, 1.3), atan(x), atan2(x, 3), floor(x), rint(x), fma(x, x, -x)};
		float f[] = {sinf(x), cosf(x), expf(x), logf(x + 21), powf(x + 21, 1.3f), fmaf(x, x, -x)};
		for (size_t i = 0; i < sizeof r / sizeof *r; i++) { uint64_t u; memcpy(&u, r + i, 8), add(u); }
		for (size_t i = 0; i < sizeof f / sizeof *f; i++) { uint32_t u; memcpy(&u, f + i, 4), add(u); }
	}
	printf("%016llx\n", (unsigned long long)sum);
	return 0;
}
`

// TestVersionsOfGlibc runs a program for x86-64-v2 with a static glibc, whose
// resolvers ask CPUID and XGETBV and choose functions of AVX2 and FMA.
func TestVersionsOfGlibc(t *testing.T) {
	path, file := compile(t, "gcc", "gcc", versions, "-O1", "-static", "-no-pie", "-fno-builtin", "-D_GNU_SOURCE")
	path2 := path + ".v2"
	want := natively(t, path)
	chosen := func(opts recompile.Options) (names map[string]bool, stdout string) {
		b := build(t, file, opts)
		names = map[string]bool{}
		b.after = func(k *tinyKernel) { names = resolved(t, file, k) }
		stdout = b.run(t, machine.WazeroOptions{}, 0, "", path2).stdout
		return names, stdout
	}
	names, got := chosen(v3)
	if got != want {
		t.Errorf("got %q, natively %q", got, want)
	}
	for _, name := range []string{"__strlen_avx2", "__memmove_avx_unaligned_erms", "__memset_avx2_unaligned_erms", "__strchr_avx2", "__memcmp_avx2_movbe", "__sin_fma"} {
		if !names[name] {
			t.Errorf("%s was not chosen", name)
		}
	}
	if names, _ := chosen(recompile.Options{}); names["__strlen_avx2"] || !names["__strlen_sse2"] {
		t.Errorf("x86-64-v2 chose %v", names)
	}
}

// resolved returns the names of the functions that IRELATIVE relocations were
// resolved to.
func resolved(t *testing.T, file []byte, k *tinyKernel) map[string]bool {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	relocations, err := f.Section(".rela.plt").Data()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for ; len(relocations) > 0; relocations = relocations[24:] {
		if elf.R_X86_64(binary.LittleEndian.Uint32(relocations[8:])) != elf.R_X86_64_IRELATIVE {
			continue
		}
		target := binary.LittleEndian.Uint64(k.bytes(binary.LittleEndian.Uint64(relocations), 8))
		for _, s := range symbols {
			if s.Value == target && elf.ST_TYPE(s.Info) == elf.STT_FUNC {
				names[s.Name] = true
			}
		}
	}
	return names
}
