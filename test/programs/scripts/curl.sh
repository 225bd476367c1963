# curl against a server in python: methods, uploads, ranges, resume, redirects, cookies, https with an own CA; openssl's server and client.
mkdir -p /tmp/c; cd /tmp/c
cat > srv.py <<'PY'
import http.server, re, socketserver, sys, time, hashlib
DATA = b"".join(b"%d\n" % i for i in range(50000))
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def answer(self, code, body=b"", **h):
        self.send_response_only(code)
        for k, v in h.items(): self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(body))); self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)
    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            b = b""
            while n := int(self.rfile.readline(), 16): b += self.rfile.read(n); self.rfile.readline()
            self.rfile.readline(); return b
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))
    def do(self):
        b = self.body(); p = self.path
        if p == "/data":
            if m := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                lo, hi = int(m[1]), int(m[2] or len(DATA) - 1); self.answer(206, DATA[lo:hi + 1], Content_Range=f"bytes {lo}-{hi}/{len(DATA)}")
            else: self.answer(200, DATA, Accept_Ranges="bytes", Last_Modified="Thu, 02 Jan 2020 03:04:05 GMT")
        elif p.startswith("/redirect/"): n = int(p[10:]); self.answer(302, Location=f"/redirect/{n - 1}" if n else "/echo")
        elif p == "/cookie": self.answer(200, (self.headers.get("Cookie", "none") + "\n").encode(), Set_Cookie="a=1; Path=/")
        elif p == "/slow": time.sleep(3); self.answer(200)
        elif p == "/chunked":
            self.send_response_only(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            for i in range(5): self.wfile.write(b"6\r\nchunk%d\r\n" % i)
            self.wfile.write(b"0\r\n\r\n")
        elif p == "/401": self.answer(200 if self.headers.get("Authorization") == "Basic dTpw" else 401, WWW_Authenticate='Basic realm="r"')
        elif p == "/cut": self.send_response_only(200); self.send_header("Content-Length", "100"); self.end_headers(); self.wfile.write(b"short"); self.close_connection = True
        else: self.answer(200, f"{self.command} {p} {len(b)} {hashlib.md5(b).hexdigest()} {self.headers.get('Content-Type', '-').split(';')[0]} {self.headers.get('User-Agent')}\n".encode())
    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_PATCH = do_OPTIONS = do
class S(http.server.ThreadingHTTPServer): request_queue_size = 64
S(("127.0.0.1", 8090), H).serve_forever()
PY
python3 srv.py 2> /dev/null & srv=$!; U=http://127.0.0.1:8090; i=0; until curl -so /dev/null $U/; do i=$((i + 1)); [ $i -lt 300 ] || break; sleep 0.05; done
c() { curl -sS -A test "$@" 2>&1; echo "[$?]"; }
echo "== methods"; c $U/echo; c -X DELETE $U/x; c -d 'a=1&b=2' $U/form; c --data-urlencode 'x=a b&c' -G $U/q; c --json '{"a":1}' $U/json; c -F f=@srv.py -F n=v $U/multipart | sed 's/ [0-9]* [0-9a-f]\{32\} / /'; head -c 3000000 /dev/zero > zero; c -T zero $U/put; c -T - $U/chunkedput < zero; c -X PATCH --data-binary @zero $U/p; c -I $U/data | tr -d '\r'; c -X OPTIONS $U/; c -0 $U/http10; c -H 'X-A: b' -e http://ref/ $U/h
echo "== data"; curl -sS $U/data | sha256sum; c -r 0-9 $U/data; curl -sS -r 100-199 $U/data | wc -c; curl -sS -o part $U/data -r 0-99999; curl -sS -C - -o part $U/data; sha256sum < part; c -R -o dated $U/data; date -u -r dated +%F; c -z 'Thu, 02 Jan 2020 03:04:06 GMT' -o none $U/data; c $U/chunked; c -O --remote-name -J $U/data; ls -1 data; c -w '%{http_code} %{num_connects} %{url_effective} %{size_download}\n' -o /dev/null $U/data -o /dev/null $U/echo; curl -sS -Z --parallel-max 10 -o 'p#1' "$U/data?[1-20]" 2> /dev/null; ls p? p?? | wc -l; c --limit-rate 400k -o /dev/null $U/data
echo "== redirects"; c $U/redirect/3 -o /dev/null -w '%{http_code} %{redirect_url}\n'; c -L $U/redirect/5 -w '%{num_redirects}\n'; c -L --max-redirs 2 $U/redirect/5; c -L --post302 -d x $U/redirect/1
echo "== cookies"; c -c jar $U/cookie; c -b jar $U/cookie; tail -n 1 jar; c -b x=y $U/cookie
echo "== errors"; c -f $U/401; c -u u:p -w '%{http_code}\n' $U/401; c -m 0.3 $U/slow | sed 's/after [0-9]* mill/after N mill/'; c http://127.0.0.1:1/ | sed 's/after [0-9]* ms/after N ms/'; c http://nosuch.invalid/; c nosuch://x; c $U/cut; c --connect-to ::127.0.0.1:8090 http://example.com/x; c --resolve h:8090:127.0.0.1 http://h:8090/x; c -K - <<'E'
url = "http://127.0.0.1:8090/config"
user-agent = "conf"
E
c file:///etc/hostname -o /dev/null; c --retry 2 --retry-connrefused --retry-delay 0 http://127.0.0.1:1/ 2>&1 | grep -c Failed; c --unix-socket /tmp/c/none $U/ ; curl -sv $U/echo 2>&1 | grep -cE '^[<>*]'; c --interface 127.0.0.1 --local-port 40000-40010 $U/i; curl -V | head -n 1 | cut -d' ' -f1,2; kill $srv; wait $srv 2> /dev/null; echo $?
echo "== certificates"; openssl ecparam -name prime256v1 -genkey -noout -out ca.key; openssl req -x509 -new -key ca.key -subj '/O=Test/CN=Test CA' -days 30 -out ca.pem; openssl genrsa -out srv.key 2048 2> /dev/null; openssl req -new -key srv.key -subj /CN=localhost -out srv.csr; printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' > ext; openssl x509 -req -in srv.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 10 -extfile ext -out srv.pem 2>&1; openssl verify -CAfile ca.pem srv.pem; openssl verify srv.pem 2>&1; openssl x509 -in srv.pem -noout -subject -issuer -ext subjectAltName; openssl req -in srv.csr -noout -verify 2>&1; openssl rsa -in srv.key -check -noout; openssl genpkey -algorithm ed25519 -out ed.key; openssl req -x509 -new -key ed.key -subj /CN=ed -out ed.pem; openssl x509 -in ed.pem -noout -text | grep -E 'Signature Algorithm|Version'; openssl pkcs12 -export -in srv.pem -inkey srv.key -passout pass:x -out p12 && openssl pkcs12 -in p12 -passin pass:x -nokeys 2> /dev/null | grep -c BEGIN; openssl crl2pkcs7 -nocrl -certfile ca.pem | openssl pkcs7 -print_certs | head -n 1
echo "== https"; openssl s_server -accept 8443 -cert srv.pem -key srv.key -WWW -quiet > /dev/null 2>&1 & s=$!; i=0; until curl -sko /dev/null https://localhost:8443/ca.pem; do i=$((i + 1)); [ $i -lt 300 ] || break; sleep 0.05; done
curl -sS --cacert ca.pem https://localhost:8443/ca.pem | cmp - ca.pem && echo same; curl -sS --cacert ca.pem https://127.0.0.1:8443/zero | sha256sum; c https://localhost:8443/ca.pem | head -n 1; c --cacert ca.pem --resolve other:8443:127.0.0.1 https://other:8443/ca.pem | head -n 1; for v in 1.2 1.3; do curl -sS --cacert ca.pem --tlsv$v --tls-max $v https://localhost:8443/ext -o /dev/null -w '%{http_code} %{ssl_verify_result} %{http_version}\n'; done; kill $s; wait $s 2> /dev/null; echo $?
echo "== s_client"; openssl s_server -accept 8444 -cert srv.pem -key srv.key -CAfile ca.pem -Verify 1 -rev -quiet > /dev/null 2>&1 & s=$!; openssl req -new -key ed.key -subj /CN=client -out cl.csr; openssl x509 -req -in cl.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out cl.pem 2> /dev/null; sleep 1; for o in -tls1_3 -tls1_2 '-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256' '-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256' '-groups P-384' '-groups X25519'; do (echo hello; sleep 0.5) | openssl s_client -connect 127.0.0.1:8444 -CAfile ca.pem -cert cl.pem -key ed.key -verify_return_error -servername localhost -brief $o 2>&1 | grep -vE '^Peer finger|^Peer Temp|^DONE'; done; (echo x; sleep 0.3) | openssl s_client -connect 127.0.0.1:8444 -CAfile ca.pem -quiet 2>&1 | grep -o 'certificate required' | head -n 1; (sleep 0.3) | openssl s_client -connect 127.0.0.1:8444 -cert cl.pem -key ed.key -sess_out sess > /dev/null 2>&1; kill $s; wait $s 2> /dev/null; echo $?
echo "== speed"; openssl speed -seconds 1 -bytes 1024 sha256 aes-128-cbc 2> /dev/null | grep -cE '^(sha256|aes)'; openssl speed -seconds 1 -evp chacha20-poly1305 -bytes 1024 2> /dev/null | grep -c ChaCha; openssl speed -seconds 1 ecdsap256 rsa2048 2> /dev/null | grep -cE '^ *(rsa|256)'; openssl speed -seconds 1 -multi 2 -bytes 1024 sha1 2> /dev/null | grep -c '^sha1'; openssl dgst -sha256 zero; openssl enc -aes-256-gcm -k x < /dev/null 2>&1 | head -n 1; openssl enc -aes-128-ctr -K 00 -iv 00 -in zero 2> /dev/null | openssl dgst -sha1; openssl cms -sign -in ext -signer srv.pem -inkey srv.key -outform PEM -out cms 2>&1 && openssl cms -verify -in cms -inform PEM -CAfile ca.pem -purpose any 2>&1 | sed 's/^[0-9A-F]*:error/error/'; openssl dhparam -in /dev/null 2>&1 | head -n 1 | cut -c1-20; openssl kdf -keylen 16 -kdfopt digest:SHA256 -kdfopt key:k -kdfopt salt:s -kdfopt info:i HKDF; openssl kdf -keylen 16 -kdfopt pass:p -kdfopt salt:s -kdfopt n:1024 -kdfopt r:8 -kdfopt p:1 SCRYPT; openssl mac -macopt hexkey:00112233445566778899aabbccddeeff -cipher AES-128-CBC -in ext CMAC; openssl list -digest-commands | wc -l; openssl ciphers -s -tls1_3; openssl asn1parse -in ca.key | head -n 2; openssl passwd -6 -salt abc pw; openssl ts -query -data ext -sha256 -no_nonce -out /dev/null 2>&1; openssl rand 1000 | wc -c
