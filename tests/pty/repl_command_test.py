#!/usr/bin/python3
"""`:` commands at a terminal: a playbook run, planned and stopped from within a
session, an editor, what is saved as a playbook and run again, watching, jobs at the
end. Waits for patterns. Owns what terminal.py and session.py own.
"""

import os
import re
import sys

from session import PROMPT, Session, history
from terminal import TMP, journal, main, path, redis, run, servers, test, until

RUNS = os.path.join(TMP, "state/opsh/runs")


def target():
    redis("ping")
    return "cache=" + servers["OPSH_REDIS_URL"]


def session(*args, **env):
    return Session("--target", target(), *args, **env)


def records(kind, folder):
    return [r for r in journal(folder) if r["type"] == kind]


def runs():
    """Folders of all runs, oldest first."""
    return [os.path.join(RUNS, n) for n in sorted(os.listdir(RUNS))
            if len(n) == 26]


def run_of(command):
    """The newest run that began as this."""
    for folder in reversed(runs()):
        if journal(folder)[0].get("command") == command:
            return folder
    raise AssertionError("no run of %s" % command)


PLAYBOOK = """return {
  name = "test/flush", summary = "Removes keys", severity = "P3",
  needs = { cache = "redis" },
  params = { match = { type = "pattern", default = "none:*" } },
  example = "opsh run test/flush",
  run = function(t, p)
    local found = step("count", function()
      return t.cache:count { match = p.match }
    end)
    guard(t.cache, { verb = "unlink", count = found.count,
      sample = found.sample })
    step("remove", function()
      for key in t.cache:scan { match = p.match } do t.cache:unlink(key) end
    end)
  end,
}
"""

SLOW = """return {
  name = "test/slow", summary = "Waits", severity = "P3",
  needs = { cache = "redis" },
  example = "opsh run test/slow",
  run = function(t)
    step("first", function() t.cache:set("slow:first", 1) end)
    step("wait", function() print "waiting" task.sleep(60) end)
    step("second", function() t.cache:set("slow:second", 1) end)
  end,
}
"""


# --- runs -------------------------------------------------------------------------

@test
def a_playbook_runs_with_its_guard_typed_in_place():
    for n in range(3):
        redis("set", "gone:%d" % n, "x")
    file = path("flush.lua", PLAYBOOK)
    s = session()
    s.type(":plan %s match='gone:*'\n" % file)
    s.expect(r"plan: \d write")
    s.expect(PROMPT)
    assert redis("exists", "gone:1") == "1"
    s.type(":run %s match='gone:*'\n" % file)
    s.expect(r"guard: unlink on cache")
    s.expect(r"count +3")
    s.expect(r"type '3' to go on: ")
    s.type("3\n")
    s.expect(r"run \w{26}: exit 0")
    s.expect(PROMPT)
    assert redis("exists", "gone:1") == "0"
    child = run_of("run")
    s.enter(":timeline", r"ran .* exit 0 .* run %s" % re.escape(file[:20]))
    s.enter(":run %s match='gone:*'" % path("nothing.lua"),
            r"cannot open playbook", r"exit 2: ")
    s.enter("6 * 7", r"[\nl]42\r\n")
    assert s.quit() == 0
    first = journal(child)[0]
    assert first["session"] == os.path.basename(run_of("repl")), first
    ran = records("ran", run_of("repl"))
    assert [r["exit"] for r in ran] == [0, 0, 2], ran
    assert ran[1]["run"] == os.path.basename(child), ran


@test
def ctrl_c_stops_the_run_and_not_the_session():
    redis("del", "slow:first", "slow:second")
    s = session()
    s.type(":run %s\n" % path("slow.lua", SLOW))
    s.expect(r"waiting\r\n")
    s.type("\x03")
    s.expect(r"exit 130: ")
    s.expect(PROMPT)
    assert redis("exists", "slow:first", "slow:second") == "1"
    child = run_of("run")
    assert journal(child)[-1]["exit"] == 130
    s.enter("1 + 1", r"[\nl]2\r\n")
    # it goes on where it was
    s.type(":resume %s\n" % os.path.basename(child))
    s.expect(r"done before +first")
    s.expect(r"waiting\r\n")
    s.type("\x03")
    s.expect(r"exit 130: ")
    s.expect(PROMPT)
    assert s.quit() == 0


@test
def a_run_gets_the_targets_and_the_mode_of_the_session():
    redis("del", "slow:first")
    protected = path("protected.lua", """return { environment = "production",
      protected = true, targets = { other = "redis://127.0.0.1:1" } }""")
    s = Session("--targets", protected, PROMPT=r"production read.*?[0-9A-Z]{4}> ")
    s.enter(":connect " + target(), r"connected to 'cache'")
    s.enter("cache:set('x', 1)", r":write 10m REASON")
    slow = path("slow.lua", SLOW)
    s.type(":run %s\n" % slow)
    s.expect(r"the run's writes will be refused")
    s.expect(r"the session is in read mode: 'SET' on 'cache' is a write")
    s.expect(r":write 10m REASON")
    s.expect(r"exit 3: ")
    s.expect(s.prompt)
    assert redis("exists", "slow:first") == "0"
    s.prompt = r"production write.*?[0-9A-Z]{4}> "
    s.enter(":write 10m the test says so", r"write mode for 10m")
    s.type(":run %s\n" % slow)
    s.expect(r"waiting\r\n")
    s.type("\x03")
    s.expect(r"exit 130: ")
    s.expect(s.prompt)
    assert redis("exists", "slow:first") == "1"
    assert s.quit() == 0
    modes = records("mode", run_of("repl"))
    assert modes[0]["reason"] == "the test says so", modes


@test
def a_closed_terminal_ends_the_run_with_its_record():
    s = session()
    s.type(":run %s\n" % path("slow.lua", SLOW))
    s.expect(r"waiting\r\n")
    assert s.hang_up() == 129
    child, parent = run_of("run"), run_of("repl")
    until("the run's end is on record",
          lambda: journal(child)[-1]["type"] == "end")
    assert journal(child)[-1]["exit"] in (129, 143), journal(child)[-1]
    assert journal(parent)[-1]["exit"] == 129, journal(parent)[-1]


# --- the editor ---------------------------------------------------------------------

def editor(text):
    """A program that writes what it was given, its mode, and this text."""
    file = path("editor.sh", """#!/bin/sh
cp "$1" %s/given; stat -c %%a "$1" > %s/mode; printf '%%s' "$1" > %s/name
[ -t 0 ] && [ -t 1 ] && echo "has the terminal"
cat > "$1" <<'END'
%s
END
""" % (TMP, TMP, TMP, text))
    os.chmod(file, 0o755)
    return file


@test
def an_entry_is_edited():
    s = Session(EDITOR=editor("for n = 1, 2 do\n  print('n' .. n)\nend"), VISUAL=None)
    s.enter("1 + 1", r"[\nl]2\r\n")
    s.type(":edit\n")
    s.expect(r"has the terminal")
    s.expect(r"n1\r\nn2\r\n")
    s.expect(PROMPT)
    with open(os.path.join(TMP, "given")) as file:
        assert file.read() == "1 + 1\n"
    with open(os.path.join(TMP, "mode")) as file:
        assert file.read() == "600\n"
    with open(os.path.join(TMP, "name")) as file:
        assert not os.path.exists(file.read())
    assert history()[-1].startswith("for n = 1, 2 do"), history()
    s.enter("1 + 2", r"[\nl]3\r\n")
    assert s.quit() == 0
    s = Session(VISUAL="false")
    s.enter(":edit new", r"'false' ended with exit status 1: nothing is run")
    assert s.quit() == 0


# --- a session as a playbook ---------------------------------------------------------

@test
def what_is_saved_passes_check_and_runs():
    for n in range(4):
        redis("set", "stale:%d" % n, "x")
    file = os.path.join(TMP, "saved/redis/stale.lua")
    s = session()
    s.enter("found = cache:count { match = 'stale:*' }")
    s.enter("found.count", r"[\nl]4\r\n")
    s.enter("nothing.here", r"nil value")
    s.enter(":note stale since the deploy", r"noted")
    s.type("guard(cache, { verb = 'unlink', count = found.count })\n")
    s.expect(r"type '4' to go on: ")
    s.type("4\n")
    s.expect(PROMPT)
    s.enter("for k in cache:scan { match = 'stale:*' } do cache:unlink(k) end")
    s.enter("cache:exists 'stale:0'", r"[\nl]0\r\n")
    s.enter(":save %s" % file, r"wrote .*stale.lua: \d of the session's entries, "
            r"2 parameters: match, key")
    s.enter(":save %s" % file, r"is there already, nothing was written")
    assert s.quit() == 0
    code, out, err = run("check", "--strict", file)
    assert code == 0, (out, err)
    with open(file) as text:
        assert "stale since the deploy" in text.read()
    for n in range(3):
        redis("set", "other:%d" % n, "x")
    code, out, err = run("run", "--target", target(), file, "match=other:*")
    assert code == 14 and redis("exists", "other:0") == "1", (code, err)
    code, out, err = run("run", "--target", target(), "--approve", "cache", file,
                         "match=other:*", "key=other:0")
    assert code == 0, (code, out, err)
    assert redis("exists", "other:0", "other:1", "other:2") == "0"
    assert out.strip() == b"0", out


# --- watching and jobs ------------------------------------------------------------------

@test
def watching_redraws_until_ctrl_c():
    redis("set", "seen", "5")
    s = session()
    s.type(":watch 100ms cache:incr('seen').value\n")
    for n in (6, 7, 8):
        s.expect(r"%d\r\n" % n)
    s.expect(r"\x1b\[2A\r\x1b\[J")
    s.type("\x03")
    s.expect(r"interrupted")
    s.expect(PROMPT)
    last = int(redis("get", "seen"))
    s.enter("1 + 1", r"[\nl]2\r\n")
    assert int(redis("get", "seen")) == last
    s.type(":watch 100ms :targets\n")
    s.expect(r"cache +redis")
    s.expect(r"cache +redis")
    s.type("\x03")
    s.expect(PROMPT)
    assert s.quit() == 0


@test
def jobs_are_asked_about_once():
    s = session()
    s.enter(":bg task.sleep(0.2) return 'from behind'", r"job 1\r\n")
    s.expect(r"from behind")
    s.expect(r"job 1 is done")
    s.enter(":bg cache:blpop('never', 60)", r"job 2\r\n")
    until("the server has it", lambda: "cmd=blpop" in redis("client", "list"))
    s.enter(":jobs", r"2 +\d+ +[\d.]+ +:bg cache:blpop")
    s.enter(":quit", r"a job is running; :quit again ends it")
    s.enter("1", r"[\nl]1\r\n")
    s.enter(":quit", r"a job is running")
    s.type(":quit\n")
    assert s.end() == 0
    outcomes = records("outcome", run_of("repl"))
    assert outcomes and outcomes[-1]["outcome"] in ("unknown", "failed"), outcomes


if __name__ == "__main__":
    sys.exit(main())
