"""drill_kit: what failover drills of any pair share: a stack with a writer and a prober
on it, opsh in the middle, the verdict, the count. Owns the throwaway folders of the
stands; must not know what kind of pair it is (failover_drills.py,
failover_patroni_drills.py).
"""
import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STACK = ROOT + "/examples/stack/stack"
OPSH = os.environ.get("OPSH", ROOT + "/build/release/opsh")


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


class Stand:
    """A stack with a writer and a prober on it; what is left is removed. A pair says
    who its leader and follower are, and for how many seconds a planned failover goes
    on; it can kill, delay the follower's replay, and put a proxy before what promotes."""

    def __init__(self, sync, components, **env):
        self.dir = tempfile.mkdtemp(prefix="opsh-drill.")
        self.procs, self.sync, self.lost_said = [], sync, 0
        env = dict(os.environ, OPSH_STACK_PG_SYNC=str(int(sync)), **env)
        up = subprocess.run([STACK, "up", self.dir + "/stack"] + components,
                            env=env, capture_output=True, text=True, timeout=120,
                            stdin=subprocess.DEVNULL)
        check(up.returncode == 0, "no stack: " + up.stderr)
        text = subprocess.run(["bash", "-c", 'set -a; . "$1"; env -0', "-",
                               self.dir + "/stack/env"], capture_output=True,
                              text=True, check=True).stdout
        self.env = dict(v.split("=", 1) for v in text.split("\0") if "=" in v)
        self.env["XDG_STATE_HOME"] = self.dir + "/state"

    def file(self, lock, more=""):
        """The targets file: the stack's, with a lock and more targets."""
        text = open(self.env["OPSH_TARGETS"]).read()
        text = text.replace("\ttargets = {\n", "\tlock = { store = \"%s\", ttl = "
                            "\"1s\" },\n\ttargets = {\n%s" % (lock, more), 1)
        self.targets = self.dir + "/targets.lua"
        with open(self.targets, "w") as out:
            out.write(text)
        os.chmod(self.targets, 0o600)

    def start(self, *argv, **opts):
        proc = subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL,
                                start_new_session=True, **opts)
        self.procs.append(proc)
        return proc

    def watch(self, writer, url, nodes):
        self.write, self.url = writer, url
        self.acked = self.dir + "/acked"
        self.writer = self.start(writer, "write", url, self.acked)
        self.verdict = open(self.dir + "/verdict", "w+")
        self.prober = self.start(
            "/usr/bin/python3", ROOT + "/tests/lib/pg_prober.py",
            self.dir + "/probes", *nodes, stdout=self.verdict)
        within(20, lambda: self.count() > 50, "the writer writes")

    def count(self):
        try:
            return sum(1 for _ in open(self.acked))
        except FileNotFoundError:
            return 0

    def sql(self, conninfo, text):
        done = subprocess.run(["psql", "-XqAt", "-d", conninfo, "-c", text],
                              env=dict(self.env, PGCONNECT_TIMEOUT="3"),
                              capture_output=True, text=True, timeout=30)
        return done.stdout.strip() if done.returncode == 0 else None

    def opsh(self, *argv):
        out = open(self.dir + "/out", "w")
        return self.start(OPSH, "--targets", self.targets, *argv, stdout=out,
                          stderr=subprocess.STDOUT)

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

    def succeeds(self, mode, *more):
        rc = self.run(mode, *more)
        check(rc == 0, "exit %d:\n%s" % (rc, self.said()))

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

    def refused(self, rc, text, leader):
        check(rc == 3 and text in self.said(), "exit %d, '%s' expected:\n%s"
              % (rc, text, self.said()))
        check(self.writable() == [leader], "something was promoted")

    def spawn(self, script, pidfile, log):
        """As a supervisor does: the pid and the time of its start in the file."""
        log = open(log, "a")
        proc = self.start(script, stdout=log, stderr=log)
        self.procs.remove(proc)
        stat = open("/proc/%d/stat" % proc.pid).read().rsplit(") ", 1)[1].split()
        with open(pidfile, "w") as out:
            out.write("%d %s\n" % (proc.pid, stat[19]))

    def judge(self, allowed):
        """The writer goes on; what it and the prober saw. allowed: commits that may
        be lost, once all is said."""
        before = self.count()
        within(30, lambda: self.count() > before + 20, "the writer goes on")
        check(len(self.writable()) == 1, "writable: %s" % self.writable())
        self.writer.terminate()
        self.writer.wait(10)
        self.prober.terminate()
        self.prober.wait(10)
        report = subprocess.run([self.write, "report", self.url, self.acked],
                                env=self.env, capture_output=True, text=True,
                                timeout=30).stdout
        found = re.match(r"acknowledged=(\d+) lost=(\d+) gap=([\d.]+)", report)
        check(found, "no report: " + report)
        self.verdict.seek(0)
        verdict = self.verdict.read()
        check("moments 0," in verdict, "prober: " + verdict)
        lost = int(found.group(2))
        check(lost <= allowed, "%d acknowledged commits are lost, %s allowed"
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


# --- faults of any pair ---------------------------------------------------------------------

def none(stand, rng):
    stand.succeeds("planned")


def kill_opsh(stand, rng):
    run = stand.begin("planned")
    time.sleep(rng.uniform(0.1, 4))
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    stand.recover()


def kill_leader(stand, rng):
    stand.kill(stand.leader)
    stand.succeeds("emergency")
    return True


def kill_leader_amid(stand, rng):
    run = stand.begin("planned")
    time.sleep(rng.uniform(0.1, stand.amid))
    stand.kill(stand.leader)
    stand.end(run)
    stand.recover()
    return True


def pause_replay(stand, rng):
    stand.sql(stand.follower, "select pg_wal_replay_pause()")
    stand.refused(stand.run("planned"), "replay is paused", stand.leader)
    stand.sql(stand.follower, "select pg_wal_replay_resume()")
    stand.recover()


def lag(stand, rng):
    stand.delay("1min")
    stand.refused(stand.run("planned"), "applies with a delay", stand.leader)
    stand.delay(None)
    stand.recover()


def reply_lost(stand, rng):
    """The answer of who promotes."""
    to, asked = stand.promotion()
    proxy = stand.start("/usr/bin/python3", ROOT + "/tests/fault/proxy.py", "--to", to,
                        "--proto", "raw", "--control", stand.dir + "/proxy", "--mode",
                        "drop-reply match=%s times=1 then=%s" % (
                            asked, rng.choice(["fin", "rst"])),
                        stdout=subprocess.PIPE, text=True)
    stand.through(proxy.stdout.readline().strip())
    stand.succeeds("planned")
    check("fired" in proxy.stdout.readline(), "the proxy dropped nothing")


def drill(make, faults, name, seed, sync):
    """One fault on a stand of its own; its gap when it was planned and nothing
    happened, True, None when it failed."""
    rng = random.Random(seed)
    stand = None
    mode = "sync" if sync else "async"
    try:
        stand = make(name, sync)
        time.sleep(0.5)
        emergency = faults[name](stand, rng)
        lost, gap, verdict = stand.judge(stand.allowed(emergency))
        print("ok: %s seed=%d %s: lost %d, write gap %.2f s, %s" % (
            name, seed, mode, lost, gap, verdict), flush=True)
        return gap if name == "none" else True
    except (Failed, subprocess.SubprocessError, OSError) as e:
        print("not ok: %s seed=%d %s: %s" % (name, seed, mode, e), flush=True)
        return None
    finally:
        if stand:
            stand.close()


def main(make, faults, names):
    args = argparse.ArgumentParser()
    args.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    args.add_argument("--sync", type=int)
    args.add_argument("count", type=int)
    args.add_argument("fault", nargs="*")
    args = args.parse_args()
    names = args.fault or names
    results = []
    for n in range(args.count):
        sync = args.sync if args.sync is not None else (n + n // len(names)) % 2
        results.append(drill(make, faults, names[n % len(names)], args.seed + n,
                             sync))
    gaps = sorted(r for r in results if r is not None and r is not True)
    if gaps:
        p95 = gaps[min(len(gaps) - 1, int(len(gaps) * 0.95))]
        print("planned: %d, write gap p95 %.2f s" % (len(gaps), p95))
        if p95 > 10:
            results.append(None)
    bad = results.count(None)
    print("%d passed, %d failed" % (len(results) - bad, bad))
    return 1 if bad or not results else 0
