#!/usr/bin/python3
"""Output that nobody reads, or that has no room: what writes goes on or is stopped, its
record is whole, and what was lost is told. Owns what journal_rig.py owns. The last line
is `N passed, N failed`.
"""

import os
import select
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
from journal_rig import (  # noqa: E402  (the tree stays free of __pycache__)
    LIMIT, OPSH, WRITES, done, environment, fresh, journals, main, running,
    start, test, types, until, verify)


@test
def reader_gone():
    """`| head -1`: what writes goes on, its record is whole."""
    place = fresh()
    script = WRITES.replace("f:close()", "f:close() for i = 1, 20000 do "
                            "print(('line'):rep(20)) end task.sleep(0.05)")
    got = subprocess.run(
        ["bash", "-c", '"$0" -e "$1" | head -n 1; exit ${PIPESTATUS[0]}', OPSH,
         script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=place,
        env=environment(place), timeout=LIMIT)
    assert got.stdout.count(b"\n") == 1, got.stdout[:200]
    assert done(place) == ["1", "2", "3"], (got, done(place))
    assert got.returncode == 0, got
    assert types(place) == ["run"] + ["intent", "outcome"] * 3 + ["end"]
    assert verify(place) == 0


@test
def reader_gone_before():
    """stdout is closed from the start."""
    place = fresh()
    got = subprocess.run(
        ["bash", "-c", '"$0" -e "$1" >&-', OPSH, WRITES],
        stderr=subprocess.PIPE, cwd=place, env=environment(place),
        timeout=LIMIT)
    assert done(place) == ["1", "2", "3"], got
    assert types(place)[-1] == "end", types(place)
    assert verify(place) == 0
    assert b"traceback" not in got.stderr, got


@test
def reader_blocked():
    """A full stdout stops who prints, not who writes; the record goes on."""
    place = fresh()
    r, w = os.pipe()
    process = start(place, "-e", """
        task.all(function()
            for n = 1, 30000 do print(("x"):rep(1000)) end
        end, function()
            for n = 1, 50 do
                local f = assert(io.open(os.getenv "WORK" .. "/" .. n, "w"))
                f:close()
                task.sleep(0.001)
            end
        end)""", stdout=w)
    os.close(w)
    until("all writes are on record", lambda: journals(place)
          and types(place).count("outcome") == 50)
    assert process.poll() is None, "it ended: %r" % process.stderr.read()
    # now somebody reads: all of it is there
    size = 0
    while True:
        assert select.select([r], [], [], LIMIT)[0], "no more output"
        data = os.read(r, 1 << 20)
        if not data:
            break
        size += len(data)
    os.close(r)
    assert process.wait(timeout=LIMIT) == 0, process.stderr.read()
    assert size == 30000 * 1001, size
    assert types(place)[-1] == "end"
    assert verify(place) == 0


@test
def stderr_blocked():
    """The same of stderr."""
    place = fresh()
    r, w = os.pipe()
    process = subprocess.Popen(
        [OPSH, "-e", """
        task.all(function()
            for n = 1, 5000 do io.stderr:write(("x"):rep(1000), "\\n") end
        end, function()
            for n = 1, 20 do
                io.open(os.getenv "WORK" .. "/" .. n, "w"):close()
                task.sleep(0.001)
            end
        end)"""], cwd=place, stdin=subprocess.DEVNULL, stderr=w,
        stdout=subprocess.PIPE, env=environment(place))
    running.append(process)
    os.close(w)
    until("all writes are on record", lambda: journals(place)
          and types(place).count("outcome") == 20)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=LIMIT) == 130
    os.close(r)
    assert types(place)[-1] == "end"
    assert verify(place) == 0


@test
def disk_of_stdout_full():
    """Results that could not be written are told; what was done is recorded."""
    place = fresh()
    with open("/dev/full", "w") as full:
        process = start(place, "-e", WRITES, stdout=full)
        err = process.communicate(timeout=LIMIT)[1].decode()
    assert done(place) == ["1", "2", "3"], err
    assert "No space left on device" in err, err
    assert types(place)[-1] == "end"
    assert verify(place) == 0


if __name__ == "__main__":
    sys.exit(main())
