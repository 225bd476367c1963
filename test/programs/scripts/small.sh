# A few dynamic programs of Debian and of ours, on an image of their files only.
cd /tmp
for p in dynamic dynamic-now dynamic-musl; do
	echo "$p:"; $p 3; echo "status $?"
done
echo "bound at once:"; LD_BIND_NOW=1 dynamic | tail -n 1
echo "preloaded:"; LD_PRELOAD=/lib/libpreload.so dynamic | grep twice
echo "preloaded, musl:"; LD_PRELOAD=/lib/musl/libpreload.so dynamic-musl | grep twice
echo "by hand:"; /lib64/ld-linux-x86-64.so.2 /bin/dynamic | head -n 2; /lib64/ld-linux-x86-64.so.2 --list /bin/dynamic | sed 's/ (0x.*//' | grep -v vdso
printf 'b\na\nc\n' | sort | cat -n | tr a-z A-Z; ls -d /bin/dynamic* | wc -l; sha256sum /bin/dynamic | wc -c; seq 1000 | sort -rn | head -n 2; date -u -d @0 +%F
exec bash <<'BASH'
a=(x "y z"); declare -A m=([k]=v); echo "${#a[@]} ${a[1]} ${m[k]}"; [[ foo123 =~ ([0-9]+) ]] && echo "${BASH_REMATCH[1]}"
f() { (( $1 < 2 )) && echo 1 || echo $(( $1 * $(f $(( $1 - 1 ))) )); }; f 6
cat <(echo process) <(echo substitution); coproc cat; echo x >&"${COPROC[1]}"; read -r l <&"${COPROC[0]}"; echo "$l"; eval "exec ${COPROC[1]}>&-"; wait
trap 'echo usr1' USR1; kill -USR1 $$; sleep 100 & kill $!; wait $!; echo "killed $?"; printf '%s\n' {1..3} | while read -r n; do echo "n$n"; done
(exit 3) | true; echo "${PIPESTATUS[*]}"; cat <<< "done"
BASH
