#!/bin/sh
# What a shell and its tools do all day. Everything that it prints is the same
# on every run and every kernel; test/e2e compares the output with that of the
# same script run natively in a chroot of the same image.
set -eu
section() { echo; echo "== $1"; }

section "loops, functions, arithmetic"
factorial() { if [ "$1" -le 1 ]; then echo 1; else echo $(($1 * $(factorial $(($1 - 1))))); fi; }
for i in 1 5 10; do echo "$i! = $(factorial $i)"; done
i=0
while [ $i -lt 3 ]; do i=$((i + 1)); printf '%d:%s ' $i "$(echo x$i | tr x y)"; done
echo
case "$0" in *demo.sh) echo "case matches" ;; *) echo "case fails: $0" ;; esac

section "ls -la /"
ls -la / | awk 'NR > 1 {print $1, $3, $4, $NF}'
ls -la /demo/*.sh | awk '{print $1, $2, $3, $4, $5, $NF}'

section "redirections and here documents"
work=$(mktemp -d /tmp/demo.XXXXXX)
cd "$work"
cat > fruit <<LIST
pear
apple
fig
apple
plum
fig
apple
LIST
sort < fruit > sorted 2> errors
cat sorted - < /dev/null | head -n 2
cat nothing-here 2>&1 || echo "status $?"
{ echo out; echo err >&2; } > both 2>&1
cat both
exec 3> third
echo "through descriptor 3" >&3
exec 3>&-
cat third

section "pipes"
sort fruit | uniq -c | sort -rn | awk '{print $1 "x" $2}'
yes pipe | head -n 1000 | wc -l
seq 1 20000 | grep 7 | sed 's/7/seven/' | tail -n 2
seq 1 100 | awk '{s += $1 * $1} END {printf "%d %.6f %e\n", s, s / 3, s / 7}'

section "find, grep, sed, tr, cut"
mkdir -p tree/a/b tree/c
for f in tree/one tree/a/two tree/a/b/three tree/c/four; do echo "file $f" > $f; done
find tree -type f | sort
find tree -name 't*' -exec grep -H file {} \; | sort
grep -rl four tree
sed -n -e 's/\(file\) \(.*\)/\2 is a \1/p' tree/a/two
cut -d / -f 2 tree/one | tr a-z A-Z

section "sha256sum, md5sum, sha1sum"
sha256sum /bin/busybox | cut -c 1-64 > sum1
openssl_free=$(cat /bin/busybox | sha256sum | cut -c 1-64)
[ "$(cat sum1)" = "$openssl_free" ] && echo "sums agree"
printf abc | sha256sum
printf abc | md5sum
printf abc | sha1sum

section "gzip, bzip2, xz, tar"
seq 1 50000 > numbers
gzip -c numbers > numbers.gz
gunzip -c numbers.gz | cmp - numbers && echo "gzip round trip"
bzip2 -c numbers | bunzip2 -c | cmp - numbers && echo "bzip2 round trip"
tar cf - tree fruit | (mkdir copy && cd copy && tar xf -)
diff -r tree copy/tree && echo "tar round trip"
tar czf tree.tar.gz tree
tar tzf tree.tar.gz | sort

section "dd, od, truncate, links"
dd if=/dev/zero of=zeros bs=1024 count=16 2> /dev/null
dd if=numbers of=zeros bs=1 skip=10 seek=100 count=20 conv=notrunc 2> /dev/null
od -A d -t x1 zeros | head -n 10
stat -c '%n %s %F %a %h' zeros fruit
stat -c '%n %F %a %h' tree
ln fruit hard
ln -s fruit soft
stat -c '%n %h %F' hard soft
readlink soft
mv hard harder
rm fruit
cat harder | tail -n 1
cat soft 2>&1 || echo "dangling"
chmod 640 harder
stat -c '%a' harder
mkdir sub && mv harder sub/ && rmdir sub 2>&1 || echo "not empty"

section "background jobs, signals, traps"
(sleep 0.2; echo "late") > late &
job=$!
echo "early"
wait $job
cat late
sh -c 'trap "echo caught TERM; exit 7" TERM; kill -TERM $$; sleep 5' || echo "status $?"
sh -c 'kill -KILL $$' || echo "status $?"
trap 'echo "USR1 arrived"' USR1
kill -USR1 $$
sleep 5 &
kill $!
wait $! || echo "sleep ended with $?"
(exit 3) || echo "subshell status $?"
false | true && echo "pipeline status is the last command's"

section "command substitution, expansion, test"
echo "$(echo "nested $(echo substitution)")"
name=megabinary.wasm
echo "${name%.wasm} ${name##*.} ${#name} ${unset:-default}"
set -- a "b c" d
for a in "$@"; do echo "[$a]"; done
echo */ [a-z]*.gz
[ -f numbers ] && [ ! -e gone ] && [ numbers -nt /bin/busybox ] && echo "test works"
read -r first rest <<END
one two three
END
echo "$first|$rest"

section "date, env, expr, dc, printf"
date -u -d @86400 '+%Y-%m-%d %H:%M:%S %a'
env -i A=1 B=2 env | sort
expr 17 \* 3 + 4
echo "2 3 + 4 *  p" | dc
printf '%5.2f|%-6s|%04x|%c\n' 3.14159 ab 255 z
awk 'BEGIN { printf "%.10f %.10g %d\n", 22 / 7, 1 / 3, int(1000000 * 1000000) }'
echo 'hello world' | awk '{ for (i = NF; i > 0; i--) printf "%s ", $i; print toupper(substr($1, 1, 1)) }'

section "ps"
ps -o pid,comm | awk '$2 == "ps" {found = 1} END {print found ? "ps sees itself" : "ps does not see itself"}'
cat /proc/self/comm

section "xargs, diff, ed"
seq 1 10 | xargs -n 3 echo
printf 'one\ntwo\nthree\n' > old
sed 's/two/2/' old > new
diff -u old new | tail -n +3 > change || true
cat change
ed old <<ED || true
2s/two/TWO/
w
q
ED
cat old
cd /
rm -rf "$work"
[ -e "$work" ] || echo "all gone"
