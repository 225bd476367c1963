# findutils, grep, sed, gawk, diffutils.
cd /tmp; mkdir -p d/e/f; cd d; seq 30 > n; echo "Hello hello HELLO" > h; printf 'k=1\nj=22\n' > e/kv; ln -s n link; touch -d @1000000 old; chmod 600 h
find . | sort; find . -type f -name '*n*' -o -type l | sort; find . -newer old -type f | sort; find . -perm 600; find . -size -2k -type f | wc -l
find . -type f -printf '%f %s %m\n' | sort; find . -name n -exec wc -l {} +; find . -mindepth 2 -maxdepth 2 | sort; find . -type d -empty; find . -path '*/e/*' -prune -o -print | sort
find . -type f -print0 | xargs -0 -n 2 echo | wc -l; seq 5 | xargs -I{} echo "<{}>"; seq 100 | xargs -P 4 -n 10 echo | wc -l; find e -delete; ls; xargs -a n -s 50 echo | tail -n 1
find / -xdev -name 'passwd*' -path '/etc/*' 2>/dev/null | sort; find /usr/bin -type f | wc -l
grep -i hello h; grep -o '[Hh]ello' h; grep -c 1 n; grep -n '^2' n; grep -E '^(1|2)[0-5]$' n; grep -P '(?<=Hello )\w+' h -o; grep -v 1 n | wc -l; grep -rl hello . ; grep -F -x 7 n; grep -w hello h; grep -A1 -B1 '^15$' n; grep -q zzz h; echo $?; grep -z . h | od -An -c | head -n 1; grep -L hello h n; printf 'äöü\n' | LC_ALL=C.UTF-8 grep -c '^...$'; grep -E '(a+)+b' h; grep -e 'h\(e\)\(l\)\2o' h
sed -n '3,5p' n; sed 's/hello/bye/2' h; sed 's/hello/bye/Ig' h; sed '1~10d' n | wc -l; sed -e '$!d' n; sed -E 's/(.)(.)/\2\1/' h; sed = n | sed 'N;s/\n/\t/' | head -n 2; sed -i.bak 's/^1/X/' n; head -n 2 n; diff n n.bak | head -n 4; sed -n '/5/{p;=}' n.bak; sed 'y/abc/xyz/' <<E2
aabbcc
E2
sed ':a;N;$!ba;s/\n/,/g' n.bak; sed -n 'H;${x;s/\n/-/g;p}' n.bak | cut -c1-20; sed '/^2$/,/^4$/c changed' n.bak | head -n 3; echo abc | sed 's/b/[&]/;w out'; cat out; sed --posix -n '$=' n
awk '{ s += $1 } END { print s, NR }' n.bak; awk -F= '{ print $2 * 2 }' <<E2
k=1
j=22
E2
gawk 'BEGIN { a["x"] = 1; a["y"] = 2; PROCINFO["sorted_in"] = "@ind_str_asc"; for (k in a) print k, a[k]; print length(a), substr("hello", 2, 3), index("abc", "c"), toupper("x"); printf "%.3f %d %s %c %e\n", atan2(0, -1), 3.99, "s", 65, 1e10 }'
gawk 'BEGIN { n = split("a:b:c", p, ":"); print n, p[3]; s = "foobar"; gsub(/o/, "0", s); print s; print match("xxabc", /a(b)(c)/, m), m[1], m[2]; print gensub(/(.)(.)/, "\\2\\1", "g", "abcd"); print strftime("%Y", 0, 1); print systime() > 0 }'
gawk 'function f(n) { return n < 2 ? n : f(n - 1) + f(n - 2) } BEGIN { print f(20); while (("echo a; echo b" | getline l) > 0) print "got", l; print "to sort" | "sort"; close("sort"); srand(1); x = rand(); print (x >= 0 && x < 1); print 2 ^ 53, 1e300 * 1e10, -log(0), int(-3.7), 1 / 3 }'
gawk 'NR % 10 == 0 { print > "ten" } END { close("ten"); while ((getline l < "ten") > 0) print l; print asort(z), ENVIRON["HOME"], ARGC }' n.bak; gawk -v OFS=- '{ $1 = $1 } NR < 3' h n; gawk 'BEGIN { RS = "" } { print NF }' h; gawk 'BEGIN { exit 3 }'; echo $?; gawk --bignum 'BEGIN { print 2 ^ 100 }'; seq 100000 | gawk '{ h[$1 % 100] += $1 } END { print h[42] }'
diff -u n n.bak | tail -n +3 | head -n 8; diff -q n n.bak; diff -y -W 20 h h; diff -r . . && echo same; cmp n n.bak; cmp -l n n.bak | head -n 2; diff3 n n.bak n | head -n 3; sdiff -s -w 30 n n.bak | head -n 2; diff -e h n | tail -n 1; diff --color=never -c h old | tail -n 3 | cut -c1-20
