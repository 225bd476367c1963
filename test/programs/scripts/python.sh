# python3: threads, asyncio, subprocess, multiprocessing, sqlite3, ssl, json, re, http.server.
cd /tmp; export PYTHONDONTWRITEBYTECODE=1
cat > t.py <<'PY'
import sys, os, json, re, math, hashlib, struct, zlib, decimal, fractions, itertools, functools, collections, datetime, random, tempfile, textwrap, base64, csv, io, pickle, heapq, bisect, statistics, string, time, signal, subprocess, threading, queue, socket, select, sqlite3, ssl, asyncio, ctypes, mmap, shutil, glob, uuid, logging, argparse, configparser, xml.etree.ElementTree as ET, unicodedata, bz2, lzma, gzip, tarfile, zipfile, inspect, dataclasses, enum, typing, contextlib, traceback, operator, array, locale, platform, urllib.parse, html, email.message, concurrent.futures
print(sys.version_info[:2], sys.byteorder, sys.maxsize)
print(json.dumps({"a": [1, 2.5, None, True], "b": {"c": "ü\n"}}, sort_keys=True), json.loads('[1e3, "\\u00e4"]'))
print(re.findall(r"(\w+)@(\w+)\.com", "a@b.com, c@d.com"), re.sub(r"(?P<x>\d+)", lambda m: str(int(m["x"]) * 2), "a1b22"), re.split(r"[,;]\s*", "a, b;c"))
print(math.sqrt(2), math.pi, math.factorial(30), math.gcd(12, 18), 2 ** 200, 10 ** 20 // 7, -7 // 2, -7 % 3, round(2.5), 0.1 + 0.2, math.sin(1), math.exp(1), math.log(10), float("inf"), 1e-310)
print(hashlib.sha256(b"abc").hexdigest(), hashlib.md5(b"").hexdigest(), hashlib.blake2b(b"x", digest_size=8).hexdigest(), hashlib.sha3_256(b"").hexdigest()[:16], zlib.crc32(b"hello"))
print(struct.pack("<iHd", -1, 65535, 1.5).hex(), struct.unpack(">Q", b"\0" * 7 + b"\x05"), base64.b64encode(bytes(range(10))), zlib.decompress(zlib.compress(b"x" * 1000)) == b"x" * 1000)
decimal.getcontext().prec = 40; print(decimal.Decimal(1) / 7, fractions.Fraction(1, 3) + fractions.Fraction(1, 6), statistics.mean([1, 2, 4]), list(itertools.permutations("abc"))[3], functools.reduce(operator.mul, range(1, 10)))
random.seed(42); print(random.random(), random.sample(range(100), 5), [random.gauss(0, 1) for _ in range(2)])
print(datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc).isoformat(), (datetime.date(2024, 3, 1) - datetime.timedelta(days=1)), time.strftime("%Y", time.gmtime(0)))
@dataclasses.dataclass(order=True)
class P: x: int; y: int = 2
class C(enum.Enum): R = 1; G = 2
print(P(1), P(1) < P(2), C.G, C["R"].value, collections.Counter("abracadabra").most_common(2), collections.deque([1, 2, 3], maxlen=2), heapq.nsmallest(2, [5, 1, 4]), bisect.bisect([1, 3, 5], 4))
def gen(n):
    try:
        for i in range(n): yield i
    finally: print("closed")
g = gen(5); print(next(g), next(g)); g.close()
try: {}["x"]
except KeyError as e: print("KeyError", e, traceback.format_exc().splitlines()[-1])
try: int("x")
except ValueError as e: print(e)
match [1, {"k": (2, 3)}]:
    case [a, {"k": (b, c)}]: print(a, b, c)
with tempfile.TemporaryDirectory() as d:
    p = os.path.join(d, "f"); open(p, "w").write("äöü\nx\n"); print(open(p, encoding="utf-8").read().split(), os.path.getsize(p), os.listdir(d)); shutil.copy(p, p + "2"); os.symlink("f", p + "l"); print(sorted(os.path.basename(q) for q in glob.glob(d + "/*")), os.readlink(p + "l"))
    with open(p, "r+b") as f, mmap.mmap(f.fileno(), 0) as m: m[0:1] = b"Z"; print(m.find(b"x"), len(m))
    for mod in (gzip, bz2, lzma):
        with mod.open(p + ".z", "wb") as f: f.write(b"data" * 1000)
        print(mod.__name__, len(mod.open(p + ".z").read()))
    with zipfile.ZipFile(p + ".zip", "w", zipfile.ZIP_DEFLATED) as z: z.writestr("a/b", "x" * 5000)
    print(zipfile.ZipFile(p + ".zip").namelist())
print(subprocess.run(["sh", "-c", "echo out; echo err >&2; exit 3"], capture_output=True, text=True)); print(subprocess.check_output("cat", input=b"stdin"), subprocess.run("echo $A", shell=True, env={"A": "env"}, capture_output=True).stdout)
try: subprocess.run(["sleep", "5"], timeout=0.1)
except subprocess.TimeoutExpired as e: print("timeout", round(e.timeout, 1))
try: subprocess.run(["/nonexistent"])
except FileNotFoundError as e: print(e.errno, e.filename)
pr = subprocess.Popen(["sort"], stdin=subprocess.PIPE, stdout=subprocess.PIPE); print(pr.communicate(b"b\na\n"), pr.returncode)
n = 0; lock = threading.Lock(); q = queue.Queue()
def work(k):
    global n
    for _ in range(1000):
        with lock: n += 1
    q.put(k)
ts = [threading.Thread(target=work, args=(i,)) for i in range(8)]; [t.start() for t in ts]; [t.join() for t in ts]; print(n, sorted(q.queue)); ev = threading.Event(); threading.Timer(0.05, ev.set).start(); print(ev.wait(5), threading.active_count() <= 2)
with concurrent.futures.ThreadPoolExecutor(4) as ex: print(list(ex.map(lambda x: x * x, range(10))))
loc = threading.local(); loc.x = 1; b = threading.Barrier(3); r = []; [threading.Thread(target=lambda: r.append(b.wait())).start() for _ in range(2)]; b.wait(); time.sleep(0.05); print(len(r))
async def co(i): await asyncio.sleep(0.01 * (3 - i)); return i
async def main():
    print(await asyncio.gather(*(co(i) for i in range(3)))); p = await asyncio.create_subprocess_exec("echo", "sub", stdout=asyncio.subprocess.PIPE); print(await p.communicate())
    async def handle(rd, wr): wr.write((await rd.readline()).upper()); await wr.drain(); wr.close()
    s = await asyncio.start_server(handle, "127.0.0.1", 0); rd, wr = await asyncio.open_connection(*s.sockets[0].getsockname()); wr.write(b"hello tcp\n"); print(await rd.read()); wr.close(); s.close()
    s = await asyncio.start_unix_server(handle, "/tmp/sock"); rd, wr = await asyncio.open_unix_connection("/tmp/sock"); wr.write(b"hello unix\n"); print(await rd.read()); wr.close(); s.close()
    try: await asyncio.wait_for(asyncio.sleep(5), 0.05)
    except asyncio.TimeoutError: print("async timeout")
    qq = asyncio.Queue(); t = asyncio.create_task(qq.get()); await qq.put(7); print(await t); print(await asyncio.to_thread(lambda: "thread"))
asyncio.run(main())
db = sqlite3.connect("/tmp/t.db"); db.execute("create table t(a integer primary key, b text, c real)"); db.executemany("insert into t(b, c) values(?, ?)", ((f"row {i}", i / 3) for i in range(1000))); db.commit(); print(db.execute("select count(*), sum(c), max(b) from t where a % 7 = 0").fetchone(), db.execute("select b from t order by c desc limit 2").fetchall(), sqlite3.connect("/tmp/t.db").execute("pragma integrity_check").fetchone()); db.create_function("twice", 1, lambda x: x * 2); print(db.execute("select twice(21)").fetchone()); db.close()
c = ssl.create_default_context(); print(c.verify_mode, ssl.OPENSSL_VERSION.split()[0], len(c.get_ciphers()) > 5, ssl.RAND_bytes(4) != b"", hashlib.pbkdf2_hmac("sha256", b"p", b"s", 1000).hex()[:16])
def h(s, f): print("signal", s)
signal.signal(signal.SIGUSR1, h); os.kill(os.getpid(), signal.SIGUSR1); signal.signal(signal.SIGALRM, lambda s, f: (_ for _ in ()).throw(TimeoutError("alarm"))); signal.setitimer(signal.ITIMER_REAL, 0.05)
try: time.sleep(5)
except TimeoutError as e: print(e)
pid = os.fork()
if pid == 0: os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])); r, w = os.pipe(); os.write(w, b"pipe"); print(os.read(r, 10)); a, b = socket.socketpair(); a.send(b"pair"); print(select.select([b], [], [], 1)[0] == [b], b.recv(10)); ep = select.epoll(); ep.register(a, select.EPOLLOUT); print(len(ep.poll(1)))
libc = ctypes.CDLL(None); print(libc.abs(-5), libc.getpid() == os.getpid(), ctypes.sizeof(ctypes.c_long)); libm = ctypes.CDLL("libm.so.6"); libm.cos.restype = ctypes.c_double; libm.cos.argtypes = [ctypes.c_double]; print(libm.cos(1.0))
print(ET.fromstring("<a x='1'><b>t</b></a>").find("b").text, unicodedata.normalize("NFD", "ä").encode(), urllib.parse.quote("a b/ü"), html.escape("<&>"), pickle.loads(pickle.dumps({1: (2, [3])})), textwrap.fill("the quick brown fox", 10), array.array("d", [1, 2]).tobytes().hex()[:8], list(csv.reader(io.StringIO('a,"b,c"\n'))))
sys.setrecursionlimit(5000)
def deep(n): return 0 if n == 0 else 1 + deep(n - 1)
print(deep(4000)); print(sum(i * i for i in range(100000)), len({i % 1000 for i in range(50000)}), sorted([3, 1, 2], reverse=True), "".join(reversed("abc")), f"{3.14159:.2f} {255:#x} {1234567:,} {'x':>5}|{b'b'!r}")
print(os.uname().sysname, os.cpu_count() > 0, os.getcwd(), platform.machine(), locale.getpreferredencoding(False), sys.stdin.isatty(), os.path.exists("/proc/self/status"), uuid.uuid5(uuid.NAMESPACE_DNS, "x"))
PY
python3 t.py
cat > mp.py <<'PY'
import multiprocessing as mp
def sq(x): return x * x
def child(conn): conn.send(["from child", 42]); conn.close()
if __name__ == "__main__":
    for m in ("fork", "spawn"):
        mp.set_start_method(m, force=True)
        with mp.Pool(3) as p: print(m, p.map(sq, range(6)))
        a, b = mp.Pipe(); q = mp.Process(target=child, args=(b,)); q.start(); print(a.recv()); q.join(); print(q.exitcode)
    v = mp.Value("i", 0); l = mp.Lock(); print(v.value)
PY
python3 mp.py
python3 -m http.server 8123 --bind 127.0.0.1 --directory /etc > /dev/null 2>&1 & srv=$!
python3 -c '
import urllib.request, time
for i in range(100):
    try: print(len(urllib.request.urlopen("http://127.0.0.1:8123/passwd").read()) > 10); break
    except OSError: time.sleep(0.1)'
kill $srv; wait $srv 2> /dev/null; echo $?
python3 -c 'import sys; sys.exit(4)'; echo $?; python3 -c 'raise SystemExit("message")' ; python3 -c '1/0' 2>&1 | tail -n 1; echo 'print("stdin")' | python3 -; echo '{"b": 1}' | python3 -m json.tool; python3 -X importtime -c '' 2>/dev/null; python3 -c 'import pydoc, unittest, doctest, difflib; print("imported")'; python3 -m timeit -n 1 -r 1 pass | wc -l; python3 -m compileall -q /tmp/t.py; python3 -V
