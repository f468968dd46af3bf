#!/usr/bin/python3
"""Ctrl-C in every phase of an HTTP call: exit 130 in time, `<close>` ran, the
next statement did not, no file is left. Owns what http_rig.py owns.
"""

import os
import sys
import time

sys.dont_write_bytecode = True
import http_rig as rig  # noqa: E402  (the tree stays free of __pycache__)
from http_rig import (  # noqa: E402
    Hole, Opsh, SILENT, TMP, at, is_, origin, test)


# --- Ctrl-C -----------------------------------------------------------------

def interrupted(name, url, call, ready, hole=None, limit=1.5):
    child = Opsh("-e", """
        local x <close> = setmetatable({}, { __close = function()
          io.write "closed\\n" end })
        io.write "ready\\n" io.stdout:flush()
        %s
        io.write "next\\n\"""" % call, targets=["web=" + url], hole=hole)
    child.until(b"ready\n")
    ready()
    child.signal()
    child.end()
    print("    %s: %.0f ms" % (name, child.took * 1e3))
    is_(child.code, 130, name, child.err)
    assert child.took < limit, (name, child.took)
    is_(child.out.split(b"\n")[-2], b"closed", name, child.out, child.err)
    assert b"next\n" not in child.out, child.out


@test
def interrupts():
    o = origin()
    out = os.path.join(TMP, "out")
    hole = Hole()

    def request():
        o.until("requests", 1)
        time.sleep(0.1)

    def connection():
        o.until("connections", 1)
        time.sleep(0.1)

    def moment():
        time.sleep(0.5)     # nobody sees what goes nowhere

    try:
        for name, url, call, ready, where in (
                ("wait", o.url, "web:get '/silent'", request, None),
                ("body", o.url, "web:get '/drip'", request, None),
                ("body to a file", o.url, "web:get('/drip?every=0.001', "
                 "{ to = '%s' })" % out, request, None),
                ("endless body", o.url, "web:get('/endless-body', { max_body ="
                 " 1 << 40, to = '%s' })" % out, request, None),
                ("stream", o.url, "for c in web:stream('/endless-body', { "
                 "max_body = 1 << 50, timeout = 60 }).body do end", request,
                 None),
                ("stream that is slow", o.url, "local n = 0 for c in "
                 "web:stream('/drip').body do n = n + #c end", request, None),
                ("backing off", o.url, "web:get('/retry-after?times=99&after="
                 "20', { retry = { attempts = 5 } })", request, None),
                ("TLS handshake", at(o.listen("stall"), "https"),
                 "web:get '/'", connection, None),
                ("connect", at(o.listen("full")), "web:get '/'", moment, None),
                ("200 at once", o.url, "local t = {} for i = 1, 200 do t[i] = "
                 "function() web:get '/silent' end end task.all(t)", request,
                 None),
                ("black hole", "http://%s" % SILENT, "web:get '/'", moment,
                 hole),
                ("black hole with TLS", "https://%s" % SILENT, "web:get '/'",
                 moment, hole),
                ("name server", "http://gateway.example", "web:get '/'",
                 moment, hole)):
            o.reset()
            # a body at full speed fills the disk's queue: it may hold a write up
            interrupted(name, url, call, ready, where,
                        limit=10 if name == "endless body" else 1.5)
            is_([n for n in os.listdir(TMP) if n.startswith("out")], [], name)
        o.reset()
        interrupted("post", o.url, "web:post('/silent', { body = 'x' })",
                    request)
        last = [r for r in rig.journals() if r["type"] == "outcome"][-1]
        is_(last["outcome"], "unknown", last)
    finally:
        rig.cleanups.remove(hole)
        hole.release()


if __name__ == "__main__":
    sys.exit(rig.main())
