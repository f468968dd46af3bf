#!/usr/bin/python3
"""Ratios of opsh against plain C and the usual tools, in one run.

Owns a throwaway Redis (examples/stack), a scratch folder and the C programs it
compiles there. Runs of the contenders are interleaved and compared by median,
since wall time varies by a third from one minute to the next. Must not judge:
it always prints the table and exits 0, whatever failed is named in it.

    bench.py [--opsh FILE] [--runs N] [--delete-runs N] [--keys N]
             [--only startup,get,delete,http,spawn,fs,pg,kafka] [--json FILE]
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import fs_bench  # noqa: E402
import http_bench  # noqa: E402  (the tree stays free of __pycache__)
import kafka_bench  # noqa: E402
import pg_bench  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
STACK = os.path.join(ROOT, "examples", "stack", "stack")
GETS = 100000
PATTERN = "flights::*"
CHILDREN, MEGABYTES = 300, 1000
LIMIT = 180             # seconds for any one run
C_SOURCES = {"redis_get": ["-lhiredis"], "redis_unlink": ["-lhiredis"],
             "redis_load": [], "spawn": [], "spawn_many": [],
             "http_get": ["-lcurl"], "pg_rows": ["-lpq"],
             "kafka_produce": ["-lrdkafka"], "kafka_consume": ["-lrdkafka"]}


class Failed(Exception):
    pass


def talk(text):
    print(text, file=sys.stderr, flush=True)


class Run:
    """One run of a contender: wall and CPU of the whole process (children
    included), and the seconds that it measured inside itself."""

    def __init__(self, argv, env, pattern=r"^(\d+\.\d+) (\d+)$"):
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            start = time.monotonic()
            child = subprocess.Popen(argv, env=env, stdout=out, stderr=err,
                                     stdin=subprocess.DEVNULL,
                                     start_new_session=True)
            signal.alarm(LIMIT)
            try:
                _, status, usage = os.wait4(child.pid, 0)
            except BaseException as err:
                os.killpg(child.pid, signal.SIGKILL)
                os.wait4(child.pid, 0)
                if not isinstance(err, TimeoutError):
                    raise
                raise Failed("'%s' ran for more than %d s" % (
                    argv[0], LIMIT)) from None
            finally:
                signal.alarm(0)
                child.returncode = 0    # reaped here, not by subprocess
            self.wall = time.monotonic() - start
            out.seek(0)
            err.seek(0)
            text = out.read().decode("utf-8", "replace")
            said = err.read().decode("utf-8", "replace").strip()
        if status != 0:
            raise Failed("'%s' failed: %s" % (
                " ".join(argv)[:60], (said or text).strip()[-300:]))
        self.user = usage.ru_utime
        self.inner = self.result = None
        if pattern:
            found = re.search(pattern, text, re.M)
            if not found:
                raise Failed("'%s' printed no result: %s" % (
                    argv[0], text[-200:]))
            self.inner, self.result = float(found[1]), int(found[2])


class Row:
    """A line of the table: two lists of seconds and the limit asked for."""

    def __init__(self, name, reference, limit, at_least=False):
        self.name, self.reference = name, reference
        self.limit, self.at_least = limit, at_least
        self.theirs, self.ours, self.problem = [], [], None

    def ratio(self):
        theirs, ours = (statistics.median(v)
                        for v in (self.theirs, self.ours))
        return theirs / ours if self.at_least else ours / theirs

    def cells(self):
        cells = [self.name, self.reference]
        cells += [self.seconds(self.theirs), self.seconds(self.ours)]
        if not self.theirs or not self.ours:
            return cells + ["-", self.asked(), self.problem or "not run"]
        ratio = self.ratio()
        if self.limit is None:
            verdict = ""
        elif self.at_least:
            verdict = "met" if ratio >= self.limit else "MISSED"
        else:
            verdict = "met" if ratio <= self.limit else "MISSED"
        return cells + ["%.2f" % ratio, self.asked(),
                        "%s (n=%d)" % (verdict, len(self.ours))]

    def asked(self):
        if self.limit is None:
            return ""
        return "%s %g" % (">=" if self.at_least else "<=", self.limit)

    @staticmethod
    def seconds(values):
        if not values:
            return "-"
        middle = statistics.median(values)
        if middle < 0.1:
            return "%.2f ms (%.2f)" % (middle * 1e3, min(values) * 1e3)
        return "%.2f s (%.2f)" % (middle, min(values))

    def as_dict(self):
        done = self.theirs and self.ours
        return {"name": self.name, "reference": self.reference,
                "theirs": self.theirs, "ours": self.ours,
                "ratio": self.ratio() if done else None,
                "limit": self.limit, "at_least": self.at_least,
                "problem": self.problem}


class Bench:
    HERE, STACK = HERE, STACK

    def __init__(self, opts, scratch):
        self.opts, self.scratch = opts, scratch
        self.rows, self.port = [], None
        self.env = dict(os.environ, XDG_STATE_HOME=scratch,
                        XDG_CONFIG_HOME=scratch, NO_COLOR="1", CI="1")
        # the stack's own variables are not the contenders' business
        for name in list(self.env):
            if name.startswith("OPSH_"):
                del self.env[name]

    # --- set-up, not timed ---------------------------------------------

    def compile(self):
        compiler = os.environ.get("CC", "cc")
        for name, libs in C_SOURCES.items():
            done = subprocess.run(
                [compiler, "-std=c11", "-D_GNU_SOURCE", "-O2", "-o",
                 self.tool(name), os.path.join(HERE, name + ".c")] + libs,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode:
                raise Failed("cannot compile '%s.c': %s" % (
                    name, done.stdout.decode().strip()[-300:]))

    def start_redis(self):
        self.folder = os.path.join(self.scratch, "stack")
        subprocess.run([STACK, "up", self.folder, "redis"], check=True)
        with open(os.path.join(self.folder, "env")) as file:
            self.port = re.search(r"OPSH_REDIS_PORT='(\d+)'",
                                  file.read())[1]

    def stop_redis(self):
        if self.port:
            subprocess.run([STACK, "down", self.folder], check=False)

    def load(self, prefix, count, size=64):
        self.cli("FLUSHALL")
        subprocess.run([self.tool("redis_load"), self.port, prefix,
                        str(count), str(size), "0"], check=True)

    def cli(self, *words):
        return subprocess.run(["redis-cli", "-p", self.port] + list(words),
                              stdout=subprocess.PIPE, check=True
                              ).stdout.decode().strip()

    def tool(self, name):
        return os.path.join(self.scratch, name)

    def script(self, name):
        return [self.opts.opsh, "--target",
                "cache=redis://127.0.0.1:%s" % self.port, "run",
                os.path.join(HERE, name)] + self.opts.run_args.split()

    # --- the three questions -------------------------------------------

    def row(self, *args, **named):
        row = Row(*args, **named)
        self.rows.append(row)
        return row

    def startup(self):
        row = self.row("start-up, opsh -e ''", "lua5.4 -e ''", 1.3)
        rounds = max(self.opts.runs * 20, 20)
        done = subprocess.run(
            [self.tool("spawn"), str(rounds), "lua5.4", "-e", "", "--",
             self.opts.opsh, "-e", ""], env=self.env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode:
            row.problem = done.stderr.decode().strip()[:120]
            return
        for line in done.stdout.decode().splitlines():
            theirs, ours = line.split()
            row.theirs.append(float(theirs))
            row.ours.append(float(ours))

    def get(self):
        name = "%dk pipelined GETs" % (GETS // 1000)
        inner = self.row(name, "C, hiredis", 1.10)
        user = self.row("  user time, whole process", "", None)
        wall = self.row("  wall time, whole process", "", None)
        self.load("bench:", GETS)
        theirs = [self.tool("redis_get"), self.port, str(GETS), "1000"]
        ours = self.script("redis_get.lua")
        env = dict(self.env, BENCH_COUNT=str(GETS), BENCH_BATCH="1000")
        for _ in range(self.opts.runs):
            for argv, side in ((theirs, "theirs"), (ours, "ours")):
                run = self.attempt(argv, env, (inner, user, wall))
                if not run:
                    continue
                if run.result != GETS * 64:
                    inner.problem = "wrong sum %d" % run.result
                    continue
                getattr(inner, side).append(run.inner)
                getattr(user, side).append(run.user)
                getattr(wall, side).append(run.wall)

    def delete(self):
        keys = self.opts.keys
        name = "delete %s keys by pattern" % (
            "%gM" % (keys / 1e6) if keys >= 1e6 else keys)
        shell = self.row(name, "redis-cli --scan | xargs", 7, at_least=True)
        raw = self.row(name, "C, SCAN + UNLINK", 1.15)
        user = self.row("  user time, whole process", "C", None)
        wall = self.row("  wall time, whole process", "C", None)
        pipe = ("redis-cli -p %s --scan --pattern '%s' | "
                "xargs -L 500 redis-cli -p %s del" % (
                    self.port, PATTERN, self.port))
        env = dict(self.env, BENCH_PATTERN=PATTERN, BENCH_COUNT="10000")
        contenders = (
            ("ours", self.script("redis_unlink.lua"), True),
            ("raw", [self.tool("redis_unlink"), self.port, PATTERN,
                     "10000"], True),
            ("shell", ["sh", "-c", pipe], False))
        for turn in range(self.opts.delete_runs):
            for side, argv, timed in contenders:
                talk("delete %d/%d: %s" % (turn + 1, self.opts.delete_runs,
                                           side))
                self.load("flights::", keys, 16)
                run = self.attempt(argv, env, (shell, raw, user, wall),
                                   None if not timed else Ellipsis)
                left = self.cli("DBSIZE")
                if left != "0" or not run:
                    problem = "%s left %s keys" % (side, left)
                    for row in (shell, raw, user, wall):
                        row.problem = row.problem or problem
                    continue
                if side == "shell":
                    shell.theirs.append(run.wall)
                elif side == "raw":
                    raw.theirs.append(run.inner)
                    user.theirs.append(run.user)
                    wall.theirs.append(run.wall)
                else:
                    shell.ours.append(run.wall)
                    raw.ours.append(run.inner)
                    user.ours.append(run.user)
                    wall.ours.append(run.wall)

    def spawn(self):
        """CHILDREN at once while the process holds MEGABYTES."""
        row = self.row("%d children at once, 1 GB held" % CHILDREN,
                       "C, posix_spawn", 1.2)
        env = dict(self.env, BENCH_COUNT=str(CHILDREN),
                   BENCH_MEGABYTES=str(MEGABYTES))
        theirs = [self.tool("spawn_many"), str(CHILDREN), str(MEGABYTES),
                  "true"]
        ours = [self.opts.opsh, "run", os.path.join(HERE, "spawn_many.lua")]
        for _ in range(self.opts.runs):
            for argv, side in ((theirs, row.theirs), (ours, row.ours)):
                run = self.attempt(argv, env, (row,))
                if run and run.result == CHILDREN:
                    side.append(run.inner)
                elif run:
                    row.problem = "%d of %d ended well" % (run.result, CHILDREN)

    def attempt(self, argv, env, rows, pattern=Ellipsis):
        try:
            if pattern is Ellipsis:
                return Run(argv, env)
            return Run(argv, env, pattern)
        except (Failed, OSError) as err:
            for row in rows:
                row.problem = row.problem or str(err).replace("\n", " ")[:120]
            return None

    def run(self):
        self.compile()
        parts = self.opts.only.split(",")
        if "startup" in parts:
            self.startup()
        if "get" in parts or "delete" in parts:
            self.start_redis()
        for part in ("get", "delete"):
            if part in parts:
                getattr(self, part)()
        if "http" in parts:
            http_bench.http(self)
        if "fs" in parts:
            fs_bench.fs(self)
        if "pg" in parts:
            pg_bench.pg(self)
        if "kafka" in parts:
            kafka_bench.kafka(self)
        if "spawn" in parts:
            self.spawn()


def table(rows):
    head = ["", "against", "theirs (min)", "opsh (min)", "ratio", "limit", ""]
    cells = [head] + [row.cells() for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    for number, line in enumerate(cells):
        out = [line[i].rjust(widths[i]) if 2 <= i <= 5
               else line[i].ljust(widths[i]) for i in range(len(head))]
        print("  ".join(out).rstrip())
        if number == 0:
            print("  ".join("-" * w for w in widths))
    print("medians of interleaved runs; a ratio with '>=' is theirs / opsh, "
          "else opsh / theirs", flush=True)


def expire(*_):
    raise TimeoutError


def parse():
    args = argparse.ArgumentParser(description="opsh against the rest")
    args.add_argument("--opsh", default=os.path.join(
        ROOT, "build", "release", "opsh"))
    args.add_argument("--run-args", default="--approve cache",
                      help="more words for `opsh run FILE`")
    args.add_argument("--runs", type=int, default=11)
    args.add_argument("--delete-runs", type=int, default=3)
    args.add_argument("--keys", type=int, default=1000000)
    args.add_argument("--only", default="startup,get,delete,http,spawn,fs,pg,"
                      "kafka")
    args.add_argument("--json", metavar="FILE")
    return args.parse_args()


def main():
    opts = parse()
    scratch = tempfile.mkdtemp(prefix="opsh-bench.")
    bench = Bench(opts, scratch)
    signal.signal(signal.SIGALRM, expire)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        bench.run()
    except (Failed, OSError, subprocess.CalledProcessError) as err:
        talk("bench: %s" % err)
    except KeyboardInterrupt:
        return 130
    finally:
        bench.stop_redis()
        shutil.rmtree(scratch, ignore_errors=True)
    table(bench.rows)
    if opts.json:
        with open(opts.json, "w") as file:
            json.dump([row.as_dict() for row in bench.rows], file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
