# coreutils: every program of the package, at least once.
cd /tmp; mkdir work; cd work; export TZ=UTC
printf 'b 2\na 1\nc 3\na 1\n' > t; seq 20 > n; printf 'x\ty\n' > tab
arch; basename /a/b.c .c; dirname /a/b; echo e1 | base32; echo e1 | base64; echo e1 | basenc --base16
cat -A tab; chmod 640 t; stat -c '%a %s %F' t; chmod u+x,g-r t; stat -c %A t; chown 1:2 n; stat -c '%u %g' n; chgrp 3 n; stat -c %g n; chown 0:0 n
cksum n; cksum -a sha1 n; sum n; md5sum n; sha1sum n; sha224sum n; sha256sum n; sha384sum n; sha512sum n; b2sum n
sha256sum n > sums; sha256sum -c sums; sort t > s; comm s s | head -n 2
cp -a t t2; cp -r /etc/apt aptcopy; ls aptcopy; cp --sparse=always n n2; cmp n n2; csplit -s n 5 10; wc -l xx*
cut -d' ' -f2 t; cut -c1-3 n | head -n 2; date -u -d @0 +%F_%T; date -u -d '2020-02-29 +1 year' +%F; date -u -d @1700000000 '+%a %b %j %U'
dd if=n of=n3 bs=3 count=4 skip=1 2>/dev/null; od -An -c n3; df /tmp > /dev/null && echo df; dir; dircolors -b | head -c 10; echo .
du -a aptcopy > /dev/null && echo du; env -i A=1 env; expand tab; expr 3 \* 4; expr substr hello 2 3; expr hello : 'h\(.*\)o'
factor 1234567890 18446744073709551557 340282366920938463463374607431768211455; false; echo $?; true
echo "the quick brown fox jumps over the lazy dog" | fmt -w 20; echo abcdefghij | fold -w 4; groups root; head -c 5 n; head -n -18 n; hostid > /dev/null && echo hostid
id; id -nG; install -m 700 -d inst; install -m 600 t inst/t; stat -c %a inst inst/t
printf 'a 1\nb 2\n' > j1; printf 'a x\nb y\n' > j2; join j1 j2; link n hard; stat -c %h n; ln -s n soft; ln -f n hard2; readlink soft; readlink -f soft; realpath -m ../work/./x
logname 2>/dev/null || echo "no login"; ls; ls -la --time-style=+ | sed 's/ \+/ /g' | grep -v '^[td]'; ls -1S n t; ls -d .; ls -i > /dev/null; ls --color=always -d inst | od -An -c
mkdir -p p/q/r; mkdir -m 1777 sticky; stat -c %a sticky; mkfifo fifo; stat -c %F fifo; (echo through fifo > fifo &) ; cat fifo; mknod null c 1 3; stat -c '%F %t %T' null; mktemp -u XXXX | wc -c; mktemp -d > /dev/null && echo mktemp
mv t2 t3; mv -n t t3; mv -T inst inst2; nice -n 5 nice; nl t; nohup echo hup 2>/dev/null | cat; nproc > /dev/null && echo nproc; numfmt --to=iec 1048576; numfmt --from=si 5K
od -tx1z n | head -n 2; od -td4 -An -N8 n; paste j1 j2; paste -sd+ n; pathchk -p 'a b' 2>/dev/null || echo pathchk; pr -t -2 n | head -n 2; printenv HOME; printf '%s %05.2f %e %q\n' a 3.14159 12345.678 "a b" ; ptx t > /dev/null && echo ptx
pwd; rm t3; rm -rf p; rmdir sticky; runcon true 2>/dev/null; seq -w 8 11; seq 1 0.5 2; seq -s, 3 -1 1; shred -n 1 -u xx00; shuf -i 1-5 | sort; shuf --random-source=n -i 1-9 -n 3; sleep 0.01
sort -k2n t; sort -ru t; sort -t' ' -k1,1 -s t; printf '10K\n2M\n1\n' | sort -h; printf '1.10\n1.9\n' | sort -V; sort -R n | sort -n | head -n 1; seq 100000 | sort -rn --parallel=2 -S 1M | head -n 1
split -l 7 n sp.; wc -l sp.*; split -n 3 n; ls x?? ; stat -f -c %T / > /dev/null && echo statfs; stdbuf -oL echo buffered; stty 2>/dev/null || echo "no tty"; sync; sync n; tac n | head -n 2; tail -n 2 n; tail -c 3 n; tail -n +19 n
echo tee | tee t1 t2; cat t1; test 1 -lt 2; echo $?; [ -f n -a ! -d n ]; echo $?; timeout 0.1 sleep 5; echo $?; timeout -s KILL 0.1 sleep 5; echo $?; touch -d '2001-02-03 04:05:06.789' d; stat -c %y d; touch -r d d2; stat -c %Y d2
tr a-z A-Z < t; tr -d 0-9 < t; tr -s ' ' '_' < t; tr '[:upper:]' '[:lower:]' <<E2
ABC
E2
true; echo $?; truncate -s 1M big; stat -c %s big; truncate -s -1 big; stat -c %s big; printf 'a b\nb c\n' | tsort; tty || true; uname -s -m -o; unexpand -a tab; uniq -c s; uniq -d s; unlink hard; uptime > /dev/null 2>&1; users; vdir -d . > /dev/null && echo vdir; wc n; wc -L t; who; whoami; yes n | head -n 2; chcon x y 2>/dev/null || echo chcon; chroot / echo in a chroot; pinky > /dev/null 2>&1; echo done
