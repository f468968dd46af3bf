#!/usr/bin/python3
"""Tests of what a person at a terminal sees: progress, colours, escapes, widths,
a window that closes, slow and gone readers. What is typed is in prompt_test.py.

Owns throwaway terminals, folders and one Redis. The keys of the prompt that is
to come (line editing, completion) are not here. The last line is `N passed,
N failed`.
"""

import re
import subprocess
import sys

from terminal import (OPSH, TEST, Terminal, clean, environment, journal, main, path,
                      redis, run, test, until)

# --- progress ---------------------------------------------------------------

WORK = """
local p <close> = progress.new { label = "work", total = 100 }
for n = 1, 100 do
    task.sleep(0.01)
    p:add()
    %s
end
p:close()
print "over"
"""


@test
def progress_is_one_line_and_goes():
    t = Terminal("-e", WORK % "")
    t.expect(r"\rwork: [0-9]+/100  [0-9]+%  [0-9.]+/s  ETA [0-9]+s\x1b\[K")
    t.expect(r"over\r\n")
    assert t.end() == 0
    drawn, rest = t.seen.split(b"work: 100/100 in ")
    assert b"\n" not in drawn, drawn
    assert drawn.endswith(b"\r\x1b[K"), drawn
    assert len(re.findall(rb"\rwork: ", drawn)) > 3, drawn
    assert rest.endswith(b"over\r\n"), rest


@test
def progress_makes_way_for_text():
    t = Terminal("-e", WORK % "if n == 50 then print 'half' end")
    t.expect(r"\r\x1b\[Khalf\r\n")
    t.expect(r"\rwork: [5-9][0-9]/100")
    t.expect(r"over")
    assert t.end() == 0


@test
def progress_is_cut_to_the_width():
    t = Terminal("-e", (WORK % "").replace('"work"', '("w"):rep(300)'),
                 size=(24, 80))
    t.expect(r"over")
    assert t.end() == 0
    for line in re.findall(rb"\r(w+)[^w]*\x1b\[K", t.seen):
        assert len(line) == 79, line


@test
def progress_of_an_error_goes():
    t = Terminal("-e", WORK % "if n == 30 then error 'broke' end")
    t.expect(r"opsh: lua: -e:\d+: broke")
    assert t.end() == 1
    before = t.seen[:t.seen.index(b"opsh: lua")]
    last = before.split(b"\n")[-1]
    assert last == b"" or last.endswith(b"\r\x1b[K"), before


@test
def progress_without_terminal_draws_nothing():
    code, out, err = run("-e", WORK % "")
    assert (code, out) == (0, b"over\n"), (code, out)
    assert b"\r" not in err and b"\x1b" not in err, err
    assert err.startswith(b"work: 100/100 in "), err


# --- colours ----------------------------------------------------------------

SGR = re.compile(rb"\x1b\[[0-9;]*m")
TALK = """log.info("hello")
step("one", function() end)"""


def talk_on_tty(**env):
    t = Terminal("--output", "text", "-e", TALK, **env)
    assert t.end() == 0
    assert b"hello" in t.seen and b"one" in t.seen, t.seen
    return t.seen


@test
def colours_on_a_terminal():
    seen = talk_on_tty()
    assert b"\x1b[32minfo\x1b[0m" in seen, seen
    assert b"\x1b[32mok\x1b[0m  one" in seen, seen


@test
def colours_not_wanted():
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": None},
                {"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}):
        seen = talk_on_tty(**env)
        assert b"\x1b" not in seen, (env, seen)


@test
def colours_in_a_pipe():
    for env, wanted in (({}, False), ({"CLICOLOR_FORCE": "1"}, True),
                        ({"CLICOLOR_FORCE": "0"}, False),
                        ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False),
                        ({"CLICOLOR_FORCE": "1", "NO_COLOR": ""}, True)):
        code, _, err = run("-e", TALK, env=env)
        assert code == 0, err
        assert bool(SGR.search(err)) == wanted, (env, err)


# --- what is foreign --------------------------------------------------------

EVIL = r"a\27[31m\27]0;title\7\8\127\u{202e}gpj\u{2066}\u{9b}31m\xff\0z\r!"


@test
def foreign_text_is_escaped_wherever_it_comes_out():
    code = "local evil = '%s' " % EVIL + r"""
print(evil)
io.write(evil, "\n")
io.stderr:write(evil, "\n")
show { { name = evil, n = 1 }, { name = "b", n = 2 } }
show { [evil] = evil }
show { evil }
log.warn("%s", evil, { [evil] = evil })
local p = progress.new { label = evil, total = 2 }
p:add() task.sleep(0.2) p:add() p:close()
step(evil:gsub("%z", ""), {}, function() cache:set("evil", evil) end)
print(cache:get "evil")
warn(evil)
return evil
"""
    redis("ping")
    t = Terminal("--output", "text", "-e", code)
    assert t.end() == 0, t.seen
    clean(t.seen)
    assert t.seen.count(rb"a\x1b[31m\x1b]0;title\x07") >= 10, t.seen


@test
def foreign_text_in_errors_is_escaped():
    for code in ("error('%s')", "error { '%s' }", "fail('%%s', '%s')",
                 "cache:call('X%s')", "step('%s', function() error '%s' end)",
                 "local t = {} t['%s'].x = 1", "require '%s'",
                 "return setmetatable({}, {__tostring = function() "
                 "return '%s' end})"):
        redis("ping")
        t = Terminal("-e", code.replace("'%s'", "'" + EVIL.replace(
            r"\0", "") + "'").replace("'%%s'", "'%s'").replace("X%s", EVIL))
        t.end()
        clean(t.seen)
        assert rb"[31m" in t.seen, (code, t.seen)


@test
def foreign_text_of_files_and_arguments_is_escaped():
    name = "evil\x1b[31m.lua"
    path(name, "return { name = 'x\x1b[32m', summary = '\x1b[33m' }")
    for args in (("run", name), ("check", name), ("doc", name),
                 ("x\x1b[31m",), ("--x\x1b[31m",), ("help", "\x1b[31m"),
                 ("--target", "a\x1b[31m=redis://x", "targets"),
                 ("--targets", "\x1b[31m", "targets"),
                 ("timeline", "\x1b[31m")):
        t = Terminal(*args)
        t.end()
        clean(t.seen)
        assert rb"\x1b[3" in t.seen, (args, t.seen)


@test
def a_pipe_gets_the_bytes():
    code, out, _ = run("-e", r"io.write('a\27[31m\255\0')")
    assert (code, out) == (0, b"a\x1b[31m\xff\0"), out


# --- widths -----------------------------------------------------------------

WIDE = """
local rows = {}
for n = 1, 3 do
    rows[n] = { id = n, name = ("name-%d "):format(n):rep(20),
        note = ("日本語"):rep(15), last = "x" }
end
show(rows)
show { key = ("v"):rep(500) }
"""


def widths(seen):
    from unicodedata import east_asian_width as wide
    return [sum(2 if wide(c) in "WF" else 1 for c in line)
            for line in seen.decode().split("\r\n")]


@test
def tables_fit_80_and_200_columns():
    for columns in (80, 200):
        t = Terminal("-e", WIDE, size=(24, columns))
        assert t.end() == 0
        found = widths(t.seen)
        assert max(found) <= columns, (columns, found)
        assert max(found) > columns - 10, (columns, found)
        assert "…" in t.seen.decode(), t.seen


@test
def tables_in_40_columns_stand_upright():
    t = Terminal("-e", WIDE + "show { { a = 1, b = 2, c = 'x', d = 'y', "
                 "e = 'z', f = 'u', g = 'v', h = 'w', i = 'x' } }",
                 size=(24, 40))
    assert t.end() == 0
    assert max(widths(t.seen)) <= 40, t.seen


@test
def tables_in_a_pipe_are_whole():
    code, out, _ = run("-e", WIDE)
    assert code == 0 and "…" not in out.decode(), out
    assert b"v" * 500 in out


# --- a window that closes, readers that sleep or leave ------------------------

LOOP = """
step("loop", function()
    for n = 1, 1e9 do
        cache:set("loop", n)
        if n == 20 then print "running" end
        task.sleep(0.001)
    end
end)
"""


@test
def window_closed_in_the_middle():
    redis("ping")
    t = Terminal("-e", LOOP)
    t.expect("running")
    assert t.hang_up() == 129
    records = journal()
    assert records[-1]["type"] == "end", records[-1]
    assert records[-1]["exit"] == 129, records[-1]
    assert not doubts(records), records
    code, out, err = run("verify", "last")
    assert code == 0, (out, err)


def doubts(records):
    """Writes that have no outcome on record."""
    open_ones = {r["seq"] for r in records if r["type"] == "intent"}
    return open_ones - {r.get("of") for r in records
                        if r["type"] == "outcome" and r["outcome"] != "unknown"}


@test
def window_closed_while_it_prints():
    t = Terminal("-e", "cache:set('hup', 1) while true do print('x') end")
    t.expect("x\r\n")
    assert t.hang_up() == 129
    assert journal()[-1]["exit"] == 129, journal()[-1]


TALKER = r"""
task.all(function()
    for n = 1, 80 do print(("%06d"):format(n) .. ("x"):rep(65536)) end
end, function()
    for n = 1, 200 do cache:set("talker", n) end
end)
"""


@test
def results_stand_behind_the_talk_before_them():
    # more than the terminal holds, and nobody reads yet
    t = Terminal("--spec", path("order.lua", """
local term = require "opsh.c.term"
for n = 1, 40 do
    term.write(2, ("talk %d %s\\n"):format(n, ("x"):rep(2000)))
    term.write(1, ("result %d\\n"):format(n))
end
"""), program=TEST, size=(24, 80))
    assert t.end() == 0
    order = re.findall(rb"(talk|result) ([0-9]+)", t.seen)
    assert order == [(what, b"%d" % n) for n in range(1, 41)
                     for what in (b"talk", b"result")], order


@test
def sleeping_reader_does_not_stop_the_journal():
    redis("del", "talker")
    p = subprocess.Popen([OPSH, "-e", TALKER], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env=environment())
    try:
        until("all is written while nobody reads",
              lambda: redis("get", "talker") == "200")
        until("all is on record", lambda: sum(
            r["type"] == "outcome" for r in journal()) == 200)
        assert p.poll() is None, "it must wait for its reader"
        out, err = p.communicate(timeout=20)
        assert p.returncode == 0, err
        lines = out.splitlines()
        assert [int(line[:6]) for line in lines] == list(range(1, 81))
        assert all(len(line) == 65542 for line in lines)
    finally:
        p.kill()


@test
def reader_gone_ends_what_only_reads():
    done = subprocess.run(
        ["bash", "-c", '"$OPSH" -e "for n = 1, 1e9 do print(n) end" | head -1;'
         ' echo "${PIPESTATUS[0]}"'], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=20, env=environment(OPSH=OPSH))
    assert done.stdout == b"1\n141\n", done
    assert done.stderr == b"", done.stderr


@test
def reader_gone_does_not_stop_what_writes():
    redis("del", "half")
    done = subprocess.run(
        ["bash", "-c", '"$OPSH" -e "$CODE" | head -1;'
         ' echo "${PIPESTATUS[0]}"'], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=20, env=environment(OPSH=OPSH, CODE="""
            cache:set("half", 1)
            for n = 1, 20000 do print(n) if n % 100 == 0 then task.sleep(0) end end
            cache:set("half", 2)"""))
    assert done.stdout == b"1\n0\n", done
    assert redis("get", "half") == "2"
    records = journal()
    assert records[-1]["type"] == "end" and records[-1]["exit"] == 0, records[-1]


@test
def full_disk_of_stdout_is_said():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([OPSH, "-e", "print 'x'"], stdout=full,
                              stderr=subprocess.PIPE, timeout=20,
                              stdin=subprocess.DEVNULL, env=environment())
    assert done.returncode == 1, done
    assert b"cannot write to stdout: No space left" in done.stderr, done


@test
def closed_stdout_is_said():
    done = subprocess.run(
        ["bash", "-c", '"$OPSH" -e "print(1)" >&-; echo "$?" >&2'], timeout=20,
        stderr=subprocess.PIPE, env=environment(OPSH=OPSH))
    assert done.stderr.endswith(b"\n1\n"), done
    assert b"cannot write to stdout: Bad file" in done.stderr, done
    done = subprocess.run(
        ["bash", "-c", '"$OPSH" -e "return nil" >&- 2>&-'], timeout=20,
        env=environment(OPSH=OPSH))
    assert done.returncode == 0, done


if __name__ == "__main__":
    sys.exit(main())
