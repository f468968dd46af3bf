#!/usr/bin/python3
"""Races for one lock: two to four opsh processes at once, of which one may write.
Owns its folder, the processes that it starts, and the keys of its resources.

    lock_races.py OPSH STORE REDIS_PORT PLAIN STOPPED KILLED

STORE.lua, STORE-long.lua: targets files with `cache` (the witness) and the lock's
store, its leases short and long; STORE-races: a folder for it. PLAIN races;
STOPPED: the holder gets SIGSTOP, another takes the lock, the first wakes; KILLED:
the holder gets kill -9. Each writer appends its token to a file and,
behind a fence that refuses a token smaller than the greatest seen, to a list in
Redis. Last line: what was raced; exit 1 when anything was not as it has to be.
"""
import concurrent.futures
import os
import random
import signal
import subprocess
import sys
import time

PLAYBOOK = """
local FENCE = [[
local top = tonumber(redis.call("GET", KEYS[1]) or "0")
if tonumber(ARGV[1]) < top then return redis.error_reply("FENCED by " .. top) end
redis.call("SET", KEYS[1], ARGV[1])
return redis.call("RPUSH", KEYS[2], ARGV[1])]]
return {
  name = "test/race", summary = "writes its token", severity = "P4",
  needs = { cache = "redis" }, lock = os.getenv "RACE",
  params = {
    file = { type = "string", required = true, help = "the witness" },
    n = { type = "integer", default = 3, help = "writes" },
    nap = { type = "number", default = 0, help = "seconds after each" },
    fence = { type = "boolean", default = false, help = "write to Redis too" },
  },
  run = function(t, p)
    local token = require("opsh.lock").held().token
    local race = os.getenv "RACE"
    local fence = t.cache:script(FENCE)
    for n = 1, p.n do
      step("write " .. n, { idempotent = true }, function()
        if p.fence then
          fence:run({ "top:" .. race, "seen:" .. race }, { tostring(token) })
        else
          fs.append(p.file, token .. "\\n")
        end
        if p.nap > 0 then task.sleep(p.nap) end
      end)
    end
  end,
}
"""
LIMIT = 40              # seconds for a race
BUSY = 11


class Bad(Exception):
    pass


class Race:
    def __init__(self, args, name):
        self.opsh, self.targets, self.port = args
        self.dir = self.targets + "-races"
        self.name = name
        self.file = os.path.join(self.dir, name)
        self.all = []
        self.fenced = False

    def start(self, n, nap, fence=False, lease=""):
        err = open(f"{self.file}.err{len(self.all)}", "wb")
        process = subprocess.Popen(
            [self.opsh, "--targets", self.targets + lease + ".lua", "run",
             self.dir + "/race.lua", f"file={self.file}", f"n={n}", f"nap={nap}",
             f"fence={'true' if fence else 'false'}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err,
            env=dict(os.environ, RACE=self.name))
        err.close()
        process.text = err.name
        self.all.append(process)
        return process

    def said(self, process):
        with open(process.text, encoding="utf-8", errors="replace") as f:
            return f.read()

    def end(self, process):
        try:
            return process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise Bad(f"hangs: {self.said(process)}") from None

    def redis(self, *words):
        return subprocess.run(["redis-cli", "-p", self.port, *words],
                              capture_output=True, text=True, timeout=20,
                              check=True).stdout.split()

    def seen(self, fence=False):
        if fence:
            return [int(t) for t in self.redis("lrange", "seen:" + self.name,
                                               "0", "-1")]
        try:
            with open(self.file, encoding="ascii") as f:
                return [int(t) for t in f.read().split()]
        except FileNotFoundError:
            return []

    def until(self, what, test):
        limit = time.monotonic() + LIMIT
        while not test():
            if time.monotonic() > limit:
                raise Bad(f"{what}: not within {LIMIT} s; {self.seen()} "
                          + "".join(self.said(p) for p in self.all))
            time.sleep(0.002)

    def close(self):
        for process in self.all:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()

    def need(self, ok, what):
        if not ok:
            raise Bad(what + "\n" + "".join(self.said(p) for p in self.all))

    def busy(self, process):
        """Told who has it, and nothing was written."""
        self.need(self.end(process) == BUSY, f"exit {process.returncode}")
        text = self.said(process)
        self.need(f"lock '{self.name}' is held by" in text
                  or "just taken by somebody else" in text, "names no holder")

    # --- the races -----------------------------------------------------------
    def plain(self):
        """Whoever wins writes all of its lines, and nobody between them."""
        n = 3
        for _ in range(random.randint(2, 4)):
            self.start(n, 0, lease="-long")
        for process in self.all:
            self.end(process)
        won = [p for p in self.all if p.returncode == 0]
        self.need(won, "nobody won")
        for process in self.all:
            if process.returncode:
                self.busy(process)
        seen = self.seen()
        want = [t for t in sorted(set(seen)) for _ in range(n)]
        self.need(seen == want and len(seen) == n * len(won),
                  f"{len(won)} winners wrote {seen}")

    def take_over(self, n, nap, fence):
        """Tries until the lock is free; the losers before are told."""
        limit = time.monotonic() + LIMIT
        while True:
            late = self.start(n, nap, fence)
            if self.end(late) == 0:
                return late
            self.busy(late)
            self.need(time.monotonic() < limit, "the lock is never free")
            time.sleep(0.1)

    def stopped(self):
        """Past its lease the first is refused at its next write."""
        fence = random.random() < 0.5
        first = self.start(400, 0.02 if fence else 0.3, fence)
        self.until("its first write", lambda: self.seen(fence))
        if fence:       # at any point, in the middle of a write too
            time.sleep(random.uniform(0, 0.4))
        first.send_signal(signal.SIGSTOP)
        rivals = [self.start(1, 0, fence) for _ in range(random.randint(0, 2))]
        self.take_over(2, 0, fence)
        for rival in rivals:
            self.need(self.end(rival) in (0, BUSY), "a rival failed")
        first.send_signal(signal.SIGCONT)
        self.end(first)
        text = self.said(first)
        # stopped between the check and the send: that one the resource refuses
        self.fenced = fence and "FENCED" in text
        if not self.fenced:
            self.need(first.returncode == BUSY, f"exit {first.returncode}")
            self.need("lock lost" in text and "outcome refused" in text,
                      "not refused")
        seen = self.seen(fence)
        self.need(seen == sorted(seen), f"a stale token wrote: {seen}")
        self.need(len(set(seen)) >= 2, f"nobody else wrote: {seen}")

    def killed(self):
        """What is dead loses its lock when the lease ends, not before."""
        first = self.start(400, 0.1)
        self.until("its first write", self.seen)
        second = self.start(1, 0)
        self.busy(second)
        began = time.monotonic()
        first.kill()
        first.wait()
        self.take_over(2, 0, False)
        self.need(time.monotonic() - began < 10, "took too long")
        seen = self.seen()
        self.need(seen == sorted(seen) and len(set(seen)) == 2, f"wrote {seen}")


def run(args, kind, name):
    race = Race(args, name)
    try:
        getattr(race, kind)()
        return race.fenced
    except (Bad, subprocess.SubprocessError) as e:
        return f"{kind} race: {e}"
    finally:
        race.close()


def main():
    args, counts = sys.argv[1:4], [int(n) for n in sys.argv[4:7]]
    os.mkdir(args[1] + "-races")
    with open(args[1] + "-races/race.lua", "w", encoding="ascii") as f:
        f.write(PLAYBOOK)
    jobs, bad, fenced = [], [], 0
    store = os.path.basename(args[1])
    # those that wait for a lease to end go beside the others
    with concurrent.futures.ThreadPoolExecutor(2) as quick, \
            concurrent.futures.ThreadPoolExecutor(8) as slow:
        for pool, kind, count in ((slow, "stopped", counts[1]),
                                  (slow, "killed", counts[2]),
                                  (quick, "plain", counts[0])):
            jobs += [pool.submit(run, args, kind, f"{store}-{kind}-{n}")
                     for n in range(count)]
        for job in jobs:
            if isinstance(job.result(), str):
                bad.append(job.result())
            fenced += job.result() is True
    for text in bad[:5]:
        print("not ok:", text)
    print(f"{sum(counts)} races, {fenced} late sends fenced off, {len(bad)} not "
          "as they have to be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
