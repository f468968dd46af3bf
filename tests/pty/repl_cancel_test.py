#!/usr/bin/python3
"""Ctrl-C in a session, where it blocks: at the prompt, in a block, in loops that
swallow, and in nine calls. Each time: the prompt is back within a second, the
server is rid of the call, the next statement did not run, connections that are
good are kept. And how soon a key is echoed while 200 tasks compute. Owns what
terminal.py and session.py own, and a server that answers no request.
"""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import terminal
from session import PROMPT, Session
from terminal import environment, journal, main, path, redis, servers, test, until

SLOW = 4 if "asan" in terminal.OPSH else 1
LIMIT = 1.0 * SLOW      # seconds until the prompt is back
ECHO = 0.005 * SLOW


def stop(s, number=signal.SIGINT, key=True):
    """Ctrl-C; the seconds until the next prompt."""
    began = time.monotonic()
    if key:
        s.type("\x03")
    else:
        s.signal(number)
    s.expect("interrupted|cancelled: ")
    s.ready()
    took = time.monotonic() - began
    assert took < LIMIT, "%.2f s: %r" % (took, s.seen[-300:])
    return took


def stopped(s, entry, ready=None, blocks=None):
    """An entry that blocks, and a statement after it, is stopped."""
    mark = path("mark.%d" % len(s.seen))
    s.type("%s; io.open('%s', 'w'):close()\n" % (entry, mark))
    if ready:
        s.expect(ready)
    if blocks:
        until("it blocks", blocks)
    stop(s)
    assert not os.path.exists(mark), "the next statement ran: " + entry


@test
def at_the_prompt_and_in_a_block():
    s = Session()
    s.type("error('not run')")
    s.expect(r"run'\)")
    s.type("\x03")
    s.expect(r"\^C\r\n")
    s.ready()
    s.more("do")
    s.more("print('not run')")
    s.type("\x03")
    s.ready()
    s.enter("1 + 1", r"[\nl]2\r\n")
    for _ in range(5):              # many of them do not leave
        s.type("\x03")
        s.ready()
    s.enter("2 + 1", r"[\nl]3\r\n")
    assert b"\nnot run" not in s.seen
    assert s.quit() == 0


@test
def what_computes_or_swallows():
    s = Session()
    for entry in ("print('on') while true do end",
                  "print('on') while true do pcall(task.sleep, 60) end",
                  "print('on') pcall(task.sleep, 60) pcall(task.sleep, 60)",
                  "print('on') table.sort({3, 2, 1}, function() task.sleep(60) end)",
                  "print('on') string.gsub('ab', '.', function() task.sleep(60) end)",
                  "print('on') coroutine.wrap(function() while true do end end)()",
                  "print('on') xpcall(task.sleep, function() return 1 end, 60)"):
        stopped(s, entry, "on\r\n")
    s.enter("1 + 1", r"[\nl]2\r\n")
    assert s.quit() == 0


@test
def hammered():
    """Many Ctrl-C stop one entry; the session stays."""
    s = Session()
    s.type("local x <close> = setmetatable({}, {__close = function() task.sleep(60) "
           "end}) print('on') task.sleep(60)\n")
    s.expect("on\r\n")
    began = time.monotonic()
    for _ in range(8):
        s.signal(signal.SIGINT)
        time.sleep(0.02)
    s.expect("interrupted")
    s.ready()
    assert time.monotonic() - began < 3 * SLOW, "the grace did not end"
    s.enter("1 + 1", r"[\nl]2\r\n")
    assert s.quit() == 0


@test
def a_write_that_was_stopped_is_in_doubt():
    s = Session()
    s.type("sh.run { 'sleep', '5432' }\n")
    until("it runs", lambda: pids("sleep 5432"))
    stop(s)
    assert b"in doubt: 'sleep 5432' on 'local': look at" in s.seen
    s.type("error 'other'\n")
    s.expect("other")
    s.ready()
    assert s.seen.count(b"in doubt") == 1, "it was told twice"
    assert s.quit() == 0


@test
def the_second_ends_the_grace():
    s = Session()
    s.type("local x <close> = setmetatable({}, {__close = function() print('in' .. "
           "'side') task.sleep(60) end}) print('on') task.sleep(60)\n")
    s.expect("on\r\n")
    s.type("\x03")
    s.expect("inside\r\n")
    s.type("\x03")
    s.expect("interrupted")
    s.ready()
    assert s.quit() == 0


@test
def stuck_in_c_three_leave():
    s = Session()
    s.type("print('on') string.find(('x'):rep(40), ('x*'):rep(24) .. 'y')\n")
    s.expect("on\r\n")
    for _ in range(3):
        time.sleep(0.6)         # the first finds it in the C function
        s.signal(signal.SIGINT)
    assert s.gone() == 130, s.seen


@test
def typed_ahead_is_dropped():
    s = Session()
    s.type("print('on') task.sleep(60)\n")
    s.expect("on\r\n")
    s.type("print('ran' .. ' on')\n")
    s.expect("' on'")
    stop(s)
    s.enter("1 + 1", r"[\nl]2\r\n")
    assert b"ran on" not in s.seen, s.seen
    assert s.quit() == 0


@test
def a_job_that_keeps_the_processor():
    s = Session()
    s.type("task.spawn(function() while true do end end)\n")
    s.expect("opsh.task")
    time.sleep(0.5 * SLOW)
    s.signal(signal.SIGINT)
    s.expect("job 1 was cancelled")
    s.expect(PROMPT)
    s.enter("1 + 1", r"[\nl]2\r\n")
    # one that only shares it is left alone
    s.enter("j = task.spawn(function() while true do task.sleep(0) end end)")
    s.type("'dropped")
    s.expect("dropped")
    s.type("\x03")
    s.ready()
    s.enter("j:status()", "running")
    s.enter("j:cancel()", "job 2 was cancelled")
    assert s.quit() == 0


# --- the nine -------------------------------------------------------------------

@test
def blocked_in_redis():
    redis("set", "k", "v")
    s = Session()
    s.enter("cache:get 'k'", r"v\r\n")

    def clients(word):
        return [c for c in redis("client", "list").split("\n") if word in c]
    stopped(s, "cache:blpop('nobody', 0)",
            blocks=lambda: clients("cmd=blpop"))
    until("the server is rid of it", lambda: not clients("cmd=blpop"))
    s.enter("cache:get 'k'", r"v\r\n")
    # reads of other tasks, and what was stopped before it was sent, cost none
    s.enter("cache:client('id')", r"\d+\r\n")
    kept = re.findall(rb"[\nl](\d+)\r\n", s.seen)[-1].decode()
    stopped(s, "print('on') task.sleep(60) cache:get 'k'", "on\r\n")
    s.enter("cache:client('id')", kept)
    assert s.quit() == 0


def postgres(query):
    done = subprocess.run(["psql", "-XAt", servers["OPSH_POSTGRES_SUPER_URL"], "-c",
                           query], stdout=subprocess.PIPE, timeout=terminal.LIMIT,
                          env=environment())
    return done.stdout.decode().strip()


@test
def blocked_in_postgres():
    terminal.up("postgres")
    s = Session()
    s.enter("db:value 'select pg_backend_pid()'", r"\d+\r\n")
    pid = re.findall(rb"[\nl](\d+)\r\n", s.seen)[-1].decode()
    sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
    for entry in ("db:query 'select pg_sleep(60)'",
                  "db:transaction(function(tx) tx:query 'select pg_sleep(60)' end)",
                  "for row in db:rows 'select pg_sleep(60)' do end"):
        stopped(s, entry, blocks=lambda: postgres(sleeping) == "1")
        until("the server is rid of it", lambda: postgres(sleeping) == "0")
    s.enter("db:value 'select pg_backend_pid()'", pid)     # the same connection
    assert s.quit() == 0


@test
def blocked_in_http():
    server = socket.create_server(("127.0.0.1", 0))
    ends = []

    def serve():
        conn, _ = server.accept()
        conn.recv(65536)
        ends.append("asked")
        conn.settimeout(terminal.LIMIT)
        ends.append(conn.recv(1))       # b"": it was closed
        conn.close()
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    s = Session("--target", "gateway=http://127.0.0.1:%d" % server.getsockname()[1])
    stopped(s, "gateway:get '/slow'", blocks=lambda: ends)
    thread.join(terminal.LIMIT)
    assert ends == ["asked", b""], ends
    server.close()
    assert s.quit() == 0


@test
def blocked_in_kafka():
    """A broker that takes requests and answers none."""
    server = socket.create_server(("127.0.0.1", 0))
    kept = []

    def serve():
        while True:
            try:
                conn, _ = server.accept()
            except OSError:
                return
            if conn.recv(1):
                kept.append(conn)
    threading.Thread(target=serve, daemon=True).start()
    s = Session("--target", "events=kafka://127.0.0.1:%d" % server.getsockname()[1])
    stopped(s, "events:topics()", blocks=lambda: kept)
    stopped(s, "print('on') events:consume { topic = 't' }", "on\r\n")
    s.enter("1 + 1", r"[\nl]2\r\n")
    assert s.quit() == 0
    server.close()
    for conn in kept:
        conn.close()


@test
def blocked_in_kafka_at_its_end():
    s = Session("--targets", path("mock.lua", """return { targets = {
        events = { kind = "kafka", brokers = "mock://1" } } }"""))
    s.enter("events:produce { topic = 't', value = 'x', partition = 0 }", r"done 1")
    stopped(s, "for m in events:follow { topic = 't', from = 'earliest' } do "
            "print('on') end", "on\r\n")
    s.enter("events:watermarks 't'", r"\(4 rows\)")     # it is still connected
    assert s.quit() == 0


@test
def blocked_in_a_process():
    s = Session()
    stopped(s, "sh.run { 'sleep', '4321' }", blocks=lambda: pids("sleep 4321"))
    until("the child is gone", lambda: not pids("sleep 4321"))
    s.enter("1 + 1", r"[\nl]2\r\n")
    assert s.quit() == 0


def pids(command):
    found = []
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as file:
                    if file.read().replace(b"\0", b" ").strip().decode(
                            errors="replace") == command:
                        found.append(int(pid))
            except OSError:
                pass
    return found


@test
def blocked_in_sleep_and_groups():
    s = Session()
    stopped(s, "print('on') task.sleep(60)", "on\r\n")
    stopped(s, "print('on') task.all(function() task.sleep(60) end, function() "
            "pcall(task.sleep, 60) end)", "on\r\n")
    stopped(s, "local f = {} for n = 1, 200 do f[n] = function() task.sleep(60) end "
            "end print('on') task.all(f)", "on\r\n")
    stopped(s, "print('on') task.timeout(50, task.sleep, 60)", "on\r\n")
    # jobs of earlier entries go on
    s.enter("j = task.spawn(task.sleep, 60)")
    stopped(s, "print('on') j:wait()", "on\r\n")
    s.enter("j:status()", "running")
    s.enter("j:cancel()")
    assert s.quit() == 0


@test
def blocked_in_a_question():
    redis("set", "a", "1")
    s = Session()
    mark = path("mark.guard")
    s.type("guard(cache, { verb = 'unlink', count = 1, sample = { 'a' } }) "
           "cache:unlink({'a'}) io.open('%s', 'w'):close()\n" % mark)
    s.expect("to go on: ")
    began = time.monotonic()
    s.type("\x03")
    s.expect("nothing was written")
    s.ready()
    assert time.monotonic() - began < LIMIT
    assert redis("exists", "a") == "1" and not os.path.exists(mark)
    # a signal from elsewhere stops the entry as well
    s.type("guard(cache, { verb = 'unlink', count = 1, sample = { 'a' } })\n")
    s.expect("to go on: ")
    stop(s, key=False)
    assert s.quit() == 0


@test
def interrupted_entries_are_on_record():
    s = Session()
    s.type("print('on') task.sleep(60)\n")
    s.expect("on\r\n")
    stop(s)
    s.enter("'after'", "after\r\n")
    assert s.quit() == 0
    records = journal()
    assert [r["text"] for r in records if r["type"] == "entry"] == [
        "print('on') task.sleep(60)", "'after'"], records
    assert records[-1]["type"] == "end" and records[-1]["exit"] == 0


# --- keys ------------------------------------------------------------------------

def waited(pid):
    """Seconds that a process has waited for a processor."""
    with open("/proc/%d/schedstat" % pid) as file:
        return int(file.read().split()[1]) / 1e9


def echoes(s, keys):
    """The seconds from each key to its echo: all of them, and without the time that
    other programs had the processor."""
    fd, raw, own = s.child.child_fd, [], []
    for n in range(keys):
        key = b"abcdefghij"[n % 10:n % 10 + 1]
        queued = waited(s.child.pid) + waited(os.getpid())
        began = time.monotonic()
        os.write(fd, key)
        seen = b""
        while key not in seen:
            select.select([fd], [], [], terminal.LIMIT)
            seen += os.read(fd, 4096)
        took = time.monotonic() - began
        raw.append(took)
        queued = waited(s.child.pid) + waited(os.getpid()) - queued
        own.append(max(0, took - queued))
        if n % 40 == 39:
            os.write(fd, b"\x15")       # an empty line again
            while b"\x1b[K" not in seen and b"\x1b[40P" not in seen:
                seen += os.read(fd, 4096)
        time.sleep(0.002)
    return sorted(raw), sorted(own)


@test
def keys_are_echoed_under_200_busy_tasks():
    s = Session()
    s.enter("for n = 1, 200 do task.spawn(function() while true do local s = 0 "
            "for k = 1, 1000 do s = s + k end task.sleep(0) end end) end")
    keys = 400
    for attempt in range(3):
        raw, own = echoes(s, keys)
        p99 = own[int(keys * 0.99)]
        print("echo of a key under 200 busy tasks: median %.2f ms, p99 %.2f ms "
              "(%.2f ms with the waits for a processor)" % (
                  own[keys // 2] * 1e3, p99 * 1e3, raw[int(keys * 0.99)] * 1e3))
        if p99 <= ECHO:
            break
    assert p99 <= ECHO, p99


if __name__ == "__main__":
    sys.exit(main())
