#!/usr/bin/python3
"""lend_test: a program that is given the terminal: what is typed and Ctrl-C are
its own, what opsh writes meanwhile waits, and the terminal is as it was however
the program ends. Owns nothing but what terminal.py made. Last line: N passed,
N failed.
"""

import signal

import terminal
from terminal import TEST, Terminal, main, path, test, until

HEAD = """
local term = require "opsh.c.term"
local task = require "opsh.c.task"
local function say(...) term.write(1, table.concat({...}, " ") .. "\\n") end
"""


def start(code, **env):
    return Terminal("--spec", path("lend.lua", HEAD + code), program=TEST, **env)


@test
def typing_is_the_programs():
    t = start("""
local p <close> = term.lend { "sh", "-c", "echo ready; read a; echo got:$a" }
local r = p:wait()
say("status", r.status)
""")
    t.expect("ready")
    t.type("hello\r")
    t.expect("got:hello")
    t.expect("status 0")
    assert t.end() == 0


@test
def ctrl_c_is_the_programs():
    t = start("""
local p <close> = term.lend { "sh", "-c",
  "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.05; done" }
say("status", p:wait().status)
""")
    t.expect("ready")
    t.type("\x03")
    t.expect("caught")
    t.expect("status 3")
    assert t.end() == 0


@test
def killed_in_raw_mode_the_terminal_comes_back():
    t = start("""
local p <close> = term.lend { "sh", "-c", "stty raw -echo; echo ready; kill -9 $$" }
say("signal", p:wait().signal)
""")
    before = t.settings()
    t.expect("signal 9")
    assert t.end() == 0
    assert b"\x1b[?25h" in t.seen, t.seen
    t = start("""
local p <close> = term.lend { "sh", "-c", "stty raw -echo; echo ready; sleep 0.3; kill -9 $$" }
p:wait()
say "back"
term.prompt "more? "
""")
    t.expect("ready")
    t.expect("back")
    t.expect("more\\?")
    t.type("x\r")
    until("cooked again", lambda: t.settings()[3] == before[3])
    assert t.end() == 0


@test
def what_is_written_meanwhile_waits():
    t = start("""
task.spawn(function()
  for n = 1, 20 do say("job", n); task.sleep(0.01) end
end)
local p <close> = term.lend { "sh", "-c", "echo ready; read a; echo over" }
p:wait()
task.sleep(0.3)
""")
    t.expect("ready")
    t.type("\r")
    t.expect("over")
    t.expect("job 1\r\n")
    t.expect("job 20\r\n")
    seen = t.seen
    assert seen.index(b"over") < seen.index(b"job 1"), seen
    assert t.end() == 0


@test
def a_reader_that_stops_reading():
    t = start("""
local p <close> = term.lend({ "head", "-c", "5" }, { stdin = true })
say("first", tostring(p:write("hello\\n")))
local taken = true
for _ = 1, 100 do taken = taken and p:write(("x"):rep(100000)) end
local r = p:wait()
say("taken", tostring(taken), "status", r.status, tostring(p:write "more"))
""")
    t.expect("hello")
    t.expect("first true")
    t.expect("taken false status 0 false")
    assert t.end() == 0


@test
def all_of_it_is_read():
    t = start("""
local p <close> = term.lend({ "wc", "-c" }, { stdin = true })
for _ = 1, 30 do assert(p:write(("x"):rep(100000))) end
assert(p:write "")
p:wait()
""")
    t.expect("3000000")
    assert t.end() == 0


@test
def ctrl_z_does_not_strand_it():
    t = start("""
local p <close> = term.lend { "sh", "-c", "echo ready; read a; echo got:$a" }
say("status", p:wait().status)
""")
    t.expect("ready")
    t.type("\x1a")
    t.type("on\r")
    t.expect("got:on")
    t.expect("status 0")
    assert t.end() == 0


@test
def a_stop_ends_it():
    t = start("""
local p <close> = term.lend { "sh", "-c", "stty raw -echo; echo ready; exec sleep 60" }
p:wait()
say "never"
""")
    before = t.settings()
    t.expect("ready")
    t.signal(signal.SIGTERM)
    assert t.gone() == 143
    assert t.settings() == before
    assert b"never" not in t.seen


@test
def no_such_program_and_one_at_a_time():
    t = start("""
local ok, e = pcall(term.lend, { "no-such-program" })
say(tostring(ok), e.kind, e.message)
local p <close> = term.lend { "sh", "-c", "read a" }
ok, e = pcall(term.lend, { "true" })
task.spawn(function() task.sleep(0.1) p:__close() end)
""" .replace("p:__close()", "debug.getmetatable(p).__close(p)") + """
p:wait()
say(tostring(ok), e.kind, e.message)
""")
    t.expect("false io cannot start 'no-such-program': No such file")
    t.expect("false usage the terminal is lent to 'sh'")
    assert t.end() == 0


@test
def without_a_terminal():
    code, out, err = terminal.run("--spec", path("lend.lua", HEAD + """
local ok, e = pcall(term.lend, { "true" })
say(tostring(ok), e.kind)
"""), program=TEST, start_new_session=True)
    assert (code, out) == (0, b"false io\n"), (code, out, err)


if __name__ == "__main__":
    main()
