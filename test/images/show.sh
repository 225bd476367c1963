#!/usr/bin/env bash
# The main job, for `make run`: a real image goes in, a megabinary comes out and
# runs; then one refusal and the audit trail of it all.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${OUT:-out}/run
megabin=bin/megabin
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

mkdir -p "$out"
say "1. An OCI image of Debian's busybox-static"
go run ./test/images/mkimage busybox "$out/busybox"
du -sh "$out/busybox"

say "2. megabin build: extract, analyze, recompile, link, assemble"
"$megabin" build "oci:$out/busybox:latest" -o "oci:$out/megabinary:latest"
"$megabin" inspect "oci:$out/megabinary:latest"
"$megabin" verify "oci:$out/megabinary:latest"

image="oci:$out/megabinary:latest"
rm -f "$out"/audit*.jsonl
say "3. megabin run: a shell script and its tools"
"$megabin" run --audit "$out/audit.jsonl" "$image" /demo/demo.sh
say "   ps, date, env"
"$megabin" run --audit "$out/audit-2.jsonl" "$image" sh -c 'sleep 1 & ps; date; env'

say "4. A file whose hash is not in the map"
"$megabin" run --audit "$out/audit-3.jsonl" "$image" /demo/refused.sh || true

say "5. The audit trail"
wc -l "$out"/audit*.jsonl
head -n 3 "$out/audit.jsonl"
grep '"verdict":"deny"' "$out"/audit*.jsonl
for f in "$out"/audit*.jsonl; do "$megabin" audit verify "$f"; done
