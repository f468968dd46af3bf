#!/usr/bin/python3
"""Tests of proxy.py and fake_redis.py, over plain sockets.

Owns the processes it starts; needs no Redis: the fake one stands in. Must not
test opsh. The last line is `N passed, N failed`.
"""

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.append(os.path.join(HERE, "../lib"))
import cases  # noqa: E402  (the tree stays free of __pycache__)
from cases import test  # noqa: E402
from tool import Tool  # noqa: E402

TMP = tempfile.mkdtemp(prefix="opsh-fault.")


def request(*words):
    out = b"*%d\r\n" % len(words)
    for word in words:
        word = word.encode()
        out += b"$%d\r\n%s\r\n" % (len(word), word)
    return out


class Client:
    def __init__(self, port, timeout=5.0):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.sock.settimeout(timeout)

    def send(self, *words):
        self.sock.sendall(request(*words))

    def ask(self, *words, size=None):
        self.send(*words)
        return self.get(size)

    def get(self, size=None):
        """One read, or exactly size bytes."""
        out = self.sock.recv(65536 if size is None else size)
        while size is not None and len(out) < size:
            more = self.sock.recv(size - len(out))
            if not more:
                break
            out += more
        return out

    def quiet(self, seconds=0.3):
        return not select.select([self.sock], [], [], seconds)[0]


def is_(got, wanted):
    assert got == wanted, "got %r, expected %r" % (got, wanted)


def raises(kind, fn, *args):
    try:
        got = fn(*args)
    except kind:
        return
    raise AssertionError("expected %s, got %r" % (kind.__name__, got))


class Pair:
    """A fake server with a proxy before it."""

    def __init__(self, *args, script=None):
        fake_args = []
        if script is not None:
            path = os.path.join(TMP, "script.json")
            with open(path, "w") as file:
                json.dump(script, file)
            fake_args = ["--script", path]
        self.fake = Tool("fake_redis.py", *fake_args)
        self.proxy = Tool("proxy.py", "--to",
                          "127.0.0.1:%d" % self.fake.port, *args)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proxy.__exit__()
        self.fake.__exit__()

    def client(self, timeout=5.0):
        return Client(self.proxy.port, timeout)

    def value(self, key):
        """As the server has it, past the proxy."""
        return Client(self.fake.port).ask("GET", key)


@test
def passes():
    with Pair() as pair:
        client = pair.client()
        is_(client.ask("PING"), b"+PONG\r\n")
        client.sock.sendall(request("SET", "k", "x" * 300000) +
                            request("PING"))
        is_(client.get(12), b"+OK\r\n+PONG\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        is_(client.get(), b"")
        stat = json.loads(pair.proxy.tell("stat"))
        is_((stat["requests"], stat["replies"]), (3, 3))


@test
def drops_reply():
    with Pair() as pair:
        is_(pair.proxy.tell("drop-reply match=^INCR times=0"), "ok")
        for count in range(1, 21):
            client = pair.client()
            is_(client.ask("PING"), b"+PONG\r\n")
            is_(client.ask("INCR", "n"), b"")
            is_(pair.proxy.line().split(" conn=")[0], "fired drop-reply")
            is_(pair.value("n"),
                b"$%d\r\n%d\r\n" % (len(str(count)), count))


@test
def drops_reply_in_pipeline():
    with Pair() as pair:
        pair.proxy.tell("drop-reply match=^INCR nth=2 keep=1")
        client = pair.client()
        client.sock.sendall(request("PING") + request("INCR", "n") +
                            request("INCR", "n") + request("PING"))
        is_(client.get(200), b"+PONG\r\n:1\r\n:")
        is_(pair.client().ask("INCR", "n"), b":3\r\n")


@test
def drops_reply_and_goes_on():
    with Pair() as pair:
        pair.proxy.tell("drop-reply match=^GET then=go")
        client = pair.client()
        client.sock.sendall(request("GET", "a") + request("PING"))
        is_(client.get(), b"+PONG\r\n")
        is_(client.ask("GET", "a"), b"$-1\r\n")


@test
def drops_request():
    with Pair() as pair:
        pair.proxy.tell("drop-request match=^INCR then=rst")
        client = pair.client()
        for byte in request("PING"):
            client.sock.sendall(bytes([byte]))
        is_(client.get(), b"+PONG\r\n")
        client.send("INCR", "n")
        raises(ConnectionResetError, client.get)
        is_(pair.value("n"), b"$-1\r\n")
        is_(pair.client().ask("INCR", "n"), b":1\r\n")


@test
def drop_freezes():
    with Pair() as pair:
        pair.proxy.tell("drop-reply match=^INCR then=freeze")
        client = pair.client()
        client.send("INCR", "n")
        is_(pair.proxy.line(), "fired drop-reply conn=1")
        client.send("PING")
        assert client.quiet()
        is_(pair.value("n"), b"$1\r\n1\r\n")
        pair.proxy.tell("pass")
        is_(client.get(), b"+PONG\r\n")


@test
def cuts():
    with Pair() as pair:
        pair.proxy.tell("cut side=server after=10")
        client = pair.client()
        is_(client.ask("PING", "0123456789", size=100), b"$10\r\n01234")
        pair.proxy.line()
        pair.proxy.tell("cut side=client after=20 how=rst")
        client = pair.client()
        raises(ConnectionResetError, client.ask, "SET", "key", "value")
        pair.proxy.line()
        pair.proxy.tell("pass")
        is_(pair.client().ask("GET", "key"), b"$-1\r\n")


@test
def freezes():
    with Pair() as pair:
        client = pair.client()
        is_(client.ask("PING"), b"+PONG\r\n")
        pair.proxy.tell("freeze")
        client.send("INCR", "n")
        late = pair.client()
        late.send("PING")
        assert client.quiet() and late.quiet(0.1)
        is_(pair.value("n"), b"$-1\r\n")
        pair.proxy.tell("pass")
        is_(client.get(), b":1\r\n")
        is_(late.get(), b"")


@test
def refuses_and_resets():
    with Pair() as pair:
        client = pair.client()
        is_(client.ask("PING"), b"+PONG\r\n")
        is_(pair.proxy.tell("rst"), "ok")
        raises(ConnectionResetError, client.get)
        client = pair.client()
        client.ask("PING")
        is_(pair.proxy.tell("close"), "ok")
        is_(client.get(), b"")
        pair.proxy.tell("refuse")
        raises(ConnectionResetError, lambda: pair.client().ask("PING"))
        pair.proxy.tell("silent")
        client = pair.client()
        client.send("PING")
        assert client.quiet()


@test
def blackholes():
    with Pair() as pair:
        is_(pair.proxy.tell("blackhole"), "ok")
        raises((TimeoutError, socket.timeout), pair.client, 1.0)
        pair.proxy.tell("pass")
        is_(pair.client().ask("PING"), b"+PONG\r\n")


@test
def delays_and_slows():
    with Pair() as pair:
        pair.proxy.tell("delay seconds=0.2")
        client = pair.client()
        start = time.monotonic()
        is_(client.ask("PING"), b"+PONG\r\n")
        took = time.monotonic() - start
        assert 0.4 <= took < 1.5, took
        pair.proxy.tell("slow bytes=20")
        start = time.monotonic()
        is_(client.ask("PING", size=7), b"+PONG\r\n")
        took = time.monotonic() - start
        assert 0.25 <= took < 2, took
        pair.proxy.tell("slow")
        is_(client.ask("PING"), b"+")


@test
def raw_protocol():
    with Pair("--proto", "raw") as pair:
        pair.proxy.tell("drop-reply match=COMMIT")
        client = pair.client()
        is_(client.ask("PING"), b"+PONG\r\n")
        is_(client.ask("PING", "COMMIT"), b"")


@test
def control_socket():
    path = os.path.join(TMP, "ctl")
    with Tool("fake_redis.py") as fake:
        proxy = subprocess.Popen(
            [os.path.join(HERE, "proxy.py"), "--to",
             "127.0.0.1:%d" % fake.port, "--mode", "silent",
             "--control", path], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE)
        port = int(proxy.stdout.readline())

        def tell(line):
            done = subprocess.run(
                [os.path.join(HERE, "proxy.py"), "--send", path, line],
                stdout=subprocess.PIPE)
            return done.returncode, done.stdout.decode().strip()

        client = Client(port)
        client.send("PING")
        assert client.quiet()
        is_(tell("pass"), (0, "ok"))
        is_(Client(port).ask("PING"), b"+PONG\r\n")
        is_(tell("dorp")[0], 1)
        is_(tell("quit"), (0, "ok"))
        is_(proxy.wait(5), 0)
        proxy.stdout.close()
        assert not os.path.exists(path)


@test
def bad_commands():
    with Pair() as pair:
        for command, part in (
                ("nonsense", "unknown command 'nonsense'"),
                ("cut side=server", "'cut' needs 'after='"),
                ("cut side=up after=1", "expected client or server"),
                ("cut side=server after=x", "invalid literal"),
                ("freeze now=1", "unknown option 'now=1'"),
                ("drop-reply match=(", "error: "),
                ("", "unknown command")):
            answer = pair.proxy.tell(command)
            assert answer.startswith("error: ") and part in answer, answer


@test
def fake_faults():
    with Tool("fake_redis.py") as fake:
        def ask(name, size=None):
            client = Client(fake.port, 20)
            return client.ask("GET", "fault:" + name, size=size)

        is_(ask("moved"), b"-MOVED 12182 127.0.0.1:7001\r\n")
        assert ask("ask").startswith(b"-ASK ")
        assert ask("loading").startswith(b"-LOADING ")
        assert ask("readonly").startswith(b"-READONLY ")
        assert ask("masterdown").startswith(b"-MASTERDOWN ")
        is_(ask("deep", 400004), b"*1\r\n" * 100000 + b":1\r\n")
        is_(ask("elements", 12), b"*4294967295\r")
        is_(ask("bulk", 12), b"$536870912\r\n")
        is_(len(ask("bulk", 2000000)), 2000000)
        assert ask("garbage").startswith(b"HTTP/1.1")
        is_(ask("chunked", 33),
            b"*3\r\n$5\r\nhello\r\n:42\r\n*2\r\n$-1\r\n+OK\r\n"[:33])
        is_(ask("chunked"), b"*")
        is_(ask("torn", 100), b"$11\r\nhello")
        is_(ask("close"), b"")
        client = Client(fake.port)
        client.send("GET", "fault:silent")
        assert client.quiet()
        raises(ConnectionResetError, ask, "reset", 100)
        is_(ask("moved"), b"-MOVED 12182 127.0.0.1:7001\r\n")


@test
def fake_script():
    rules = [
        {"match": "^GET once$", "reply": "+first\r\n", "times": 1},
        {"match": "^GET once$", "reply": {"base64": "K3NlY29uZA0K"}},
        {"match": "^GET many$",
         "reply": ["*2\r\n", {"repeat": ":7\r\n", "times": 2}],
         "close": True},
        {"match": "^PING", "wait": 0.2, "reply": "-LOADING x\r\n"}]
    log = os.path.join(TMP, "log")
    path = os.path.join(TMP, "s.json")
    with open(path, "w") as file:
        json.dump({"rules": rules, "user": "ops", "password": "pa ss",
                   "role": "slave", "run_id": "ab" * 20}, file)
    with Tool("fake_redis.py", "--script", path, "--log", log) as fake:
        client = Client(fake.port)
        is_(client.ask("GET", "once"), b"-NOAUTH Authentication required.\r\n")
        assert client.ask("AUTH", "pa ss").startswith(b"-WRONGPASS")
        assert client.ask("AUTH", "ops", "no").startswith(b"-WRONGPASS")
        is_(client.ask("AUTH", "ops", "pa ss"), b"+OK\r\n")
        is_(client.ask("GET", "once"), b"+first\r\n")
        is_(client.ask("GET", "once"), b"+second\r\n")
        is_(client.ask("GET", "once"), b"+second\r\n")
        start = time.monotonic()
        is_(client.ask("PING"), b"-LOADING x\r\n")
        assert time.monotonic() - start >= 0.2
        assert b"run_id:" + b"ab" * 20 in client.ask("INFO", "server")
        assert client.ask("ROLE").startswith(b"*5\r\n$5\r\nslave")
        is_(client.ask("GET", "many", size=12), b"*2\r\n:7\r\n:7\r\n")
        is_(client.get(), b"")
        other = Client(fake.port)
        assert other.ask("HELLO", "2", "AUTH", "ops", "pa ss")[:1] == b"*"
    with open(log) as file:
        lines = [json.loads(line) for line in file]
    is_(lines[0], {"conn": 1, "words": ["GET", "once"]})
    is_(lines[-1]["conn"], 2)


@test
def fake_refuses_bad_scripts():
    for spec, part in (([{"match": "x"}], "needs 'reply'"),
                       ([{"reply": 1}], "bad reply 1"),
                       ([{"repyl": "+"}], "unknown field 'repyl'"),
                       ({"paswd": "x"}, "unknown field 'paswd'")):
        path = os.path.join(TMP, "bad.json")
        with open(path, "w") as file:
            json.dump(spec, file)
        done = subprocess.run([os.path.join(HERE, "fake_redis.py"),
                               "--script", path], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == 2, (spec, done)
        assert part in done.stderr.decode(), done.stderr


def end():
    shutil.rmtree(TMP, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(cases.main(end=end))
