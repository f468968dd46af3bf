#!/usr/bin/python3
"""Whom the HTTP binding talks to (FAULTS 29, 75): no redirect, proxy, file or
line end in a value takes a credential or a request elsewhere, no wrong
certificate gets one, and none comes out again. Owns what http_rig.py owns.
"""

import base64
import os
import subprocess
import sys
import urllib.parse

sys.dont_write_bytecode = True
import http_rig as rig  # noqa: E402  (the tree stays free of __pycache__)
from http_rig import (  # noqa: E402
    CERTS, TMP, at, effects, free_port, is_, match, names, one_of, origin, probe, run,
    test, web)


# --- redirects and secrets --------------------------------------------------

CREDENTIALS = {
    "token": "token = S", "basic": "user = 'ops', password = S",
    "headers": "headers = { Authorization = S, Cookie = S, ['X-Api-Key'] = S }",
}


def targets_file(url, how, more=""):
    return """local S = secret.file "%s/secret"
        return { targets = { web = { kind = "http", url = "%s", %s, %s } } }
        """ % (TMP, url, how, more)


def write_secret(text):
    path = os.path.join(TMP, "secret")
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o600)


@test
def redirects_stay_at_home():
    o = origin()
    other = o.listen("plain")
    tls = o.listen("tls", "good")
    write_secret("hunter2-" + "s3cr3t")
    elsewhere = [at(other), at(o.port, host="localhost"),
                 "//127.0.0.1:%d" % other, at(tls, "https"),
                 "http://ops:pw@127.0.0.1:%d" % other,
                 "HTTP://127.0.0.1:%d" % other,
                 "/\\127.0.0.1:%d" % other,
                 "http:\\\\127.0.0.1:%d" % other,
                 "http://127.0.0.1:%d@127.0.0.1:%d" % (o.port, other),
                 "http://127.0.0.1:%d#@127.0.0.1:%d" % (other, o.port),
                 "file:///etc/passwd", "gopher://127.0.0.1:%d" % other,
                 "ftp://127.0.0.1:%d" % other, "dict://127.0.0.1:%d" % other]
    for name, how in CREDENTIALS.items():
        o.reset()
        code = "".join(
            probe(to, "get", "/redirect?to=" + urllib.parse.quote(
                to + ("" if "etc" in to else "/echo"), safe=""),
                "{ timeout = 3 }") for to in elsewhere)
        done = run(code, file=targets_file(o.url, how))
        for to in elsewhere:
            r = done.said[to]
            if not r.get("ok"):
                # no URL at all, as libcurl reads it: not followed either
                one_of(r.get("kind"), ("refused", "protocol")
                       if "\\" in to else ("refused",), to, r)
                is_(r.get("outcome"), "failed", to, r)
                names(r, "127.0.0.1:%d" % o.port, "redirect")
                continue
            # a path of our own, strange as it is
            is_(r["status"], 404, to, r)
        seen = o.log()
        for e in seen:
            assert e["port"] == o.port, (name, e)
            host = dict(e["headers"])["Host"]
            is_(host, "127.0.0.1:%d" % o.port, e)
    # https to http, with the same host
    done = run(probe("down", "get", "/redirect?to=" + urllib.parse.quote(
        at(o.port, host="localhost") + "/echo", safe="")),
        file=targets_file(at(tls, "https", "localhost"), CREDENTIALS["token"],
                          "ca = '%s/ca.crt'" % CERTS))
    is_({e["port"] for e in o.log()} - {o.port, tls}, set())
    assert not any(e["port"] == o.port and dict(e["headers"])["Host"]
                   .startswith("localhost") for e in o.log()), o.log()[-1]
    is_(done.said["down"].get("kind"), "refused", done.said)


@test
def redirects_at_home():
    o = origin()
    write_secret("hunter2-" + "s3cr3t")
    done = run(
        "probe('same', web.get, web, '/redirect?to=/echo')\n" +
        "probe('whole', web.get, web, '/redirect?to=%s/echo')\n" % o.url +
        probe("loop", "get", "/redirect") +
        probe("off", "get", "/redirect?to=/echo", "{ follow = 0 }") +
        "".join(probe("post%d" % s, "post",
                      "/redirect?status=%d&to=/apply/p" % s,
                      "{ body = 'x' }") for s in (301, 302, 303, 307, 308)),
        file=targets_file(o.url, CREDENTIALS["token"]))
    for name in ("same", "whole"):
        is_(done.said[name].get("status"), 200, done.said[name])
    loop = done.said["loop"]
    is_(loop.get("kind"), "limit", loop)
    names(loop, "127.0.0.1:%d" % o.port, "5", "redirect")
    is_(done.said["off"].get("status"), 302, done.said["off"])
    log = o.log()
    is_(len([e for e in log if e["target"] == "/redirect"]), 6)
    for s in (301, 302, 303, 307, 308):
        is_(done.said["post%d" % s].get("status"), s, done.said)
    is_(effects(o, "/apply/p"), 0)
    for e in log:
        match("Bearer hunter2", dict(e["headers"])["Authorization"])


@test
def secrets_stay_inside():
    o = origin()
    free, other = free_port(), o.listen("plain")
    text = 'zK9"x\\q/\u00fc&p@S%41+=w'
    write_secret(text)
    live = os.path.join(rig.ROOT, "tests/live/live.py")
    forms = set()
    for plain in (text, "ops:" + text):
        forms.update(subprocess.run([live, "forms"], input=plain.encode(),
                                    stdout=subprocess.PIPE).stdout
                     .splitlines())
    said = os.path.join(TMP, "said")
    os.mkdir(said)
    with open(os.path.join(TMP, "forms"), "wb") as f:
        f.write(b"\n".join(sorted(forms)) + b"\n")
    state = os.path.join(said, "state")
    quoted = urllib.parse.quote(text, safe="")
    code = """
        local r = web:get "/echo" print(r.body) show(r.json)
        log.info("%%s", r.body) print(json.encode(r.headers))
        web:post("/echo", { json = r.json, headers = { ["X-Again"] = S } })
        web:post("/echo", { form = { token = S }, query = { key = S } })
        probe("refused", gone.get, gone, "/x", { query = { key = S } })
        probe("silent", web.get, web, "/silent", { timeout = 0.2 })
        probe("moved", web.get, web, "/redirect?to=%s/echo")
        probe("status", web.get, web, "/echo", { expect = 418 })
        probe("header", web.get, web, "/header", { expect = 418, query = { v =
          S, body = S, reason = "no" } })
        print(web, tostring(web))
        error(web:get("/echo").body)""" % at(other)
    both = """local S = secret.file "%s/secret"
        return { targets = {
          web = { kind = "http", url = "%s", %%s },
          gone = { kind = "http", url = "http://127.0.0.1:%d", %%s } } }
        """ % (TMP, o.url, free)
    head = 'local S = secret.file "%s/secret"\n' % TMP
    n = 0
    for how in list(CREDENTIALS.values()):
        for flags in ((), ("--output", "jsonl")):
            n += 1
            done = run(head + code, *flags, file=both % (how, how),
                       XDG_STATE_HOME=state)
            save(said, n, done)
            is_(done.code, 1, done.err)
            if not flags:
                is_(done.said["refused"].get("kind"), "connect", done.said)
                is_(len(done.said), 5, done.said)
    for url in ("http://ops:%s@127.0.0.1:%d" % (quoted, o.port),
                "http://ops:%s@127.0.0.1:%d" % (quoted, free)):
        n += 1
        done = run('local r = web:get "/echo" print(r.body, r.url) error(r.url'
                   ")", targets=["web=" + url], XDG_STATE_HOME=state)
        save(said, n, done)
        assert done.code, done.code
    sent = [v for e in o.log() for k, v in e["headers"]
            if k == "Authorization"]
    basic = "Basic " + base64.b64encode(("ops:" + text).encode()).decode()
    assert basic in sent and any(v.startswith("Bearer ") for v in sent), sent
    leaks = subprocess.run([live, "leaks", os.path.join(TMP, "forms"), said],
                           stdout=subprocess.PIPE)
    is_(leaks.stdout.decode(), "")
    found = b"".join(open(os.path.join(f, n), "rb").read()
                     for f, _, ns in os.walk(state) for n in ns)
    assert b"/echo" in found, "nothing was recorded"


def save(folder, n, done):
    with open(os.path.join(folder, "%d.out" % n), "wb") as f:
        f.write(done.out)
    with open(os.path.join(folder, "%d.err" % n), "w") as f:
        f.write(done.err)


@test
def nothing_is_smuggled():
    """A line end in what a playbook gives is no new header or request."""
    o = origin()
    bad = ["\\r\\nX-Evil: 1", "\\nX-Evil: 1", "\\r", "\\0", "a\\r\\n b"]
    code = ""
    for i, b in enumerate(bad):
        code += """probe("value%d", web.get, web, "/ok", { headers = { A = "x%s" } })
            probe("name%d", web.get, web, "/ok", { headers = { ["A%s"] = "x" } })
            probe("path%d", web.get, web, "/ok%s")
            probe("method%d", web.request, web, "GET%s", "/ok", { effect = "write" })
            probe("key%d", web.post, web, "/ok", { idempotency_key = "k%s" })
            """ % (i, b, i, b, i, b, i, b, i, b)
        code += """probe("type%d", web.post, web, "/ok", { multipart = {
            { name = "a", value = "b", type = "text/plain%s" } } })
            """ % (i, b)
    code += """
        probe("absolute", web.get, web, "http://127.0.0.1:1/ok")
        probe("double", web.get, web, "//127.0.0.1:1/ok")
        probe("userinfo", web.get, web, "@127.0.0.1:1/ok")
        probe("space", web.get, web, "/ok HTTP/1.1")
        probe("quoted", web.get, web, "/ok", { query = { a = "x\\r\\nX: 1 &b=c#d" } })
        """
    done = web(o, code)
    for name, r in done.said.items():
        if name == "quoted":
            is_(r.get("status"), 200, r)
        elif name in ("double", "space"):
            # a path as any other, or refused
            assert r.get("ok") or r.get("kind") == "usage", r
        else:
            # a NUL in a method is refused as an argument that can't be
            one_of(r.get("kind"), ("usage", "lua") if name == "method3"
                   else ("usage",), name, r)
    for e in o.log():
        assert not any(k.lower() in ("x-evil", "x") for k, _ in e["headers"]), e
        is_(dict(e["headers"])["Host"], "127.0.0.1:%d" % o.port)
    is_([e["target"] for e in o.log() if "?a=" in e["target"]],
        ["/ok?a=x%0D%0AX%3A%201%20%26b%3Dc%23d"])


# --- TLS --------------------------------------------------------------------

@test
def certificates_that_are_wrong():
    o = origin()
    ports = {c: o.listen("tls", c)
             for c in ("good", "expired", "wronghost", "selfsigned")}
    ports["banner"] = o.listen("banner")
    ports["closes"] = o.listen("close")
    write_secret("t0ken")
    for name, port in ports.items():
        done = run(probe("it", "get", "/ok", "{ timeout = 3 }") +
                   "web:get('/ok', { timeout = 3 })",
                   file=targets_file(at(port, "https", "localhost"),
                                     CREDENTIALS["token"],
                                     "ca = '%s/ca.crt'" % CERTS))
        r = done.said["it"]
        if name == "good":
            is_((r.get("status"), done.code), (200, 0), r, done.err)
            continue
        one_of(r.get("kind"), ("tls",) if name != "closes" else
               ("tls", "connect"), name, r)
        is_(r.get("phase"), "tls", name, r)
        is_(r.get("outcome"), "failed", name, r)
        is_(done.code, 4, done.err)
        names(r, "localhost:%d" % port)
        words = {"expired": "expired", "wronghost": "localhost|name|host",
                 "selfsigned": "self.?signed"}.get(name)
        if words:
            match(words, r["text"])
    is_({e["port"] for e in o.log()}, {ports["good"]})
    # plain text to a server of TLS
    done = run(probe("it", "get", "/ok", "{ timeout = 3 }"),
               targets=["web=" + at(ports["good"])])
    one_of(done.said["it"].get("kind"), ("connect", "protocol"), done.said)
    # not trusted without its CA, and no way by the environment
    done = run(probe("it", "get", "/ok", "{ timeout = 3 }"),
               targets=["web=" + at(ports["good"], "https", "localhost")])
    is_(done.said["it"].get("kind"), "tls", done.said)


@test
def the_environment_is_not_obeyed():
    o = origin()
    tls = o.listen("tls", "good")
    keys = os.path.join(TMP, "keys.log")
    with open(os.path.join(TMP, ".netrc"), "w") as f:
        f.write("machine 127.0.0.1 login ops password fromnetrc\n")
    done = run(probe("it", "get", "/ok") +
               "probe('plain', plain.get, plain, '/echo')\n",
               file="""return { targets = {
                 web = { kind = "http", url = "%s", ca = "%s/ca.crt" },
                 plain = "%s" } }""" % (at(tls, "https", "localhost"), CERTS,
                                        o.url), SSLKEYLOGFILE=keys)
    is_(done.said["it"].get("status"), 200, done.said)
    assert not os.path.exists(keys), "SSLKEYLOGFILE was written"
    assert not any(k == "Authorization" for e in o.log()
                   for k, _ in e["headers"]), "netrc was read unasked"
    os.unlink(os.path.join(TMP, ".netrc"))


if __name__ == "__main__":
    sys.exit(rig.main())
