# python3: servers and clients of the standard library, processes that share, asyncio with signals, ssl with a certificate of its own.
mkdir -p /tmp/p; cd /tmp/p; export PYTHONDONTWRITEBYTECODE=1
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -days 30 2> /dev/null
cat > net.py <<'PY'
import array, contextlib, fcntl, http.client, http.server, json, os, select, selectors, signal, socket, socketserver, ssl, struct, sys, threading, time, urllib.request, xmlrpc.client, xmlrpc.server
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile: self.wfile.write(line.upper())
class S(socketserver.ThreadingTCPServer): allow_reuse_address = True; daemon_threads = True; request_queue_size = 64
with S(("127.0.0.1", 0), Echo) as s:
    threading.Thread(target=s.serve_forever, daemon=True).start(); out = []
    def client(i):
        with socket.create_connection(s.server_address) as c: c.sendall(b"line %d\n" % i * 3); c.shutdown(socket.SHUT_WR); out.append(b"".join(iter(lambda: c.recv(1000), b"")))
    ts = [threading.Thread(target=client, args=(i,)) for i in range(8)]; [t.start() for t in ts]; [t.join() for t in ts]; print(sorted(out)[0], len(out)); s.shutdown()
class F(socketserver.ForkingMixIn, socketserver.UnixStreamServer): pass
with F("/tmp/p/fork.sock", Echo) as s:
    t = threading.Thread(target=s.serve_forever); t.start(); c = socket.socket(socket.AF_UNIX); c.connect("/tmp/p/fork.sock"); c.sendall(b"forked\n"); print(c.recv(100)); c.shutdown(socket.SHUT_WR); c.close(); s.shutdown(); t.join()
class U(socketserver.BaseRequestHandler):
    def handle(self): self.request[1].sendto(self.request[0][::-1], self.client_address)
with socketserver.UDPServer(("127.0.0.1", 0), U) as s:
    threading.Thread(target=s.serve_forever, daemon=True).start(); c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); c.sendto(b"abc", s.server_address); print(c.recvfrom(100)[0]); s.shutdown()
class H(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_POST(self): b = self.rfile.read(int(self.headers["Content-Length"])); r = json.dumps(json.loads(b)).encode(); self.send_response(200); self.send_header("Content-Length", str(len(r))); self.end_headers(); self.wfile.write(r)
def serve(server): threading.Thread(target=server.serve_forever, daemon=True).start(); return server.server_address[1]
p = serve(http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)); c = http.client.HTTPConnection("127.0.0.1", p)
for i in range(3): c.request("POST", "/", json.dumps({"i": i, "l": [1, 2]})); print(c.getresponse().read())
c.request("GET", "/nosuch"); r = c.getresponse(); print(r.status, r.reason, len(r.read()) > 0); open("f.bin", "wb").write(b"z" * 3000000); print(len(urllib.request.urlopen(f"http://127.0.0.1:{p}/f.bin").read()))
hs = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H); sc = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); sc.load_cert_chain("cert.pem", "key.pem"); hs.socket = sc.wrap_socket(hs.socket, server_side=True); p = serve(hs); cc = ssl.create_default_context(cafile="cert.pem")
print(len(urllib.request.urlopen(f"https://localhost:{p}/f.bin", context=cc).read()))
for v in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    cc.maximum_version = v
    with cc.wrap_socket(socket.create_connection(("127.0.0.1", p)), server_hostname="localhost") as t: print(t.version(), t.cipher()[0], t.getpeercert()["subject"], t.getpeercert()["subjectAltName"])
try: urllib.request.urlopen(f"https://localhost:{p}/")
except urllib.error.URLError as e: print(e.reason.verify_message)
x = xmlrpc.server.SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False); x.register_function(pow); p = serve(x); print(xmlrpc.client.ServerProxy(f"http://127.0.0.1:{p}").pow(2, 10))
l = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True); print(l.getsockname()[0], [socket.create_connection((h, l.getsockname()[1])).getpeername()[0] for h in ("127.0.0.1", "::1")], l.accept()[1][0])
sel = selectors.DefaultSelector(); a, b = socket.socketpair(); sel.register(a, selectors.EVENT_READ, "a"); print(sel.select(0), type(sel).__name__); b.send(b"x"); print([(k.data, m) for k, m in sel.select(1)])
ep = select.epoll(); ep.register(a, select.EPOLLIN | select.EPOLLET); print(len(ep.poll(1)), len(ep.poll(0))); b.send(b"y"); print(len(ep.poll(1))); po = select.poll(); po.register(a, select.POLLIN | select.POLLOUT); print(po.poll(0)[0][1]); b.close(); print(a.recv(10), a.recv(10))
a, b = socket.socketpair(); r, w = os.pipe(); socket.send_fds(a, [b"fds"], [r, w]); m, fds, fl, _ = socket.recv_fds(b, 10, 5); os.write(fds[1], b"passed"); print(m, len(fds), os.read(r, 10)); b.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1); a.send(b"c"); m, anc, _, _ = b.recvmsg(10, 100); print(struct.unpack("3i", anc[0][2])[1:])
s = socket.socket(); s.settimeout(0.1); l = socket.create_server(("127.0.0.1", 0)); s.connect(l.getsockname())
try: s.recv(1)
except TimeoutError as e: print("timeout", e)
c, _ = l.accept(); c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); c.close()
try: s.recv(1)
except ConnectionResetError as e: print(e)
try: socket.create_connection(("127.0.0.1", 1))
except ConnectionRefusedError as e: print(e)
try: socket.create_server(l.getsockname())
except OSError as e: print(e.strerror.split(" (")[0])
l.setblocking(False)
try: l.accept()
except BlockingIOError as e: print(e)
o = [socket.SO_REUSEADDR, socket.SO_KEEPALIVE, socket.SO_TYPE, socket.SO_ERROR, socket.SO_ACCEPTCONN, socket.SO_DOMAIN, socket.SO_PROTOCOL]; print([l.getsockopt(socket.SOL_SOCKET, k) for k in o]); print(socket.getaddrinfo("localhost", 80, socket.AF_INET, socket.SOCK_STREAM), socket.gethostbyname("localhost"), socket.getservbyname("http") if os.path.exists("/etc/services") else 80, socket.if_nameindex(), socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, "::1")), socket.gethostname())
m = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); m.bind("\0abstract"); m.listen(); n = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); n.connect("\0abstract"); n.send(b"one"); n.send(b"two"); k, _ = m.accept(); print(k.recv(10), k.recv(10), n.getpeername())
f = open("f.bin", "rb"); a, b = socket.socketpair(); t = threading.Thread(target=lambda: (a.sendfile(f), a.close())); t.start(); n = 0
while d := b.recv(65536): n += len(d)
t.join(); print(n)
PY
python3 net.py 2>&1
cat > aio.py <<'PY'
import asyncio, os, signal, ssl, sys, time, functools
async def main():
    loop = asyncio.get_running_loop()
    async def echo(r, w):
        while d := await r.readline(): w.write(d.upper()); await w.drain()
        w.close(); await w.wait_closed()
    s = await asyncio.start_server(echo, "127.0.0.1", 0); port = s.sockets[0].getsockname()[1]
    async def client(i):
        r, w = await asyncio.open_connection("127.0.0.1", port); w.write(b"a%d\n" % i * 100); w.write_eof(); d = await r.read(); w.close(); return len(d), d[:3]
    print((await asyncio.gather(*(client(i) for i in range(50))))[7])
    sc = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); sc.load_cert_chain("cert.pem", "key.pem"); t = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=sc); r, w = await asyncio.open_connection("127.0.0.1", t.sockets[0].getsockname()[1], ssl=ssl.create_default_context(cafile="cert.pem"), server_hostname="localhost"); w.write(b"tls\n"); print(await r.readline()); w.close()
    got = asyncio.Event(); loop.add_signal_handler(signal.SIGUSR1, got.set); os.kill(os.getpid(), signal.SIGUSR1); await got.wait(); print("signal")
    p = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1); print(len((await p.communicate(b"x" * 1000000))[0]), p.returncode); p = await asyncio.create_subprocess_shell("sleep 10"); p.terminate(); print(await p.wait()); ps = [await asyncio.create_subprocess_shell(f"exit {i}") for i in range(5)]; print(await asyncio.gather(*(p.wait() for p in ps)))
    for t in (asyncio.timeout(0.05), asyncio.timeout(5)):
        try:
            async with t: await asyncio.sleep(0.2); print("in time")
        except TimeoutError: print("timeout")
    try:
        async with asyncio.TaskGroup() as g: g.create_task(asyncio.sleep(5)); g.create_task(asyncio.wait_for(asyncio.sleep(5), 0.01))
    except* TimeoutError as e: print(e.exceptions)
    t = asyncio.create_task(asyncio.sleep(5)); await asyncio.sleep(0); t.cancel()
    try: await t
    except asyncio.CancelledError: print("cancelled")
    sem = asyncio.Semaphore(2); n = 0; most = 0
    async def job():
        nonlocal n, most
        async with sem: n += 1; most = max(most, n); await asyncio.sleep(0.01); n -= 1
    await asyncio.gather(*(job() for _ in range(10))); print(most); print(await loop.run_in_executor(None, functools.partial(sum, range(1000)))); done, pending = await asyncio.wait([asyncio.create_task(asyncio.sleep(d)) for d in (0.01, 3)], return_when=asyncio.FIRST_COMPLETED); print(len(done), len(pending)); [x.cancel() for x in pending]
    class P(asyncio.DatagramProtocol):
        def connection_made(self, t): self.t = t
        def datagram_received(self, d, a): self.t.sendto(d * 2, a)
    class C(asyncio.DatagramProtocol):
        def datagram_received(self, d, a): answer.set_result(d)
    tr, _ = await loop.create_datagram_endpoint(P, ("127.0.0.1", 0)); answer = loop.create_future(); ct, _ = await loop.create_datagram_endpoint(C, remote_addr=tr.get_extra_info("sockname")); ct.sendto(b"dg"); print(await answer); tr.close(); ct.close(); r, w = os.pipe(); rd = asyncio.StreamReader(); await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(rd), os.fdopen(r)); os.write(w, b"pipe\n"); print(await rd.readline()); print(await asyncio.to_thread(time.sleep, 0.01), [x async for x in agen()])
    q = asyncio.Queue(3)
    async def produce():
        for i in range(10): await q.put(i)
        await q.put(None)
    asyncio.create_task(produce()); out = []
    while (v := await q.get()) is not None: out.append(v)
    print(out, (await loop.getaddrinfo("127.0.0.1", 80))[0][4])
async def agen():
    for i in range(3): await asyncio.sleep(0); yield i
asyncio.run(main()); print("closed")
PY
python3 aio.py 2>&1
cat > mp.py <<'PY'
import concurrent.futures as cf, ctypes, multiprocessing as mp, multiprocessing.shared_memory as sm, os, signal, subprocess, sys, threading, time
def add(v, l):
    for _ in range(200):
        with l: v.value += 1
def put(q, n): [q.put((n, i)) for i in range(3)]
def fill(name): s = sm.SharedMemory(name=name); s.buf[:5] = b"child"; s.close()
def work(d, l, k): d[k] = k * k; l.append(k)
def boom(): raise ValueError("in the child")
def cpu(n): return sum(i * i for i in range(n))
def wait(e, b, q): e.wait(); q.put(b.wait())
if __name__ == "__main__":
    v, l = mp.Value("i", 0), mp.Lock(); ps = [mp.Process(target=add, args=(v, l)) for _ in range(4)]; [p.start() for p in ps]; [p.join() for p in ps]; print(v.value, [p.exitcode for p in ps])
    q = mp.Queue(); ps = [mp.Process(target=put, args=(q, n)) for n in range(3)]; [p.start() for p in ps]; print(sorted(q.get() for _ in range(9))); [p.join() for p in ps]
    s = sm.SharedMemory(create=True, size=100); p = mp.Process(target=fill, args=(s.name,)); p.start(); p.join(); print(bytes(s.buf[:5])); s.close(); s.unlink(); a = mp.Array(ctypes.c_double, [1.5] * 4); print(a[:]); sl = sm.ShareableList([1, "two", 3.0]); print(list(sl)); sl.shm.close(); sl.shm.unlink()
    with mp.Manager() as m: d, li = m.dict(), m.list(); ps = [mp.Process(target=work, args=(d, li, k)) for k in range(4)]; [p.start() for p in ps]; [p.join() for p in ps]; print(sorted(d.items()), sorted(li)); ns = m.Namespace(); ns.x = 5; print(ns.x)
    with mp.Pool(3) as p: print(p.map(cpu, [1000] * 5), p.apply_async(cpu, (10,)).get(10), sorted(p.imap_unordered(abs, [-1, -2, -3])), p.starmap(pow, [(2, 3), (3, 2)]))
    with mp.Pool(2, maxtasksperchild=1) as p:
        try: p.apply(boom)
        except ValueError as e: print(e)
        try: p.apply_async(time.sleep, (5,)).get(0.1)
        except mp.TimeoutError: print("timeout")
    e, b, q = mp.Event(), mp.Barrier(3), mp.Queue(); ps = [mp.Process(target=wait, args=(e, b, q)) for _ in range(3)]; [p.start() for p in ps]; e.set(); print(sorted(q.get() for _ in range(3))); [p.join() for p in ps]; p = mp.Process(target=time.sleep, args=(10,)); p.start(); p.terminate(); p.join(); print(p.exitcode); p = mp.Process(target=os._exit, args=(9,)); p.start(); p.join(); print(p.exitcode)
    for m in ("spawn", "forkserver"):
        c = mp.get_context(m); q = c.SimpleQueue(); p = c.Process(target=put, args=(q, m)); p.start(); print([q.get() for _ in range(3)]); p.join(); print(p.exitcode)
    with cf.ProcessPoolExecutor(2) as x: print(list(x.map(cpu, [10, 20])), x.submit(pow, 2, 5).result()); f = x.submit(boom); print(repr(f.exception()))
    with cf.ProcessPoolExecutor(1) as x:
        try: x.submit(os._exit, 1).result()
        except cf.process.BrokenProcessPool as e: print(type(e).__name__)
    with cf.ThreadPoolExecutor(4) as x: fs = [x.submit(time.sleep, 0.01 * i) for i in range(4)]; print(len(list(cf.as_completed(fs))), cf.wait(fs).not_done); print(list(x.map(lambda i: i * 2, range(5))))
    r = subprocess.run(["sh", "-c", "cat; echo err >&2; exit 3"], input="in", capture_output=True, text=True); print(r.stdout, r.stderr, r.returncode); p1 = subprocess.Popen(["seq", "100000"], stdout=subprocess.PIPE); p2 = subprocess.Popen(["tail", "-n", "1"], stdin=p1.stdout, stdout=subprocess.PIPE); p1.stdout.close(); print(p2.communicate()[0]); p = subprocess.Popen(["sleep", "9"], start_new_session=True); print(os.getsid(p.pid) == p.pid); os.killpg(p.pid, signal.SIGKILL); print(p.wait()); print(subprocess.run("kill -SEGV $$", shell=True).returncode)
    try: subprocess.check_call(["false"])
    except subprocess.CalledProcessError as e: print(e)
    r, w = os.pipe(); print(subprocess.run(["bash", "-c", f"echo fd >&{w}"], pass_fds=[w]).returncode, os.read(r, 9)); print(subprocess.run(["sh", "-c", "pwd; umask"], cwd="/", umask=0o27, capture_output=True).stdout, subprocess.getoutput("echo out"))
PY
python3 mp.py 2>&1
