#!/usr/bin/python3
"""Tests of what a person at a terminal types: answers to prompts and to guards,
Ctrl-C, Ctrl-D, signals, and what the terminal is like afterwards.

Owns throwaway terminals, folders and one Redis. The last line is `N passed,
N failed`.
"""

import os
import re
import signal
import sys
import time

from terminal import (OPSH, TEST, Terminal, clean, fresh, journal, main, path, redis,
                      run, servers, test, until)

ASK = """
local term = require "opsh.c.term"
local text, secret = os.getenv "ASK" or "name: ", os.getenv "SECRET" == "1"
local answer = term.prompt(text, { secret = secret })
term.write(1, "answer=" .. (answer and ("%q"):format(answer) or "none") .. "\\n")
return 0
"""


def ask(**env):
    return Terminal("--spec", path("ask.lua", ASK), program=TEST, **env)


# --- prompts ----------------------------------------------------------------

@test
def prompt_echoes():
    t = ask()
    t.expect(r"name: ")
    t.type("Anna Bel\x7f\n")
    t.expect(r'answer="Anna Be"\r\n')
    assert t.gone() == 0
    assert b"Anna Bel" in t.seen, t.seen
    assert t.echoes()


@test
def prompt_secret_does_not_echo():
    t = ask(SECRET="1")
    t.expect(r"name: ")
    until("no echo", lambda: not t.echoes())
    t.type("hunter-2-hunter\n")
    t.expect(r'answer=')
    assert b"hunter" not in t.seen[:t.seen.index(b"answer=")], t.seen
    assert t.gone() == 0
    assert t.echoes(), "the terminal must echo again"


@test
def prompt_secret_of_a_target_is_masked():
    t = Terminal("-e", "secret.prompt('x')", program=OPSH)
    t.expect(r"\[secret prompt\]")
    assert t.end() == 0


@test
def prompt_ctrl_c_is_no_answer():
    t = ask()
    t.expect(r"name: ")
    t.type("abc\x03")
    t.expect(r"answer=none\r\n")
    assert t.gone() == 0
    assert t.echoes()


@test
def prompt_ctrl_d_is_no_answer():
    t = ask()
    t.expect(r"name: ")
    t.type("\x04")
    t.expect(r"answer=none\r\n")
    assert t.gone() == 0


@test
def prompt_ctrl_backslash_is_no_answer():
    t = ask()
    t.expect(r"name: ")
    t.type("\x1c")
    t.expect(r"answer=none\r\n")
    assert t.gone() == 0


@test
def prompt_empty_line_is_an_answer():
    t = ask()
    t.expect(r"name: ")
    t.type("\n")
    t.expect(r'answer=""\r\n')
    assert t.gone() == 0


@test
def prompt_in_ci_asks_nobody():
    t = ask(CI="1")
    t.expect(r"answer=none\r\n")
    assert t.gone() == 0
    assert b"name:" not in t.seen, t.seen


@test
def prompt_with_ci_empty_asks():
    t = ask(CI="")
    t.expect(r"name: ")
    t.type("x\n")
    t.expect(r'answer="x"')
    assert t.gone() == 0


@test
def prompt_without_terminal_asks_nobody():
    code, out, err = run("--spec", path("ask.lua", ASK), program=TEST)
    assert (code, out, err) == (0, b"answer=none\n", b""), (code, out, err)


@test
def prompt_text_is_escaped():
    t = ask(ASK="\x1b[31mred\u202e\x07 ")
    t.expect(r"red")
    t.type("x\n")
    t.expect(r"answer=")
    assert t.gone() == 0
    assert rb"\x1b[31mred\u{202e}\x07 " in t.seen, t.seen


@test
def prompt_drops_what_was_typed_ahead():
    flag = path("go")
    t = Terminal("--spec", path("ahead.lua", """
local term = require "opsh.c.term"
term.write(1, "ready\\n")
repeat require("opsh.task").sleep(0.01) until io.open(os.getenv "FLAG")
""" + ASK), program=TEST, FLAG=flag)
    t.expect("ready\r\n")
    t.type("early\n")
    t.expect("early")           # the terminal has it
    path("go", "")
    t.expect(r"name: ")
    t.type("late\n")
    t.expect(r'answer="late"')
    assert t.gone() == 0
    os.unlink(flag)


@test
def prompt_lets_others_work():
    t = Terminal("--spec", path("others.lua", """
local term = require "opsh.c.term"
local task = require "opsh.task"
task.all(function()
    term.write(1, "answer=" .. term.prompt("name: ", {}) .. "\\n")
end, function()
    for n = 1, 3 do task.sleep(0.01) end
    term.write(1, "\\nworked\\n")
end)
return 0
"""), program=TEST)
    t.expect(r"worked\r\n")
    t.type("x\n")
    t.expect("answer=x")
    assert t.gone() == 0


@test
def prompt_and_a_signal_give_the_terminal_back():
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        t = ask(SECRET="1")
        t.expect(r"name: ")
        until("no echo", lambda: not t.echoes())
        t.signal(number)
        assert t.gone() == code, (number, t.seen)
        assert t.settings() == fresh(), number


@test
def third_ctrl_c_gives_the_terminal_back():
    t = Terminal("--spec", path("stuck.lua", """
local term = require "opsh.c.term"
local task = require "opsh.task"
task.all(function() term.prompt("name: ", { secret = true }) end, function()
    task.sleep(0.01)
    term.write(2, "stuck\\n")
    -- in C for hours: no hook runs there
    string.find(("a"):rep(3000), (".-"):rep(12) .. "b")
end)
return 0
"""), program=TEST)
    t.expect("name: ")
    t.expect("stuck")
    assert not t.echoes()
    for _ in range(3):
        t.signal(signal.SIGINT)
        until("the signal is taken", lambda: not t.child.isalive() or re.search(
            r"ShdPnd:\s+0+\n", status_of(t.child.pid)))
    assert t.gone() == 130, t.seen
    assert t.settings() == fresh()


def status_of(pid):
    try:
        with open("/proc/%d/status" % pid) as file:
            return file.read()
    except OSError:
        return "ShdPnd:\t0\n"


# --- guards -----------------------------------------------------------------

FLUSH = """
guard(cache, { verb = "unlink", count = 2, sample = { "a", "b" } })
print("removed", cache:unlink({ "a", "b" }).count)
"""


def guarded(*args, **env):
    redis("mset", "a", "1", "b", "2")
    return Terminal(*args, "-e", FLUSH, **env)


@test
def guard_typed_right():
    t = guarded()
    t.expect(r"guard: unlink on cache\r\n")
    t.expect(r"identity  run_id=[0-9a-f]{40}")
    t.expect(r"count     2\r\n")
    t.expect(r"sample    a\r\n            b\r\n")
    t.expect(r"type '2' to go on: ")
    t.type("2\n")
    t.expect(r"removed\t?\s*2\r\n")
    assert t.end() == 0
    assert redis("exists", "a", "b") == "0"
    passed = [r for r in journal() if r["type"] == "guard"]
    assert [r["how"] for r in passed] == ["typed"], passed


def refused(answer, *args, asks="2", **env):
    t = guarded(*args, **env)
    t.expect(r"type '%s' to go on: " % asks)
    t.type(answer)
    t.expect(r"nothing was written")
    assert t.end() == 14, t.seen
    assert redis("exists", "a", "b") == "2", "written all the same"
    records = journal()
    assert [r["how"] for r in records if r["type"] == "guard"] == ["refused"]
    assert not [r for r in records if r["type"] == "intent"], records
    assert records[-1]["type"] == "end" and records[-1]["exit"] == 14
    return t


@test
def guard_typed_wrong():
    for answer in ("y\n", "3\n", "\n", "2x\n"):
        assert b"was not confirmed" in refused(answer).seen


@test
def guard_ctrl_c():
    assert b"got no answer" in refused("2\x03").seen


@test
def guard_ctrl_d():
    assert b"got no answer" in refused("\x04").seen


def protected():
    redis("ping")
    return path("protected.lua", """return {
    environment = "production", protected = true,
    targets = { cache = { kind = "redis", url = "%s" } },
}
""" % servers["OPSH_REDIS_URL"])


@test
def guard_on_a_protected_environment_asks_for_the_name():
    targets = ("--targets", protected(), "--write")
    refused("2\n", *targets, asks="2 cache")
    t = guarded(*targets)
    t.expect(r"in        production \(protected\)")
    t.expect(r"type '2 cache' to go on: ")
    t.type("2 cache\n")
    t.expect(r"removed\s+2\r\n")
    assert t.end() == 0


@test
def guard_in_ci_refuses_at_once():
    began = time.monotonic()
    t = guarded(CI="true")
    t.expect(r"--approve cache")
    assert t.end() == 14
    assert time.monotonic() - began < 3
    assert b"to go on" not in t.seen


@test
def guard_shows_no_foreign_escapes():
    redis("set", "a", "1")
    t = Terminal("-e", r"""
guard(cache, { verb = "unlink", count = 1, note = "n\27[2J",
    sample = { "k\27[31m\nguard: forged", "\u{202e}gpj" } })""")
    t.expect(r"to go on: ")
    t.type("\x04")
    assert t.end() == 14
    clean(t.seen)
    assert rb"k\x1b[31m\nguard: forged" in t.seen, t.seen
    assert rb"\u{202e}gpj" in t.seen, t.seen


@test
def window_closed_at_a_guard():
    t = guarded()
    t.expect(r"to go on: ")
    assert t.hang_up() == 129
    assert redis("exists", "a", "b") == "2"
    assert journal()[-1]["exit"] == 129, journal()[-1]


if __name__ == "__main__":
    sys.exit(main())
