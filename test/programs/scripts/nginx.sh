# nginx with two workers: files, ranges, conditions, proxy_pass, rewrite, gzip, TLS, reload, reopen, quit; curl and python as clients.
mkdir -p /tmp/n/www/dir /tmp/n/logs; cd /tmp/n
echo '<h1>index</h1>' > www/index.html; seq 100000 > www/big.txt; head -c 20000000 /dev/zero | tr '\0' 'z' > www/huge.bin; echo private > www/private.txt; chmod 600 www/private.txt; echo 'p { }' > www/s.css; echo sub > www/dir/a.txt; touch -d '2020-01-02 03:04:05 UTC' www/*.* www/dir/*; : > www/empty
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 30 2> /dev/null
conf() { cat > nginx.conf <<CONF
worker_processes 2; pid /tmp/n/pid; error_log /tmp/n/logs/error.log notice; user www-data;
events { worker_connections 128; $2 }
http {
  include /etc/nginx/mime.types; default_type application/octet-stream; access_log /tmp/n/logs/access.log; sendfile on; tcp_nopush on; keepalive_timeout 5; server_tokens off; etag on;
  gzip on; gzip_min_length 100; gzip_types text/plain;
  client_body_temp_path /tmp/n/body; proxy_temp_path /tmp/n/proxy; client_max_body_size 30m;
  proxy_cache_path /tmp/n/cache keys_zone=c:1m; limit_req_zone \$binary_remote_addr zone=l:1m rate=1r/s;
  upstream back { server 127.0.0.1:8082; server 127.0.0.1:8083 backup; keepalive 4; }
  server { listen 8081 reuseport; listen [::1]:8081; listen 8443 ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem; root /tmp/n/www; index index.html;
    location /version { return 200 "$1\n"; } location /old { return 301 /index.html; } location /rw/ { rewrite ^/rw/(.*)\$ /\$1 break; }
    location /proxy/ { proxy_pass http://back/; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header X-Real \$remote_addr; }
    location /py/ { proxy_pass http://127.0.0.1:8084/; } location /unix/ { proxy_pass http://unix:/tmp/n/sock:/; } location /dead/ { proxy_pass http://127.0.0.1:1/; }
    location /cached/ { proxy_pass http://back/; proxy_cache c; proxy_cache_valid 200 1m; add_header X-Cache \$upstream_cache_status; }
    location /list/ { alias /tmp/n/www/dir/; autoindex on; autoindex_format json; } location /auth { auth_basic r; auth_basic_user_file htpasswd; } location /limit { limit_req zone=l; return 200 limited; }
    location /slow { limit_rate 200k; alias /tmp/n/www/big.txt; } location /dio { aio threads; directio 4k; alias /tmp/n/www/big.txt; } error_page 404 /missing.html; location = /missing.html { return 404 "not here\n"; } location /only { limit_except GET { deny all; } return 200 only; } }
  server { listen 8082; listen unix:/tmp/n/sock; root /tmp/n/www; location /echo { return 200 "\$request_method \$http_x_real \$content_length\n"; } location / { try_files \$uri \$uri/ =404; } }
}
CONF
}
conf one; echo "u:$(openssl passwd -apr1 -salt abcd pw)" > htpasswd; nginx -V 2>&1 | head -n 1; nginx -t -q -c /tmp/n/nginx.conf; echo "test $?"
nginx -c /tmp/n/nginx.conf -g 'daemon off;' & main=$!; i=0; until curl -so /dev/null localhost:8081/; do i=$((i + 1)); [ $i -lt 300 ] || { cat logs/error.log; break; }; sleep 0.05; done
python3 -m http.server 8084 --bind 127.0.0.1 --directory www > /dev/null 2>&1 & py=$!; i=0; until curl -so /dev/null localhost:8084/; do i=$((i + 1)); [ $i -lt 300 ] || break; sleep 0.05; done
U=http://127.0.0.1:8081; get() { curl -s -w '%{http_code} %{size_download} %{content_type}\n' -o out "$@"; }; hdr() { tr -d '\r' | grep -viE '^(date|connection|etag|keep-alive|server):' | sort; }
workers() { n=0; for p in /proc/[0-9]*; do if { tr '\0' ' ' < $p/cmdline; } 2> /dev/null | grep -q '^nginx: worker process *$'; then n=$((n + 1)); fi; done; echo "workers $n"; }
workers; cat pid | grep -c "^$main$"
echo "== files"; get $U/; cat out; get $U/big.txt; sha256sum < out; get $U/huge.bin; sha256sum < out; get $U/private.txt; get $U/nosuch; cat out; get $U/dir; get $U/dir/; get $U/empty; get $U/s.css; get $U/../../etc/passwd --path-as-is; get http://localhost:8081/; get -6 'http://[::1]:8081/'; get -X DELETE $U/; get -I $U/big.txt; curl -sI $U/big.txt | hdr; get $U/only; get -X PUT -d x $U/only; get -k https://localhost:8443/; get $U/dio; sha256sum < out
echo "== ranges"; curl -s -r 0-9 $U/big.txt | od -c | head -n 2; curl -s -r -5 $U/big.txt; get -r 588880- $U/big.txt; get -r 999999999- $U/big.txt; curl -s -r 0-1,10-11 $U/big.txt | tr -d '\r' | grep -vE '^--|^$' ; get -H 'If-Modified-Since: Thu, 02 Jan 2020 03:04:05 GMT' $U/index.html; get -H "If-None-Match: $(curl -sI $U/index.html | tr -d '\r' | sed -n 's/^ETag: //p')" $U/index.html; get -H 'If-Range: "x"' -r 0-3 $U/index.html; curl -s -H 'Accept-Encoding: gzip' $U/big.txt | gzip -dc | sha256sum; curl -s --compressed -D - -o /dev/null $U/big.txt | hdr
echo "== rewrite"; get $U/old; get -L $U/old; cat out; get $U/rw/dir/a.txt; cat out; get $U/auth; get -u u:pw $U/auth; get -u u:no $U/auth; get $U/list/; cat out; get $U/limit; get $U/limit
echo "== proxy"; get $U/proxy/index.html; cat out; get $U/proxy/echo; cat out; get -d @www/big.txt $U/proxy/echo; cat out; get $U/proxy/huge.bin; sha256sum < out; get $U/py/big.txt; sha256sum < out; get $U/unix/echo; cat out; get $U/dead/; get $U/cached/big.txt; curl -sI $U/cached/big.txt | hdr | grep X-Cache; get -T www/huge.bin $U/proxy/echo; cat out; get --expect100-timeout 5 -H 'Expect: 100-continue' -d x $U/proxy/echo; cat out; (for i in 1 2 3 4 5 6 7 8; do curl -s $U/proxy/big.txt | sha256sum & done; wait) | sort | uniq -c | sed 's/^ *//'; curl -s --parallel --parallel-max 20 "$U/version?[1-200]" 2> /dev/null | sort | uniq -c | sed 's/^ *//'; python3 - <<'PY'
import http.client, socket, ssl, concurrent.futures as f
c = http.client.HTTPConnection("127.0.0.1", 8081)
for p in ("/", "/big.txt", "/nosuch"): c.request("GET", p); r = c.getresponse(); print(r.status, len(r.read()), r.getheader("Connection"))
s = socket.create_connection(("127.0.0.1", 8081)); s.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n" * 3); s.shutdown(socket.SHUT_WR); d = b""
while b := s.recv(4096): d += b
print(d.count(b"one\n")); s = socket.create_connection(("127.0.0.1", 8081)); s.sendall(b"BAD\r\n\r\n"); print(s.recv(100).split(b"\r\n")[0])
def one(i): c = http.client.HTTPConnection("127.0.0.1", 8081); c.request("GET", "/dir/a.txt"); return c.getresponse().read()
with f.ThreadPoolExecutor(8) as e: print(set(e.map(one, range(100))))
x = ssl.create_default_context(cafile="/tmp/n/cert.pem"); c = http.client.HTTPSConnection("localhost", 8443, context=x); c.request("GET", "/"); print(c.getresponse().read(), c.sock.version())
PY
echo "== slow"; get $U/slow; sha256sum < out
echo "== reload"; (get $U/slow; sha256sum < out) > slow.out & c=$!; sleep 0.3; conf two; kill -HUP $main; i=0; until [ "$(curl -s $U/version)" = two ]; do i=$((i + 1)); [ $i -lt 300 ] || break; sleep 0.05; done; curl -s $U/version; wait $c; cat slow.out; i=0; until [ "$(workers)" = "workers 2" ]; do i=$((i + 1)); [ $i -lt 200 ] || break; sleep 0.05; done; workers; mv logs/access.log logs/old.log; kill -USR1 $main; i=0; until [ -e logs/access.log ]; do sleep 0.05; done; sleep 0.2; get $U/version; i=0; until [ -s logs/access.log ]; do i=$((i + 1)); [ $i -lt 100 ] || break; sleep 0.05; done; wc -l < logs/access.log; cut -d' ' -f6-10 logs/access.log
echo 'bad;' > nginx.conf; kill -HUP $main; sleep 0.5; curl -s $U/version; nginx -t -c /tmp/n/nginx.conf 2>&1 | sed "s/^.*\[emerg\] [0-9#]*: //"
echo "== a worker dies"; conf three 'use epoll; multi_accept on;'; kill -HUP $main; i=0; until [ "$(curl -s $U/version)" = three ]; do i=$((i + 1)); [ $i -lt 300 ] || break; sleep 0.05; done; i=0; until [ "$(workers)" = "workers 2" ]; do i=$((i + 1)); [ $i -lt 200 ] || break; sleep 0.05; done; for p in /proc/[0-9]*; do if { tr '\0' ' ' < $p/cmdline; } 2> /dev/null | grep -q '^nginx: worker process *$'; then kill -KILL ${p#/proc/}; break; fi; done; i=0; until grep -q 'exited on signal 9' logs/error.log && [ "$(workers)" = "workers 2" ]; do i=$((i + 1)); [ $i -lt 200 ] || break; sleep 0.05; done; workers; get $U/
echo "== quit"; kill -QUIT $main; wait $main; echo "ended $?"; [ -e pid ] && echo pid is left; get $U/; kill $py; wait $py 2> /dev/null; echo $?; sed 's/.*\[\([a-z]*\)\].*: /\1 /; s/process [0-9]* exited/process exited/' logs/error.log | grep -E '^(alert|crit|emerg)'
