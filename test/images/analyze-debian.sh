#!/bin/bash
# Makes a Debian image of several languages and servers, unpacks a Go and a Rust
# program from npm beside it, and writes what `megabin analyze` finds in all of
# their ELF files to DIR/report.txt. Needs root, for mmdebstrap; packages come
# from apt's own sources.
#
#   analyze-debian.sh DIR
set -euo pipefail

dir=$1
suite=bookworm
packages=python3.11,perl,git,openssl,sqlite3,redis-server,nginx
programs=(@esbuild/linux-x64 @dprint/linux-x64-glibc @dprint/linux-x64-musl)

missing=()
for p in mmdebstrap npm; do command -v "$p" > /dev/null || missing+=("$p"); done
if ((${#missing[@]})); then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi

mkdir -p "$dir"
if [[ ! -d $dir/root ]]; then
  sources=(/etc/apt/sources.list.d/debian.sources)
  [[ -f ${sources[0]} ]] || sources=(/etc/apt/sources.list)
  mmdebstrap --quiet --variant=minbase --include="$packages" "$suite" "$dir/root.tar" "${sources[@]}"
  mkdir "$dir/root.part"
  tar -C "$dir/root.part" --exclude=./dev -xf "$dir/root.tar"
  mv "$dir/root.part" "$dir/root"
  rm "$dir/root.tar"
fi
if [[ ! -d $dir/npm ]]; then
  mkdir "$dir/npm.part"
  for p in "${programs[@]}"; do
    archive=$(cd "$dir/npm.part" && npm pack --silent "$p")
    mkdir "$dir/npm.part/${archive%.tgz}"
    tar -C "$dir/npm.part/${archive%.tgz}" -xf "$dir/npm.part/$archive"
    rm "$dir/npm.part/$archive"
  done
  mv "$dir/npm.part" "$dir/npm"
fi

time bin/megabin analyze "$dir/root" "$dir/npm" > "$dir/report.txt"
tail -n 6 "$dir/report.txt"
echo "report: $dir/report.txt"
