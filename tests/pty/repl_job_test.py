#!/usr/bin/python3
"""What goes on while one types: jobs that write, jobs and entries that ask, the time of
a long call. Waits for patterns, never for a time. Owns what terminal.py and session.py
own.
"""

import os
import signal
import sys

from session import PROMPT, Session
from terminal import fresh, main, path, redis, test, until


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


if __name__ == "__main__":
    sys.exit(main())
