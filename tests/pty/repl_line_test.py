#!/usr/bin/python3
"""Entries at the prompt: what is whole, what goes on, what is pasted, recalled
and kept; jobs that write while one types; questions in between; how a session
ends. Waits for patterns, never for a time. Owns what terminal.py and session.py
own.
"""

import os
import re
import signal
import stat
import subprocess
import sys
import time

import terminal
from session import HISTORY, MORE, PROMPT, Session, Tmux, forget, history
from terminal import environment, fresh, journal, main, path, redis, servers, test, until

PASTE = "\x1b[200~%s\x1b[201~"
UP = "\x1b[A"
LEFT = "\x1b[D"


# --- entries ------------------------------------------------------------------

@test
def expressions_and_statements():
    s = Session()
    s.enter("1 + 1", r"[\nl]2\r\n")
    s.enter("=1+1", r"[\nl]2\r\n")
    s.enter("= 'a'..'b'", r"[\nl]ab\r\n")
    s.enter("x = 20")
    s.enter("x + 1 -- and a comment", r"[\nl]21\r\n")
    s.enter("return x", r"[\nl]20\r\n")
    s.enter("-- nothing")
    s.enter("")
    s.enter("print(x)", r"[\nl]20\r\n")
    assert s.quit() == 0


@test
def entries_that_go_on():
    s = Session()
    s.more("for n = 1, 2 do")
    s.more("")
    s.enter("print('n'..n) end", r"[\nl]n1\r\nn2\r\n")
    s.more("(42")
    s.enter(")", r"[\nl]42\r\n")
    s.more("s = [[one -- no comment")
    s.enter("two]] ")
    s.enter("#s", r"[\nl]21\r\n")
    s.more("--[[ a comment")
    s.enter("]] 'after'", r"[\nl]after\r\n")
    s.more("f = function(n)")
    s.enter("return n * 2 end")
    s.enter("f", r"[\nl]function \(entry 6")    # whole: it does not wait for `(`
    s.enter("(21)", r"[\nl]21\r\n")
    s.enter("f(21)", r"[\nl]42\r\n")
    assert s.quit() == 0


@test
def what_is_wrong_is_said_at_once():
    s = Session()
    s.enter("x = = 2", r"unexpected symbol near '='")
    s.enter("1 + + 2", r"unexpected symbol near")
    s.enter("'open", r"unfinished string")
    s.enter("nothing.here", r"attempt to index a nil value \(global 'nothing'\)")
    s.enter("error(setmetatable({}, {__tostring = function() return 'own' .. 'ed' end}))",
            r"owned")
    s.enter("error(nil)", r"opsh|nil")
    s.enter("error(setmetatable({}, {__tostring = error}))", r"opsh|error")
    s.enter("1 + 1", r"[\nl]2\r\n")
    assert s.quit() == 0


@test
def locals_are_the_sessions():
    s = Session()
    s.enter("local a, b <const> = 1, 2")
    s.enter("a + b", r"[\nl]3\r\n")
    s.enter("local function twice(n) return n > 9 and n or twice(n * 2) end")
    s.enter("twice(3)", r"[\nl]12\r\n")
    s.enter("do local a = 50 end")
    s.enter("a", r"[\nl]1\r\n")
    s.enter("local c")
    s.enter("c == nil", r"[\nl]true\r\n")
    s.enter("local t <close> = setmetatable({}, {__close = function() print 'closed' end})",
            r"[\nl]closed\r\n")
    assert s.quit() == 0


@test
def what_is_typed_ahead_is_not_lost():
    s = Session()
    s.type("task.sleep(0.3) print 'fir' .. 'st'\n")
    s.type("x = 'sec'\nprint(x .. 'ond')\nif x the")
    s.type("n\nprint(x .. 'rd')\nend\n")
    s.expect("second\r\n")
    s.expect("secrd\r\n")
    s.ready()
    assert s.quit() == 0


# --- pastes, characters, sizes ------------------------------------------------

@test
def a_pasted_block_is_one_entry():
    s = Session()
    forget()
    s.child.send(PASTE % "for n = 1, 2 do\r\n\tif n then\r\t\tprint('p' .. n)\n\tend\nend\n")
    s.expect("end")
    assert b"p1" not in s.seen, "it ran before Enter"
    s.type("\n")
    s.expect("p1\r\np2\r\n")
    s.ready()
    s.enter("1", r"[\nl]1\r\n")
    assert history()[0] == ("for n = 1, 2 do\\n\tif n then\\n\t\tprint('p' .. n)"
                            "\\n\tend\\nend"), history()
    assert s.quit() == 0


@test
def a_paste_of_two_lines_is_lua_of_two_lines():
    s = Session()
    s.enter("f = function(...) return select('#', ...) end")
    s.child.send(PASTE % "f\n(1, 2, 3)")
    s.expect("3\\)")
    s.type("\n")
    s.expect(r"[\nl]3\r\n")
    s.ready()
    assert s.quit() == 0


@test
def a_large_paste():
    s = Session()
    text = "x = {\n" + "".join("\t%d,\n" % n for n in range(5000)) + "}"
    s.child.send(PASTE % text)
    s.expect("4999,")
    s.type("\n")
    s.ready()
    s.enter("#x", r"[\nl]5000\r\n")
    assert s.quit() == 0


@test
def an_escape_alone_and_a_key_cut_in_two():
    s = Session()
    s.type("'xz'")
    s.expect("xz'")
    s.type("\x1b")
    s.type("[D")            # Left, however it arrives
    s.type(LEFT + "y")
    s.expect("y")
    s.type("\n")
    s.expect(r"[\nl]xyz\r\n")
    s.ready()
    assert s.quit() == 0


@test
def bytes_that_are_no_text():
    s = Session()
    s.child.send(b"s = '\xff\xc3'\n")
    s.ready()
    s.enter("s:byte(1, -1)", r"255", r"195")
    s.child.send(b"\x1b[200~t = '\x00\xfe'\x1b[201~\n")
    s.ready()
    s.enter("#t", r"[\nl]1\r\n")
    assert s.quit() == 0


@test
def wide_characters():
    t = Tmux(size=(40, 10))
    t.shows("the prompt", lambda s: re.search(PROMPT + "?$", s))
    t.type("'日本語é'")
    t.shows("the text", lambda s: "'日本語é'" in s)
    t.key("Left", "Left", "BSpace")
    t.shows("one less", lambda s: "'日本é'" in s)
    t.type("京")
    t.key("Enter")
    t.shows("its value", lambda s: "\n日本京é\n" in s)


@test
def a_locale_that_is_not_ours():
    s = Session(LANG="C", LC_ALL=None)
    s.type("'日本x'" + LEFT + LEFT + "\x7f")
    s.type("\n")
    s.expect("[\nl]日x\r\n")
    s.ready()
    assert s.quit() == 0


@test
def the_window_changes_its_size():
    t = Tmux(size=(60, 10))
    t.shows("the prompt", lambda s: re.search(PROMPT + "?$", s))
    long = "'" + "abcdefghij" * 8 + "'"
    t.type(long)
    t.shows("the line", lambda s: long in s.replace("\n", ""))
    t.size(30, 10)
    t.shows("narrow", lambda s: long in s.replace("\n", ""))
    t.size(100, 10)
    t.shows("wide", lambda s: s.endswith("> " + long))
    t.key("C-a")
    t.type("#")
    t.key("Enter")
    t.shows("its length", lambda s: "\n80\n" in s)


# --- history --------------------------------------------------------------------

@test
def a_block_is_recalled_after_a_restart_and_edited():
    forget()
    s = Session()
    s.more("for n = 1, 2 do")
    s.enter("print('first' .. n) end", "first2\r\n")
    s.enter("'other'", "other\r\n")
    assert s.quit() == 0
    s = Session()
    s.type(UP + UP)
    s.expect("for n = 1, 2 do\r\n")
    s.expect(re.escape("print('first' .. n) end"))
    s.type("\x1b[H" + "\x1b[C" * 11 + "\x7f3")    # `2` becomes `3`
    s.type("\n")
    s.expect("first3\r\n")
    s.ready()
    assert s.quit() == 0
    assert len(history()) == 3, history()


@test
def control_r_finds():
    forget()
    s = Session()
    s.enter("'needle'", "needle\r\n")
    s.enter("'hay'", "hay\r\n")
    s.type("\x12need")
    s.expect(r"reverse-i-search")
    s.type("\n")
    s.expect("lneedle\r\n")
    s.ready()
    s.type("\x12hay")
    s.expect("reverse-i-search")
    s.type("\x03")
    s.ready()
    s.enter("1", r"[\nl]1\r\n")
    assert s.quit() == 0


@test
def two_sessions_keep_both():
    forget()
    a, b = Session(), Session()
    for n in range(20):
        a.enter("'a%d'" % n, "a%d\r\n" % n)
        b.enter("'b%d'" % n, "b%d\r\n" % n)
    assert a.quit() == 0
    b.signal(signal.SIGTERM)
    assert b.end() == 143
    assert sorted(history()) == sorted(
        "'%s%d'" % (c, n) for c in "ab" for n in range(20)), history()
    assert stat.S_IMODE(os.stat(HISTORY).st_mode) == 0o600


@test
def secrets_are_not_kept():
    forget()
    s = Session(PIN="marmalade-9")
    s.enter("pin = secret.env 'PIN'")
    s.enter("type(secret.resolve(pin))", "userdata")
    s.enter("x = 'marmalade-9'")
    s.enter("password = 'hunter2-of-mine'")
    s.enter(" 'blank'", "blank\r\n")
    s.enter("t = { token = 'abc' }")
    s.enter("'kept'", "kept\r\n")
    assert s.quit() == 0
    assert history() == ["pin = secret.env 'PIN'", "type(secret.resolve(pin))",
                         "'kept'"], history()
    texts = [r.get("text") for r in journal() if r["type"] == "entry"]
    assert len(texts) == 7 and texts[-1] == "'kept'", texts
    assert not re.search("marmalade|hunter2|abc", str(texts)), texts


@test
def a_history_that_cannot_be_written():
    forget()
    os.mkdir(HISTORY)
    try:
        s = Session()
        s.enter("'one'", "history: ", "one\r\n")
        s.enter("'two'", "two\r\n")
        assert s.seen.count(b"not kept") == 1, s.seen
        assert s.quit() == 0
    finally:
        os.rmdir(HISTORY)


# --- jobs, questions, the status line ---------------------------------------------

@test
def jobs_write_while_one_types():
    s = Session()
    go = path("go.job")
    s.enter("""j = task.spawn(function() repeat task.sleep(0.01) until fs.exists '%s' """
            """print('from' .. ' the job') end)""" % go)
    s.type("'typed' .. ")
    s.expect("'typed' .. ")
    path("go.job", "")
    s.expect("from the job\r\n")
    s.expect("job 1 is done")
    s.expect(PROMPT + r"'typed' \.\. ")     # drawn again
    s.type("'on'\n")
    s.expect("[\nl]typedon\r\n")
    s.ready()
    os.unlink(go)
    s.enter("j:status()", "done\r\n")
    s.enter("k = task.spawn(function() task.sleep(0.01) error 'broken' end)",
            "job 2 failed", "broken")
    assert s.quit() == 0


@test
def control_d_with_jobs_asks_once():
    s = Session()
    s.enter("task.spawn(task.sleep, 60)")
    s.type("\x04")
    s.expect("a job is still running")
    s.ready()
    s.enter("1", r"[\nl]1\r\n")
    s.type("\x04")
    s.expect("still running")
    s.ready()
    s.type("\x04")
    s.expect("job 1 was cancelled")
    assert s.end() == 0


@test
def a_failed_entry_takes_its_tasks_along():
    s = Session()
    s.enter("task.spawn(function() local x <close> = setmetatable({}, {__close = "
            "function() print('released') end}) task.sleep(60) end) task.sleep(0) "
            "error 'away'", "released\r\n", "away")
    s.type("\x04")
    assert s.end() == 0


GUARD = "guard(cache, { verb = 'unlink', count = 1, sample = { 'a' } }) "


@test
def a_guard_asks_in_place():
    redis("set", "a", "1")
    s = Session()
    s.type(GUARD + "return cache:unlink({'a'}).count\n")
    s.expect(r"type '1' to go on: ")
    s.type("1\n")
    s.expect(r"[\nl]1\r\n")
    s.ready()
    assert redis("exists", "a") == "0"
    redis("set", "a", "1")
    s.type(GUARD + "return cache:unlink({'a'}).count\n")
    s.expect(r"type '1' to go on: ")
    s.type("\x03")
    s.expect("nothing was written")
    s.ready()
    assert redis("exists", "a") == "1"
    s.enter("1 + 1", r"[\nl]2\r\n")
    assert s.quit() == 0


@test
def a_job_asks_while_a_line_is_edited():
    redis("set", "a", "1")
    s = Session()
    go = path("go.ask")
    s.more("task.spawn(function() repeat task.sleep(0.01) until fs.exists '%s'" % go)
    s.enter(GUARD + "print('count ' .. cache:unlink({'a'}).count) end)")
    s.type("'half a ")
    s.expect("'half a ")
    path("go.ask", "")
    s.expect(r"type '1' to go on: ")
    until("the terminal echoes", s.echoes)
    s.type("1\n")
    s.expect("count 1\r\n")
    s.expect(PROMPT + "'half a ")
    s.type("line'\n")
    s.expect("[\nl]half a line\r\n")
    s.ready()
    os.unlink(go)
    assert s.quit() == 0


@test
def a_job_has_asked_when_the_line_begins():
    redis("set", "a", "1")
    s = Session()
    s.type("task.spawn(function() " + GUARD + "print 'passed' end) task.sleep(0.2)\n")
    s.expect(r"type '1' to go on: ")
    s.type("1\n")
    s.expect("passed\r\n")
    s.expect(PROMPT)
    s.enter("1 + 1", r"[\nl]2\r\n")
    assert s.quit() == 0


@test
def a_long_call_shows_its_time():
    s = Session()
    s.type("task.sleep(1.6) return 'over'\n")
    s.expect(r"1\.\d s  task.sleep")
    s.expect(r"\x1b\[K")
    s.expect(r"over\r\n")
    s.expect(r"\(1\.\d s\)\r\n")
    s.ready()
    assert s.quit() == 0


@test
def what_is_typed_does_not_run_into_the_time():
    s = Session()
    s.type("task.sleep(2.2) return 'first'\n")
    s.expect(r"1\.\d s  task.sleep")
    until("nothing is echoed", lambda: not s.echoes())
    s.type("'sec' .. 'ond'\n'half ")
    s.expect(r"2\.\d s  task.sleep")
    s.expect(r"first\r\n")
    s.expect(PROMPT + r"'sec' \.\. 'ond'\r\n.*second\r\n")
    s.expect(PROMPT + "'half ")
    assert s.seen.count(b"'sec' .. 'ond'") == 1, s.seen
    s.type("\x15")
    # who asks gets an echo, and so does who comes after us
    s.type("task.sleep(1.2) guard(sh, { verb = 'stop', count = 1 })\n")
    s.expect("to go on: ")
    until("the question echoes", s.echoes)
    s.type("\x03")
    s.ready()
    s.type("task.sleep(60)\n")
    s.expect(r"1\.\d s  task.sleep")
    until("nothing is echoed", lambda: not s.echoes())
    s.signal(signal.SIGTERM)
    assert s.gone() == 143
    assert s.settings() == fresh()


# --- where a session begins and ends ------------------------------------------------

@test
def a_protected_environment_is_read_only():
    redis("set", "a", "1")
    file = path("prod.lua", """return { environment = "production", protected = true,
        targets = { cache = { kind = "redis", url = "%s" } } }"""
                % servers["OPSH_REDIS_URL"])
    s = Session("--targets", file, PROMPT=r"production read [0-9A-Z]{4}> ")
    s.enter("cache:get 'a'", r"[\nl]1\r\n")
    s.enter("cache:set('a', '2')", "refused")
    assert redis("get", "a") == "1"
    assert s.quit() == 0
    s = Session("--targets", file, "--write",
                PROMPT=r"production write [0-9A-Z]{4}> ")
    s.enter("cache:set('a', '2')", "OK|true")
    assert s.quit() == 0
    assert redis("get", "a") == "2"
    s = terminal.Terminal("--targets", file)
    s.expect("\x1b\\[1;31mproduction\x1b\\[0m ")
    s.expect("\x1b\\[32mread\x1b\\[0m ")
    assert s.release() is None


@test
def control_d_and_quit_leave():
    before = Session()
    before.type("x\x7f\x04")
    assert before.end() == 0
    s = Session()
    s.more("do")
    s.type("\x04")
    s.ready()
    s.enter("1", r"[\nl]1\r\n")
    s.type(":quit\n")
    assert s.end() == 0


@test
def os_exit_gives_the_code():
    s = Session()
    s.type("os.exit(7)\n")
    assert s.end() == 7
    assert journal()[-1]["exit"] == 7
    s = Session()
    s.type("task.spawn(function() task.sleep(0.01) os.exit(8) end)\n")
    assert s.end() == 8


@test
def signals_end_the_session_and_give_the_terminal_back():
    for text in ("", "'half", "task.sleep(60)\n", "if x then\n"):
        for number, code in ((signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            s = Session()
            s.enter("1", r"[\nl]1\r\n")
            s.type(text)
            if text:
                s.expect(re.escape(text.strip()))
            s.signal(number)
            assert s.gone() == code, (text, number, s.seen)
            assert s.settings() == fresh(), text
            assert journal()[-1]["exit"] == code


@test
def the_terminal_is_closed():
    for text in ("", "'half", "task.sleep(60)\n", "while true do end\n"):
        s = Session()
        s.enter("1", r"[\nl]1\r\n")
        s.type(text)
        if text:
            s.expect(re.escape(text.strip()))
        assert s.hang_up() == 129, text
        assert journal()[-1]["exit"] == 129, text


@test
def stopped_and_gone_on():
    s = Session("--norc", "--noprofile", "-i", program="/bin/bash", PS1="shell> ",
                PROMPT="shell> ")
    s.type(terminal.OPSH + "\n")
    s.expect(PROMPT)
    s.type("'be")
    s.expect("'be")
    s.type("\x1a")
    s.expect("Stopped")
    s.ready()
    s.type("echo sh''ell\n")
    s.expect("\rshell\r\n")
    s.ready()
    s.type("fg\n")
    s.expect(PROMPT + "'be")
    s.type("fore'\n")
    s.expect("[\nl]before\r\n")
    s.expect(PROMPT)
    s.type("\x04")
    s.ready()
    s.type("exit\n")
    assert s.end() == 0


@test
def stopped_in_an_entry_the_shell_echoes():
    # one that leaves the settings as the program has left them
    s = Session("-i", program="/bin/dash", PS1="shell> ", PROMPT="shell> ")
    for entry in ("task.sleep(60)", "while true do end"):
        s.type(terminal.OPSH + "\n")
        s.expect(PROMPT)
        s.type(entry + "\n")
        s.expect("Ctrl-C stops it" if "sleep" in entry else "end\r\n")
        time.sleep(0.3)
        s.type("\x1a")
        s.expect("Stopped")
        s.ready()
        s.type("echo sh''ell\n")
        s.expect("echo sh''ell\r\nshell\r\n")
        s.ready()
        s.type("fg\n")
        time.sleep(0.3)
        s.type("\x03")
        s.expect(PROMPT)
        s.type("1+1\n")
        s.expect("[\nl]2\r\n")
        s.expect(PROMPT)
        s.type("\x04")
        s.ready()
    s.type("exit\n")
    assert s.end() == 0


@test
def without_a_shell_control_z_does_not_freeze_it():
    s = Session()
    s.type("'a\x1ab'\n")
    s.expect("[\nl]ab\r\n")
    s.ready()
    assert s.quit() == 0


@test
def the_title_is_the_sessions_and_goes_with_it():
    s = Session("--targets", path("stage.lua", "return { environment = 'stage' }"))
    assert b"\x1b[22;2t\x1b]2;opsh stage write\x07" in s.seen, s.seen
    s.type(":quit\n")
    s.expect("\x1b\\[23;2t")
    assert s.end() == 0
    s = Session(TERM="dumb")
    s.enter("1 + 1", r"\n2\r\n")
    assert b"\x1b" not in s.seen, s.seen
    assert s.quit() == 0


@test
def control_backslash_ends_nothing():
    s = Session()
    s.type("'a\x1c")
    s.type("b' .. #'c'\n")
    s.ready()
    s.type("task.sleep(0.2) return 'slept'\n")
    s.expect("slept'")
    s.type("\x1c")
    s.expect("slept\r\n")
    s.ready()
    assert s.quit() == 0


@test
def results_may_go_to_a_pipe():
    s = Session("-c", terminal.OPSH + " | cat", program="/bin/sh")
    s.type("6 * 7\n")
    s.expect(r"[^.\d]42\r\n")
    assert s.quit() == 0
    # nowhere to show a prompt: what is typed is a script
    s = terminal.Terminal("-c", terminal.OPSH + " 2>" + path("noise"),
                          program="/bin/sh")
    s.type("print(40 + 2)\n\x04")
    s.expect("[\nl]42\r\n")
    assert s.end() == 0


@test
def without_a_terminal_it_is_a_script():
    done = subprocess.run([terminal.OPSH], input=b"x = 1\nprint(x + 1)\n",
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=terminal.LIMIT, env=environment())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"2\n", b""), done


@test
def a_state_folder_that_is_not_there():
    s = Session(XDG_STATE_HOME="/dev/null/nowhere")
    s.enter("1 + 1", "entries are not recorded", r"[\nl]2\r\n")
    s.enter("2 + 1", r"[\nl]3\r\n")
    assert s.quit() == 0


if __name__ == "__main__":
    sys.exit(main())
