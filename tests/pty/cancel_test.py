#!/usr/bin/python3
"""Signals in the middle of everything: SIGINT, SIGTERM and SIGHUP while opsh
waits, computes, unwinds, writes or talks to a server. Each time: the exit code,
the time it takes, that `<close>` ran and the next statement did not, no noise,
and a journal with its end that verifies. Owns what terminal.py owns, and the
sockets of its silent servers.
"""

import os
import select
import signal
import socket
import subprocess
import time

import terminal
from terminal import TMP, environment, journal, newest_run, run, test

OPSH = terminal.TEST
SLOW = 4 if "asan" in OPSH else 1
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}

# Opens the journal, says ready, arms a closing value.
HEAD = """
local f = assert(io.open(os.getenv "MARK", "w")) f:close()
local function closer(f) return setmetatable({}, {__close = f}) end
local x <close> = closer(function() io.write "closed\\n" end)
local function W() io.write "ready\\n" io.stdout:flush() end
;(function() """
TAIL = ' end)()\nio.write "next\\n"'

# name: (code, seconds that it may take)
SCRIPTS = {
    "sleep": ("W() task.sleep(60)", 0.5),
    "busy loop": ("W() while true do end", 0.5),
    "busy loop in pcall": (
        "W() while true do pcall(function() while true do end end) end", 0.5),
    "swallowing loop": ("W() while true do pcall(task.sleep, 60) end", 0.5),
    "swallowing loop of try": ("W() while true do try(task.sleep, 60) end", .5),
    "busy swallowing": ("W() while true do pcall(error) end", 0.5),
    "wait in sort": ("""W() table.sort({3, 2, 1}, function(a, b)
        task.sleep(60) return a < b end)""", 0.5),
    "swallowed wait in sort": ("""W() table.sort({3, 2, 1}, function(a, b)
        pcall(task.sleep, 60) return a < b end)""", 0.5),
    "busy in sort": ("""W() table.sort({3, 2, 1}, function(a, b)
        while true do end end)""", 0.5),
    "200 tasks": ("""local fs = {} for i = 1, 200 do fs[i] = function()
        local y <close> = closer(function() end) task.sleep(60) end end
        W() task.all(fs)""", 0.5),
    "tasks waiting in sorts": ("""local fs = {} for i = 1, 20 do
        fs[i] = function() table.sort({2, 1}, function(a, b) task.sleep(60)
        return a < b end) end end W() task.all(fs)""", 0.5),
    "busy coroutine": (
        "W() coroutine.wrap(function() while true do end end)()", 0.5),
    "waiting coroutine": ("""W() for i in coroutine.wrap(function()
        coroutine.yield(1) task.sleep(60) end) do end""", 0.5),
    "resume that swallows": ("""W() while true do coroutine.resume(
        coroutine.create(function() task.sleep(60) end)) end""", 0.5),
    "handler that waits": ("""local y <close> = closer(function()
        task.sleep(0.1) io.write "waited\\n" end) W() task.sleep(60)""", 0.7),
    "handler that loops": ("""local y <close> = closer(function()
        while true do end end) W() task.sleep(60)""", 1.3),
    "handler that loops in pcall": ("""local y <close> = closer(function()
        while true do pcall(function() while true do end end) end end)
        W() task.sleep(60)""", 1.5),
    "handler that waits for ever": ("""local y <close> = closer(function()
        task.sleep(60) end) W() task.sleep(60)""", 1.3),
    "handler that spawns": ("""local y <close> = closer(function()
        task.spawn(function() while true do task.sleep(1) end end) end)
        W() task.sleep(60)""", 1.8),
    "handler of a coroutine that loops": ("""local co = coroutine.create(
        function() local y <close> = closer(function() while true do end end)
        coroutine.yield() end) coroutine.resume(co) W() coroutine.close(co)
        """, 1.3),
    "xpcall that swallows": ("""W() while true do xpcall(task.sleep,
        function() return "swallowed" end, 60) end""", 0.5),
    "xpcall whose handler loops": ("""W() xpcall(task.sleep, function()
        while true do end end, 60)""", 1.3),
    "error in close": ("""local y <close> = closer(function()
        error("broken handler", 0) end) W() task.sleep(60)""", 0.5),
    "error in close in pcall": ("""pcall(function()
        local y <close> = closer(function() error("broken handler", 0) end)
        W() task.sleep(60) end)""", 0.5),
    "timeout around": ("W() pcall(task.timeout, 60, task.sleep, 60)", 0.5),
    "race": ("""W() task.race(function() task.sleep(60) end, function()
        pcall(task.sleep, 60) end)""", 0.5),
    "metamethods": ("""local t = setmetatable({}, {__index = function()
        task.sleep(60) end, __lt = function() task.sleep(60) end})
        W() pcall(function() return t.x end) return t < t, t""", 0.5),
    "gsub callback": ("""W() string.gsub("abc", ".", function()
        pcall(task.sleep, 60) end)""", 0.5),
    "reader of load": ("W() load(function() task.sleep(60) end)", 0.5),
    "tostring": ("""W() tostring(setmetatable({}, {__tostring = function()
        pcall(task.sleep, 60) return "" end}))""", 0.5),
    "many short calls": ("""W() local s = "" while true do
        s = s:sub(1, 10) .. ("x"):rep(3) end""", 0.5),
    "allocating loop": ("W() while true do local t = {{}, {}} end", 0.5),
    "deep recursion": ("""local function r(n) if n == 0 then W()
        while true do end end return 1 + r(n - 1) end r(10000)""", 0.5),
    "step": ("""step("one", function() W() task.sleep(60) end)""", 0.5),
    "step with retries": ("""step("one", {retry = {attempts = 99, delay = 0}},
        function() W() task.sleep(60) end)""", 0.5),
}
# The handler at the end of these can't have run: the task was dropped.
DROPPED = {"handler that loops", "handler that loops in pcall",
           "handler that waits for ever", "xpcall whose handler loops",
           "handler of a coroutine that loops"}


class Opsh:
    """An opsh on pipes."""

    def __init__(self, *args, **env):
        env.setdefault("MARK", os.path.join(TMP, "mark"))
        if os.path.exists(env["MARK"]):
            os.unlink(env["MARK"])
        self.out = b""
        self.process = subprocess.Popen(
            [OPSH] + list(args), cwd=TMP, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(**env))
        terminal.started.append(self)

    def until(self, text, timeout=10 * SLOW):
        end = time.monotonic() + timeout
        while text not in self.out:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [],
                                              left)[0]:
                raise AssertionError("no %r in %r" % (text, self.out))
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise AssertionError("ended: %r %r" % (
                    self.out, self.process.stderr.read()))
            self.out += data

    def signal(self, number):
        self.sent = time.monotonic()
        self.process.send_signal(number)

    def end(self, timeout=15):
        """Exit code (as a shell tells it), stdout, stderr; .took is set."""
        out, err = self.process.communicate(timeout=timeout)
        self.took = time.monotonic() - self.sent
        code = self.process.returncode
        return code if code >= 0 else 128 - code, self.out + out, err

    def release(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def check_end(name, opsh, code, limit, next_text=b"next"):
    got, out, err = opsh.end()
    assert got == code, "%s: exit %d: %r %r" % (name, got, out, err)
    assert opsh.took < limit * SLOW + 0.2, "%s took %.2f s" % (name, opsh.took)
    assert next_text not in out, "%s went on: %r" % (name, out)
    assert b"traceback" not in err, "%s: %r" % (name, err)
    lines = err.decode().splitlines()
    assert len(lines) <= 6, "%s: noise: %r" % (name, err)
    return out, err


def check_journal(name, code):
    records = journal()
    assert records[-1]["type"] == "end", "%s: %r" % (name, records[-1])
    assert records[-1]["exit"] == code, "%s: %r" % (name, records[-1])
    done = run("verify", os.path.basename(newest_run()), program=OPSH)
    assert done[0] == 0, "%s: verify: %r" % (name, done)


def one(name, number):
    code, limit = SCRIPTS[name]
    opsh = Opsh("-e", HEAD + code + TAIL)
    opsh.until(b"ready\n")
    time.sleep(0.02)        # into the wait or the loop, not at its edge
    opsh.signal(number)
    out, err = check_end(name, opsh, CODES[number], limit)
    if name not in DROPPED:
        assert b"closed" in out, "%s: %r %r" % (name, out, err)
    if name == "handler that waits":
        assert b"waited" in out, out
    if name.startswith("error in close"):
        assert b"broken handler" in err, err    # recorded, not in its place
    check_journal(name, CODES[number])


for each in SCRIPTS:
    for number in CODES:
        def script_test(name=each, num=number):
            one(name, num)
        script_test.__name__ = "%s, %s" % (each, number.name)
        test(script_test)


@test
def at_once():
    """Signals that come while opsh still starts, or ends, do no harm."""
    for n in range(30):
        opsh = Opsh("-e", HEAD + "W() task.sleep(0.01) end)()")
        time.sleep(0.0005 * n)
        opsh.signal(signal.SIGINT)
        code, out, err = opsh.end()
        assert code in (0, 130), (n, code, out, err)
        assert b"traceback" not in err, err


@test
def twice_is_quicker():
    opsh = Opsh("-e", HEAD + SCRIPTS["handler that waits for ever"][0] + TAIL)
    opsh.until(b"ready\n")
    time.sleep(0.02)
    opsh.signal(signal.SIGINT)
    time.sleep(0.1)
    opsh.process.send_signal(signal.SIGINT)
    out, _ = check_end("twice", opsh, 130, 0.5)
    assert b"closed" in out, out
    check_journal("twice", 130)


@test
def third_leaves():
    """A C function can't be stopped; the third Ctrl-C leaves it."""
    for code in ('string.find(("x"):rep(40), ("x*"):rep(24) .. "y")',
                 'string.gsub(("a"):rep(1 << 20), ("a-"):rep(3) .. "c", "")'):
        opsh = Opsh("-e", HEAD + "W() " + code + TAIL)
        opsh.until(b"ready\n")
        for _ in range(3):
            time.sleep(0.1)
            opsh.signal(signal.SIGINT)
        check_end("third", opsh, 130, 0.3)


@test
def terminate_wins_over_nothing():
    """SIGTERM after SIGINT: the run ends; its code is one of the two."""
    opsh = Opsh("-e", HEAD + SCRIPTS["handler that waits"][0] + TAIL)
    opsh.until(b"ready\n")
    opsh.signal(signal.SIGINT)
    opsh.process.send_signal(signal.SIGTERM)
    code, out, err = opsh.end()
    assert code in (130, 143), (code, out, err)
    assert b"next" not in out


@test
def output_blocked():
    """stdout is a full pipe that nobody reads."""
    for number, code in CODES.items():
        opsh = Opsh("-e", HEAD + "W() while true do io.write(('x'):rep(1000), "
                    "'\\n') end end)()")
        opsh.until(b"ready\n")
        time.sleep(0.3)             # the pipe is full long since
        opsh.signal(number)
        opsh.process.wait(timeout=5 * SLOW)
        took = time.monotonic() - opsh.sent
        got = opsh.process.returncode
        assert (got if got >= 0 else 128 - got) == code, got
        assert took < 1.5 * SLOW, took
        check_journal("output blocked", code)


@test
def reader_gone():
    """stdout is closed early: a script that writes nothing stops, quietly."""
    done = subprocess.run(
        ["bash", "-c", '"$0" -e "$1" | head -n 1; echo ${PIPESTATUS[0]}', OPSH,
         "while true do print 'line' end"], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=10 * SLOW, env=environment())
    lines = done.stdout.decode().split()
    assert lines[0] == "line" and lines[-1] == "141", (lines, done.stderr)
    assert b"traceback" not in done.stderr, done.stderr


@test
def blocked_read():
    """A wait for standard input ends as well."""
    for code in ("W() io.read('l')", "W() for l in io.lines() do end",
                 "W() io.stdin:read('a')"):
        r, w = os.pipe()
        opsh = Opsh.__new__(Opsh)
        opsh.out = b""
        opsh.process = subprocess.Popen(
            [OPSH, "-e", HEAD + code + TAIL], cwd=TMP, stdin=r,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(MARK=os.path.join(TMP, "mark-%d" % w)))
        terminal.started.append(opsh)
        os.close(r)
        try:
            opsh.until(b"ready\n")
            time.sleep(0.05)
            opsh.signal(signal.SIGINT)
            out, _ = check_end("blocked read", opsh, 130, 0.5)
            assert b"closed" in out, out
        finally:
            os.close(w)
        os.unlink(os.path.join(TMP, "mark-%d" % w))


def silent_server(accept):
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(0)
    conns = []
    if accept:
        def go():
            conns.append(s.accept())
        import threading
        threading.Thread(target=go, daemon=True).start()
    return s, conns


@test
def blocked_blpop():
    terminal.up()
    url = "redis://127.0.0.1:" + terminal.servers["OPSH_REDIS_PORT"]
    for number, code in CODES.items():
        opsh = Opsh("--target", "cache=" + url, "-e", HEAD +
                    "cache 'PING' W() cache:blpop('cancel-test', 0)" + TAIL)
        opsh.until(b"ready\n")
        time.sleep(0.1)
        opsh.signal(number)
        out, _ = check_end("blpop", opsh, code, 0.7)
        assert b"closed" in out, out
        check_journal("blpop", code)
    # nothing of ours is left waiting at the server
    terminal.until("no client waits", lambda: "blpop" not in terminal.redis(
        "client", "list"))


@test
def silent_target():
    for accept in (False, True):
        server, _ = silent_server(accept)
        url = "redis://127.0.0.1:%d" % server.getsockname()[1]
        for number, code in CODES.items():
            opsh = Opsh("--target", "cache=" + url, "-e", HEAD +
                        "W() pcall(function() return cache 'PING' end)" + TAIL)
            opsh.until(b"ready\n")
            time.sleep(0.1)
            opsh.signal(number)
            out, _ = check_end("silent", opsh, code, 0.7)
            assert b"closed" in out, out
            check_journal("silent", code)
        server.close()


if __name__ == "__main__":
    raise SystemExit(terminal.main())
