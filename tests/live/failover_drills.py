#!/usr/bin/python3
"""failover_drills.py: failovers of a real pair, each with one fault at a random moment.
A writer goes through the pooler all the time, a prober asks both nodes each 10 ms.
After each drill: no moment with two writable primaries; nothing lost that was
acknowledged to a synchronous pair or in a planned failover, and in an emergency no
more than was said; the writer writes again; its gap is told. Owns its stacks, in
throwaway folders; must not touch anything else.

    failover_drills.py [--seed N] [--sync 0|1] COUNT [FAULT...]

Last line: N passed, N failed."""
import os
import subprocess
import sys
import time

from drill_kit import (Stand, check, kill_leader, kill_leader_amid, kill_opsh, lag, main,
                       none, pause_replay, reply_lost, within)

BINDS = {"primary": "pg_primary_super", "pooler": "pg_pooler_admin",
         "app": "pg_pooler", "orchestrator": "pg_units"}


class Pair(Stand):
    """A streaming pair behind a pooler that nothing else manages."""

    leader, follower, amid = "primary", "standby", 2

    def __init__(self, sync, netns=False, redis=False):
        super().__init__(sync, ["postgres-ha"] + (["redis"] if redis else []),
                         OPSH_STACK_NETNS=str(int(netns)))
        self.standby = "pg_standby_super"
        self.file("cache" if redis else "file")
        self.watch(self.env["OPSH_PG_WRITER"], self.env["OPSH_PGBOUNCER_URL"],
                   ["primary=" + self.env["OPSH_PG_PRIMARY_CONNINFO"],
                    "standby=" + self.env["OPSH_PG_STANDBY_CONNINFO"]])

    def sql(self, node, text):
        return super().sql(self.env["OPSH_PG_%s_CONNINFO" % node.upper()], text)

    def writable(self):
        return [n for n in ("primary", "standby")
                if self.sql(n, "select pg_is_in_recovery()") == "f"]

    def begin(self, mode, *more):
        data = self.env["OPSH_PG_PRIMARY_DIR"]
        argv = ["run", "postgres/failover",
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
        return self.opsh(*argv)

    def kill(self, node):
        subprocess.run([self.env["OPSH_PG_NODE"], "kill",
                        self.env["OPSH_PG_%s_DIR" % node.upper()]], check=True)

    def boot(self, node):
        pidfile = self.env["OPSH_PG_%s_PIDFILE" % node.upper()]
        self.spawn(pidfile[:-4] + ".start", pidfile,
                   self.env["OPSH_PG_%s_LOG" % node.upper()])

    def delay(self, value):
        self.sql("standby", "alter system " + (
            "set recovery_min_apply_delay = '%s'" % value if value else
            "reset recovery_min_apply_delay"))
        self.sql("standby", "select pg_reload_conf()")
        time.sleep(0.5)

    def promotion(self):
        return "%s:%s" % (self.env["OPSH_PG_STANDBY_HOST"],
                          self.env["OPSH_PG_STANDBY_PORT"]), "pg_promote"

    def through(self, port):
        self.file("file", '\t\tproxied = { kind = "postgres", url = "postgresql://'
                  'postgres@127.0.0.1:%s/flights?sslmode=disable", password = '
                  'secret.file "%s" },\n' % (port, self.env[
                      "OPSH_PG_SUPER_PASSWORD_FILE"]))
        self.standby = "proxied"

    def allowed(self, emergency):
        return 0 if self.sync or not emergency else self.lost_said


# --- the faults: each leaves a pair that serves; True: an emergency promotion ---------------

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
    pair.refused(pair.run("emergency"), "alive, seen by standby", "primary")
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
    none, kill_leader, kill_opsh, reply_lost, old_returns, fence_hangs,
    kill_leader_amid, kill_standby, lock_store, pause_replay, lag, partition)}


def make(name, sync):
    return Pair(sync, netns=name == "partition", redis=name == "lock_store")


if __name__ == "__main__":
    sys.exit(main(make, FAULTS, [n for n in FAULTS if n != "partition"
                                 or os.geteuid() == 0]))
