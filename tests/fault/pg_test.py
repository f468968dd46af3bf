#!/usr/bin/python3
"""Postgres under cuts and Ctrl-C. Connections that are cut anywhere, 200 times: what
opsh says became of each write is true against the table, and none is applied twice.
Ctrl-C in every phase of a call: exit 130 in time, and no backend goes on. A standby
that is promoted between two steps gets no write (exit 12). Owns its stack, its proxy
and the processes that it starts. Last line: N passed, N failed.
"""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
OPSH = os.environ.get("OPSH", os.path.join(ROOT, "build/test/opsh"))
STACK = os.path.join(ROOT, "examples/stack/stack")
CUTS = int(os.environ.get("OPSH_PG_CUTS", "200"))
TMP = tempfile.mkdtemp(prefix="opsh-pg.")
env = {}


# --- a proxy that cuts each connection after so many bytes ----------------------
class Cutter:
    def __init__(self, port, seed):
        self.to, self.random = port, random.Random(seed)
        self.cuts, self.whole = 0, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.to))
            # the greeting passes, most of the time
            left = [self.random.randrange(1900, 4200),
                    self.random.randrange(1500, 4200)]
            if self.random.random() < 0.1:
                left[self.random.randrange(2)] = self.random.randrange(1500)
            for n, (a, b) in enumerate(((client, server), (server, client))):
                threading.Thread(target=self.pump, args=(a, b, left, n),
                                 daemon=True).start()

    def pump(self, a, b, left, n):
        try:
            while True:
                data = a.recv(65536)
                if not data:
                    break
                if not self.whole:
                    left[n] -= len(data)
                    if left[n] <= 0:
                        self.cuts += 1
                        # what was allowed still arrives
                        b.sendall(data[:len(data) + left[n]])
                        break
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()


# --- servers and programs ---------------------------------------------------------
def up():
    folder = os.path.join(TMP, "stack")
    subprocess.run([STACK, "up", folder, "postgres", "postgres-ha"], check=True,
                   timeout=90, stdout=subprocess.DEVNULL)
    with open(os.path.join(folder, "env")) as file:
        env.update(re.findall(r"^(\w+)='(.*)'$", file.read(), re.M))


def psql(sql):
    done = subprocess.run(
        [env["OPSH_POSTGRES_BIN"] + "/psql", "-XAtqc", sql,
         env["OPSH_POSTGRES_SUPER_URL"]], stdout=subprocess.PIPE, timeout=20,
        check=True)
    return done.stdout.decode().split("\n")[:-1]


def url(port, more="sslmode=disable"):
    return re.sub("@[^/]*/", "@127.0.0.1:%d/" % port,
                  env["OPSH_POSTGRES_SUPER_URL"]) + "?" + more


class Opsh:
    def __init__(self, text, target):
        path = os.path.join(TMP, "script.lua")
        with open(path, "w") as file:
            file.write(text)
        self.child = subprocess.Popen(
            [OPSH, "--target", "db=" + target, "--approve", "db", "run", path],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ, XDG_STATE_HOME=os.path.join(TMP, "state")))

    def ready(self):
        line = self.child.stdout.readline()
        assert line == b"ready\n", (line, self.child.communicate(timeout=20))

    def end(self, seconds):
        try:
            out, err = self.child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            out, err = self.child.communicate()
            raise AssertionError("it did not end", out, err) from None
        return self.child.returncode, out.decode(), err.decode()


# --- tests ---------------------------------------------------------------------------
def cuts():
    psql("create table cuts(i int)")
    cutter = Cutter(int(env["OPSH_POSTGRES_PORT"]), 7)
    said = {}
    first = 1
    while cutter.cuts < CUTS:
        opsh = Opsh("""
            for i = %d, %d do
              local fine, e = pcall(db.exec, db, "insert into cuts values ($1)", i)
              print(i .. " " .. (fine and "done" or e.outcome or "?") .. " "
                .. (fine and "" or e.kind))
            end""" % (first, first + 99), url(cutter.port))
        code, out, err = opsh.end(120)
        assert code == 0, (code, out[-300:], err[-600:])
        for line in out.splitlines():
            i, outcome = line.split(" ")[:2]
            said[int(i)] = outcome
        first += 100
    there = {}
    for line in psql("select i, count(*) from cuts group by i"):
        i, n = line.split("|")
        there[int(i)] = int(n)
    words = list(said.values())
    print("    %d cuts, %d writes: %d done, %d failed, %d unknown" % (
        cutter.cuts, len(said), words.count("done"), words.count("failed"),
        words.count("unknown")))
    assert set(words) <= {"done", "failed", "unknown"}, set(words)
    assert words.count("failed") > 0 and words.count("done") > 0
    for i, outcome in said.items():
        n = there.get(i, 0)
        assert n <= 1, ("applied twice", i)
        assert outcome != "done" or n == 1, ("lost", i)
        assert outcome != "failed" or n == 0, ("applied", i)


def gone(marker):
    for _ in range(100):
        left = psql("select query from pg_stat_activity where query like '%%%s%%'"
                    " and state <> 'idle' and pid <> pg_backend_pid()" % marker)
        if not left:
            return
        time.sleep(0.02)
    raise AssertionError("a backend is left", left)


def interrupted(name, call, target=None, wait=0.3, limit=1.0):
    opsh = Opsh("""
        local x <close> = setmetatable({}, { __close = function()
          print "closed" end })
        local function W() print "ready" io.stdout:flush() end
        %s
        print "next" """ % call, target or url(int(env["OPSH_POSTGRES_PORT"])))
    opsh.ready()
    time.sleep(wait)
    began = time.monotonic()
    opsh.child.send_signal(signal.SIGINT)
    code, out, err = opsh.end(20)
    took = time.monotonic() - began
    print("    %s: %.0f ms" % (name, took * 1e3))
    assert code == 130, (name, code, out, err)
    assert out == "closed\n", (name, out, err)
    assert took < limit * (4 if "asan" in OPSH else 1), (name, took)
    gone("marked_" + name.replace(" ", "_"))


def interrupts():
    psql("create table locked(i int)")
    holder = subprocess.Popen(
        [env["OPSH_POSTGRES_BIN"] + "/psql", "-Xq",
         env["OPSH_POSTGRES_SUPER_URL"]], stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL)
    holder.stdin.write(b"begin; lock table locked; select 1;\n")
    holder.stdin.flush()
    try:
        for name, call in (
                ("query", "W() db:query 'select pg_sleep(60), 1 as marked_query'"),
                ("write", "W() db:exec 'insert into locked select 1 as "
                 "marked_write from pg_sleep(60)'"),
                ("lock", "W() db:exec 'insert into locked select 2 as "
                 "marked_lock'"),
                ("swallowed", "W() pcall(db.query, db, 'select pg_sleep(60), "
                 "1 as marked_swallowed')"),
                ("transaction", "db:transaction(function(tx) W() tx:query "
                 "'select pg_sleep(60), 1 as marked_transaction' end)"),
                ("rows", "W() for _ in db:rows 'select i as marked_rows from "
                 "generate_series(1, 1000000000) i' do end"),
                ("copy out", "W() db:copy_out('select i as marked_copy_out from "
                 "generate_series(1, 1000000000) i', { to = function() end })"),
                ("copy in", "W() db:transaction(function(tx) tx:exec "
                 "'create temp table marked_copy_in(i int)' "
                 "tx:copy_in('copy marked_copy_in from stdin', function() "
                 "return ('1\\n'):rep(100000) end) end)"),
                ("listen", "W() for _ in db:listen 'marked_listen' do end")):
            interrupted(name, call)
        silent = socket.create_server(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        interrupted("TLS", "W() db:query 'select 1'",
                    url(port, "sslmode=require"))
        interrupted("greeting", "W() db:query 'select 1'", url(port))
        full = socket.socket()
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        filler = [socket.socket() for _ in range(4)]
        for s in filler:
            s.setblocking(False)
            s.connect_ex(full.getsockname())
        interrupted("connect", "W() db:query 'select 1'",
                    url(full.getsockname()[1]))
        for s in filler + [full, silent]:
            s.close()
    finally:
        holder.stdin.close()
        holder.wait(20)


def promoted():
    """The standby becomes a primary between two steps: the next write is refused."""
    opsh = Opsh("""
        print "ready" io.stdout:flush()
        assert(db:identity().role == "standby")
        local e = select(2, pcall(db.exec, db, "create table never(i int)"))
        assert(e.kind == "refused", tostring(e))
        io.open("%s/seen", "w"):close()
        while not io.open "%s/promoted" do task.sleep(0.02) end
        assert(db:value "select 1" == 1)
        db:exec "create table never(i int)"
        """ % (TMP, TMP), env["OPSH_PG_STANDBY_SUPER_URL"])
    opsh.ready()
    for _ in range(500):
        if os.path.exists(os.path.join(TMP, "seen")):
            break
        time.sleep(0.02)
    subprocess.run([env["OPSH_POSTGRES_BIN"] + "/psql", "-XAtqc",
                    "select pg_promote(true, 30)",
                    env["OPSH_PG_STANDBY_SUPER_URL"]], check=True, timeout=40,
                   stdout=subprocess.DEVNULL)
    time.sleep(2.1)     # an identity counts as fresh for two seconds
    with open(os.path.join(TMP, "promoted"), "w"):
        pass
    code, out, err = opsh.end(20)
    assert code == 12, (code, out, err)
    assert "is not what it was" in err and "timeline=1" in err, err
    done = subprocess.run([env["OPSH_POSTGRES_BIN"] + "/psql", "-XAtqc",
                           "select to_regclass('never') is null",
                           env["OPSH_PG_STANDBY_SUPER_URL"]], timeout=20,
                          stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"t\n", done.stdout


def main():
    passed = failed = 0
    try:
        up()
        for test in (cuts, interrupts, promoted):
            try:
                test()
                passed += 1
            except Exception:
                failed += 1
                print("FAILED %s" % test.__name__)
                traceback.print_exc(file=sys.stdout)
    finally:
        subprocess.run([STACK, "down", os.path.join(TMP, "stack")],
                       stdout=subprocess.DEVNULL, check=False)
        shutil.rmtree(TMP, ignore_errors=True)
    print("%d passed, %d failed" % (passed, failed))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
