#!/usr/bin/python3
"""failover_drills.py: failovers of a real pair, each with one fault at a random moment.
A writer goes through the pooler all the time, a prober asks both nodes each 10 ms.
After each drill: no moment with two writable primaries; nothing lost that was
acknowledged to a synchronous pair or in a planned failover, and in an emergency no
more than was said; the writer writes again; its gap is told. Owns its stacks, in
throwaway folders; must not touch anything else.

    failover_drills.py [--seed N] [--sync 0|1] COUNT [FAULT...]

Last line: N passed, N failed."""
import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STACK = ROOT + "/examples/stack/stack"
OPSH = os.environ.get("OPSH", ROOT + "/build/release/opsh")
BINDS = {"primary": "pg_primary_super", "pooler": "pg_pooler_admin",
         "app": "pg_pooler", "orchestrator": "pg_units"}


class Failed(Exception):
    pass


def check(ok, text):
    if not ok:
        raise Failed(text)


def within(seconds, f, what):
    until = time.monotonic() + seconds
    while not f():
        check(time.monotonic() < until, "not within %g s: %s" % (seconds, what))
        time.sleep(0.1)


class Pair:
    """A stack with a writer and a prober on it; what is left is removed."""

    def __init__(self, sync, netns=False, redis=False):
        self.dir = tempfile.mkdtemp(prefix="opsh-drill.")
        self.procs, self.sync, self.lost_said = [], sync, 0
        env = dict(os.environ, OPSH_STACK_PG_SYNC=str(int(sync)),
                   OPSH_STACK_NETNS=str(int(netns)))
        up = subprocess.run([STACK, "up", self.dir + "/stack", "postgres-ha"]
                            + (["redis"] if redis else []), env=env,
                            capture_output=True, text=True, timeout=120,
                            stdin=subprocess.DEVNULL)
        check(up.returncode == 0, "no stack: " + up.stderr)
        text = subprocess.run(["bash", "-c", 'set -a; . "$1"; env -0', "-",
                               self.dir + "/stack/env"], capture_output=True,
                              text=True, check=True).stdout
        self.env = dict(v.split("=", 1) for v in text.split("\0") if "=" in v)
        self.env["XDG_STATE_HOME"] = self.dir + "/state"
        self.standby = "pg_standby_super"
        self.file("redis" if redis else "file")

    def file(self, store, more=""):
        text = open(self.env["OPSH_TARGETS"]).read()
        lock = '\tlock = { store = "%s", ttl = "1s" },\n' % (
            "cache" if store == "redis" else "file")
        text = text.replace("\ttargets = {\n", lock + "\ttargets = {\n" + more, 1)
        self.targets = self.dir + "/targets.lua"
        with open(self.targets, "w") as out:
            out.write(text)
        os.chmod(self.targets, 0o600)

    def start(self, *argv, **opts):
        proc = subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL,
                                start_new_session=True, **opts)
        self.procs.append(proc)
        return proc

    def watch(self):
        self.acked = self.dir + "/acked"
        self.writer = self.start(self.env["OPSH_PG_WRITER"], "write",
                                 self.env["OPSH_PGBOUNCER_URL"], self.acked)
        self.verdict = open(self.dir + "/verdict", "w+")
        self.prober = self.start(
            "/usr/bin/python3", ROOT + "/tests/lib/pg_prober.py",
            self.dir + "/probes", "primary=" + self.env["OPSH_PG_PRIMARY_CONNINFO"],
            "standby=" + self.env["OPSH_PG_STANDBY_CONNINFO"], stdout=self.verdict)
        within(20, lambda: self.count() > 50, "the writer writes")

    def count(self):
        try:
            return sum(1 for _ in open(self.acked))
        except FileNotFoundError:
            return 0

    def sql(self, node, text):
        done = subprocess.run(["psql", "-XqAt", "-d",
                               self.env["OPSH_PG_%s_CONNINFO" % node.upper()],
                               "-c", text], env=dict(self.env, PGCONNECT_TIMEOUT="3"),
                              capture_output=True, text=True, timeout=30)
        return done.stdout.strip() if done.returncode == 0 else None

    def writable(self):
        return [n for n in ("primary", "standby")
                if self.sql(n, "select pg_is_in_recovery()") == "f"]

    def begin(self, mode, *more):
        out = open(self.dir + "/out", "w")
        data = self.env["OPSH_PG_PRIMARY_DIR"]
        argv = [OPSH, "--targets", self.targets, "run", "postgres/failover",
                "mode=" + mode, "data=" + data, "silence=2s", "look=2s",
                "fence_timeout=6s", "catch_up=6s", "promote_timeout=20s",
                "prove_timeout=20s",
                "pooler_config=" + self.env["OPSH_PGBOUNCER_DATABASES"],
                "standby_unit=standby", "--approve", "local"] + list(more)
        if mode == "emergency":
            argv.append("max_loss=-1")
        for name, target in dict(BINDS, standby=self.standby).items():
            argv += ["--bind", "%s=%s" % (name, target)]
        for name in ("pg_units", self.standby):
            argv += ["--approve", name]
        return self.start(*argv, stdout=out, stderr=subprocess.STDOUT)

    def end(self, run, seconds=90):
        try:
            rc = run.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            raise Failed("opsh hangs: " + self.said())
        found = re.search(r"^lost_commits +(\d+)", self.said(), re.M)
        self.lost_said += int(found.group(1)) if found else 0
        return rc

    def said(self):
        return open(self.dir + "/out").read()

    def run(self, mode, *more):
        """Until the lock of a run that was killed has ended."""
        for _ in range(8):
            rc = self.end(self.begin(mode, *more))
            if rc != 11:
                return rc
            time.sleep(0.5)
        return rc

    def recover(self):
        """As an operator does: again, and as an emergency when it says so."""
        for _ in range(3):
            rc = self.run("planned")
            if rc == 3 and "mode=emergency is for" in self.said():
                rc = self.run("emergency")
            if rc == 0:
                return
            time.sleep(1)
        raise Failed("no way out, exit %d:\n%s" % (rc, self.said()))

    def kill(self, node):
        subprocess.run([self.env["OPSH_PG_NODE"], "kill",
                        self.env["OPSH_PG_%s_DIR" % node.upper()]], check=True)

    def boot(self, node):
        """As a supervisor does: the pid and the time of its start in the file."""
        pidfile = self.env["OPSH_PG_%s_PIDFILE" % node.upper()]
        log = open(self.env["OPSH_PG_%s_LOG" % node.upper()], "a")
        proc = self.start(pidfile[:-4] + ".start", stdout=log, stderr=log)
        self.procs.remove(proc)
        stat = open("/proc/%d/stat" % proc.pid).read().rsplit(") ", 1)[1].split()
        with open(pidfile, "w") as out:
            out.write("%d %s\n" % (proc.pid, stat[19]))

    def judge(self, emergency):
        before = self.count()
        within(30, lambda: self.count() > before + 20, "the writer goes on")
        check(len(self.writable()) == 1, "writable: %s" % self.writable())
        self.writer.terminate()
        self.writer.wait(10)
        self.prober.terminate()
        self.prober.wait(10)
        report = subprocess.run([self.env["OPSH_PG_WRITER"], "report",
                                 self.env["OPSH_PGBOUNCER_URL"], self.acked],
                                env=self.env, capture_output=True, text=True,
                                timeout=30).stdout
        found = re.match(r"acknowledged=(\d+) lost=(\d+) gap=([\d.]+)", report)
        check(found, "no report: " + report)
        self.verdict.seek(0)
        verdict = self.verdict.read()
        check("moments 0," in verdict, "prober: " + verdict)
        lost = int(found.group(2))
        allowed = 0 if self.sync or not emergency else self.lost_said
        check(lost <= allowed, "%d acknowledged commits are lost, %d allowed"
              % (lost, allowed))
        return lost, float(found.group(3)), verdict.strip().split("\n")[-1]

    def close(self):
        for proc in self.procs:
            if proc.poll() is None:
                try:
                    os.killpg(proc.pid, signal.SIGCONT)
                    os.killpg(proc.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                proc.wait()
        subprocess.run([STACK, "down", self.dir + "/stack"], timeout=60,
                       capture_output=True)
        shutil.rmtree(self.dir, ignore_errors=True)


def refused(pair, rc, text):
    check(rc == 3 and text in pair.said(), "exit %d, '%s' expected:\n%s"
          % (rc, text, pair.said()))
    check(pair.writable() == ["primary"], "something was promoted")


# --- the faults: each leaves a pair that serves; True: an emergency promotion ---------------

def none(pair, rng):
    rc = pair.run("planned")
    check(rc == 0, "exit %d:\n%s" % (rc, pair.said()))


def kill_opsh(pair, rng):
    run = pair.begin("planned")
    time.sleep(rng.uniform(0.1, 3))
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    pair.recover()


def kill_primary(pair, rng):
    pair.kill("primary")
    rc = pair.run("emergency")
    check(rc == 0, "exit %d:\n%s" % (rc, pair.said()))
    return True


def kill_primary_amid(pair, rng):
    run = pair.begin("planned")
    time.sleep(rng.uniform(0.1, 2))
    pair.kill("primary")
    pair.end(run)
    pair.recover()
    return True


def kill_standby(pair, rng):
    run = pair.begin("planned")
    time.sleep(rng.uniform(0.1, 3))
    pair.kill("standby")
    pair.end(run)
    pair.boot("standby")
    within(30, lambda: pair.sql("standby", "select 1") == "1", "the standby is back")
    if pair.writable() == ["primary"]:
        within(30, lambda: pair.sql("primary", "select count(*) from "
               "pg_stat_replication where state = 'streaming'") == "1", "it streams")
    pair.recover()


def lock_store(pair, rng):
    run = pair.begin("planned")
    time.sleep(rng.uniform(0.1, 2.5))
    subprocess.run(["kill", "-KILL", pair.env["OPSH_REDIS_PID"]], check=True)
    pair.end(run)
    pair.file("file")
    pair.recover()


def pause_replay(pair, rng):
    pair.sql("standby", "select pg_wal_replay_pause()")
    refused(pair, pair.run("planned"), "replay is paused")
    pair.sql("standby", "select pg_wal_replay_resume()")
    pair.recover()


def lag(pair, rng):
    pair.sql("standby", "alter system set recovery_min_apply_delay = '1min'")
    pair.sql("standby", "select pg_reload_conf()")
    time.sleep(0.5)
    refused(pair, pair.run("planned"), "applies with a delay")
    pair.sql("standby", "alter system reset recovery_min_apply_delay")
    pair.sql("standby", "select pg_reload_conf()")
    time.sleep(0.5)
    pair.recover()


def partition(pair, rng):
    cut = pair.env["OPSH_PG_PARTITION"]
    alone = rng.random() < 0.5
    if alone:
        subprocess.run([cut, "cut", "primary"], env=pair.env, check=True)
        for _ in range(4):      # its receiver is quiet, but not for long enough yet
            rc = pair.run("emergency")
            if rc != 3 or "alive, seen by" not in pair.said():
                break
        check(rc == 0, "exit %d:\n%s" % (rc, pair.said()))
        subprocess.run([cut, "heal"], env=pair.env, check=True)
        return True
    subprocess.run([cut, "cut", "primary", "host"], env=pair.env, check=True)
    refused(pair, pair.run("emergency"), "alive, seen by standby")
    subprocess.run([cut, "heal"], env=pair.env, check=True)
    pair.recover()
    return False


def fence_hangs(pair, rng):
    """A transaction that does not end holds up the pooler's PAUSE."""
    held = pair.start("psql", "-XqAt", pair.env["OPSH_PGBOUNCER_URL"], "-c",
                      "begin; select pg_sleep(60)", stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL)
    within(10, lambda: pair.sql("primary", "select count(*) from pg_stat_activity "
           "where query like '%pg_sleep(60)' and pid <> pg_backend_pid()") != "0",
           "the transaction runs")
    rc = pair.run("planned", "fence_timeout=2s")
    check(rc not in (0, 3), "exit %d:\n%s" % (rc, pair.said()))
    check(pair.writable() == ["primary"], "something was promoted")
    pair.sql("primary", "select pg_terminate_backend(pid) from pg_stat_activity "
             "where query like '%pg_sleep(60)' and pid <> pg_backend_pid()")
    held.kill()
    pair.recover()


def reply_lost(pair, rng):
    proxy = pair.start("/usr/bin/python3", ROOT + "/tests/fault/proxy.py", "--to",
                       "%s:%s" % (pair.env["OPSH_PG_STANDBY_HOST"],
                                  pair.env["OPSH_PG_STANDBY_PORT"]),
                       "--proto", "raw", "--control", pair.dir + "/proxy",
                       "--mode", "drop-reply match=pg_promote times=1 then="
                       + rng.choice(["fin", "rst"]),
                       stdout=subprocess.PIPE, text=True)
    port = proxy.stdout.readline().strip()
    pair.file("file", '\t\tproxied = { kind = "postgres", url = "postgresql://'
              'postgres@127.0.0.1:%s/flights?sslmode=disable", password = '
              'secret.file "%s" },\n' % (port, pair.env[
                  "OPSH_PG_SUPER_PASSWORD_FILE"]))
    pair.standby = "proxied"
    rc = pair.run("planned")
    check(rc == 0, "exit %d:\n%s" % (rc, pair.said()))
    check("fired" in proxy.stdout.readline(), "the proxy dropped nothing")


def old_returns(pair, rng):
    pair.kill("primary")
    run = pair.begin("emergency")
    time.sleep(rng.uniform(0.1, 5))
    pair.boot("primary")
    pair.end(run)
    time.sleep(1)
    if not pair.writable():
        pair.recover()
    return True


FAULTS = {f.__name__: f for f in (
    none, kill_primary, kill_opsh, reply_lost, old_returns, fence_hangs,
    kill_primary_amid, kill_standby, lock_store, pause_replay, lag, partition)}


def drill(name, seed, sync):
    rng = random.Random(seed)
    pair = None
    try:
        pair = Pair(sync, netns=name == "partition", redis=name == "lock_store")
        pair.watch()
        time.sleep(0.5)
        emergency = FAULTS[name](pair, rng)
        lost, gap, verdict = pair.judge(emergency)
        print("ok: %s seed=%d %s: lost %d, write gap %.2f s, %s" % (
            name, seed, "sync" if sync else "async", lost, gap, verdict), flush=True)
        return gap if name == "none" else True
    except (Failed, subprocess.SubprocessError, OSError) as e:
        print("not ok: %s seed=%d %s: %s" % (name, seed, "sync" if sync else "async",
                                             e), flush=True)
        return None
    finally:
        if pair:
            pair.close()


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    args.add_argument("--sync", type=int)
    args.add_argument("count", type=int)
    args.add_argument("fault", nargs="*")
    args = args.parse_args()
    names = args.fault or [n for n in FAULTS if n != "partition"
                           or os.geteuid() == 0]
    results = []
    for n in range(args.count):
        sync = args.sync if args.sync is not None else (n + n // len(names)) % 2
        results.append(drill(names[n % len(names)], args.seed + n, sync))
    gaps = sorted(r for r in results if r is not None and r is not True)
    if gaps:
        p95 = gaps[min(len(gaps) - 1, int(len(gaps) * 0.95))]
        print("planned: %d, write gap p95 %.2f s" % (len(gaps), p95))
        if p95 > 10:
            results.append(None)
    bad = results.count(None)
    print("%d passed, %d failed" % (len(results) - bad, bad))
    return 1 if bad or not results else 0


if __name__ == "__main__":
    sys.exit(main())
