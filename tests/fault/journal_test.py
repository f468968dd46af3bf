#!/usr/bin/python3
"""The journal when the disk is full, broken or read-only, and when two want it: nothing
is done without an intent on record, and nothing is done in silence. Owns what
journal_rig.py owns. The last line is `N passed, N failed`.
"""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
from journal_rig import (  # noqa: E402  (the tree stays free of __pycache__)
    LIMIT, WRITES, done, fresh, holds, journals, main, opsh, records, start,
    test, tmpfs, types, until, verify)


# --- failpoints ------------------------------------------------------------------


@test
def intact():
    place = fresh()
    code, out, err = opsh(place, "-e", WRITES)
    assert (code, out, err) == (0, "all\n", ""), (code, out, err)
    assert done(place) == ["1", "2", "3"]
    assert types(place) == ["run"] + ["intent", "outcome"] * 3 + ["end"]
    assert verify(place) == 0


def each_point(name, number, last):
    """What was done, what is on record and the exit code agree, whichever call
    fails, alone or with all that follow."""
    codes = set()
    for n in range(1, last):
        for plus in ("", "+"):
            place = fresh()
            spec = "%s=%d@%d%s" % (name, number, n, plus)
            code, out, err = opsh(place, "-e", WRITES, OPSH_FAIL=spec)
            told = "%s: exit %d, done %s, %r" % (spec, code, done(place), err)
            codes.add(code)
            assert code in (0, 74, 75), told
            assert "traceback" not in err, told
            files = done(place)
            kept = types(place) if journals(place) else []
            # no action without its intent
            assert len(files) <= kept.count("intent"), told
            if code == 74:
                assert not files, told
                assert "nothing was done" in err, told
            if files and (kept.count("outcome") < len(files)
                          or kept[-1] != "end"):
                assert code == 75, told
            if code == 0:
                assert out == "all\n" and len(files) == 3, told
                assert kept[-1] == "end", told
            # an outcome that the journal has not got is on stderr
            if len(files) > kept.count("outcome"):
                assert '"outcome":"done"' in err, told
            if journals(place):
                assert holds(place), told
    return codes


@test
def full_at_every_write():
    codes = each_point("journal_write", errno.ENOSPC, 10)
    assert codes == {0, 74, 75}, codes


@test
def broken_at_every_write():
    codes = each_point("journal_write", errno.EIO, 10)
    assert {74, 75} <= codes, codes


@test
def broken_at_every_sync():
    codes = each_point("journal_sync", errno.EIO, 9)
    assert {74, 75} <= codes, codes


@test
def broken_at_every_sync_beside():
    codes = each_point("journal_sync_soon", errno.EIO, 5)
    assert 75 in codes, codes


@test
def an_outcome_takes_the_reserve():
    place = fresh()
    # run, intent, then the outcome once
    code, out, err = opsh(place, "-e", WRITES, OPSH_FAIL="journal_write=28@3")
    assert (code, out, err) == (0, "all\n", ""), (code, out, err)
    assert types(place).count("outcome") == 3
    assert verify(place) == 0


@test
def a_lost_outcome_stops_the_run():
    place = fresh()
    code, out, err = opsh(place, "-e", WRITES, OPSH_FAIL="journal_write=28@3+")
    assert code == 75, (code, err)
    assert done(place) == ["1"], done(place)
    assert '"outcome":"done"' in err and '"of":2' in err, err
    assert "all" not in out
    # the record shows a write in doubt: that is what a resumed run must see
    assert types(place) == ["run", "intent"], types(place)


@test
def a_lost_outcome_is_masked():
    place = fresh()
    code, _, err = opsh(
        place, "-e", """local s = require "opsh.secret"
        local word = s.env "WORD"
        os.rename(os.getenv "WORK" .. "/correct-horse-battery", "x")""",
        "--approve", "local", WORD="correct-horse-battery",
        OPSH_FAIL="journal_write=28@4+")
    assert code == 75 and '"outcome":"failed"' in err, (code, err)
    assert "correct-horse-battery" not in err, err


@test
def reads_need_no_journal():
    """A journal that can't be written does not stop who only reads."""
    place = fresh()
    with open(os.path.join(place, "work/a"), "w") as file:
        file.write("text")
    code, out, err = opsh(
        place, "-e", "print(io.open(os.getenv 'WORK' .. '/a'):read 'a')",
        OPSH_FAIL="journal_open=30,journal_write=28,journal_sync=5")
    assert (code, out) == (0, "text\n"), (code, out, err)


PLAYBOOK = """return {
    name = "test/write", summary = "writes",
    run = function()
        for n = 1, 3 do
            step("s" .. n, { verify = function() return true end }, function()
                io.open(os.getenv "WORK" .. "/" .. n, "w"):close()
            end)
        end
    end,
}
"""


@test
def a_playbook_at_every_write():
    """A run opens its journal first: each point has its code."""
    for name, number in (("journal_write", 28), ("journal_sync", 5)):
        for n in range(1, 18):
            place = fresh()
            with open(os.path.join(place, "p.lua"), "w") as file:
                file.write(PLAYBOOK)
            spec = "%s=%d@%d+" % (name, number, n)
            code, out, err = opsh(place, "run", "p.lua", OPSH_FAIL=spec)
            told = "%s: exit %d, done %s, %r" % (spec, code, done(place), err)
            files = done(place)
            kept = types(place) if journals(place) else []
            assert len(files) <= kept.count("intent"), told
            assert code == (0 if kept[-1:] == ["end"] and len(files) == 3
                            and kept.count("outcome") == 3 and not err.count(
                                "journal:") else 75 if files else 74), told
            if journals(place) and kept:
                assert holds(place), told


# --- real file systems --------------------------------------------------------------


@test
def disk_full_before():
    place = tmpfs(256 * 1024)
    state = os.path.join(place, "state")
    fd = os.open(os.path.join(state, "fill"), os.O_CREAT | os.O_WRONLY)
    try:
        while os.write(fd, b"x" * 4096):
            pass
    except OSError:
        os.close(fd)
    code, out, err = opsh(place, "-e", WRITES)
    assert code == 74, (code, err)
    assert done(place) == []
    assert "No space" in err and "nothing was done" in err, err


# Fills the disk of the journal between an intent and its outcome.
FILL = """
os.execute [[dd if=/dev/zero of="$XDG_STATE_HOME/fill" bs=4096 2>/dev/null]]
print "after"
"""


@test
def disk_full_between():
    """The reserve takes the outcome."""
    place = tmpfs(4 * 1024 * 1024)
    code, out, err = opsh(place, "--approve", "local", "-e", FILL)
    kept = types(place)
    assert "outcome" in kept, (code, kept, err)
    assert code in (0, 75), (code, err)
    assert (code == 0) == (kept[-1] == "end"), (code, kept, err)


@test
def disk_full_between_without_a_reserve():
    """Too small for a reserve: the outcome is told, the run ends with 75."""
    place = tmpfs(64 * 1024)
    pad = "-- " + "x" * 4000 + "\n"     # the header fills the first page
    for n in range(45):
        code, out, err = opsh(place, "--approve", "local", "-e",
                              pad[:4000 - 90 * n] + "\n" + FILL)
        os.unlink(os.path.join(place, "state/fill"))
        kept = types(place)
        if "outcome" not in kept:
            assert code == 75, (code, kept, err)
            assert '"outcome":' in err, err
            assert "after" not in out or code == 75
            return
        shutil.rmtree(os.path.join(place, "state/opsh"))
    raise AssertionError("the outcome fitted each time")


@test
def read_only():
    place = tmpfs(256 * 1024)
    state = os.path.join(place, "state")
    subprocess.run(["mount", "-o", "remount,ro", state], check=True)
    code, out, err = opsh(place, "-e", WRITES)
    assert code == 74 and done(place) == [], (code, err)
    assert "Read-only file system" in err, err


@test
def no_folder():
    place = fresh()
    for state in ("/proc/none", "/dev/null", "/dev/null/x"):
        code, out, err = opsh(place, "-e", WRITES, XDG_STATE_HOME=state)
        assert code == 74 and done(place) == [], (state, code, err)
        assert state in err, err


# --- two processes --------------------------------------------------------------------

SLOW = """return {
    name = "test/slow", summary = "waits",
    run = function()
        step("one", function() print "one" task.sleep(60) end)
    end,
}
"""


@test
def two_processes():
    place = fresh()
    with open(os.path.join(place, "p.lua"), "w") as file:
        file.write(SLOW)
    process = start(place, "run", "p.lua")
    until("the run begins", lambda: journals(place)
          and "step" in types(place))
    name = os.path.basename(os.path.dirname(journals(place)[0]))
    before = records(place)
    code, _, err = opsh(place, "resume", name)
    assert code == 11, (code, err)
    assert "locked by another process" in err, err
    code, out, _ = opsh(place, "verify", name)
    assert code == 0, out
    assert records(place) == before
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=LIMIT)
    assert process.returncode == 130, process.returncode
    assert types(place)[-1] == "end"
    assert verify(place) == 0


@test
def many_at_once():
    """Runs side by side have a journal each; the heads of all are noted."""
    place = fresh()
    many = [start(place, "-e", WRITES.replace('"/" ..', '"/%d-" ..' % n))
            for n in range(8)]
    for process in many:
        assert process.wait(timeout=LIMIT) == 0, process.stderr.read()
    assert len(journals(place)) == 8
    with open(os.path.join(place, "state/opsh/runs/heads")) as file:
        lines = file.read().splitlines()
    assert len(lines) == 8, lines
    assert all(re.fullmatch(r"\w{26} 8 [0-9a-f]{64}", line)
               for line in lines), lines
    for line in lines:
        code, out, err = opsh(place, "verify", line.split()[0])
        assert code == 0, (out, err)


if __name__ == "__main__":
    sys.exit(main())
