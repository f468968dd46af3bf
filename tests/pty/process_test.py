#!/usr/bin/python3
"""Ctrl-C, hang-ups and closed pipes while children run: trees that ignore TERM,
that left their session, two hundred at once. Each time: the exit code, less than
1.5 s, and nobody left of the tree. A child that wants a terminal has none. Owns
what terminal.py owns; children are known by a number in their arguments.
"""

import os
import re
import signal
import subprocess
import time

import terminal
from terminal import TMP, Terminal, environment, journal, run, test, until

OPSH = terminal.OPSH
LIMIT = 1.5
number = os.getpid() * 1000

# Three levels of shells that ignore TERM; the last in a session of its own.
TREE = ("trap '' TERM; sh -c \"trap '' TERM; sleep NUM & "
        "setsid sh -c 'trap \\\"\\\" TERM; sleep NUM; sleep NUM' & "
        "sleep NUM; sleep NUM\" & sleep NUM; sleep NUM; wait")


def fresh():
    """A number of seconds that no other sleep has."""
    global number
    number += 1
    return str(number)


def alive(mark):
    """Who still has the number among its arguments, and is no zombie."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                line = file.read()
            with open("/proc/%s/stat" % pid) as file:
                state = file.read().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if mark.encode() in line and b"opsh" not in line.split(b"\0")[0] \
                and state != "Z":
            found.append((pid, line))
    return found


def none_left(mark):
    end = time.monotonic() + 0.3    # a killed one may still be on its way out
    while alive(mark) and time.monotonic() < end:
        time.sleep(0.01)
    assert not alive(mark), alive(mark)


def ctrl_c(name, code, mark, many=1, key="\x03", wanted=130):
    opsh = Terminal("-e", code.replace("NUM", mark))
    until("%s: the children run" % name, lambda: len(alive(mark)) >= many)
    began = time.monotonic()
    opsh.type(key)
    got = opsh.end()
    took = time.monotonic() - began
    assert got == wanted, (name, got, opsh.seen)
    assert took < LIMIT, (name, took)
    none_left(mark)
    assert b"next" not in opsh.seen, (name, opsh.seen)
    return opsh.seen


def quoted(text):
    return "[==[%s]==]" % text


WAYS = {
    "run": 'sh.run{"sh", "-c", TREE}',
    "a read": 'sh.run{"sh", "-c", TREE, effect = "read"}',
    "live": 'sh.run{"sh", "-c", "echo shown; " .. TREE, live = true}',
    "a long time to end": 'sh.run{"sh", "-c", TREE, kill_after = 30}',
    "a pipeline": 'sh.pipe{{"sh", "-c", TREE}, {"sh", "-c", TREE}, {"cat"}}',
    "lines": 'for l in sh.lines{"sh", "-c", TREE} do print(l) end',
    "start and wait": 'local p <close> = sh.start{"sh", "-c", TREE} p:wait()',
    "start without close": 'p = sh.start{"sh", "-c", TREE} p:wait()',
    "start and sleep": 'p = sh.start{"sh", "-c", TREE} task.sleep(60)',
    "fed by a function": 'sh.run{"sh", "-c", TREE, stdin = function() '
                         'task.sleep(60) end}',
    "swallowed": 'while true do pcall(sh.run, {"sh", "-c", TREE}) end',
    "in a sort": 'table.sort({3, 2, 1}, function(a, b) sh.run{"sh", "-c", '
                 'TREE} return a < b end)',
    "a step": 'step("one", function() sh.run{"sh", "-c", TREE} end)',
}


def way(name):
    code = WAYS[name].replace("TREE", quoted(TREE)) + ' print "next"'

    def fn():
        ctrl_c(name, code, fresh(), many=6)
    fn.__name__ = "ctrl_c_" + re.sub("[^a-z]", "_", name)
    test(fn)


for each in WAYS:
    way(each)


@test
def ctrl_c_with_200_children():
    code = ('local fs = {} for i = 1, 200 do fs[i] = function() sh.run{"sh", '
            '"-c", "trap \'\' TERM; sleep NUM; sleep NUM", effect = "read"} end '
            'end task.all(fs)')
    ctrl_c("200", code, fresh(), many=400)


@test
def other_signals():
    for what, code in ((signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        mark = fresh()
        opsh = Terminal("-e", 'sh.run{"sh", "-c", %s}' % quoted(
            TREE.replace("NUM", mark)))
        until("children", lambda: len(alive(mark)) >= 6)
        began = time.monotonic()
        opsh.signal(what)
        assert opsh.end() == code, opsh.seen
        assert time.monotonic() - began < LIMIT
        none_left(mark)


@test
def third_ctrl_c_leaves_nobody():
    # C code that can't be interrupted: the third leaves at once
    mark = fresh()
    opsh = Terminal("-e", 'p = sh.start{"sh", "-c", %s} local s = '
                    '("a"):rep(32):find(("a?"):rep(32) .. ("a"):rep(32))'
                    % quoted("trap '' TERM; sleep %s; sleep %s" % (mark, mark)))
    until("children", lambda: len(alive(mark)) >= 2)
    for _ in range(3):
        opsh.type("\x03")
        time.sleep(0.1)
    assert opsh.end() == 130, opsh.seen
    none_left(mark)


@test
def the_window_closes():
    mark = fresh()
    opsh = Terminal("-e", 'sh.run{"sh", "-c", %s}' % quoted(
        TREE.replace("NUM", mark)))
    until("children", lambda: len(alive(mark)) >= 6)
    began = time.monotonic()
    assert opsh.hang_up() == 129
    assert time.monotonic() - began < LIMIT
    none_left(mark)


@test
def nobody_reads_the_output():
    # the reader goes while lines come
    mark = fresh()
    done = subprocess.run(
        ["sh", "-c", "'%s' -e 'for l in sh.lines{\"sh\", \"-c\", \"yes; sleep "
         "%s\", effect = \"read\"} do print(l) end' | head -n 2; echo "
         "${PIPESTATUS}" % (OPSH, mark)], cwd=TMP, timeout=20,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=environment())
    assert done.stdout.startswith(b"y\ny\n"), done
    assert b"rror" not in done.stderr, done
    none_left(mark)


@test
def a_password_has_nobody_to_ask():
    # what sudo and ssh do: open the terminal itself
    for what in ("cat /dev/tty", "read x", "exec 3<>/dev/tty; read x <&3"):
        began = time.monotonic()
        opsh = Terminal("-e", 'print("status", sh.run{"sh", "-c", %s, '
                        'accept = true, effect = "read"}.status)' % quoted(what))
        assert opsh.end() == 0, opsh.seen
        assert re.search(rb"status\s+[12]", opsh.seen), opsh.seen
        assert time.monotonic() - began < 2, what


@test
def a_child_is_not_told_of_ctrl_c_by_the_terminal():
    # it is in no foreground group: TERM by us is what it hears
    mark = fresh()
    heard = os.path.join(TMP, "heard")
    code = ('sh.run{"sh", "-c", [[trap "echo INT >> %s" INT; trap "echo TERM >> '
            '%s; exit" TERM; sleep NUM & wait; wait]]}' % (heard, heard))
    ctrl_c("heard", code, mark, many=2)
    with open(heard) as file:
        assert file.read() == "TERM\n"


@test
def what_became_of_it_is_on_record():
    mark = fresh()
    ctrl_c("record", 'sh.run{"sh", "-c", %s}' % quoted(TREE), mark, many=6)
    records = journal()
    intent = [r for r in records if r["type"] == "intent"]
    outcome = [r for r in records if r["type"] == "outcome"]
    assert len(intent) == 1 and intent[0]["verb"] == "sh", records
    assert outcome[0]["outcome"] == "unknown", outcome
    assert "KILL" in outcome[0]["error"]["message"], outcome
    assert records[-1]["type"] == "end" and records[-1]["exit"] == 130


@test
def a_process_that_is_left_behind_ends_with_opsh():
    mark = fresh()
    code, out, _ = run("-e", 'p = sh.start{"sh", "-c", "trap \'\' TERM; sleep '
                       '%s; sleep %s", effect = "read"} print(p:pid())'
                       % (mark, mark))
    assert code == 0 and out.strip().isdigit(), (code, out)
    none_left(mark)


if __name__ == "__main__":
    raise SystemExit(terminal.main())
