#!/usr/bin/python3
"""Connections cut while a write commits: what opsh says became of it, against
what the table holds. OPSH_CUTS=200 for so many (40), OPSH_SEED for one that
failed. Owns what http_rig.py and pg_rig.py own.
"""

import collections
import json
import os
import random
import select
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
import http_rig as rig  # noqa: E402  (the tree stays free of __pycache__)
import pg_rig as pg  # noqa: E402
from http_rig import Opsh, is_, match, one_of, test  # noqa: E402

CUTS = int(os.environ.get("OPSH_CUTS", "40"))
SEED = int(os.environ.get("OPSH_SEED", time.time_ns() // 1000 % 1000000))
WORKERS = 4
COMMIT = 12             # bytes of the message
ANSWER = 18             # bytes of its reply

DROP = "drop-reply match=^Q[^a-z]*commit"

TABLE = """
drop table if exists cuts;
create table cuts (n int, k int);
create or replace function linger() returns trigger language plpgsql as $$
begin perform pg_sleep(0.02 * new.k); return null; end $$;
create constraint trigger lingers after insert on cuts deferrable
  initially deferred for each row when (new.k > 1) execute function linger();
"""

# way of writing -> how many rows it makes
ROWS = {"exec": 1, "slow": 1, "returning": 1, "many": 3, "copy": 3, "crawl": 1}
WAYS = """
local ways = {}
function ways.exec(n) db:exec("insert into cuts values ($1, 1)", n) end
function ways.slow(n) db:exec("insert into cuts values ($1, 2)", n) end
function ways.crawl(n) db:exec("insert into cuts values ($1, 50)", n) end
function ways.returning(n)
  assert(db:exec("insert into cuts values ($1, 1) returning n", n).rows[1].n == n)
end
function ways.many(n)
  db:transaction(function(tx)
    tx:exec("insert into cuts values ($1, 1)", n)
    tx:value "select count(*) from cuts"
    tx:exec("insert into cuts values ($1, 2)", n)
    tx:exec("insert into cuts values ($1, 3)", n)
  end)
end
function ways.copy(n)
  db:copy_in("copy cuts from stdin", ("%d\\t1\\n%d\\t2\\n%d\\t3\\n"):format(n, n, n))
end
"""
LOOP = WAYS + """
for line in io.lines() do
  local n, way = line:match "(%d+) (%a+)"
  probe(line, ways[way], math.tointeger(tonumber(n)))
  io.stdout:flush()
end
"""


class Writer:
    """An opsh that writes one thing a line, through a proxy of its own."""

    def __init__(self, number, url=None):
        self.number = number
        self.random = random.Random("%d %d" % (SEED, number))
        self.proxy = pg.proxy()
        self.name = "cut%d" % number
        self.state = tempfile.mkdtemp(dir=rig.TMP)
        target = pg.at(self.proxy.port, application_name=self.name)
        self.opsh = Opsh("-e", rig.PRELUDE + LOOP, stdin=subprocess.PIPE,
                         targets=["db=" + (url or target)],
                         XDG_STATE_HOME=self.state)
        self.out, self.said, self.plans = b"", {}, {}

    def begin(self, n, way):
        self.line = "%d %s" % (n, way)
        self.opsh.process.stdin.write(self.line.encode() + b"\n")
        self.opsh.process.stdin.flush()

    def answer(self, timeout=40):
        """What it says of the line begun, or None when it has not said it."""
        end = time.monotonic() + timeout
        while b"\n" not in self.out:
            left = end - time.monotonic()
            pipe = self.opsh.process.stdout
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                return None
            data = os.read(pipe.fileno(), 65536)
            assert data, self.opsh.process.stderr.read()
            self.out += data
        line, _, self.out = self.out.partition(b"\n")
        told = json.loads(line[len(rig.MARK):])
        is_(told["name"], self.line)
        self.said[self.line] = told
        return told

    def write(self, n, way, fault, *rest):
        self.plans[n] = (fault,) + rest
        if fault in ("rst", "close", "terminate"):
            self.begin(n, way)
            time.sleep(rest[0])
            if fault == "terminate":
                pg.sql("select pg_terminate_backend(pid) from pg_stat_activity"
                       " where application_name = '%s'" % self.name)
            else:
                pg.tell(self.proxy, fault)
            told = self.answer()
        else:
            pg.tell(self.proxy, fault)
            self.begin(n, way)
            # longer: the first attempts to ask are cut too
            told = self.answer(rest[0]) if rest else self.answer(1.5)
            pg.tell(self.proxy, "pass")
            told = told or self.answer()
        assert told, (self.line, fault, "no answer")
        return told

    def fault(self):
        r = self.random
        then = r.choice(("fin", "rst"))
        kind = r.randrange(7)
        if kind == 0:
            return "drop-request match=^Q[^a-z]*commit keep=%d then=%s" % (
                r.randrange(COMMIT), then),
        if kind == 1:
            return "drop-request match=^Q[^a-z]*commit keep=%d then=%s" % (COMMIT, then),
        if kind == 2:
            return "drop-reply match=^Q[^a-z]*commit keep=%d then=%s" % (
                r.randint(0, ANSWER), then),
        if kind < 5:
            return "cut side=%s after=%d how=%s" % (
                ("client", "server")[kind - 3], r.randint(1, 500), then), \
                r.uniform(0.01, 0.4)
        if kind == 5:
            return r.choice(("rst", "close")), r.uniform(0, 0.08)
        return "terminate", r.uniform(0, 0.05)

    def work(self, numbers):
        for n in numbers:
            self.write(n, self.random.choice(list(ROWS)[:-1]), *self.fault())

    def end(self):
        self.opsh.process.stdin.close()
        self.opsh.process.stdin = None
        self.opsh.end()
        is_(self.opsh.code, 0, self.opsh.err)
        self.proxy.__exit__()

    def journal(self):
        runs = os.path.join(self.state, "opsh", "runs")
        (run,) = [r for r in os.listdir(runs)
                  if os.path.exists(os.path.join(runs, r, "journal.jsonl"))]
        with open(os.path.join(runs, run, "journal.jsonl"), "rb") as f:
            return [json.loads(line) for line in f]


def truth():
    return {int(n): int(rows) for n, rows in (
        line.split("|") for line in pg.sql(
            "select n, count(*) from cuts group by n").splitlines())}


def judge(writers):
    """Each outcome against the table."""
    rig.until(lambda: not int(pg.sql(
        "select count(*) from pg_stat_activity where application_name like "
        "'cut%'")), 10, "sessions that stay")
    held, seen = truth(), collections.Counter()
    for w in writers:
        for line, told in w.said.items():
            n, way = line.split()
            n, whole = int(n), ROWS[way]
            outcome = "done" if told.get("ok") else told["outcome"]
            rows = held.get(n, 0)
            about = (way, w.plans.get(n), told, rows)
            one_of(rows, (0, whole), about)     # never in part, never twice
            if outcome == "done":
                is_(rows, whole, about)
            elif outcome == "failed":
                is_(rows, 0, about)
            else:
                is_(outcome, "unknown", about)
                is_(told["kind"], "unknown", about)
            seen[outcome] += 1
    return seen


def nobody_to_ask(w):
    """The probe is refused as long as it is tried."""
    told = w.write(1001, "exec", "pass")
    assert told.get("ok"), told
    start = time.monotonic()
    pg.tell(w.proxy, DROP + " then=freeze")
    w.begin(1002, "many")
    rig.until(lambda: "fired" in w.proxy.line(), 5)
    pg.tell(w.proxy, "refuse")
    pg.tell(w.proxy, "rst")
    told = w.answer()
    print("    refused: unknown after %.1f s" % (time.monotonic() - start))
    pg.tell(w.proxy, "pass")
    is_(told["outcome"], "unknown", told)
    match("can't be asked.*127.0.0.1:%d" % w.proxy.port, told["text"])
    match("COMMIT", told["text"])
    told = w.write(1003, "exec", "pass")
    assert told.get("ok"), told


@test
def random_cuts():
    print("    seed %d" % SEED)
    pg.sql(TABLE)
    writers = [Writer(i) for i in range(WORKERS)]
    silenced = Writer(WORKERS)
    failed = []

    def work(w):
        try:
            if w is silenced:
                nobody_to_ask(w)
            else:
                w.work(range(w.number + 1, CUTS + 1, WORKERS))
        except Exception as e:  # told below, in the test's own thread
            failed.append((w.number, repr(e)))

    threads = [threading.Thread(target=work, args=(w,))
               for w in writers + [silenced]]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    is_(failed, [])
    for w in writers + [silenced]:
        w.end()
    is_(judge([silenced]), {"done": 2, "unknown": 1})
    is_(len([r for r in silenced.journal() if r.get("outcome") == "unknown"]),
        1)
    seen = judge(writers)
    is_(sum(seen.values()), CUTS)
    print("    %d cuts: %s" % (CUTS, dict(seen)))
    assert seen["done"] and seen["failed"], seen
    # nobody was there to be asked in none of them
    assert seen["unknown"] <= CUTS / 10, seen
    for w in writers:
        wrong = {r["outcome"] for r in w.journal() if r["type"] == "outcome"}
        assert wrong <= {"done", "failed", "unknown"}, wrong


@test
def every_byte_of_commit():
    pg.sql(TABLE)
    w = Writer(0)
    wanted = {}
    for keep in range(COMMIT):
        told = w.write(keep, "exec",
                       "drop-request match=^Q[^a-z]*commit keep=%d" % keep)
        wanted[keep] = told.get("outcome")
    is_(set(wanted.values()), {"failed"}, wanted)
    for keep in range(ANSWER + 1):
        told = w.write(100 + keep, "exec",
                       "drop-reply match=^Q[^a-z]*commit keep=%d" % keep)
        assert told.get("ok"), (keep, told)
    w.end()
    is_(judge([w]), {"failed": COMMIT, "done": ANSWER + 1})


def crash(query="pg_backend_pid()"):
    """Kills a session of that query; the server restarts all of them."""
    rig.until(lambda: pg.sql("select pid from pg_stat_activity where query = "
                             "'%s' and state = 'active'" % query), 10, query)
    os.kill(int(pg.sql("select pid from pg_stat_activity where query = '%s'"
                       % query)), 9)


def back():
    rig.until(lambda: pg.sql("select 1", check=False), 20, "the server")


@test
def a_server_that_crashes():
    """In COMMIT: what it had not yet on disk is gone, and the number of the
    transaction is given to another one, which commits."""
    pg.sql(TABLE)
    w = Writer(0)
    for n, others in ((1, 0), (2, 50)):
        w.begin(n, "crawl")
        crash("commit")
        pg.tell(w.proxy, "refuse")
        back()
        pg.sql("select pg_current_xact_id();" * others)
        pg.tell(w.proxy, "pass")
        told = w.answer()
        print("    %s: %s" % (told.get("outcome"), told.get("message")))
        one_of(told.get("outcome"), ("failed", "unknown"), told)
    # applied, and nobody can know: a number that may be another's by now
    pg.tell(w.proxy, DROP + " then=freeze")
    w.begin(3, "exec")
    rig.until(lambda: "fired" in w.proxy.line(), 5)
    with pg.Session() as other:
        other.process.stdin.write(b"select pg_sleep(99);\n")
        crash("select pg_sleep(99);")
    pg.tell(w.proxy, "refuse")
    back()
    pg.tell(w.proxy, "pass")
    pg.tell(w.proxy, "rst")
    told = w.answer()
    is_(told.get("outcome"), "unknown", told)
    match("crashed meanwhile", told["text"])
    told = w.write(4, "exec", "pass")
    assert told.get("ok"), told
    w.end()
    judge([w])


@test
def notify_is_no_write_without_a_number():
    """Nothing of it is in a table, but its COMMIT may be lost as any other."""
    p = pg.proxy()
    url = pg.at(p.port)
    with p:
        for fault, wanted in (("drop-request", "failed"),
                              ("drop-reply", None)):
            pg.tell(p, "pass")
            opsh = Opsh("-e", rig.PRELUDE + """
                db:value "select 1"
                io.write "ready\\n" io.stdout:flush()
                io.read()
                probe("it", db.exec, db, "notify x, 'payload'")""",
                        targets=["db=" + url], stdin=subprocess.PIPE)
            opsh.until(b"ready\n")
            pg.tell(p, fault + " match=^Q[^a-z]*commit")
            opsh.process.stdin.write(b"\n")
            opsh.end()
            is_(opsh.said["it"].get("outcome"), wanted, fault, opsh.said)


@test
def a_server_that_does_not_say_who_it_is():
    """Then it may be another, whatever it says of the number."""
    hidden = "function pg_control_system() from public"
    p = pg.proxy()
    with p:
        pg.sql(TABLE + "grant all on cuts to ops; revoke execute on " + hidden)
        try:
            w = Writer(0, pg.at(p.port, user="ops", application_name="cut0"))
            w.write(1, "exec", "pass")
            pg.tell(p, "drop-reply match=^Q[^a-z]*commit")
            told = w.write(2, "exec", "pass")
        finally:
            pg.sql("grant execute on " + hidden.replace("from", "to"))
        is_(told.get("outcome"), "unknown", told)
        match("who it is|which server", told["text"])
        w.end()
    judge([w])


if __name__ == "__main__":
    sys.exit(pg.main())
