#!/usr/bin/python3
"""What became of a call of HTTP (FAULTS 31): a write whose reply is lost is
unknown and never sent again, by us or by libcurl; with an idempotency key it
is, and has one effect. Owns what http_rig.py owns.
"""

import sys
import urllib.parse

sys.dont_write_bytecode = True
import http_rig as rig  # noqa: E402  (the tree stays free of __pycache__)
from http_rig import (  # noqa: E402
    LATE, effects, is_, match, origin, probe, test, web)


# --- writes -----------------------------------------------------------------

@test
def lost_replies_are_unknown():
    o = origin()
    n = 0
    for how in ("close", "rst", "half", "silent"):
        for call, body in (("post", "body = 'x'"), ("post", "json = {}"),
                           ("post", ""), ("put", "body = 'x'"),
                           ("patch", "json = { a = 1 }")):
            n += 1
            path = "/apply/%d?drop=1&how=%s" % (n, how)
            done = web(o, "web:%s('%s', { timeout = 1, %s })" % (
                call, path, body))
            about = (call, how, body, done.err)
            is_(done.code, 13, *about)
            is_(effects(o, "/apply/%d" % n), 1, *about)
            match("unknown|may have been applied", done.err)
            match("127.0.0.1:%d" % o.port, done.err)
            last = [r for r in rig.journals() if r["type"] == "outcome"][-1]
            is_(last["outcome"], "unknown", *about)


@test
def lost_replies_on_a_used_connection():
    """The connection that the first call opened dies with the second: curl by
    itself would send that again."""
    o = origin()
    n = 0
    for rst in (0, 1):
        for call, opts in (("post", "body = 'x'"), ("post", "body = ''"),
                           ("post", ""), ("post", "json = {}"),
                           ("post", "form = { a = 'b' }"), ("put", ""),
                           ("post", "body = function() return nil end"),
                           ("post", "multipart = { { name = 'a', value = "
                            "'b' } }"), ("patch", ""),
                           ("put", "body = 'x'"), ("delete", "")):
            n += 1
            o.reset()
            done = web(o, """
                guard(web, { verb = "delete", count = 1, sample = {} })
                local first = web:get("/once?rst=%d")
                say { name = "first", status = first.status }
                local _, e = probe("it", web.%s, web, "/apply/%d", { %s })
                error(e, 0)""" % (rst, call, n, opts), "--approve", "web")
            about = (call, opts, rst, done.err, o.stat())
            is_(done.said["first"]["status"], 200)
            got = effects(o, "/apply/%d" % n)
            r = done.said["it"]
            if r.get("ok"):     # sent on a connection of its own
                is_(got, 1, *about)
                continue
            is_(got, 1, *about)
            is_(r["outcome"], "unknown", *about)
            is_(done.code, 13, *about)
            is_(len([e for e in o.log() if e["target"].startswith(
                "/apply")]), 1, *about)


@test
def safe_calls_are_sent_again():
    """Reads may be: the connection that a server closed while idle is no
    error of theirs."""
    o = origin()
    for rst in (0, 1):
        done = web(o, 'web:get "/once?rst=%d"\n' % rst +
                   probe("it", "get", "/ok"))
        is_(done.said["it"].get("status"), 200, rst, done.said)
    # closed, and known to be, before the next call: a write must get through
    for call, opts in (("get", ""), ("post", ", { body = 'x' }"),
                       ("put", ", { json = {} }")):
        o.reset()
        done = web(o, """for i = 1, 3 do
            web:get "/idle?after=0.05" task.sleep(0.2)
            probe("it" .. i, web.%s, web, "/apply/idle"%s) end""" % (
                call, opts))
        for i in (1, 2, 3):
            is_(done.said["it%d" % i].get("status"), 200, done.said)
        is_(effects(o, "/apply/idle"), 3)


@test
def keyed_writes_have_one_effect():
    o = origin()
    n = 0
    for how in ("close", "rst", "half"):
        for drop in (1, 2):
            n += 1
            o.reset()
            done = web(o, probe(
                "it", "post", "/apply/%d?drop=%d&how=%s" % (n, drop, how),
                "{ json = { a = 1 }, idempotency_key = 'k-%d', "
                "retry = { attempts = 4, delay = 0.05 } }" % n))
            r = done.said["it"]
            is_(r.get("status"), 200, how, r, o.stat())
            is_(effects(o, "k-%d" % n), 1)
            seen = o.log()
            is_(len(seen), drop + 1, how, [e["target"] for e in seen])
            is_(len({e["sha256"] for e in seen}), 1)
            is_({dict(e["headers"]).get("Idempotency-Key") for e in seen},
                {"k-%d" % n})
    # it gives up, and then nobody knows
    o.reset()
    done = web(o, "web:post('/apply/x?drop=99', { json = {}, "
               "idempotency_key = 'k-x', retry = { attempts = 3, "
               "delay = 0.05 } })")
    is_(done.code, 13, done.err)
    is_(effects(o, "k-x"), 1)
    is_(o.stat()["requests"], 3)
    # without a key, retry = .. is not for writes
    o.reset()
    done = web(o, probe("it", "post", "/apply/y?drop=1",
                        "{ body = 'x', retry = { attempts = 3 } }"))
    assert not done.said["it"].get("ok"), done.said
    assert effects(o, "/apply/y") <= 1, o.stat()
    # a 503 is an answer; a keyed call may be sent again, another not
    o.reset()
    done = web(o, probe("it", "post", "/retry-after/z?after=0",
                        "{ body = 'x' }"))
    is_(o.stat()["requests"], 1)
    is_(done.said["it"].get("code"), "503", done.said)
    is_(done.said["it"].get("outcome"), "failed", done.said)


@test
def a_body_that_cannot_be_read_twice():
    """A keyed call whose body comes from a function: its pieces are gone."""
    o = origin()
    code = """local given
        probe("it", web.post, web, "/apply/f?drop=1", { idempotency_key = "f",
          %s body = function()
            if not given then given = true return "only once" end
          end })"""
    done = web(o, code % "retry = { attempts = 3 },")
    is_(done.said["it"].get("kind"), "usage", done.said)
    is_(o.stat()["connections"], 0)
    done = web(o, code % "")
    is_(done.said["it"].get("outcome"), "unknown", done.said)
    is_(effects(o, "f"), 1)
    is_([e["start"] for e in o.log()], ["only once"])
    done = web(o, """probe("it", web.post, web, "/ok", { body = function()
        error("the source is broken", 0) end, timeout = 3 })""")
    r = done.said["it"]
    match("the source is broken", r.get("text", ""), r)
    assert r["took"] < 1, r


@test
def retry_after():
    o = origin()
    some = "{ timeout = 10, retry = { attempts = 3, delay = 0.01 } }"
    done = web(o, probe("seconds", "get", "/retry-after/a", some) +
               probe("date", "get", "/retry-after/b?date=1&after=2", some) +
               probe("none", "get", "/retry-after/c?after=0", some) +
               probe("429", "get", "/retry-after/c?after=1&status=429", some))
    for name, least, most in (("seconds", 1, 1.5), ("date", 0.9, 2.5),
                              ("none", 0, 0.5), ("429", 1, 1.5)):
        r = done.said[name]
        is_(r.get("status"), 200, name, r)
        assert least - 0.05 <= r["took"] <= most * rig.SLOW, (name, r)
    # longer than the call may take, or no number at all: it ends in time
    done = web(o, "".join(
        probe(v, "get", "/retry-after/%d?times=99&after=%s" % (
            i, urllib.parse.quote(v)),
            "{ timeout = 1, retry = { attempts = 3, delay = 0.01 } }")
        for i, v in enumerate(("86400", "99999999999999999999", "-5", "soon",
                               "1e9", "Sat, 01 Jan 9999 00:00:00 GMT"))))
    for name, r in done.said.items():
        assert r["took"] <= 1 + LATE, r
        assert r.get("status") == 503 or r.get("kind") in (
            "timeout", "server"), (name, r)


if __name__ == "__main__":
    sys.exit(rig.main())
