#!/usr/bin/python3
"""repl_show_test: results and errors at a real terminal: a million rows, 10 MB in a
string, bytes that are no text, wide characters, 80 and 200 columns, and the pager:
left early, interrupted, killed, missing. Owns nothing but what terminal.py made.
Last line: N passed, N failed.
"""

import os
import re
import signal
import time
import unicodedata

import terminal
from terminal import Terminal, clean, main, path, servers, test, until

PROMPT = rb"> \x1b\[\?2004h|> $"
STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07")


def session(*args, size=(24, 80), pager="cat", **env):
    t = Terminal(*args, size=size, PAGER=pager, **env)
    t.expect(":help, Ctrl-D leaves")
    prompt(t)
    return t


def prompt(t):
    """The prompt is back: an entry would be read now."""
    t.expect(r"> (\x1b\[[0-9;?]*[a-zA-Z])*$")


def entry(t, text, wait=True):
    """What an entry has printed, as plain text without its echo."""
    before = len(t.seen)
    t.type(text + "\r")
    if not wait:
        return None
    t.expect(r"\n")
    prompt(t)
    seen = t.seen[before:].decode(errors="replace")
    lines = STYLES.sub("", seen).replace("\r\n", "\n").split("\n")
    return "\n".join(line for line in lines[1:-1])


def width(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


@test
def a_million_rows():
    terminal.up("redis", "postgres")
    t = session("--target", "db=" + servers["OPSH_POSTGRES_SUPER_URL"])
    entry(t, ":set pager off")
    t.type('db:query "select g as id, md5(g::text) as hash, null as none '
           'from generate_series(1, 1000000) g"\r')
    t.expect(r"id +hash +none")
    t.expect("100  f899139df5e1059396431415e770c6dd  NULL\r\n")
    t.expect(r"999,900 more rows \(1,000,000 in all\); :set rows N shows more")
    prompt(t)
    with open("/proc/%d/status" % t.child.pid) as file:
        peak = int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1)) // 1024
    # the rows themselves are 60 MB; a build with a shadow of memory has more
    assert peak < 250 or "asan" in terminal.OPSH, "%d MB" % peak
    assert "1000000\n8155bc545f84d9652f1012ef2bdfb6eb" in entry(
        t, "#_, _[1000000].hash")
    # Ctrl-C while all of it is printed
    entry(t, ":set rows 0")
    t.type("_1\r")
    t.expect(r"\n +500  ")
    began = time.monotonic()
    t.type("\x03")
    t.expect("interrupted")
    assert time.monotonic() - began < 5
    prompt(t)
    assert "2" in entry(t, "1 + 1")


@test
def ten_megabytes_in_a_string():
    t = session()
    entry(t, ":set pager off")
    text = entry(t, 'string.rep("0123456789", 1024 * 1024)')
    assert "10,420,224 more bytes (10,485,760 in all)" in text, text[-200:]
    assert len(text) < 80000, len(text)
    assert entry(t, "#_").strip() == "10485760"
    rows = entry(t, '{ { id = 1, long = string.rep("y", 10 * 1024 * 1024) } }')
    assert max(map(len, rows.split("\n"))) <= 80, rows


@test
def nothing_foreign_reaches_the_terminal():
    t = session()
    entry(t, ":set pager off")
    assert "caf\\xe9" in entry(t, '"caf\\xe9"')
    assert "a\\x1b[2Jb" in entry(t, '"a\\27[2Jb"')
    assert "5 bytes\n00000000  00 01 02 ff 61" in entry(t, '"\\0\\1\\2\\xffa"')
    text = entry(t, 'error("boo\\27[31m")')
    assert "error: boo\\x1b[31m" in text, text
    clean(re.sub(rb"\x1b\[\??[0-9;]*[a-zA-Z]|\x1b\][^\x07]*\x07|\x07|\x08|\x1b[=>]|"
                 rb"\x1b\([B0]", b"", t.seen))


@test
def wide_characters_stand_in_columns():
    t = session()
    text = entry(t, '{ { w = "日本語", n = 1 }, { w = "é", n = 20 } }')
    assert "\n 1  日本語\n20  é\n(2 rows)" in text, text
    text = entry(t, '{ { w = string.rep("日本", 100), n = 1 } }')
    for line in text.split("\n"):
        assert width(line) <= 80, line


@test
def wide_tables_at_80_and_200_columns():
    row = "{ { " + ", ".join('%s = ("%s"):rep(25)' % (c, c) for c in "abcdefg") + " } }"
    t = session(size=(50, 80))
    text = entry(t, row)
    assert "-- row 1 --" in text and max(map(width, text.split("\n"))) <= 80, text
    t = session(size=(50, 200))
    text = entry(t, row)
    assert "-- row 1 --" not in text, text
    assert max(map(width, text.split("\n"))) <= 200
    assert "-- row 1 --" in entry(t, ":set expanded on") + entry(t, row)
    entry(t, ":set expanded off")
    assert "-- row 1 --" not in entry(t, row)


ROWS = "local r = {} for i = 1, 500 do r[i] = { n = i } end return r"


@test
def the_pager_is_left_early():
    t = session(pager="less")
    entry(t, ":set rows 0")
    t.type(ROWS + "\r")
    t.expect(r"\n *21[^\n]*\n")
    t.expect(":")                       # the prompt of less
    before = len(t.seen)
    t.type("q")
    t.expect(r"\(500 in all\)")
    prompt(t)
    assert b"499" not in t.seen[before:]
    assert entry(t, "1 + 1").strip() == "2"
    assert entry(t, "#_1").strip() == "500"


@test
def ctrl_c_in_the_pager_is_the_pagers():
    t = session(pager="less")
    entry(t, ":set rows 0")
    t.type(ROWS + "\r")
    t.expect(r"\n *21[^\n]*\n")
    t.expect(":")
    t.type("\x03")
    t.expect(r"\n *21[^\n]*\n:")         # drawn again: what was typed is gone
    t.type("q")
    t.expect(r"\(500 in all\)")
    prompt(t)
    assert b"interrupted" not in t.seen
    assert entry(t, "1 + 1").strip() == "2"
    # a program that Ctrl-C ends
    entry(t, ":set pager sh -c 'stty -echo raw isig; cat; sleep 60'")
    t.type(ROWS + "\r")
    t.expect("500 rows")
    time.sleep(0.2)
    t.type("\x03")
    t.expect(r"\(500 in all\)")
    prompt(t)
    assert entry(t, "1 + 1").strip() == "2"


@test
def a_pager_that_is_killed_or_missing():
    t = session(pager="sh -c 'stty raw -echo; echo $$ >pager.pid; exec sleep 60'")
    before = t.settings()
    t.type(ROWS + "\r")
    name = path("pager.pid")
    pid = until("the pager runs", lambda: os.path.exists(name)
                and open(name).read().strip())
    os.kill(int(pid), signal.SIGKILL)
    t.expect(r"\(500 in all\)")
    prompt(t)
    assert entry(t, "1 + 1").strip() == "2"
    assert t.settings() is not None and before is not None
    entry(t, ":set pager no-such-pager")
    text = entry(t, ROWS)
    assert "400 more rows" in text, text
    assert "no pager: cannot start 'no-such-pager'" in text, text


@test
def what_tasks_say_waits_for_the_pager():
    t = session(pager="less")
    entry(t, "task.spawn(function() for n = 1, 10 do print('job', n) "
          "task.sleep(0.05) end end)")
    t.type(ROWS + "\r")
    t.expect(r"\n *21[^\n]*\n")
    time.sleep(0.8)
    before = len(t.seen)
    t.type("q")
    t.expect(r"\(500 in all\)")
    prompt(t)
    assert b"job\t10" not in t.seen[:before], t.seen[:before]
    assert b"job" in t.seen and b"10" in t.seen[before:]


@test
def what_fits_needs_no_pager():
    t = session(pager="no-such-pager")
    text = entry(t, "{ { a = 1 } }")
    assert "(1 row)" in text and "no pager" not in text, text
    text = entry(t, "print(chart({ 1, 5, 3 }, { height = 3 }))")
    assert "█" in text, text
    text = entry(session(TERM="dumb"), "print(chart({ 1, 5, 3 }, { height = 3 }))")
    assert "█" not in text and "#" in text, text


@test
def errors_have_their_place():
    t = session()
    text = entry(t, 'fs.raed "/etc/hosts"')
    assert text.startswith("error: attempt to call a nil value (field 'raed')\n"
                           '  fs.raed "/etc/hosts"\n     ^\n  try: fs.read'), text
    text = entry(t, "x = = 1")
    assert "  x = = 1\n      ^" in text, text
    text = entry(t, "f = function() error('deep') end")
    assert "deep" in entry(t, "f()")
    assert "stack traceback" in entry(t, ":errors")
    entry(t, ":set traceback on")
    assert "stack traceback" in entry(t, "f()")


if __name__ == "__main__":
    main()
