#!/usr/bin/python3
"""The HTTP binding with much to carry: bodies of a gigabyte both ways in bounded
memory, a reader that is slow, a thousand calls at once. Owns what http_rig.py
owns, and the server of tests/lib.
"""

import os
import subprocess
import sys

sys.dont_write_bytecode = True
import http_rig as rig  # noqa: E402  (the tree stays free of __pycache__)
from http_rig import (  # noqa: E402
    MIB, TMP, at, base_peak, is_, origin, probe, run, test, web)


# --- much -------------------------------------------------------------------

@test
def a_gigabyte():
    o = origin()
    base = base_peak(o)
    out = os.path.join(TMP, "out")
    whole = 1 << 30
    cap = "timeout = 60, max_body = 2 << 30"
    up = os.path.join(TMP, "up")
    with open(up, "wb") as f:
        f.truncate(whole // 4)
    sums = {}
    for name, code in (
            ("file", "probe('it', web.get, web, '/big', { to = '%s', %s })"
             % (out, cap)),
            ("stream", """probe('it', function() local n = 0
                for chunk in web:stream('/big', { %s }).body do n = n + #chunk
                end return n end)""" % cap),
            ("chunked stream", """probe('it', function() local n = 0
                for chunk in web:stream('/big?chunked=1', { %s }).body do
                n = n + #chunk end return n end)""" % cap),
            ("upload of a file", "probe('it', web.post, web, '/echo', { body ="
             " { file = '%s' }, timeout = 60 })" % up),
            ("upload by a function", """local n, piece = 0, ("u"):rep(65536)
                probe('it', web.post, web, '/echo', { timeout = 60,
                body = function() n = n + 1 if n <= 4096 then return piece
                end end })""")):
        o.reset()
        done = web(o, code)
        r = done.said["it"]
        assert r.get("ok"), (name, r)
        if name == "file":
            is_(os.path.getsize(out), whole)
            os.unlink(out)
        elif "upload" in name:
            is_(o.log()[0]["length"], whole // 4, name)
        else:
            is_(r["value"], whole, name)
        sums[name] = r["peak"] - base
        print("    %s: %.2f s, base + %.1f MiB" % (
            name, r["took"], sums[name] / MIB))
        assert sums[name] <= 64 * MIB, (name, base, r)
    os.unlink(up)


@test
def a_reader_that_is_slow():
    """What the reader does not take is not read: memory stays bounded."""
    o = origin()
    base = base_peak(o)
    done = web(o, """probe('it', function() local n, seen = 0, 0
        local r <close> = web:stream('/endless-body', { timeout = 30, max_body
          = 1 << 40 })
        for chunk in r.body do
          n, seen = n + 1, seen + #chunk
          if n <= 10 then task.sleep(0.1) end
          if seen > 64 << 20 then break end
        end return seen end)""")
    r = done.said["it"]
    assert r.get("ok"), r
    assert r["peak"] <= base + 64 * MIB, (base, r)
    # left in the middle: closed, and the client goes on
    done = web(o, """for c in web:stream('/endless-body').body do break end
        probe('it', web.get, web, '/ok')""")
    is_(done.said["it"].get("status"), 200, done.said, done.err)


@test
def never_a_hundred_continue():
    o = origin()
    done = web(o, probe("it", "post", "/echo?no-continue=1",
                        "{ body = ('x'):rep(3 << 20), timeout = 5 }") +
               probe("early", "post", "/ok?unread=1",
                     "{ body = ('x'):rep(8 << 20), timeout = 5 }"))
    is_(done.said["it"].get("status"), 200, done.said)
    is_(o.log()[0]["length"], 3 << 20)
    assert done.said["it"]["took"] < 2.5, done.said
    r = done.said["early"]      # answered before the body was read
    assert r.get("status") == 200 or r.get("outcome") == "unknown", r


@test
def a_thousand_health_checks():
    slow = subprocess.Popen([os.path.join(rig.ROOT, "tests/lib/slow_server.py"),
                             "1"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
    try:
        url = at(int(slow.stdout.readline()))
        done = run("""probe("it", function()
            local items = {} for i = 1, 1000 do items[i] = i end
            local n = 0
            task.map(items, { limit = 1000 }, function(i)
              local r = web:get("/health/" .. i, { timeout = 10 })
              if r.status == 200 and r.body == "up" then n = n + 1 end
            end)
            return n end)""", targets=["web=" + url])
    finally:
        slow.stdin.close()
        slow.wait(5)
    r = done.said["it"]
    is_(r.get("value"), 1000, r)
    print("    1,000 checks of 1 s: %.2f s, peak %.1f MiB" % (
        r["took"], r["peak"] / MIB))
    assert 1 <= r["took"] < 2.5 * rig.SLOW, r


if __name__ == "__main__":
    sys.exit(rig.main())
