#!/usr/bin/python3
"""The HTTP binding against silence, lies, bombs and broken connections (FAULTS
27, 30): each error by its deadline, with host, phase and limit; memory stays
bounded. Owns what http_rig.py owns.
"""

import os
import sys

sys.dont_write_bytecode = True
import http_rig as rig  # noqa: E402  (the tree stays free of __pycache__)
from http_modes import LIES  # noqa: E402
from http_rig import (  # noqa: E402
    Hole, LATE, MIB, SILENT, TMP, at, base_peak, free_port, in_time, is_,
    names, one_of, origin, probe, run, test, web)


# --- silence ----------------------------------------------------------------

def silent_case(done, name, where, phases, limit=1, kind="timeout"):
    r = done.said[name]
    is_(r.get("kind"), kind, r)
    one_of(r.get("phase"), phases, r)
    is_(r.get("outcome"), "failed", r)      # a read: nothing was changed
    in_time(r, limit)
    names(r, where, "%g s" % limit, r["phase"])


@test
def silence_of_a_server():
    o = origin()
    modes = {"silent": ("wait",), "delay?s=8": ("wait",),
             "silent-body": ("read",), "silent-body?size=5000": ("read",),
             "drip": ("read",), "drip?head=1": ("wait", "read"),
             "drip?every=0.01&head=1": ("read",)}
    done = web(o, "".join(probe(m, "get", "/" + m, "{ timeout = 1 }")
                          for m in modes))
    for name, phases in modes.items():
        silent_case(done, name, "127.0.0.1:%d" % o.port, phases)
    assert done.took < len(modes) * (1 + LATE) + rig.STARTUP, done.took


@test
def silence_before_http():
    o = origin()
    cases = [("silent", "http", ("wait",)), ("silent", "https", ("tls",)),
             ("stall", "https", ("tls",)), ("full", "http", ("connect",)),
             ("full", "https", ("connect",))]
    ports = [o.listen(kind) for kind, _, _ in cases]
    code = "".join(
        "probe('%d', t%d.get, t%d, '/', { timeout = 1 })\n" % (i, i, i) +
        ("probe('c%d', t%d.get, t%d, '/', { timeout = 9, connect_timeout = 1 "
         "})\n" % (i, i, i) if phases != ("wait",) else "")
        for i, (_, _, phases) in enumerate(cases))
    done = run(code, targets=["t%d=%s" % (i, at(ports[i], cases[i][1]))
                              for i in range(len(cases))])
    for i, (_, _, phases) in enumerate(cases):
        silent_case(done, "%d" % i, "127.0.0.1:%d" % ports[i], phases)
        if phases != ("wait",):
            silent_case(done, "c%d" % i, "127.0.0.1:%d" % ports[i], phases,
                        kind="connect")


@test
def silence_of_the_network():
    hole = Hole()
    try:
        for url, where, phase in (
                ("http://%s:8080" % SILENT, SILENT + ":8080", "connect"),
                ("https://%s" % SILENT, SILENT + ":443", "connect"),
                ("http://gateway.example:8080", "gateway.example", "dns")):
            done = run(probe("it", "get", "/", "{ timeout = 1 }") +
                       probe("connect", "get", "/",
                             "{ timeout = 20, connect_timeout = 1 }"),
                       targets=["web=" + url], hole=hole)
            silent_case(done, "it", where, (phase,))
            silent_case(done, "connect", where, (phase,), kind="connect")
            # nor does the end of the process wait for a resolver
            assert done.took < 2 * (1 + LATE) + rig.STARTUP, done.took
            done = run("web:get('/', { timeout = 1 })",
                       targets=["web=" + url], hole=hole)
            one_of(done.code, (4, 124), done.err)
            assert done.took < 1 + LATE + rig.STARTUP, done.took
    finally:
        rig.cleanups.remove(hole)
        hole.release()


# --- wrong answers ----------------------------------------------------------

@test
def lies():
    o = origin()
    # curl takes a length beyond its integers for none: what came is all there
    fine = {"length-huge"}
    done = web(o, "".join(probe(n, "get", "/lie/" + n,
                                "{ timeout = 5, retry = { attempts = 1 } }")
                          for n in LIES))
    for name in LIES:
        r = done.said[name]
        if name in fine and r.get("ok"):
            is_(r["length"], 5)
            continue
        wanted = ("connect", "protocol") if name in (
            "nothing", "length-long", "chunk-cut", "chunk-no-end",
            "chunk-largest", "chunk-extension", "length-two") else ("protocol", "limit")
        one_of(r.get("kind"), wanted, r)
        is_(r.get("outcome"), "failed", r)
        one_of(r.get("phase"), ("wait", "read"), r)
        names(r, "127.0.0.1:%d" % o.port)
        assert r["took"] < 1, r


@test
def connections_that_break():
    o = origin()
    kinds = {"close": o.listen("close"), "rst": o.listen("rst")}
    paths = ["close", "reset", "reset?after=1", "reset?after=20",
             "reset?after=100", "reset?after=1037"]
    code = "".join(probe(p, "get", "/" + p, "{ timeout = 5 }") for p in paths)
    code += "".join("probe('%s', %s.get, %s, '/ok', { timeout = 5 })\n"
                    % (k, k, k) for k in kinds)
    # nobody listens there any more
    free = free_port()
    code += "probe('refused', refused.get, refused, '/ok')\n"
    done = run(code, targets=["web=" + o.url, "refused=" + at(free)] +
               ["%s=%s" % (k, at(p)) for k, p in kinds.items()])
    ports = dict(kinds, refused=free)
    for name in paths + list(ports):
        r = done.said[name]
        one_of(r.get("kind"), ("connect", "protocol"), r)
        is_(r.get("outcome"), "failed", r)
        names(r, "127.0.0.1:%d" % ports.get(name, o.port))
        assert r["took"] < 2, r
    is_(done.said["refused"]["phase"], "connect")
    is_(done.said["refused"]["kind"], "connect")
    done = run("web:get '/'", targets=["web=" + at(free)])
    is_(done.code, 4, done.err)


# --- too much ---------------------------------------------------------------

@test
def too_much():
    o = origin()
    base = base_peak(o)
    out = os.path.join(TMP, "out")
    # path, options, what the message names
    cap = "67108864 bytes"
    cases = [
        ("bomb", "", cap), ("bomb?layers=2", "", cap),
        ("bomb", "max_body = 1048576", "1048576 bytes"),
        ("bomb", "to = '%s', max_body = 64 << 20" % out, cap),
        ("endless-body", "", cap),
        ("endless-body", "max_body = 100", "100 bytes"),
        ("endless-body", "to = '%s', max_body = 64 << 20" % out, cap),
        ("endless-chunks", "", cap),
        ("endless-chunks?size=1", "max_body = 1048576", "1048576 bytes"),
        ("endless-headers", "", ""), ("huge-header", "", ""),
        ("huge-header?size=150000", "", ""),
        ("interim", "", ""), ("endless-trailers", "", ""),
        ("big", "", cap), ("big?chunked=1", "", cap),
    ]
    for path, opts, limit in cases:
        done = web(o, probe("it", "get", "/" + path, "{ timeout = 20, %s }"
                            % opts))
        r = done.said["it"]
        is_(r.get("kind"), "limit", path, opts, r)
        is_(r.get("outcome"), "failed", path, r)
        names(r, "127.0.0.1:%d" % o.port, limit)
        # a body is held up to its cap, and nothing beyond it
        held = int(limit.split()[0]) >> 10 if limit and not "to =" in opts \
            else 0
        assert r["peak"] <= base + held + 4 * MIB, (path, opts, base, r)
        assert not os.path.exists(out), path
        is_([n for n in os.listdir(TMP) if n.startswith("out")], [])
    print("    peak of the base %d KiB" % base)


if __name__ == "__main__":
    sys.exit(rig.main())
