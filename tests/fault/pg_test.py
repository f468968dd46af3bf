#!/usr/bin/python3
"""The Postgres binding against too much, against servers that are not who they
should be, and what of its passwords is seen. OPSH_ROWS=10000000 for so many rows
(10^6). Owns what http_rig.py and pg_rig.py own, and a server that lies.
"""

import os
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
import http_rig as rig  # noqa: E402  (the tree stays free of __pycache__)
import pg_rig as pg  # noqa: E402
from http_rig import LATE, MIB, Opsh, in_time, is_, match, run, test  # noqa: E402

ROWS = int(os.environ.get("OPSH_ROWS", "1000000"))
SAID = 64 << 10         # bytes that are kept of what a server says beside rows


# --- too much -----------------------------------------------------------------

def one(code, url=None, **how):
    done = run(code, targets=["db=" + (url or pg.direct())], **how)
    assert "it" in done.said, (done.code, done.out[-2000:], done.err[-2000:])
    return done.said["it"]


def journal_size():
    return sum(len(str(r)) for r in rig.journals())


@test
def notices_without_end():
    base = pg.peak_base(pg.direct())
    r = one("""
        local r = db:exec [[do $$ begin for i in 1..100000 loop
          raise notice '%', repeat('x', 1000); end loop; end $$]]
        local size = 0
        for _, n in ipairs(r.notices) do size = size + #n end
        probe("it", function() return #r.notices .. " " .. size .. " "
          .. r.notices[#r.notices] end)""")
    count, size, last = r["value"].split(" ", 2)
    match(r"^\(99\d\d\d more are not kept\)$", last)
    assert int(size) <= SAID + 100, r
    assert r["peak"] < base + 16 * MIB, (base, r)
    assert journal_size() < 2 * SAID
    # between the rows, and from a statement that then fails
    r = one("""probe("it", db.exec, db, [[do $$ begin for i in 1..20000 loop
        raise warning '%', repeat('x', 1000); end loop;
        raise exception 'enough'; end $$]])""")
    is_((r["kind"], r["code"], r["outcome"]), ("server", "P0001", "failed"), r)
    assert r["peak"] < base + 16 * MIB, (base, r)


@test
def errors_of_a_size():
    base = pg.peak_base(pg.direct())
    for mib in (1, 20):
        done = run("""
            probe("it", db.exec, db, [[do $$ begin raise exception '%%',
              repeat('x', %d << 20); end $$]])
            db:exec [[do $$ begin raise exception 'again %%', repeat('y',
              %d << 20) using detail = repeat('z', 1 << 20); end $$]]""" % (
                  mib, mib), targets=["db=" + pg.direct()])
        r = done.said["it"]
        is_((r["kind"], r["code"], r["outcome"]), ("server", "P0001", "failed"))
        assert len(r["text"]) < SAID and len(done.err) < 2 * SAID, \
            (len(r["text"]), len(done.err))
        is_(done.code, 1)
        match("again yyyy", done.err)
        assert journal_size() < 4 * SAID
        print("    an error of %d MiB: base + %.1f MiB" % (
            mib, (r["peak"] - base) / MIB))
        assert r["peak"] < base + (5 * mib + 16) * MIB, (base, r)


@test
def rows_that_are_streamed():
    base = pg.peak_base(pg.direct())
    for name, sql, count, options in (
            ("1 GB", "select repeat('x', 1000) as x from "
             "generate_series(1, 1000000)", 1000000, ""),
            ("10^%d rows" % (len(str(ROWS)) - 1), "select i, i * 2, 'a' || i, "
             "i %% 2 = 0, i / 3.0 from generate_series(1, %d) i" % ROWS, ROWS,
             ", { reuse = true }")):
        r = one("""probe("it", function() local n = 0
            for r in db:rows("%s"%s) do n = n + 1 end return n end)""" % (
                sql, options))
        is_(r.get("value"), count, r)
        print("    %s: %.1f s, base + %.1f MiB" % (
            name, r["took"], (r["peak"] - base) / MIB))
        assert r["peak"] <= base + 64 * MIB, (base, r)


@test
def rows_beyond_the_cap():
    base = pg.peak_base(pg.direct())
    many = "select repeat('x', 1000) from generate_series(1, 10000000)"
    for call, options, cap in (
            ("query", "", "67108864 bytes"),
            ("query", ", { max = 1000000 }", "1000000 bytes"),
            ("exec", ", { max = 1000000, class = 'write' }",
             "1000000 bytes")):
        r = one("""probe("it", db.%s, db, "%s"%s)
            assert(db:value "select 1" == 1)""" % (call, many, options))
        is_((r.get("kind"), r.get("outcome")), ("limit", "failed"), r)
        match(cap, r["text"])
        match(r"rows\(\) streams", r["hint"])
        assert r["peak"] < base + 2 * int(cap.split()[0]) // 1024 + 16 * MIB, r
        assert r["took"] < 10, r
    rig.until(lambda: pg.sql("select count(*) from pg_stat_activity where state "
                             "= 'active' and query like '%generate_series%' and "
                             "pid <> pg_backend_pid()") == "0", 3)


# --- a server that lies -----------------------------------------------------------

def message(kind, data):
    return kind + struct.pack("!I", len(data) + 4) + data


def fields(**f):
    return b"".join(k.encode() + v.encode() + b"\0" for k, v in f.items()) + \
        b"\0"


class Liar:
    """Lets anybody in, and answers the first words with `lie(socket)`."""

    def __init__(self, lie, early=False):
        self.lie, self.early = lie, early
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(sock,),
                             daemon=True).start()

    def talk(self, sock):
        try:
            sock.recv(65536)
            if not self.early:
                sock.sendall(
                    message(b"R", b"\0\0\0\0") +
                    message(b"S", b"server_version\0" + b"15.9\0") +
                    message(b"K", b"\0\0\0\1\0\0\0\2") + message(b"Z", b"I"))
                sock.recv(65536)
            self.lie(sock)
        except OSError:
            pass
        finally:
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def endless_notices(sock):
    piece = message(b"N", fields(S="NOTICE", V="NOTICE", C="00000",
                                 M="x" * 1000)) * 100
    while True:
        sock.sendall(piece)


def long_error(sock):
    body = fields(S="ERROR", V="ERROR", C="XX000", M="x" * (100 << 20))
    sock.sendall(message(b"E", body) + message(b"Z", b"I"))
    time.sleep(5)


def promise(kind, size):
    def lie(sock):
        sock.sendall(kind + struct.pack("!I", size) + b"x" * 1000)
        time.sleep(5)
    return lie


def garbage(sock):
    sock.sendall(bytes(range(256)) * 100)
    time.sleep(5)


@test
def a_server_that_lies():
    base = pg.peak_base(pg.direct())
    for name, lie, early, room in (
            ("endless notices", endless_notices, False, 16),
            ("endless notices at once", endless_notices, True, 16),
            ("an error of 100 MiB", long_error, False, 520),
            ("an error of 100 MiB at once", long_error, True, 16),
            ("a promise of 1 GB", promise(b"E", 1 << 30), False, 1040),
            ("a promise of 4 GB", promise(b"T", 0xfffffff0), False, 16),
            ("a promise of less than none", promise(b"Z", 2), False, 16),
            ("garbage", garbage, False, 16), ("garbage", garbage, True, 16)):
        with Liar(lie, early) as liar:
            r = one("""probe("it", db.value, db, "select 1")""",
                    "postgresql://u:p@127.0.0.1:%d/x?sslmode=disable&"
                    "connect_timeout=1" % liar.port)
        print("    %s: %.1f s, base + %.1f MiB: %s" % (
            name, r["took"], (r["peak"] - base) / MIB, r["text"][:100]))
        is_(r.get("outcome"), "failed", r)
        assert len(r["text"]) < SAID, len(r["text"])
        assert r["took"] < 1 + LATE + (3 if room > 16 else 0), (name, r["took"])
        assert r["peak"] < base + room * MIB, (name, base, r["peak"])


# --- TLS --------------------------------------------------------------------------

def serve(name):
    """The server shows that certificate from now on."""
    for kind in ("crt", "key"):
        with open(os.path.join(pg.env("POSTGRES_CERTIFICATES"),
                               "%s.%s" % (name, kind)), "rb") as f:
            data = f.read()
        with open(os.path.join(pg.env("POSTGRES_DATA"), "server." + kind),
                  "wb") as f:
            f.write(data)       # in place: it stays the server's own
    pg.sql("select pg_reload_conf()")
    time.sleep(0.3)


@test
def certificates():
    ca = pg.env("POSTGRES_TLS_CA")

    def ask(host="localhost", sslmode="verify-full", sslrootcert=ca):
        url = pg.at(pg.env("POSTGRES_PORT"), host=host, sslmode=sslmode,
                    sslrootcert=sslrootcert)
        return one('probe("it", db.value, db, "select 1")', url)

    def refused(r, *words):
        is_((r.get("kind"), r.get("outcome")), ("tls", "failed"), r)
        is_(r.get("phase"), "tls", r)
        for word in words:
            match(word, r["text"])

    assert ask().get("ok")
    assert ask(host="127.0.0.1").get("ok")
    refused(ask(sslrootcert=pg.env("POSTGRES_TLS_OTHER_CA")), "localhost",
            "verify failed")
    try:
        serve("expired")
        for mode in ("verify-full", "verify-ca"):
            r = ask(sslmode=mode)
            refused(r, "localhost", "verify failed")
            match("expired.*s_client -starttls postgres", r["hint"])
        serve("wronghost")
        refused(ask(), "localhost", "elsewhere.invalid")
        assert ask(sslmode="verify-ca").get("ok")
        serve("selfsigned")
        refused(ask(), "localhost", "self.signed|verify failed")
    finally:
        serve("good")
    assert ask().get("ok")
    # TLS was asked for, and is not there: nothing goes out unencrypted
    with Liar(lambda sock: sock.sendall(b"N"), early=True) as liar:
        for mode in ("require", "verify-full"):
            r = one('probe("it", db.value, db, "select 1")', pg.at(
                liar.port, host="localhost", sslmode=mode, sslrootcert=ca))
            refused(r, "localhost:%d" % liar.port, "SSL|TLS")
    # silent in the handshake
    with pg.proxy(mode="silent") as p:
        r = one('probe("it", db.value, db, "select 1")', pg.at(
            p.port, sslmode="require", connect_timeout="1"))
        is_((r.get("kind"), r.get("phase")), ("connect", "tls"), r)
        in_time(r, 1)
        match("127.0.0.1:%d.*1 s.*tls" % p.port, r["text"])


# --- passwords ---------------------------------------------------------------------

@test
def passwords_stay_inside():
    password = "zK9'x\\q/&p@S%41+=w"
    pg.sql("drop role if exists keeper; create role keeper login password "
           "E'zK9''x\\\\q/&p@S%41+=w'")
    path = os.path.join(rig.TMP, "secret")
    with open(path, "w") as f:
        f.write(password)
    said = os.path.join(rig.TMP, "said")
    os.mkdir(said)
    live = os.path.join(rig.ROOT, "tests/live/live.py")
    forms = subprocess.run([live, "forms"], input=password.encode(),
                           stdout=subprocess.PIPE).stdout
    with open(os.path.join(rig.TMP, "forms"), "wb") as f:
        f.write(forms)
    file = """local S = secret.file "%s"
        return { targets = {
          db = { kind = "postgres", user = "keeper", password = S,
            url = "postgresql://127.0.0.1:%s/flights" },
          wrong = { kind = "postgres", user = "ops", password = S,
            url = "postgresql://127.0.0.1:%s/flights" },
          gone = { kind = "postgres", user = "ops", password = S,
            url = "postgresql://127.0.0.1:%d/flights" } } }""" % (
        path, pg.env("POSTGRES_PORT"), pg.env("POSTGRES_PORT"),
        rig.free_port())
    state = os.path.join(said, "state")
    code = """local S = secret.file "%s"
        print(db:value("select $1::text", S)) show(db:identity())
        probe("one", db.value, db, "select 'x' || $1", S)
        probe("wrong", wrong.value, wrong, "select 1")
        probe("gone", gone.value, gone, "select 1")
        probe("bad", db.value, db, "select $1::int", S)
        probe("raise", db.exec, db, "do $$ begin raise exception 'no'; end $$")
        log.info("%%s", db) print(db)
        io.write "ready\\n" io.stdout:flush()
        io.read()
        error(db:value("select $1::text", S))""" % path
    for n, flags in enumerate(((), ("--output", "jsonl"))):
        child = Opsh(*flags, "-e", rig.PRELUDE + code, file=file,
                     stdin=subprocess.PIPE, XDG_STATE_HOME=state)
        child.until(b"ready")
        for name in ("cmdline", "environ"):
            with open("/proc/%d/%s" % (child.process.pid, name), "rb") as f:
                data = f.read()
            with open(os.path.join(said, "%s.%d" % (name, n)), "wb") as f:
                f.write(data)
        child.process.stdin.write(b"\n")
        child.end()
        is_(child.code, 1, child.err)
        if not flags:
            is_(child.said["wrong"].get("kind"), "auth", child.said)
            is_(child.said["gone"].get("kind"), "connect", child.said)
            is_(child.said["bad"].get("kind"), "server", child.said)
        for name, data in (("out", child.out), ("err", child.err.encode())):
            with open(os.path.join(said, "%s.%d" % (name, n)), "wb") as f:
                f.write(data)
    leaks = subprocess.run([live, "leaks", os.path.join(rig.TMP, "forms"),
                            said], stdout=subprocess.PIPE)
    is_(leaks.stdout.decode(), "")
    # the search finds what is there
    with open(os.path.join(said, "planted"), "w") as f:
        f.write(password)
    leaks = subprocess.run([live, "leaks", os.path.join(rig.TMP, "forms"),
                            said], stdout=subprocess.PIPE)
    match("planted", leaks.stdout.decode())


if __name__ == "__main__":
    sys.exit(pg.main())
