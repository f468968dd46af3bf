#!/usr/bin/python3
"""failover_patroni_drills.py: failovers of a pair that Patroni manages, each with one
fault at a random moment: what failover_drills.py does, by Patroni's own API. What an
emergency may lose is unknown beforehand, since only the dead leader knows; opsh has to
say so, else nothing may be lost. Owns its stacks; must not touch anything else.

    failover_patroni_drills.py [--seed N] [--sync 0|1] COUNT [FAULT...]

Last line: N passed, N failed."""
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

from drill_kit import (ROOT, Stand, kill_leader, kill_leader_amid, kill_opsh, lag, main,
                       none, pause_replay, reply_lost, within)


class Managed(Stand):
    """Patroni's pair; node 1 leads at first."""

    leader, follower, amid = "1", "2", 3

    def __init__(self, sync):
        super().__init__(sync, ["patroni"])
        self.rest, self.unknown = "patroni2", False
        self.file("file")
        within(30, self.streams, "the standby streams")
        self.sql("1", "create table writes (n bigint primary key, at timestamptz "
                 "not null default clock_timestamp()); "
                 "alter table writes owner to ops")
        url = self.env["OPSH_PATRONI1_PG_URL"].rsplit("/", 1)[0]
        self.watch(ROOT + "/examples/stack/lib/pg-writer.sh",
                   "%s,127.0.0.1:%s/flights?target_session_attrs=read-write"
                   % (url, self.env["OPSH_PATRONI2_PG_PORT"]),
                   ["one=" + self.env["OPSH_PATRONI1_PG_SUPER_URL"],
                    "two=" + self.env["OPSH_PATRONI2_PG_SUPER_URL"]])

    def sql(self, node, text):
        return super().sql(self.env["OPSH_PATRONI%s_PG_SUPER_URL" % node], text)

    def streams(self):
        return self.sql("1", "select count(*) from pg_stat_replication "
                        "where state = 'streaming'") == "1"

    def writable(self):
        return [n for n in ("1", "2")
                if self.sql(n, "select pg_is_in_recovery()") == "f"]

    def run(self, mode, *more):
        """As an operator does: until the standby is a synchronous one again."""
        until = time.monotonic() + 30
        while True:
            rc = super().run(mode, *more)
            if (rc != 3 or "no synchronous standby" not in self.said()
                    or time.monotonic() > until):
                return rc
            time.sleep(1)

    def begin(self, mode, *more):
        return self.opsh(
            "run", "postgres/failover", "mode=" + mode, "silence=2s", "look=2s",
            "promote_timeout=60s", "prove_timeout=30s", "max_loss=-1",
            "--bind", "primary=patroni_pg1_super", "--bind", "patroni=" + self.rest,
            "--bind", "standby=patroni_pg2_super", "--bind", "app=patroni_pair",
            "--approve", self.rest, *more)

    def end(self, run, seconds=150):
        rc = super().end(run, seconds)
        if re.search(r"^lost +not known", self.said(), re.M):
            self.unknown = True
        return rc

    def allowed(self, emergency):
        if self.sync or not emergency:
            return 0
        return math.inf if self.unknown else self.lost_said

    def api(self, method, path, body):
        password = open(self.env["OPSH_PATRONI_PASSWORD_FILE"]).read().strip()
        realm = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        realm.add_password(None, self.env["OPSH_PATRONI1_URL"],
                           self.env["OPSH_PATRONI_USER"], password)
        opener = urllib.request.build_opener(
            urllib.request.HTTPBasicAuthHandler(realm))
        opener.open(urllib.request.Request(
            self.env["OPSH_PATRONI1_URL"] + path, json.dumps(body).encode(),
            {"Content-Type": "application/json"}, method=method), timeout=10).close()

    def delay(self, value):
        """Patroni writes the settings of its standbys."""
        self.api("PATCH", "/config", {"postgresql": {"recovery_conf": {
            "recovery_min_apply_delay": value}}})
        within(20, lambda: self.sql("2", "show recovery_min_apply_delay")
               == (value or "0"), "the setting arrives")

    def promotion(self):
        return "127.0.0.1:" + self.env["OPSH_PATRONI2_PORT"], "/switchover"

    def through(self, port):
        self.file("file", '\t\tproxied = { kind = "http", url = "http://127.0.0.1:%s", '
                  'user = "ops", password = secret.file "%s" },\n' % (
                      port, self.env["OPSH_PATRONI_PASSWORD_FILE"]))
        self.rest = "proxied"

    def pid(self, name):
        path = self.env["OPSH_PATRONI1_PIDFILE"].replace("patroni1", name)
        return int(open(path).read().split()[0]), path

    def kill(self, node):
        """The whole machine: Patroni first, or it would start its server again."""
        os.kill(self.pid("patroni" + node)[0], signal.SIGKILL)
        subprocess.run([self.env["OPSH_PG_NODE"], "kill",
                        self.env["OPSH_PATRONI%s_DIR" % node]], check=True)

    def boot(self, name):
        path = self.pid(name)[1]
        self.spawn(path[:-4] + ".start", path, path[:-4] + ".log")


# --- the faults: each leaves a pair that serves; True: an emergency promotion ---------------

def kill_standby(pair, rng):
    run = pair.begin("planned")
    time.sleep(rng.uniform(0.1, 3))
    pair.kill("2")
    pair.end(run)
    pair.boot("patroni2")
    within(60, lambda: pair.sql("2", "select 1") == "1", "the standby is back")
    within(60, lambda: pair.writable() == ["2"] or pair.streams(), "it streams")
    pair.recover()
    # Patroni may have made the first one the leader again while the second was away
    return True


def etcd_dies(pair, rng):
    """Nobody leads without it; the pair must not be split when it is back."""
    run = pair.begin("planned")
    time.sleep(rng.uniform(0.1, 3))
    os.kill(pair.pid("etcd")[0], signal.SIGKILL)
    time.sleep(rng.uniform(0.5, 6))
    pair.boot("etcd")
    pair.end(run)
    within(60, lambda: len(pair.writable()) == 1, "one of them leads again")
    pair.recover()


def paused(pair, rng):
    """Patroni was told to promote nobody."""
    pair.api("PATCH", "/config", {"pause": True})
    within(10, lambda: json.load(urllib.request.urlopen(
        pair.env["OPSH_PATRONI2_URL"] + "/cluster", timeout=5)).get("pause"),
        "it is paused")
    pair.refused(pair.run("planned"), "Patroni is paused", "1")
    pair.api("PATCH", "/config", {"pause": False})
    within(10, lambda: not json.load(urllib.request.urlopen(
        pair.env["OPSH_PATRONI2_URL"] + "/cluster", timeout=5)).get("pause"),
        "it goes on")
    pair.recover()


def old_returns(pair, rng):
    pair.kill("1")
    run = pair.begin("emergency")
    time.sleep(rng.uniform(0.1, 8))
    pair.boot("patroni1")
    pair.end(run)
    within(60, lambda: len(pair.writable()) == 1, "one of them leads")
    if pair.writable() == ["1"]:
        within(60, pair.streams, "the standby follows it again")
        pair.recover()
    return True


FAULTS = {f.__name__: f for f in (
    none, kill_opsh, reply_lost, kill_leader, old_returns, kill_leader_amid,
    kill_standby, etcd_dies, pause_replay, lag, paused)}

if __name__ == "__main__":
    sys.exit(main(lambda _, sync: Managed(sync), FAULTS, list(FAULTS)))
