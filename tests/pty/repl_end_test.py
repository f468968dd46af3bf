#!/usr/bin/python3
"""Where a session begins and ends: its environment and title, signals, a terminal that is
closed, a shell that stops it, pipes, a state folder that is not there. Waits for
patterns, never for a time. Owns what terminal.py and session.py own.
"""

import re
import signal
import subprocess
import sys
import time

import terminal
from session import PROMPT, Session
from terminal import environment, fresh, journal, main, path, redis, servers, test


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
