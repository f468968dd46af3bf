"""http_bench: the HTTP questions of bench.py: many small GETs against plain C
and against `curl --parallel`, and the health of 50 services against the loop
that runbooks have. Owns a throwaway nginx (examples/stack). Must not judge, as
bench.py.
"""

import os
import re
import subprocess

GETS = 20000
MANY = 50
SERVICES = 50
LOOP = """up=0
for i in $(seq %d); do
  case $(curl -s "%s/health?svc=$i") in *UP*) up=$((up + 1)) ;; esac
done
echo "0.0 $up" """


class Web:
    """The server, and opsh's words for it."""

    def __init__(self, bench):
        self.bench = bench
        self.folder = os.path.join(bench.scratch, "web")
        subprocess.run([bench.STACK, "up", self.folder, "nginx"], check=True)
        with open(os.path.join(self.folder, "env")) as file:
            self.url = re.search(r"OPSH_NGINX_URL='([^']+)'", file.read())[1]

    def script(self, name):
        return [self.bench.opts.opsh, "--target", "web=" + self.url, "run",
                os.path.join(self.bench.HERE, name)]

    def stop(self):
        subprocess.run([self.bench.STACK, "down", self.folder], check=False)


def http(bench):
    web = Web(bench)
    try:
        gets(bench, web)
        health(bench, web)
    finally:
        web.stop()


def compare(rows, contenders, bench, wanted):
    """Interleaved runs; contenders: (side, argv, environment)."""
    for _ in range(bench.opts.runs):
        for side, argv, env, pattern in contenders:
            run = bench.attempt(argv, env, [row for row, _, _ in rows],
                                pattern)
            if not run:
                continue
            if pattern and run.result != wanted:
                rows[0][0].problem = "wrong sum %d of '%s'" % (run.result,
                                                               side)
                continue
            for row, theirs, what in rows:
                if side in ("ours", theirs):
                    (row.ours if side == "ours" else row.theirs).append(
                        getattr(run, what))


def gets(bench, web):
    name = "%dk GETs of 1 KB, %d in flight" % (GETS // 1000, MANY)
    raw = bench.row(name, "C, libcurl multi", 1.25)
    user = bench.row("  user time, whole process", "C", None)
    tool = bench.row("  wall time, whole process", "curl --parallel", 2,
                     at_least=True)
    base = web.url + "/bytes/1k?"
    config = os.path.join(bench.scratch, "urls")
    with open(config, "w") as file:
        for i in range(GETS):
            file.write('url = "%s%d"\noutput = "/dev/null"\n' % (base, i))
    env = dict(bench.env, BENCH_COUNT=str(GETS), BENCH_MANY=str(MANY))
    text = r"^(\d+\.\d+) (\d+)$"
    compare(((raw, "raw", "inner"), (user, "raw", "user"),
             (tool, "curl", "wall")), (
        ("raw", [bench.tool("http_get"), base, str(GETS), str(MANY)], env,
         text),
        ("ours", web.script("http_get.lua"), env, text),
        ("curl", ["curl", "-sf", "--no-progress-meter", "--parallel",
                  "--parallel-max", str(MANY), "--config", config], env,
         None)), bench, GETS * 1024)


def health(bench, web):
    row = bench.row("health of %d services" % SERVICES,
                    "loop of curl", 10, at_least=True)
    env = dict(bench.env, BENCH_COUNT=str(SERVICES))
    text = r"^(\d+\.\d+) (\d+)$"
    compare(((row, "loop", "wall"),), (
        ("ours", web.script("http_health.lua"), env, text),
        ("loop", ["sh", "-c", LOOP % (SERVICES, web.url)], env, text)),
        bench, SERVICES)
