#!/usr/bin/python3
"""TAB at the prompt: what is inserted and what is shown, hints, help; that it runs
nothing and sends nothing, by the state of the session and by MONITOR of a server;
what a connected server says is there with a later TAB. Owns what terminal.py and
session.py own, and the redis-cli that watches.
"""

import os
import re
import signal
import subprocess
import sys
import time

from session import MORE, Session
from terminal import main, path, redis, servers, test, up, until

PASTE = "\x1b[200~%s\x1b[201~"
DROP = "\x15"       # Ctrl-U: what is typed so far


def cache(**env):
    up()
    return Session("--target", "cache=" + servers["OPSH_REDIS_URL"], **env)


class Monitor:
    """What a server is sent, as MONITOR says it."""

    def __init__(self):
        up()
        self.log = path("monitor")
        self.child = subprocess.Popen(
            ["redis-cli", "-p", servers["OPSH_REDIS_PORT"], "monitor"],
            stdout=open(self.log, "w"), stdin=subprocess.DEVNULL)
        until("it watches", lambda: "OK" in self.text())

    def text(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def end(self):
        """Everything that came before this call."""
        redis("echo", "the-end-of-it")
        until("the mark", lambda: "the-end-of-it" in self.text())
        self.child.kill()
        self.child.wait()
        return self.text()


@test
def keys_that_come_at_once():
    """Each TAB finds the line where it was: the second list begins a row, too."""
    s = Session()
    s.type(":\t\t")
    for _ in range(2):
        s.expect(r"\rbg +chart [^\r]*\r\ncancel [^\r]*\r\n")
    s.expect("> :")
    assert b"\x1b[C" not in s.seen
    s.type(DROP)
    assert s.quit() == 0


@test
def one_candidate_is_inserted():
    s = cache()
    s.type("cach\t:scan_b\t")
    s.expect(r"cache:scan_batches$")
    s.type(DROP + "fs.hash('/etc/hostname', 'sha2\t')")
    s.expect(r"'sha256'\)")
    s.type("\n")
    s.expect(r"[0-9a-f]{64}\r\n")
    s.ready()
    s.enter("alphabet = 42")
    s.type("alph\t\n")
    s.expect(r"[\nl]42\r\n")
    s.ready()
    assert s.quit() == 0


@test
def several_are_shown_with_what_they_are():
    s = cache()
    s.type("cache:sc\t")
    s.expect(r"  scan +scan\(opts\?\)\r\n")
    s.expect(r"  scan_batches +scan_batches\(opts\?\)\r\n")
    s.expect(r"  scard +SCARD key\r\n")
    s.expect(r"cache:sc$")         # the line is there again
    s.type("an { m\t")
    s.expect(r"match = $")
    s.type("'x', \t")
    s.expect(r"  count = +integer  keys")
    s.expect(r"cache:scan\(>opts\?<\)\r\n")
    assert b"  match = " not in s.seen.split(b"match = 'x'")[-1]
    s.type(DROP)
    # more than a few stand in columns
    s.type("cache:\t")
    s.expect(r"close +\w+ +\w+.*\r\n")
    s.type(DROP)
    assert s.quit() == 0


@test
def hints():
    s = cache()
    s.type("fs.read('/etc/hostname', \t")
    s.expect(r"fs\.read\(path, >opts\?<\)\r\n")
    s.type(DROP + "cache:hget(\t")
    s.expect(r"HGET key field\r\n")
    s.type(DROP + 'cache "EXPIRE k \t')
    s.expect(r"EXPIRE key seconds \[NX\|XX\|GT\|LT\]\r\n")
    s.type(DROP + ":run \t")
    s.expect(r"redis/cache-flush")
    s.expect(r":run PLAYBOOK \[NAME=VALUE \.\.\.\]\r\n")
    s.type(DROP)
    assert s.quit() == 0


@test
def it_runs_nothing():
    redis("set", "kept", "yes")
    watch = Monitor()
    s = cache()
    s.enter("x = setmetatable({ real = 1 }, { __index = function(_, k) ran = k "
            "error 'index' end, __call = function() ran = true end, "
            "__pairs = function() ran = true end })")
    texts = ["x.\t", "x.y.\t", "x:\t", "x().\t", "x.y().z.\t", "x[1].\t",
             "os.exit().\t", "os.exit(\t", "error().\t", "(os.exit()).\t",
             "cache:flushall().\t", "cache:flushall():\t", "cache:flushall(\t",
             "cache 'flushall' .\t", "cache \"FLUSHALL \t", "cache:get('kept').\t",
             "cache.\t\t", "cache:\t\t", "cache:scan{ \t", "cache \"G\t",
             "for k in x.\t", "x.real = os.exit().\t", "nothing.at.all.\t"]

    def press():
        for text in texts:
            s.type(text)
            s.type(DROP)
        s.enter("'alive'", r"[\nl]alive\r\n")
        s.enter("ran == nil", r"[\nl]true\r\n")
        s.enter("x.real", r"[\nl]1\r\n")
    press()
    said = watch.text()
    assert not re.search("flush|command", said, re.I) and "[" not in said, said
    # nothing was connected to by any of it; now the server is there to be asked
    s.enter("cache:ping()", r"PONG")
    press()
    assert s.quit() == 0
    said = watch.end()
    sent = {words.upper() for words in re.findall(r'\] "(\w+)"', said)}
    assert sent <= {"PING", "INFO", "ROLE", "CLIENT", "HELLO", "COMMAND", "ECHO"}, said
    assert redis("get", "kept") == "yes"


@test
def a_connected_server_says_its_commands():
    watch = Monitor()
    s = cache()
    s.type('cache "GETD\t')
    s.expect(r'"GETDEL ')
    assert "docs" not in watch.text().lower()
    s.type(DROP)
    s.enter('cache "PING"', r"[\nl]PONG\r\n")
    # the first TAB asks, in the background; what it says is there with a later one
    s.type('cache "GETE\t')
    s.expect(r'"GETEX ')
    s.type(DROP)
    until("it was asked", lambda: re.search(r'"COMMAND" "DOCS"', watch.text(),
                                            re.I))

    def told():
        s.type('cache "GETDEL key \t')
        s.expect(r"GETDEL key\r\n")
        s.type(DROP)
        s.enter("1", r"[\nl]1\r\n")
        return b"delete the key" in s.seen

    until("the summary of the server's own", told)
    text = watch.end()
    assert len(re.findall(r'"COMMAND" "DOCS"', text, re.I)) == 1, text
    assert s.quit() == 0


@test
def a_frozen_server_keeps_nobody():
    s = cache()
    s.enter('cache "PING"', r"[\nl]PONG\r\n")
    pid = int(servers["OPSH_REDIS_PID"])
    os.kill(pid, signal.SIGSTOP)
    try:
        s.type('cache "GETE\t')
        s.expect(r'"GETEX ')
        s.type(DROP)
        s.enter("'still here'", r"[\nl]still here\r\n")
        began = time.monotonic()
        assert s.quit() == 0
        took = time.monotonic() - began
        assert took < 2.5, took         # what it asks has three seconds
    finally:
        os.kill(pid, signal.SIGCONT)


@test
def lines_that_go_on_and_pastes():
    s = cache()
    s.more("for n = 1, 2 do")
    s.type("\tprint(n)\n")
    s.expect(MORE)
    s.type("end\n")
    s.expect(r"[\nl]1\r\n2\r\n")
    s.ready()
    # a local variable of the line before is known
    s.more("local handle = fs.tmpdir() if true then")
    s.type("handle:cl\t")
    s.expect(r"handle:close")
    s.type("()\n")
    s.expect(MORE)
    s.enter("end")
    # TAB within a paste is a tab
    s.child.send(PASTE % "t = {\n\t'cach\tx',\n}\n")
    s.type("\n")
    s.ready()
    s.enter("#t[1]", r"[\nl]6\r\n")
    assert s.quit() == 0


@test
def help_of_anything():
    s = cache(PAGER="cat", size=(50, 120))
    s.enter("help(fs.hash)", r"fs\.hash\(path, algorithm\?, opts\?\)",
            r"The checksum of a file")
    s.enter("help(cache.scan)", r"cache:scan\(opts\?\)")
    s.enter('help "redis/cache-flush"', r"Remove cached entries")
    s.enter('help "GETDEL"', r"a command of Redis: cache:getdel")
    s.enter("help(function(a) end)", r"function\(a\)")
    s.enter(":help run", r"usage: :run PLAYBOOK")
    s.enter(":help fs.stat", r"fs\.stat\(path, opts\?\)")
    s.enter("help", r"help\(x\)", r"guides")
    s.enter('help "tineout"', r"no help on 'tineout'", r"timeout")
    s.type("hel\t 'cache-fl'\n")       # help is a name as any other
    s.expect(r'help "redis/cache-flush"\r\n')
    s.ready()
    assert s.quit() == 0


if __name__ == "__main__":
    sys.exit(main())
