#!/usr/bin/python3
"""Entries at the prompt: what is whole, what goes on, what is pasted, recalled and kept.
Waits for patterns, never for a time. Owns what terminal.py and session.py own.
"""

import os
import re
import signal
import stat
import sys

from session import HISTORY, PROMPT, Session, Tmux, forget, history
from terminal import journal, main, test

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


if __name__ == "__main__":
    sys.exit(main())
