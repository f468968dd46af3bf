"""http_rig: what the tests of the HTTP binding under faults share: the lying
origin with certificates of its own, opsh with a deadline, a network where a
name or an address is silent. Owns every process, file and namespace that it
made; all are gone when main() ends. Must not know what is tested.
"""

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path.append(os.path.join(ROOT, "tests/lib"))
import cases  # noqa: E402  (the tree stays free of __pycache__)
from cases import test  # noqa: E402,F401  (for those who import this)

OPSH = os.environ.get("OPSH_TEST", os.path.join(ROOT, "build/test/opsh"))
TMP = tempfile.mkdtemp(prefix="opsh-http.")
CERTS = os.path.join(TMP, "certs")
SLOW = 4 if "asan" in OPSH else 1
SILENT = "10.213.77.2"      # in the namespace: nobody is there
STARTUP = 1.0               # seconds that a process may take beside its calls
MARK = "@@"                 # before a line of JSON that a script says
cleanups = []

# probe(NAME, f, ..): calls it and tells what became of that.
PRELUDE = """
local function peak()
  for line in io.lines "/proc/self/status" do
    local kb = line:match "^VmHWM:%s*(%d+)"
    if kb then return tonumber(kb) end
  end
end
local function say(r)
  r.peak = peak()
  io.stdout:write("@@" .. json.encode(r) .. "\\n")
end
local function probe(name, f, ...)
  local start = timer.now()
  local v, e = try(f, ...)
  local r = { name = name, took = timer.now() - start }
  if e then
    for _, k in ipairs { "kind", "code", "message", "phase", "outcome",
                         "target", "op", "hint" } do
      r[k] = e[k]
    end
    r.text = tostring(e)
  elseif type(v) == "table" or type(v) == "userdata" then
    r.status, r.length, r.ok = v.status, v.body and #v.body, true
  else
    r.ok, r.value = true, v
  end
  say(r)
  return v, e
end
"""


def until(what, seconds, about=""):
    """Waits for what() to be true; how long that took."""
    start = time.monotonic()
    while not what():
        assert time.monotonic() - start < seconds, (about, seconds)
        time.sleep(0.02)
    return time.monotonic() - start


class Origin:
    """http_server.py, told what to do through its stdin."""

    def __init__(self):
        self.process = subprocess.Popen(
            [os.path.join(HERE, "http_server.py"), "--certs", CERTS],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.buffer = b""
        self.port = int(self.line())
        self.url = "http://127.0.0.1:%d" % self.port

    def line(self, timeout=10):
        until = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            left = until - time.monotonic()
            if left < 0 or not select.select(
                    [self.process.stdout], [], [], left)[0]:
                raise TimeoutError("no line from http_server.py")
            data = os.read(self.process.stdout.fileno(), 1 << 20)
            if not data:
                raise AssertionError("http_server.py ended")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode()

    def tell(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        answer = self.line()
        assert not answer.startswith("error:"), (command, answer)
        return answer

    def listen(self, kind, *cert):
        return int(self.tell(" ".join(("listen", kind) + cert)))

    def stat(self):
        return json.loads(self.tell("stat"))

    def log(self):
        return json.loads(self.tell("log"))

    def reset(self):
        self.tell("reset")

    def until(self, name, count, timeout=10):
        """Waits until it has seen so many connections or requests."""
        end = time.monotonic() + timeout
        while self.stat()[name] < count:
            assert time.monotonic() < end, (name, self.stat())
            time.sleep(0.01)

    def release(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


# --- opsh -------------------------------------------------------------------

def environment(**more):
    """A bare one: nothing of the caller's changes what is seen."""
    keep = {k: os.environ[k] for k in (
        "PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS",
        "LSAN_OPTIONS") if k in os.environ}
    keep.update(HOME=TMP, TERM="dumb", LANG="C.UTF-8", CI="1",
                XDG_STATE_HOME=os.path.join(TMP, "state"))
    keep.update(more)
    return {k: v for k, v in keep.items() if v is not None}


class Opsh:
    """One opsh: `targets` are NAME=URL, `file` is the text of a targets file,
    `hole` the namespace it runs in."""

    def __init__(self, *args, targets=(), file=None, hole=None,
                 stdin=subprocess.DEVNULL, **env):
        argv = hole.enter() if hole else []
        argv += [OPSH]
        for target in targets:
            argv += ["--target", target]
        if file is not None:
            path = os.path.join(TMP, "opsh.lua")
            with open(path, "w") as f:
                f.write(file)
            argv += ["--targets", path]
        self.out = b""
        self.start = time.monotonic()
        self.process = subprocess.Popen(
            argv + list(args), cwd=TMP, stdin=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(**env))
        cleanups.append(self)

    def until(self, text, timeout=10 * SLOW):
        end = time.monotonic() + timeout
        while text not in self.out:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [],
                                              left)[0]:
                raise AssertionError("no %r in %r" % (text, self.out))
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, (self.out, self.process.stderr.read())
            self.out += data

    def signal(self, number=signal.SIGINT):
        self.start = time.monotonic()
        self.process.send_signal(number)

    def end(self, timeout=60):
        """Waits; sets code (as a shell tells it), out, err, took (since the
        start, or the signal) and said, what probe() and say() told."""
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            raise AssertionError("no end in %d s: %r %r" % (
                timeout, self.out + out, err)) from None
        self.took = time.monotonic() - self.start
        code = self.process.returncode
        self.code = code if code >= 0 else 128 - code
        self.out, self.err = self.out + out, err.decode("utf-8", "replace")
        self.said = {}
        for line in self.out.decode("utf-8", "replace").splitlines():
            if line.startswith(MARK):
                told = json.loads(line[len(MARK):])
                self.said[told.get("name", "")] = told
        cleanups.remove(self)
        return self

    def release(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def run(code, *args, timeout=60, **how):
    """opsh -e CODE with the prelude before it, to its end."""
    return Opsh(*args, "-e", PRELUDE + code, **how).end(timeout * SLOW)


def journals():
    """The records of the newest run."""
    runs = os.path.join(TMP, "state", "opsh", "runs")
    newest = max(n for n in os.listdir(runs)
                 if os.path.exists(os.path.join(runs, n, "journal.jsonl")))
    with open(os.path.join(runs, newest, "journal.jsonl"), "rb") as f:
        return [json.loads(line) for line in f if line.endswith(b"\n")]


# --- what is silent ---------------------------------------------------------

class Hole:
    """A network namespace in which packets to SILENT go nowhere, and the name
    server is SILENT. Needs root."""

    def __init__(self):
        self.name = "opsh-hole-%d" % os.getpid()
        self.folder = os.path.join("/etc/netns", self.name)
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        cleanups.append(self)
        for line in ("link set lo up",
                     "link add hole0 type veth peer name hole1",
                     "link set hole0 up", "link set hole1 up",
                     "addr add 10.213.77.1/24 dev hole0",
                     # an address nobody has: frames arrive, and are dropped
                     "neigh add %s lladdr 02:00:00:00:77:02 dev hole0"
                     % SILENT):
            subprocess.run(["ip", "-n", self.name] + line.split(), check=True)
        os.makedirs(self.folder)
        with open(os.path.join(self.folder, "resolv.conf"), "w") as f:
            f.write("nameserver %s\n" % SILENT)

    def enter(self):
        return ["ip", "netns", "exec", self.name]

    def release(self):
        subprocess.run(["ip", "netns", "del", self.name], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            os.rmdir("/etc/netns")      # only when it is empty
        except OSError:
            pass


# --- certificates -----------------------------------------------------------

CA_CNF = """[req]
distinguished_name = dn
[dn]
[v3_ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[ca]
default_ca = here
[here]
policy = any
database = ca.index
default_md = sha256
new_certs_dir = .
unique_subject = no
rand_serial = yes
[any]
commonName = supplied
"""
LOCAL = "DNS:localhost,IP:127.0.0.1"


def openssl(*words):
    done = subprocess.run(("openssl",) + words, cwd=CERTS,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, (words, done.stdout)


def sign(name, names, first, last):
    """NAME.crt by the CA, valid between these years."""
    with open(os.path.join(CERTS, name + ".ext"), "w") as f:
        f.write("subjectAltName = %s\n" % names)
    openssl("req", "-new", "-config", "ca.cnf", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", name + ".key",
            "-subj", "/CN=" + name, "-out", name + ".csr")
    openssl("ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", "ca.crt",
            "-keyfile", "ca.key", "-extfile", name + ".ext",
            "-startdate", "%d0101000000Z" % first,
            "-enddate", "%d0101000000Z" % last,
            "-in", name + ".csr", "-out", name + ".crt")


def certificates():
    """good, expired, wronghost by a CA (ca.crt), and selfsigned."""
    os.mkdir(CERTS)
    with open(os.path.join(CERTS, "ca.cnf"), "w") as f:
        f.write(CA_CNF)
    open(os.path.join(CERTS, "ca.index"), "w").close()
    make = ("req", "-x509", "-new", "-config", "ca.cnf", "-newkey", "ec",
            "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
            "30", "-sha256")
    openssl(*make, "-extensions", "v3_ca", "-keyout", "ca.key", "-subj",
            "/CN=opsh throwaway CA", "-out", "ca.crt")
    openssl(*make, "-addext", "subjectAltName=" + LOCAL, "-keyout",
            "selfsigned.key", "-subj", "/CN=selfsigned", "-out",
            "selfsigned.crt")
    year = time.gmtime().tm_year
    sign("good", LOCAL, year - 1, year + 2)
    sign("expired", LOCAL, year - 2, year - 1)
    sign("wronghost", "DNS:elsewhere.invalid", year - 1, year + 2)


# --- what most tests say ------------------------------------------------------

LATE = 0.25 * SLOW      # what an error may come after its deadline
MIB = 1024                  # in KiB, as /proc tells
ORIGIN = None


def origin():
    global ORIGIN
    if ORIGIN is None:
        ORIGIN = Origin()
        cleanups.append(ORIGIN)
    ORIGIN.reset()
    return ORIGIN


def at(port, scheme="http", host="127.0.0.1"):
    return "%s://%s:%d" % (scheme, host, port)


def web(o, code, *args, **how):
    """One opsh with the target web: the plain listener."""
    return run(code, *args, targets=["web=" + o.url], **how)


def probe(name, call, path, opts=""):
    return "probe(%s, web.%s, web, %s%s)\n" % (
        json.dumps(name), call, json.dumps(path), opts and ", " + opts)


def in_time(r, limit):
    assert limit - 0.05 <= r["took"] <= limit + LATE, r


def names(r, *words):
    for word in words:
        assert str(word) in r["text"], (word, r)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def base_peak(o):
    done = web(o, probe("base", "get", "/ok"))
    assert done.said["base"].get("ok"), done.said
    return done.said["base"]["peak"]


def effects(o, key):
    return o.stat()["effects"].get(key, 0)


# --- judging ----------------------------------------------------------------

def is_(got, wanted, *about):
    assert got == wanted, "got %r, expected %r %r" % (got, wanted, about)


def one_of(got, wanted, *about):
    assert got in wanted, "got %r, expected one of %r %r" % (got, wanted,
                                                              about)


def match(pattern, text, *about):
    assert re.search(pattern, text, re.S), "no %r in %r %r" % (pattern, text,
                                                               about)


def end():
    for thing in reversed(list(cleanups)):
        thing.release()
    shutil.rmtree(TMP, ignore_errors=True)


def main(component=None, variable=None, prepare=None):
    """With this component of the stack: it is started where its variable is missing."""
    if component and variable not in os.environ:
        stack = os.path.join(ROOT, "examples/stack/stack")
        os.execv(stack, [stack, "run", component, "--", sys.executable] + sys.argv)
    if prepare:
        prepare()
    return cases.main(before=certificates, end=end)
