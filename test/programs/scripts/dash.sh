# dash: expansions, functions, loops, traps, jobs, here-documents, arithmetic.
set -eu
cd /tmp
f() { local x="$1"; echo "f $x $#"; return 3; }
f a b || echo "status $?"
i=0; while [ $i -lt 5 ]; do i=$((i + 1)); [ $i = 3 ] && continue; echo $i; done
for w in "one two" three; do echo "<$w>"; done
v=/usr/lib/x86_64-linux-gnu/libc.so.6
echo "${v##*/} ${v%/*} ${v#/usr} ${#v} ${unset:-default} ${v:+set}"
cat <<END
$(echo nested $(echo deep)) $((7 * 6)) $((1 << 20 | 0xff))
END
cat <<'END'
$not expanded
END
trap 'echo on exit' EXIT
(trap 'echo term; exit 4' TERM; kill -TERM $(sh -c 'echo $PPID'); echo not reached) || echo "subshell $?"
sleep 0.1 & wait $! && echo waited
(exit 7) & wait $! || echo "job $?"
case abc in a*) echo matched ;; *) echo no ;; esac
printf '%5d|%-5s|%x|%c\n' 42 ab 255 z
exec 3> out; echo to three >&3; exec 3>&-; cat out
read -r a b < out; echo "[$a][$b]"
echo "a:b:c" | { IFS=: read x y z; echo "$z $y $x"; }
set -- 1 2 3; shift; echo "$*" "$#"
umask 027; : > masked; stat -c %a masked
command -v sh; type cd
ulimit -n > /dev/null; test -t 0 || echo "no terminal"
echo 'echo from a sourced file' > lib; . ./lib
getopts ab: o -b val && echo "$o $OPTARG"
eval 'echo evaluated'
{ echo out; echo err >&2; } 2>&1 | sort
yes | head -n 3
set +e; false; echo $?; nosuchcommand; echo $?; /etc/passwd; echo $?
kill -l 9; kill -0 $$; echo $?
