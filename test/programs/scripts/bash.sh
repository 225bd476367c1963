# bash: arrays, regular expressions, process substitution, coproc, traps, jobs.
exec bash -s <<'BASH'
set -u
cd /tmp
a=(x "y z" w); a+=(v); echo "${#a[@]} ${a[1]} ${a[@]:1:2}"; unset 'a[0]'; echo "${!a[@]}"
declare -A m=([k1]=v1 [k2]="v 2"); for k in $(printf '%s\n' "${!m[@]}" | sort); do echo "$k=${m[$k]}"; done
[[ foo123 =~ ^([a-z]+)([0-9]+)$ ]] && echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
[[ abc == a?c ]] && echo glob
echo {1..5} {a..e..2} pre{x,y}post
s="Hello World"; echo "${s,,} ${s^^} ${s/World/There} ${s:6:3} ${s//o/0} ${s@Q}"
diff <(printf '1\n2\n') <(printf '1\n3\n'); echo "diff $?"
while read -r l; do echo "line $l"; done < <(seq 3)
coproc cat; echo "through a coprocess" >&"${COPROC[1]}"; read -r l <&"${COPROC[0]}"; echo "$l"; eval "exec ${COPROC[1]}>&-"; wait
f() { local -n ref=$1; ref=changed; }; var=old; f var; echo $var
fact() { (( $1 < 2 )) && echo 1 || echo $(( $1 * $(fact $(( $1 - 1 ))) )); }; fact 10
trap 'echo "USR1 in $BASHPID" | sed s/[0-9]*$/pid/' USR1; kill -USR1 $$; trap - USR1
trap 'echo "err at $LINENO"' ERR; false; trap - ERR
set -o pipefail; false | true; echo "${PIPESTATUS[*]} $?"; set +o pipefail
printf -v p '%03d-%s' 7 x; echo $p
mapfile -t lines < <(seq 5 -1 1); echo "${lines[*]}"
echo $(( 2**40 )) $(( 16#ff )) $(( -7 / 2 )) $(( -7 % 3 )) $(( 5 > 3 ? 10 : 20 ))
select x in one; do echo "picked $x"; break; done <<< 1 2>&1
case foobar in foo*) echo 1 ;;& *bar) echo 2 ;; esac
shopt -s extglob nullglob
touch e1.txt e2.txt e3.log; echo !(*.log|tmp*) | tr ' ' '\n' | grep '^e'; echo nothing*here
sleep 100 & kill $!; wait $! 2>/dev/null; echo "killed $?"
(sleep 0.05; exit 5) & (sleep 0.1; exit 6) & wait -n; echo "first $?"; wait
set -m; sleep 0.1 & jobs | sed 's/ *sleep/ sleep/'; fg %1 > /dev/null; set +m
{ time -p true; } 2>&1 | wc -l
exec {fd}<<<"here string"; cat <&$fd
TIMEFORMAT=; ulimit -c 0; umask; hash -r; help true | head -n 2
echo "$SHLVL ${BASH_VERSINFO[0]} $-" | cut -d' ' -f2
x=$(< /etc/debian_version); [ -n "$x" ] && echo read
printf '%(%Y-%m-%d)T\n' 86400
read -t 0.1 nothing < <(sleep 1); echo "timeout $(( $? > 128 ))"
complete -W "a b" cmd 2>/dev/null; compgen -W "apple banana" a
disown -a; bash -c 'echo "$0 $1"' name arg; bash -n -c 'if' ; echo "syntax $?"
echo done
BASH
