#!/usr/bin/python3
"""A primary and its standby: writes by mistake, roles that change between two
steps and between a COMMIT and its probe. Owns what http_rig.py and pg_rig.py own.
"""

import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import http_rig as rig  # noqa: E402  (the tree stays free of __pycache__)
import pg_rig as pg  # noqa: E402
from http_rig import Opsh, is_, match, run, test  # noqa: E402


def node(name, **keywords):
    return pg.at(pg.env("PG_%s_PORT" % name), node=name, **keywords)


def log_of(name):
    with open(pg.env("PG_%s_LOG" % name), errors="replace") as f:
        return f.read()


def pair(first, second, **keywords):
    """One target: whichever of the two takes writes."""
    url = pg.at(first, node="PRIMARY", host="127.0.0.1:%s,127.0.0.1" % first,
                **keywords)
    return url.replace("127.0.0.1:%s/" % first, "127.0.0.1:%s/" % second, 1)


def follows():
    rig.until(lambda: pg.sql("select count(*) from writes", node("STANDBY")) ==
              pg.sql("select count(*) from writes", node("PRIMARY")), 10)


@test
def a_standby_by_mistake():
    before = len(log_of("STANDBY"))
    done = run("""
        probe("read", db.value, db, "select 1")
        probe("exec", db.exec, db, "insert into writes values (1)")
        probe("drop", db.exec, db, "alter table writes add mistake int")
        probe("tx", db.transaction, db, function(tx)
          tx:exec "insert into writes values (2)" end)
        probe("copy", db.copy_in, db, "copy writes (n) from stdin", "3\\n")
        probe("again", db.value, db, "select 2")""",
               targets=["db=" + node("STANDBY")])
    for name in ("read", "again"):
        assert done.said[name].get("ok"), done.said
    for name in ("exec", "drop", "tx", "copy"):
        r = done.said[name]
        is_((r.get("kind"), r.get("outcome")), ("refused", "refused"), r)
        match("is a standby.*was not sent", r["text"])
        match("target_session_attrs", r["hint"])
    said = log_of("STANDBY")[before:]
    for word in ("insert into", "mistake", "copy writes"):
        assert word not in said, said[-2000:]
    # asked for in the targets file: it is not even the target
    for role, port, fine in (("primary", "STANDBY", False),
                             ("standby", "PRIMARY", False),
                             ("primary", "PRIMARY", True)):
        done = run('probe("it", db.exec, db, "insert into writes values (10)")',
                   file="""return { targets = { db = { kind = "postgres",
                   role = "%s", url = "%s" } } }""" % (role, node(port)))
        r = done.said.get("it", {})
        is_(bool(r.get("ok")), fine, r, done.err)
        if not fine:
            is_((r["kind"], r["outcome"]), ("refused", "refused"), r)
    # one of several hosts: the one that takes writes, wherever it stands
    done = run('probe("it", db.exec, db, "insert into writes values (11)")',
               targets=["db=" + pair(pg.env("PG_STANDBY_PORT"),
                                     pg.env("PG_PRIMARY_PORT"),
                                     target_session_attrs="read-write")])
    assert done.said["it"].get("ok"), done.said
    is_(pg.sql("select n from writes order by n", node("PRIMARY")), "10\n11")
    follows()


class Steps:
    """An opsh that does one step a line."""

    def __init__(self, url, *steps):
        self.opsh = Opsh("-e", rig.PRELUDE + "".join(
            "io.read() %s io.write 'did\\n' io.stdout:flush()\n" % s
            for s in steps), targets=["db=" + url], stdin=subprocess.PIPE)

    def begin(self):
        self.opsh.process.stdin.write(b"\n")
        self.opsh.process.stdin.flush()

    def step(self):
        self.opsh.out = b""
        self.begin()
        self.opsh.until(b"did\n")

    def last(self):
        self.begin()
        return self.opsh.end()


def insert(n):
    return 'db:exec "insert into writes values (%d)"' % n


def truth(name, *rows):
    is_(pg.sql("select n from writes where n >= 20 order by n", node(name)),
        "\n".join(str(n) for n in rows))


@test
def promoted_in_between():
    """Step one on the primary, its reply to a COMMIT lost; then the standby is
    promoted: nobody there knows. What was connected to it is refused too."""
    with pg.proxy(pg.env("PG_PRIMARY_PORT")) as p:
        both = pair(p.port, pg.env("PG_STANDBY_PORT"),
                    target_session_attrs="read-write")
        lost = Steps(both, insert(20), insert(21))
        lost.step()
        tx = Steps(both, insert(22), "db:transaction(function(tx) tx:exec "
                   "'insert into writes values (23)' tx:value 'select 1' "
                   "tx:exec 'insert into writes values (24)' end)")
        tx.step()
        reads = Steps(node("STANDBY"), 'db:value "select 1"', insert(25))
        reads.step()
        steps = Steps(both, insert(26), insert(27))
        steps.step()
        pinned = Steps(node("PRIMARY"), insert(28), insert(29))
        pinned.step()
        follows()
        pg.tell(p, "drop-reply match=^Q[^a-z]*commit times=2 then=freeze")
        for one in (lost, tx):
            one.begin()
            rig.until(lambda: "fired" in p.line(), 5)
        follows()
        is_(pg.sql("select pg_promote(true, 20)", node("STANDBY")), "t")
        pg.tell(p, "refuse")
        pg.tell(p, "rst")
        for one, verb in ((lost, "INSERT"), (tx, "COMMIT")):
            done = one.opsh.end()
            print("    exit %d: %s" % (done.code, done.err.splitlines()[0]))
            match("the server now is another: was .*timeline=1, is "
                  ".*timeline=2", done.err)
            match("outcome unknown", done.err)
            is_(done.code, 13, done.err)
        time.sleep(2.2)         # as long as an identity is believed
        for one in (reads, steps):
            done = one.last()
            print("    exit %d: %s" % (done.code, done.err.splitlines()[0]))
            is_(done.code, 12, done.err)
            match("timeline=2", done.err)
    # what it had replied to, and what nobody could know, had been applied
    truth("STANDBY", 20, 21, 22, 23, 24, 26, 28)
    demoted(pinned)


def demoted(pinned):
    """The old primary comes back as a standby, under the same address."""
    data = pg.env("PG_PRIMARY_DIR")
    with open(pg.env("PG_PRIMARY_PIDFILE")) as f:
        pid = int(f.read().split()[0])
    subprocess.run([pg.env("PG_NODE"), "kill", data], check=True)
    with open(os.path.join(data, "standby.signal"), "w"):
        pass
    start = pg.env("PG_PRIMARY_PIDFILE")[:-len("pid")] + "start"
    with open(pg.env("PG_PRIMARY_LOG"), "ab") as log:
        server = subprocess.Popen([start], stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=log,
                                  start_new_session=True)
    try:
        rig.until(lambda: pg.sql("select pg_is_in_recovery()", node("PRIMARY"),
                                 check=False) == "t", 20, "the old primary")
        done = pinned.last()
        print("    exit %d: %s" % (done.code, done.err.splitlines()[0]))
        is_(done.code, 12, done.err)
        match("role=standby", done.err)
        truth("PRIMARY", 20, 21, 22, 23, 24, 26, 28)
    finally:
        subprocess.run([pg.env("PG_NODE"), "kill", data], check=True)
        server.wait(20)
        assert pid


if __name__ == "__main__":
    sys.exit(pg.main("postgres-ha", "OPSH_PG_PRIMARY_PORT"))
