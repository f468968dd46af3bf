#!/usr/bin/python3
"""What keeps a session safe: read-only on a protected environment, write mode that
ends by itself, a server that was restarted or is another one, a terminal that is
closed with a write under way, two sessions at once. Owns what terminal.py and
session.py own, and the servers that it starts and kills.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile

import terminal
from session import PROMPT, Session, forget, history
from terminal import TMP, journal, main, newest_run, path, test, until


class Redis:
    """A server that can be restarted on its port."""

    def __init__(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.dir = tempfile.mkdtemp(dir=TMP)
        self.start()
        terminal.started.append(self)

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
             "--save", "", "--dir", self.dir], stdout=subprocess.DEVNULL)
        until("redis answers", lambda: self.ask("ping") == "PONG")

    def ask(self, *words):
        done = subprocess.run(["redis-cli", "-p", str(self.port)] + list(words),
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=terminal.LIMIT)
        return done.stdout.decode().strip()

    def stop(self):
        self.process.kill()
        self.process.wait()

    def restart(self):
        self.stop()
        self.start()

    @property
    def target(self):
        return "cache=redis://127.0.0.1:%d/0" % self.port

    def release(self):
        self.stop()


def records(kind):
    return [r for r in journal() if r["type"] == kind]


def protected(redis):
    name, url = redis.target.split("=", 1)
    return path("protected.lua", """return { environment = "production",
      protected = true, targets = { %s = "%s" } }""" % (name, url))


READ = r"production read.*?[0-9A-Z]{4}> "
WRITE = r"production write.*?[0-9A-Z]{4}> "


@test
def a_protected_environment_starts_read_only():
    redis = Redis()
    s = Session("--targets", protected(redis), PROMPT=READ)
    assert re.search(rb"protected", s.seen), s.seen
    s.enter("cache:get 'x'", r"[\nl]nil\r\n")
    s.enter("cache:set('x', 1)", r"the session is in read mode",
            r":write 10m REASON")
    s.enter("cache 'SET x 1'", r"the session is in read mode")
    s.enter("sh.run { 'true' }", r"the session is in read mode")
    s.enter("guard(cache, { verb = 'del', count = 1 })", r"read mode",
            r":write 10m REASON")
    s.enter(":write 10m", r"a reason is needed")
    s.enter(":write 4s the cache is stale", r"write mode for 4s", then=WRITE)
    s.prompt = WRITE
    s.enter("cache:set('x', 1)", r"done")
    # over by itself: told, in the prompt, on record
    s.type("cache:get")
    s.expect(r"write mode is over: the session is read-only again")
    s.expect(READ + "cache:get")
    s.prompt = READ
    s.type("\x15")
    s.enter("cache:set('x', 2)", r"the session is in read mode")
    assert redis.ask("get", "x") == "1"
    s.enter(":write 10m once more", then=WRITE)
    s.enter(":write off", r"read-only")
    s.enter("cache:set('x', 3)", r"the session is in read mode")
    assert s.quit() == 0
    modes = [(r["mode"], r.get("how"), r.get("reason")) for r in records("mode")]
    assert modes == [("write", "asked", "the cache is stale"),
                     ("read", "expired", None), ("write", "asked", "once more"),
                     ("read", "asked", None)], modes
    s = Session("--targets", protected(redis), "--write", PROMPT=WRITE)
    s.enter("cache:set('x', 4)", r"done")
    assert s.quit() == 0


@test
def a_restarted_server_is_read_and_not_written():
    redis = Redis()
    s = Session("--target", redis.target)
    s.enter("cache:set('x', 1)", r"done")
    redis.restart()
    s.enter("cache:get 'x'", r"reconnected to 'cache' \(127.0.0.1:\d+\): it is not "
            r"what it was", r"was run_id=", r"is +run_id=",
            r":connect cache takes it as it is", r"[\nl]nil\r\n")
    s.enter("cache:get 'x'", r"[\nl]nil\r\n")
    s.enter("cache:set('x', 2)", r"'cache' is not what it was: was run_id=\w+ db=0 "
            r"role=master, is run_id=", r"'SET' was not sent",
            r":connect cache takes it as it is")
    s.enter(":targets", r"changed: writes are stopped")
    assert redis.ask("exists", "x") == "0"
    s.enter(":connect cache", r"connected to 'cache'", r"taken as it is now; it was")
    s.enter("cache:set('x', 3)", r"done")
    assert redis.ask("get", "x") == "3"
    assert s.seen.count(b"reconnected to 'cache'") == 1, s.seen
    assert s.quit() == 0
    accepted = records("accepted")
    assert len(accepted) == 1 and accepted[0]["target"] == "cache", accepted


@test
def a_lost_connection_is_said_once():
    redis = Redis()
    s = Session("--target", redis.target)
    s.enter("cache:set('x', 1)", r"done")
    redis.ask("client", "kill", "type", "normal", "skipme", "no")
    s.enter("cache:get 'x'", r"reconnected to 'cache' \(127.0.0.1:\d+\), same "
            r"identity", r"[\nl]1\r\n")
    s.enter("cache:set('x', 2)", r"done")
    assert s.seen.count(b"reconnected to 'cache'") == 1, s.seen
    redis.stop()
    s.enter("cache:get 'x'", r"cannot connect|connection")
    s.enter(":targets", r"cache +redis .*(connection refused|connection lost)")
    redis.start()
    s.enter("cache:get 'x'", r"it is not what it was", r"[\nl]nil\r\n")
    assert s.quit() == 0


@test
def another_role_stops_writes():
    redis, other = Redis(), Redis()
    s = Session("--target", redis.target)
    s.enter("cache:set('x', 1)", r"done")
    redis.ask("replicaof", "127.0.0.1", str(other.port))
    until("it is a replica", lambda: redis.ask("role").startswith("slave"))
    redis.ask("client", "kill", "type", "normal", "skipme", "no")
    s.enter("cache:get 'y'", r"it is not what it was", r"role=(slave|replica)")
    s.enter("cache:set('x', 2)", r"'SET' was not sent")
    redis.ask("replicaof", "no", "one")
    s.quit()


@test
def a_terminal_closed_in_a_write_leaves_its_outcome():
    redis = Redis()
    s = Session("--target", redis.target)
    s.enter("cache:ping()", r"PONG")
    s.type("cache:blpop('never', 30)\n")
    until("the server has it", lambda: "cmd=blpop" in redis.ask("client", "list"))
    assert s.hang_up() == 129
    until("the server is rid of it",
          lambda: "cmd=blpop" not in redis.ask("client", "list"))
    outcomes = records("outcome")
    assert outcomes[-1]["outcome"] in ("unknown", "failed"), outcomes
    end = journal()[-1]
    assert end["type"] == "end" and end["exit"] == 129, end


@test
def a_job_that_writes_has_its_outcome_when_the_session_ends():
    redis = Redis()
    s = Session("--target", redis.target)
    s.enter(":bg cache:blpop('never', 30)", r"job 1")
    until("the server has it", lambda: "cmd=blpop" in redis.ask("client", "list"))
    s.enter(":quit", r"a job is running")
    s.type(":quit\n")
    assert s.end() == 0
    outcomes = records("outcome")
    assert outcomes and outcomes[-1]["outcome"] in ("unknown", "failed"), outcomes
    assert journal()[-1]["type"] == "end", journal()[-1]


@test
def two_sessions_have_their_own_modes_and_records():
    redis = Redis()
    forget()
    one = Session("--targets", protected(redis), PROMPT=READ)
    two = Session("--targets", protected(redis), PROMPT=READ)
    one.enter(":write 10m first", then=WRITE)
    one.prompt = WRITE
    two.enter("cache:set('x', 1)", r"the session is in read mode")
    one.enter("cache:set('x', 2)", r"done")
    two.enter(":note the second", r"noted")
    one.enter(":note the first", r"noted")
    assert one.quit() == 0
    assert two.quit() == 0
    assert redis.ask("get", "x") == "2"
    texts = history()
    assert ":note the first" in texts and ":note the second" in texts, texts


@test
def a_password_is_typed_without_echo_and_kept_nowhere():
    redis = Redis()
    redis.ask("acl", "setuser", "ops", "on", ">correct-horse-7", "~*", "&*", "+@all")
    forget()
    s = Session()
    s.type(":connect cache=redis://ops:@127.0.0.1:%d/0\n" % redis.port)
    s.expect(r"password of 'cache': ")
    until("no echo", lambda: not s.echoes())
    s.type("correct-horse-7\n")
    s.expect(r"connected to 'cache'")
    s.expect(PROMPT)
    s.enter("cache:acl_whoami()", r"[\nl]ops\r\n")
    s.enter("'correct-horse-7'", r"\[secret\]")
    assert s.quit() == 0
    assert "correct-horse-7" not in "\n".join(history())
    with open(os.path.join(newest_run(), "journal.jsonl")) as file:
        assert "correct-horse-7" not in file.read()


if __name__ == "__main__":
    sys.exit(main())
