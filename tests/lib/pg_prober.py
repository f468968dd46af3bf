#!/usr/bin/python3
"""pg_prober: the witness of failover drills: asks every node, each 10 ms, whether it
takes a write, and tells each moment at which more than one did. A node is asked on a
thread and a connection of its own, so a frozen one holds up no other. Owns the table
`probes` of the database that the URLs name; must not decide anything.

    pg_prober.py OUT NAME=CONNINFO NAME=CONNINFO...    until TERM, then the verdict
    pg_prober.py --judge OUT                           the verdict on a file

OUT has a line a change: seconds (the machine's own clock) NODE up|standby|down ...,
and a line for each probe that was written. The last line on stdout:
`probes N, moments M, longest S s`; exit 1 when M is not 0. CONNINFO by a socket
reaches a node whose network is cut.
"""
import signal
import sys
import threading
import time

TICK = 0.010
# A connection attempt that hangs ends; a probe on a frozen node may take its time:
# it is when the server ran it that counts.
CONNECT = 2
PROBE = """insert into probes (node, n) values (%s, %s)
    returning extract(epoch from clock_timestamp())::float8"""
TABLE = """create table if not exists probes (node text, n bigint,
    at timestamptz default clock_timestamp(), primary key (node, n))"""


class Node(threading.Thread):
    def __init__(self, name, conninfo, log, end):
        super().__init__(daemon=True)
        self.node, self.conninfo, self.log, self.end = name, conninfo, log, end
        self.db, self.state, self.count = None, None, time.time_ns()

    def note(self, state, why=""):
        if state != self.state:
            self.log(time.time(), self.node, state, why)
            self.state = state

    def connect(self):
        import psycopg2
        self.db = psycopg2.connect(self.conninfo, connect_timeout=CONNECT,
                                   application_name="pg_prober")
        self.db.autocommit = True

    def probe(self):
        if self.db is None:
            self.connect()
        with self.db.cursor() as cursor:
            cursor.execute("select pg_is_in_recovery()")
            if cursor.fetchone()[0]:
                self.note("standby")
                return
            if self.state != "up":
                cursor.execute(TABLE)
            self.count += 1
            cursor.execute(PROBE, (self.node, self.count))
            at = cursor.fetchone()[0]
        self.note("up")
        self.log(at, self.node, "written", "%.6f" % time.time())

    def run(self):
        import psycopg2
        due = time.monotonic()
        while not self.end.is_set():
            try:
                self.probe()
            except psycopg2.Error as e:
                self.note("down", str(e).strip().split("\n")[0])
                if self.db is not None:
                    self.db.close()
                self.db = None
            due = max(due + TICK, time.monotonic())
            self.end.wait(due - time.monotonic())


def intervals(path):
    """For each node the times during which it took writes: from one probe that was
    written to the next, when nothing else was seen in between."""
    spans, last, probes = {}, {}, 0
    for line in open(path):
        at, node, what = line.split(" ", 3)[:3]
        at, what = float(at), what.strip()
        if what == "written":
            probes += 1
            begin = last.get(node)
            spans.setdefault(node, [])
            if begin is not None:
                spans[node][-1][1] = at
            else:
                spans[node].append([at, at])
            last[node] = at
        elif what != "up":
            last[node] = None
    return spans, probes


def judge(path):
    """The moments at which two nodes took writes: (from, to, node, node)."""
    spans, probes = intervals(path)
    names, moments = sorted(spans), []
    for n, one in enumerate(names):
        for other in names[n + 1:]:
            for a in spans[one]:
                for b in spans[other]:
                    if a[0] <= b[1] and b[0] <= a[1]:
                        moments.append((max(a[0], b[0]), min(a[1], b[1]),
                                        one, other))
    for begin, end, one, other in sorted(moments):
        print("two writable: %s and %s from %.3f for %.3f s"
              % (one, other, begin, end - begin))
    print("probes %d, moments %d, longest %.3f s" % (
        probes, len(moments), max([m[1] - m[0] for m in moments] or [0])))
    return 1 if moments or not probes else 0


def watch(path, nodes):
    end, lock = threading.Event(), threading.Lock()
    out = open(path, "w", buffering=1)

    def log(at, node, what, why=""):
        with lock:
            out.write("%.6f %s %s %s\n" % (at, node, what, why))

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: end.set())
    threads = [Node(*spec.split("=", 1), log, end) for spec in nodes]
    for thread in threads:
        thread.start()
    while not end.wait(1):
        pass
    for thread in threads:
        thread.join(CONNECT + 1)
    with lock:
        out.close()
    return judge(path)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--judge":
        sys.exit(judge(sys.argv[2]))
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(watch(sys.argv[1], sys.argv[2:]))
