#!/usr/bin/python3
"""Ctrl-C and deadlines in every phase of a Postgres call: exit 130 in time,
`<close>` ran, the next statement did not, the server runs nothing of it any more;
whose timeout it was. Owns what http_rig.py and pg_rig.py own.
"""

import os
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
import http_rig as rig  # noqa: E402  (the tree stays free of __pycache__)
import pg_rig as pg  # noqa: E402
from http_rig import Hole, Opsh, SILENT, in_time, is_, match, test  # noqa: E402

GRACE = 2.0             # for the answer to a cancel, before the line is cut
took = {}


# --- Ctrl-C -----------------------------------------------------------------

def interrupted(name, url, call, ready, hole=None, limit=1.5):
    child = Opsh("-e", """
        local x <close> = setmetatable({}, { __close = function()
          io.write "closed\\n" end })
        io.write "ready\\n" io.stdout:flush()
        %s
        io.write "next\\n\"""" % call, targets=["db=" + url], hole=hole)
    child.until(b"ready\n")
    ready()
    child.signal()
    child.end()
    took[name] = child.took
    is_(child.code, 130, name, child.err)
    assert child.took < limit * rig.SLOW, (name, child.took)
    match(b"closed\n", child.out, name, child.err)
    assert b"next\n" not in child.out, child.out
    gone = rig.until(lambda: not pg.backends("ctrl"), 2, name)
    print("    %s: %.0f ms, its session gone after %.0f ms" % (
        name, child.took * 1e3, gone * 1e3))


def running(text):
    """Waits until the server runs a statement like that."""
    return lambda: rig.until(lambda: pg.sql(
        "select count(*) from pg_stat_activity where application_name = 'ctrl'"
        " and state = 'active' and query like '%s'" % text) == "1", 10, text)


def moment():
    time.sleep(0.4)         # nobody sees what goes nowhere


# In the list of columns: in FROM the server would put all of it on its disk first.
ENDLESS = "select generate_series(1, 1000000000)"


@test
def interrupts():
    pg.sql("drop table if exists c; create table c(t text)")
    url = pg.direct(application_name="ctrl")
    tls = pg.direct(application_name="ctrl", sslmode="require")
    with pg.Session() as other:
        other.ask("begin; lock table c in access exclusive mode;")
        for name, call in (
                ("lock wait", "db:exec \"insert into c values ('x')\""),
                ("lock wait in a transaction", "db:transaction(function(tx) "
                 "tx:exec \"insert into c values ('x')\" end)")):
            interrupted(name, url, call, running("insert%"))
    for name, at, call, text in (
            ("query", url, "db:query 'select pg_sleep(60)'", "%sleep%"),
            ("query, TLS", tls, "db:query 'select pg_sleep(60)'", "%sleep%"),
            ("write", url, "db:exec \"insert into c select 'x' from "
             "pg_sleep(60)\"", "%sleep%"),
            ("copy out", url, "db:copy_out(\"%s, repeat('x', 1000)\""
             ", { to = function() end })" % ENDLESS, "copy%"),
            ("copy out, silent", url, "db:copy_out('select pg_sleep(60)', "
             "{ to = function() end })", "copy%"),
            ("copy out to a file", url, "db:copy_out('%s', { to "
             "= 'out' })" % ENDLESS, "copy%"),
            ("copy in", url, "db:copy_in('copy c from stdin', function() "
             "return ('x'):rep(1000) .. '\\n' end)", "copy%"),
            ("copy in, waiting", url, "db:copy_in('copy c from stdin', "
             "function() task.sleep(60) end)", "copy%"),
            ("rows", url, "for r in db:rows '%s' do end"
             % ENDLESS, "%"),
            ("rows, none yet", url, "for r in db:rows 'select pg_sleep(60)' "
             "do end", "%"),
            ("200 at once", url, "local t = {} for i = 1, 200 do t[i] = "
             "function() db:query 'select pg_sleep(60)' end end task.all(t)",
             None)):
        interrupted(name, at, call, running(text) if text else moment)
    is_([n for n in os.listdir(rig.TMP) if n.startswith("out")], [])
    is_(pg.sql("select count(*) from c"), "0")
    interrupted("listen", url, "for n in db:listen 'x' do end", moment)


@test
def interrupts_in_a_pipeline():
    """A cancel that comes between two of its statements is not obeyed."""
    for ms in range(0, 48, 6):
        interrupted("rows, at %d ms" % ms, pg.direct(application_name="ctrl"),
                    "for r in db:rows '%s' do end" % ENDLESS,
                    lambda: time.sleep(ms / 1000))


@test
def interrupts_of_connecting():
    hole = Hole()
    try:
        with pg.proxy(mode="silent") as silent, pg.proxy() as black:
            pg.tell(black, "blackhole")
            for name, url, where in (
                    ("no word after SSLRequest", pg.at(
                        silent.port, sslmode="require"), None),
                    ("no word after the startup", pg.at(silent.port), None),
                    ("full backlog", pg.at(black.port), None),
                    ("black hole", pg.at(5432, host=SILENT), hole),
                    ("two black holes", "postgresql://u:p@%s,%s/x" % (
                        SILENT, SILENT), hole),
                    ("name server", pg.at(5432, host="db.example"), hole)):
                interrupted(name, url, "db:query 'select 1'", moment, where)
    finally:
        rig.cleanups.remove(hole)
        hole.release()


@test
def interrupts_that_the_server_never_hears():
    """The cancel goes nowhere: we go, whatever becomes of it there."""
    for mode in ("blackhole", "silent"):
        with pg.proxy() as p:
            url = pg.at(p.port, application_name="deaf")

            def ready():
                rig.until(lambda: pg.backends("deaf"), 10)
                time.sleep(0.1)
                pg.tell(p, mode)

            if mode == "blackhole":
                interrupted("cancel, " + mode, url,
                            "db:query 'select pg_sleep(60)'", ready)
            interrupted_write(p, ready, mode)
        pg.sql("select pg_terminate_backend(pid) from pg_stat_activity where "
               "application_name = 'deaf'")


def interrupted_write(p, ready, mode):
    pg.tell(p, "pass")
    pg.sql("select pg_terminate_backend(pid) from pg_stat_activity where "
           "application_name = 'deaf'")
    rig.until(lambda: not pg.backends("deaf"), 5)
    interrupted("bare write, " + mode,
                pg.at(p.port, application_name="deaf"),
                "db:exec 'call deaf()'", ready)
    last = [r for r in rig.journals() if r["type"] == "outcome"][-1]
    is_(last["outcome"], "unknown", last)


# --- deadlines ----------------------------------------------------------------

@test
def deadlines():
    pg.sql("drop table if exists c; create table c(t int)")
    done = rig.run("""
        local half = { timeout = 0.5 }
        probe("query", db.query, db, "select pg_sleep(30)", half)
        probe("one", db.value, db, "select $1::int from pg_sleep(30)", 1, half)
        probe("write", db.exec, db, "insert into c select 1 from pg_sleep(30)",
          half)
        probe("bare", db.exec, db, "call deaf()", half)
        probe("rows", function()
          for _ in db:rows("select pg_sleep(30)", half) do end end)
        probe("copy", db.copy_out, db, "select pg_sleep(30)",
          { to = function() end, timeout = 0.5 })
        probe("tx", db.transaction, db, function(tx)
          tx:exec "insert into c values (2)"
          tx:query("select pg_sleep(30)", half) end)
        probe("tx, as a whole", db.transaction, db, function(tx)
          tx:exec "insert into c values (3)"
          tx:exec "insert into c select 4 from pg_sleep(30)" end, half)
        probe("after", db.value, db, "select 1")""",
                   targets=["db=" + pg.direct(application_name="ctrl")])
    for name, r in done.said.items():
        if name == "after":
            continue
        is_(r.get("kind"), "timeout", r)
        is_(r.get("outcome"), "failed", r)
        in_time(r, 0.5)
        match("0.5 s" + (".*cancelled" if name != "copy" else ""),
              r["message"])
    assert done.said["after"].get("ok"), done.said
    is_(pg.sql("select count(*) from c"), "0")
    rig.until(lambda: not pg.backends("ctrl"), 2)


@test
def deadlines_of_others():
    """The server's are its errors, ours are timeouts: which it was is said."""
    with pg.Session() as other:
        other.ask("begin; lock table c;")
        done = rig.run("""
            probe("theirs", db.query, db, "select pg_sleep(30)")
            probe("ours", db.query, db, "select pg_sleep(30)",
              { timeout = 0.2 })
            probe("write", db.exec, db,
              "insert into d select 1 from pg_sleep(30)")
            probe("idle", db.transaction, db, function(tx)
              tx:exec "insert into d values (2)"
              tx:exec "set local idle_in_transaction_session_timeout = 100"
              task.sleep(0.4)
              tx:exec "insert into d values (3)" end)
            probe("lock", db.transaction, db, function(tx)
              tx:exec "set local lock_timeout = 100"
              tx:exec "insert into c values (3)" end)
            task.spawn(function() task.sleep(0.1) db:cancel() end)
            probe("somebody", db.query, db, "select pg_sleep(30)")
            """, targets=["db=" + pg.direct(
                options="-c%20statement_timeout%3D400")])
    said = done.said
    for name, kind, code in (
            ("theirs", "server", "57014"), ("ours", "timeout", ""),
            ("write", "server", "57014"), ("lock", "server", "55P03"),
            ("somebody", "server", "57014")):
        r = said[name]
        is_((r.get("kind"), r.get("code", ""), r.get("outcome")),
            (kind, code, "failed"), r)
    match("statement_timeout", said["theirs"]["hint"])
    # ended by the server between two statements: not begun anew in silence
    one = said["idle"]
    is_(one.get("outcome"), "failed", one)
    match("idle-in-transaction|lost", one["text"])
    is_(pg.sql("select count(*) from c"), "0")
    is_(pg.sql("select count(*) from d"), "0")


CALLS = {
    "query": 'db.query, db, "select pg_sleep(5)", half',
    "write": 'db.exec, db, "insert into c select 7 from pg_sleep(4)", half',
    "bare": 'db.exec, db, "call deaf()", half',
    "tx": 'db.transaction, db, function(tx) tx:exec "insert into c values (8)"'
          ' tx:query("select pg_sleep(5)", half) end',
    "commit": 'db.exec, db, "insert into c values (9)", half',
}


def deaf(mode, calls, failed):
    """Each call runs, then the line goes dead: what is said, and when."""
    name = "deaf" + mode
    code = "".join("ready '%s' probe('%s', %s)\n" % (c, c, CALLS[c])
                   for c in calls)
    with pg.proxy() as p:
        opsh = Opsh("-e", rig.PRELUDE + """
            local half = { timeout = 0.5 }
            local function ready(name) io.write(name, "\\n")
              io.stdout:flush() io.read() db:value "select 1" end
            """ + code, stdin=subprocess.PIPE, targets=["db=" + pg.at(
                p.port, application_name=name)])
        for call in calls:
            opsh.until(call.encode() + b"\n")
            if call == "commit":
                pg.tell(p, "drop-reply match=^Q[^a-z]*commit then=freeze")
            opsh.process.stdin.write(b"\n")
            opsh.process.stdin.flush()
            if call != "commit":
                rig.until(lambda: pg.sql(
                    "select count(*) from pg_stat_activity where state = "
                    "'active' and application_name = '%s' and query ~ "
                    "'sleep|deaf'" % name) != "0", 10, call)
                pg.tell(p, mode)
            opsh.until(b'"name":"%s"' % call.encode())
            pg.tell(p, "pass")
            pg.sql("select pg_terminate_backend(pid) from pg_stat_activity "
                   "where application_name = '%s'" % name)
        opsh.end()
        pg.tell(p, "rst")
    rig.until(lambda: not pg.backends(name), 10)
    for call in calls:
        r = opsh.said[call]
        print("    %s, %s: %.1f s, %s" % (mode, call, r["took"],
                                          r.get("outcome")))
        if r.get("outcome") != ("unknown" if call in ("bare", "commit") else
                                "failed") or \
                not 0.45 < r["took"] < 0.5 + GRACE + rig.LATE:
            failed.append((mode, r))


@test
def deadlines_that_nobody_hears():
    """The line is dead, the cancel too: by the grace, with what is true."""
    failed = []
    threads = [threading.Thread(target=deaf, args=(mode, calls, failed))
               for mode, calls in (("freeze", ("write", "commit")),
                                   ("blackhole", ("bare", "tx")))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    is_(failed, [])
    is_(pg.sql("select distinct t from c"), "9")


@test
def in_each_others_way():
    pg.sql("truncate c; insert into c values (1), (2)")
    done = rig.run("""
        local function pair(name, first, second, opts)
          local n, tries = 0, 0
          local function meet() n = n + 1
            local t = timer.now()
            while n < 2 and timer.now() - t < 3 do task.sleep(0.01) end
          end
          local function one(a, b)
            return try(db.transaction, db, function(tx)
              tries = tries + 1
              first(tx, a) meet() second(tx, b) end, opts)
          end
          local errors, fine = {}, 0
          task.all { function() local _, e = one(1, 2)
            if e then errors[#errors + 1] = e else fine = fine + 1 end end,
            function() local _, e = one(2, 1)
            if e then errors[#errors + 1] = e else fine = fine + 1 end end }
          local e = errors[1] or {}
          say { name = name, fine = fine, errors = #errors, tries = tries,
            code = e.code, kind = e.kind, outcome = e.outcome,
            retryable = e.retryable }
        end
        local function update(tx, i)
          tx:exec("update c set t = t where t = $1", i) end
        local function sum(tx, i)
          tx:value("select count(*) from c where t = $1", i) end
        local function add(tx, i)
          tx:exec("insert into c values ($1)", i) end
        local serial = { isolation = "serializable" }
        pair("deadlock", update, update)
        pair("serialization", function(tx, i) sum(tx, i) end,
          function(tx, i) add(tx, i) end, serial)
        pair("deadlock, again", update, update, { retry = 2 })
        serial.retry = 3
        pair("serialization, again", sum, add, serial)
        """, targets=["db=" + pg.direct(
            options="-c%20deadlock_timeout%3D100")])
    for name, code in (("deadlock", "40P01"), ("serialization", "40001")):
        r = done.said[name]
        is_((r["fine"], r["errors"], r.get("code"), r.get("kind"),
             r.get("outcome"), r.get("retryable")),
            (1, 1, code, "server", "failed", True), done.said, done.err)
        r = done.said[name + ", again"]
        is_((r["fine"], r["errors"]), (2, 0), done.said)
        assert r["tries"] > 2, r


def prepare():
    pg.sql("drop table if exists c, d; create table c(t int); "
           "create table d(t int); create or replace procedure deaf() language "
           "plpgsql as $$ begin perform pg_sleep(5); end $$")


if __name__ == "__main__":
    sys.exit(pg.main(prepare=prepare))
