#!/usr/bin/python3
"""Scripted Redis server: answers fixed bytes, right or wrong, to order.

Owns its listener and the connections to it. Must not grow into a Redis: what
a script does not answer, a handful of built-in commands do, so that a client
gets through its greeting.

    fake_redis.py [--listen HOST:PORT] [--script FILE] [--log FILE]
                  [--tls-cert FILE --tls-key FILE]

The first line on stdout is the port; it ends with SIGTERM or, when stdin is a
pipe, with its end. --log takes one JSON line a request: {"conn", "words"}.

FILE is JSON: a list of rules, or {"rules": [..], "user": U, "password": P,
"role": "master"|"slave", "run_id": HEX, "builtin": false}. The first rule that
matches a request answers it:

    match   regular expression, searched in the words joined by a space
    reply   text, or {"base64": ".."}, or {"repeat": REPLY, "times": N}, or a
            list of these, sent one after the other
    times   how often the rule answers (default: always)
    chunk   bytes a write, `delay` seconds between writes (default 0.001)
    wait    seconds before the reply
    close   true or "rst": afterwards
    silent  true: no reply at all

With a password every command before AUTH or HELLO .. AUTH is -NOAUTH.

Without any script a key names its fault, for every command:
    fault:moved ask loading readonly masterdown noauth busy oom   typed errors
    fault:deep       10^5 nested arrays     fault:elements  array of 2^32-1
    fault:bulk       header of a 512 MB bulk string, and the string on its way
    fault:negative   bulk of length -7      fault:huge      length beyond int64
    fault:garbage    no RESP at all         fault:endless   a line without end
    fault:chunked    a good reply, a byte a write
    fault:torn       half a reply, then EOF fault:reset     half a reply, RST
    fault:silent     no reply               fault:close     EOF at once
"""

import argparse
import base64
import json
import os
import re
import select
import signal
import socket
import ssl
import stat
import struct
import sys
import threading
import time

sys.dont_write_bytecode = True
from resp import Resp  # noqa: E402  (the tree stays free of __pycache__)

PIECE = 1 << 16
LETTERS = "abcdefghijklmnopqrstuvwxyz" * 2521
FAULTS = [
    ("moved", {"reply": "-MOVED 12182 127.0.0.1:7001\r\n"}),
    ("ask", {"reply": "-ASK 12182 127.0.0.1:7002\r\n"}),
    ("loading", {"reply": "-LOADING Redis is loading the dataset in memory"
                 "\r\n"}),
    ("readonly", {"reply": "-READONLY You can't write against a read only "
                  "replica.\r\n"}),
    ("masterdown", {"reply": "-MASTERDOWN Link with MASTER is down and "
                    "replica-serve-stale-data is set to 'no'.\r\n"}),
    ("noauth", {"reply": "-NOAUTH Authentication required.\r\n"}),
    ("busy", {"reply": "-BUSY Redis is busy running a script. You can only "
              "call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"}),
    ("oom", {"reply": "-OOM command not allowed when used memory > "
             "'maxmemory'.\r\n"}),
    ("deep", {"reply": [{"repeat": "*1\r\n", "times": 100000}, ":1\r\n"]}),
    ("elements", {"reply": ["*4294967295\r\n",
                            {"repeat": ":1\r\n", "times": 1000000}]}),
    ("bulk", {"reply": ["$536870912\r\n",
                        {"repeat": LETTERS, "times": 8192}, "\r\n"]}),
    ("negative", {"reply": "$-7\r\nabc\r\n"}),
    ("huge", {"reply": "$99999999999999999999\r\n"}),
    ("garbage", {"reply": "HTTP/1.1 400 Bad Request\r\n\r\n\x00\x01\x02"}),
    ("endless", {"reply": ["+", {"repeat": LETTERS, "times": 8192}]}),
    ("chunked", {"reply": "*3\r\n$5\r\nhello\r\n:42\r\n*2\r\n$-1\r\n+OK\r\n",
                 "chunk": 1}),
    ("torn", {"reply": "$11\r\nhello", "close": True}),
    ("reset", {"reply": "$11\r\nhello", "close": "rst"}),
    ("silent", {"silent": True}),
    ("close", {"reply": "", "close": True}),
]

# name, arity, flags, first key, last key, step, ACL categories
COMMANDS = [
    ("get", 2, "readonly fast", 1, 1, 1, "@read @string @fast"),
    ("mget", -2, "readonly fast", 1, -1, 1, "@read @string @fast"),
    ("set", -3, "write denyoom", 1, 1, 1, "@write @string @slow"),
    ("incr", 2, "write denyoom fast", 1, 1, 1, "@write @string @fast"),
    ("del", -2, "write", 1, -1, 1, "@keyspace @write @slow"),
    ("unlink", -2, "write fast", 1, -1, 1, "@keyspace @write @fast"),
    ("exists", -2, "readonly fast", 1, -1, 1, "@keyspace @read @fast"),
    ("ttl", 2, "readonly fast", 1, 1, 1, "@keyspace @read @fast"),
    ("scan", -2, "readonly", 0, 0, 0, "@keyspace @read @slow"),
    ("dbsize", 1, "readonly fast", 0, 0, 0, "@keyspace @read @fast"),
    ("flushall", -1, "write", 0, 0, 0, "@keyspace @write @slow @dangerous"),
    ("lrange", 4, "readonly", 1, 1, 1, "@read @list @slow"),
    ("eval", -3, "noscript movablekeys", 0, 0, 0, "@slow @scripting"),
    ("ping", -1, "fast", 0, 0, 0, "@fast @connection"),
    ("info", -1, "loading stale", 0, 0, 0, "@slow @dangerous"),
    ("role", 1, "noscript loading stale fast", 0, 0, 0,
     "@admin @fast @dangerous"),
    ("command", -1, "loading stale", 0, 0, 0, "@slow @connection"),
    ("auth", -2, "noscript loading stale fast no_auth", 0, 0, 0,
     "@fast @connection"),
    ("hello", -1, "noscript loading stale fast no_auth", 0, 0, 0,
     "@fast @connection"),
    ("select", 2, "loading stale fast", 0, 0, 0, "@fast @connection"),
    ("client", -2, "loading stale", 0, 0, 0, "@slow @connection"),
    ("config", -2, "admin noscript loading stale", 0, 0, 0,
     "@admin @slow @dangerous"),
    ("shutdown", -1, "admin noscript loading stale", 0, 0, 0,
     "@admin @slow @dangerous"),
    ("multi", 1, "noscript loading stale fast", 0, 0, 0,
     "@fast @transaction"),
    ("exec", 1, "noscript loading stale", 0, 0, 0, "@slow @transaction"),
]


def status(text):
    return b"+" + text.encode() + b"\r\n"


def bulk(text):
    data = text if isinstance(text, bytes) else \
        text.encode("utf-8", "surrogateescape")
    return b"$%d\r\n%s\r\n" % (len(data), data)


def array(items):
    return b"*%d\r\n" % len(items) + b"".join(items)


def integer(value):
    return b":%d\r\n" % value


def command_entry(entry):
    """The ten fields of COMMAND in Redis 7."""
    name, arity, flags, first, last, step, acl = entry
    return array([
        bulk(name), integer(arity),
        array([status(f) for f in flags.split()]),
        integer(first), integer(last), integer(step),
        array([status(c) for c in acl.split()]),
        array([]), array([]), array([])])


def pieces(reply):
    """Yields the bytes of a reply without building the large ones whole."""
    if isinstance(reply, str):
        yield reply.encode("latin-1" if reply.isascii() else "utf-8")
    elif isinstance(reply, list):
        for part in reply:
            yield from pieces(part)
    elif not isinstance(reply, dict):
        raise ValueError("bad reply %r: expected text, a list or an object"
                         % (reply,))
    elif "base64" in reply:
        yield base64.b64decode(reply["base64"], validate=True)
    elif "repeat" in reply:
        unit = b"".join(pieces(reply["repeat"]))
        batch = max(1, PIECE // max(1, len(unit)))
        left = reply["times"]
        while left > 0:
            yield unit * min(batch, left)
            left -= batch
    else:
        raise ValueError("bad reply %r: expected 'base64' or 'repeat'"
                         % (reply,))


class Rule:
    FIELDS = ("match", "reply", "times", "chunk", "delay", "wait", "close",
              "silent")

    def __init__(self, spec):
        unknown = set(spec) - set(self.FIELDS)
        if unknown:
            raise ValueError("unknown field '%s' of a rule: expected %s" % (
                sorted(unknown)[0], " ".join(self.FIELDS)))
        if "reply" not in spec and not spec.get("silent"):
            raise ValueError("a rule needs 'reply' or 'silent'")
        self.spec = spec
        self.match = re.compile(spec.get("match", "").encode(), re.S)
        self.left = spec.get("times", -1)
        next(pieces(spec.get("reply", "")), None)

    def takes(self, line):
        if self.left == 0 or not self.match.search(line):
            return False
        self.left -= 1
        return True


class Script:
    """What to answer; shared by all connections, hence the lock."""

    def __init__(self, spec):
        if isinstance(spec, list):
            spec = {"rules": spec}
        known = ("rules", "user", "password", "role", "run_id", "builtin")
        for name in spec:
            if name not in known:
                raise ValueError("unknown field '%s' of a script: expected %s"
                                 % (name, " ".join(known)))
        self.rules = [Rule(r) for r in spec.get("rules", [])]
        self.rules += [Rule(dict(how, match=r"(?:^|[ {])fault:%s\b" % name))
                       for name, how in FAULTS]
        self.user = spec.get("user", "default")
        self.password = spec.get("password")
        self.role = spec.get("role", "master")
        self.run_id = spec.get("run_id", "f" * 40)
        self.builtin = spec.get("builtin", True)
        self.lock = threading.Lock()
        self.data = {}

    def rule(self, line):
        with self.lock:
            return next((r for r in self.rules if r.takes(line)), None)

    def may(self, user, password):
        return user == self.user and password == (self.password or "")


class Builtin:
    """The commands a client needs to get going, and a few to play with."""

    def __init__(self, script, port):
        self.script, self.port = script, port
        self.authenticated = script.password is None

    def answer(self, words):
        name = words[0].lower()
        if name == "auth":
            return self.auth(*(["default"] + words[1:])[-2:])
        if name == "hello":
            return self.hello(words)
        if not self.authenticated:
            return b"-NOAUTH Authentication required.\r\n"
        if name in ("config", "eval", "scan", "lrange", "multi", "exec"):
            return b"-ERR '%s' is not in the script\r\n" % name.encode()
        method = getattr(self, "do_" + name, None)
        if method is None:
            return b"-ERR unknown command '%s'\r\n" % words[0].encode(
                "utf-8", "replace")
        with self.script.lock:
            try:
                return method(*words[1:])
            except TypeError:
                return b"-ERR wrong number of arguments for '%s' command" \
                    b"\r\n" % name.encode()

    def auth(self, user="", password=""):
        if self.script.password is None:
            return b"-ERR AUTH <password> called without any password " \
                b"configured for the default user.\r\n"
        if not self.script.may(user, password):
            return b"-WRONGPASS invalid username-password pair or user is " \
                b"disabled.\r\n"
        self.authenticated = True
        return status("OK")

    def hello(self, words):
        upper = [w.upper() for w in words]
        if "AUTH" in upper:
            at = upper.index("AUTH")
            answer = self.auth(*words[at + 1:at + 3])
            if answer[:1] == b"-":
                return answer
        if not self.authenticated:
            return b"-NOAUTH HELLO must be called with the client already " \
                b"authenticated.\r\n"
        if words[1:2] not in ([], ["2"]):
            return b"-NOPROTO unsupported protocol version\r\n"
        return array([bulk("server"), bulk("redis"), bulk("version"),
                      bulk("7.0.15"), bulk("proto"), integer(2),
                      bulk("role"), bulk(self.script.role)])

    def do_ping(self, text=None):
        return status("PONG") if text is None else bulk(text)

    def do_select(self, _number):
        return status("OK")

    def do_client(self, verb, *_rest):
        return integer(1) if verb.upper() == "ID" else status("OK")

    def do_info(self, *_sections):
        return bulk(
            "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n"
            "run_id:%s\r\ntcp_port:%d\r\nuptime_in_seconds:1\r\n"
            "# Replication\r\nrole:%s\r\nconnected_slaves:0\r\n"
            "# Keyspace\r\ndb0:keys=%d,expires=0,avg_ttl=0\r\n" % (
                self.script.run_id, self.port, self.script.role,
                len(self.script.data)))

    def do_role(self):
        if self.script.role == "master":
            return array([bulk("master"), integer(0), array([])])
        return array([bulk("slave"), bulk("127.0.0.1"), integer(7000),
                      bulk("connected"), integer(0)])

    def do_command(self, verb="", *names):
        verb = verb.upper()
        if verb == "COUNT":
            return integer(len(COMMANDS))
        if verb == "LIST":
            return array([bulk(c[0]) for c in COMMANDS])
        if verb == "INFO" and names:
            found = {c[0]: command_entry(c) for c in COMMANDS}
            return array([found.get(n.lower(), b"*-1\r\n") for n in names])
        if verb in ("", "INFO"):
            return array([command_entry(c) for c in COMMANDS])
        return b"-ERR unknown subcommand '%s'\r\n" % verb.encode()

    def do_get(self, key):
        value = self.script.data.get(key)
        return b"$-1\r\n" if value is None else bulk(value)

    def do_mget(self, *keys):
        return array([self.do_get(k) for k in keys])

    def do_set(self, key, value, *_options):
        self.script.data[key] = value
        return status("OK")

    def do_incr(self, key):
        try:
            value = int(self.script.data.get(key, "0")) + 1
        except ValueError:
            return b"-ERR value is not an integer or out of range\r\n"
        self.script.data[key] = str(value)
        return integer(value)

    def do_del(self, *keys):
        return integer(sum(
            self.script.data.pop(k, None) is not None for k in keys))

    do_unlink = do_del

    def do_exists(self, *keys):
        return integer(sum(k in self.script.data for k in keys))

    def do_ttl(self, key):
        return integer(-1 if key in self.script.data else -2)

    def do_dbsize(self):
        return integer(len(self.script.data))

    def do_flushall(self, *_options):
        self.script.data.clear()
        return status("OK")


class Gone(Exception):
    pass


class Session:
    def __init__(self, server, sock, number):
        self.server, self.sock, self.number = server, sock, number
        self.builtin = Builtin(server.script, server.port)

    def run(self):
        try:
            if self.server.tls:
                self.sock = self.server.tls.wrap_socket(
                    self.sock, server_side=True)
            framer = Resp()
            while True:
                data = self.sock.recv(PIECE)
                if not data:
                    break
                for _, words in framer.feed(data):
                    if words:
                        self.request(words)
        except (OSError, Gone):
            pass            # the client left, or a rule said so
        finally:
            self.sock.close()

    def request(self, words):
        text = [w.decode("utf-8", "surrogateescape") for w in words]
        self.server.record(self.number, text)
        if self.builtin.authenticated or \
                text[0].lower() in ("auth", "hello"):
            rule = self.server.script.rule(b" ".join(words))
            if rule:
                self.perform(rule.spec)
                return
        if self.server.script.builtin:
            self.sock.sendall(self.builtin.answer(text))
        else:
            self.sock.sendall(b"-ERR unknown command\r\n")

    def perform(self, spec):
        time.sleep(spec.get("wait", 0))
        if not spec.get("silent"):
            for piece in pieces(spec["reply"]):
                self.send(piece, spec.get("chunk"), spec.get("delay", 0.001))
        if spec.get("close") == "rst":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))
        if spec.get("close"):
            raise Gone

    def send(self, data, chunk, delay):
        if not chunk:
            self.sock.sendall(data)
            return
        for start in range(0, len(data), chunk):
            self.sock.sendall(data[start:start + chunk])
            time.sleep(delay)


class Server:
    def __init__(self, opts, script):
        self.script, self.tls = script, None
        if opts.tls_cert:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(opts.tls_cert, opts.tls_key)
        self.log = open(opts.log, "a", buffering=1) if opts.log else None
        host, _, port = opts.listen.rpartition(":")
        self.listener = socket.create_server((host, int(port)), backlog=128)
        self.port = self.listener.getsockname()[1]

    def record(self, number, words):
        if self.log:
            self.log.write(json.dumps({"conn": number, "words": words}) + "\n")

    def serve(self):
        number = 0
        sources = [self.listener]
        # only a pipe's end means that whoever started us has gone
        if stat.S_ISFIFO(os.fstat(0).st_mode):
            sources.append(sys.stdin.buffer.raw)
        while True:
            ready = select.select(sources, [], [])[0]
            if sources[-1] is not self.listener and sources[-1] in ready \
                    and not sources[-1].read(PIECE):
                return
            if self.listener in ready:
                sock, _ = self.listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                number += 1
                threading.Thread(target=Session(self, sock, number).run,
                                 daemon=True).start()


def main():
    args = argparse.ArgumentParser(description="scripted Redis server")
    args.add_argument("--listen", default="127.0.0.1:0")
    args.add_argument("--script", metavar="FILE")
    args.add_argument("--log", metavar="FILE")
    args.add_argument("--tls-cert", metavar="FILE")
    args.add_argument("--tls-key", metavar="FILE")
    opts = args.parse_args()
    spec = []
    try:
        if opts.script:
            with open(opts.script, encoding="utf-8") as file:
                spec = json.load(file)
        script = Script(spec)
    except (OSError, ValueError, re.error) as err:
        args.error("cannot use '%s': %s" % (opts.script, err))
    server = Server(opts, script)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(server.port, flush=True)
    try:
        server.serve()
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
