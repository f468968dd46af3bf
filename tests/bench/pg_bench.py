"""The rows of bench.py about Postgres: rows streamed, every value touched, against
plain C on libpq and psql; connect and `select 1` against psql. Owns a throwaway
server of examples/stack; what is compared runs in turn.
"""

import os
import re
import subprocess

ROWS = 1000000
SQL = ("select i, 'row ' || i as t, i * 1.5::float8 as f, "
       "i::bigint * 1000000 as b, i %% 2 = 0 as e from generate_series(1, %d) i")


def start(bench):
    folder = os.path.join(bench.scratch, "pg")
    subprocess.run([bench.STACK, "up", folder, "postgres"], check=True)
    with open(os.path.join(folder, "env")) as file:
        env = dict(re.findall(r"^(\w+)='(.*)'$", file.read(), re.M))
    # TLS would be measured, and both would do the same of it
    return folder, env["OPSH_POSTGRES_SUPER_URL"] + "?sslmode=disable", \
        env["OPSH_POSTGRES_BIN"] + "/psql"


def rows(bench, url, psql):
    name = "%gM rows x 5 columns streamed" % (ROWS / 1e6)
    reuse = bench.row(name + ", one table", "C, libpq", 1.10)
    plain = bench.row("  a row each", "C, libpq", None)
    user = bench.row("  user time, whole process", "C, libpq", None)
    text = bench.row("  wall time, whole process", "psql -At", 0.70)
    env = dict(bench.env, BENCH_N=str(ROWS))
    ours = [bench.opts.opsh, "--target", "db=" + url, "run",
            os.path.join(bench.HERE, "pg_rows.lua")]
    contenders = (
        ([bench.tool("pg_rows"), url, str(ROWS)], "", Ellipsis,
         ((reuse.theirs, "inner"), (plain.theirs, "inner"),
          (user.theirs, "user"))),
        (ours, "reuse", Ellipsis, ((reuse.ours, "inner"), (user.ours, "user"),
                                   (text.ours, "wall"))),
        (ours, "", Ellipsis, ((plain.ours, "inner"),)),
        ([psql, "-XAtc", SQL % ROWS, url], "", None, ((text.theirs, "wall"),)))
    sums = set()
    for _ in range(max(3, bench.opts.runs // 2)):
        for argv, how, pattern, wanted in contenders:
            run = bench.attempt(argv, dict(env, BENCH_HOW=how), (reuse, plain),
                                pattern)
            if not run:
                continue
            if run.result is not None:
                sums.add(run.result)
            for values, what in wanted:
                values.append(getattr(run, what))
    if len(sums) != 1:
        reuse.problem = "the sums differ"


def connect(bench, url, psql):
    row = bench.row("connect and select 1", "psql", None)
    for _ in range(bench.opts.runs):
        for argv, values in (
                ([psql, "-Xc", "select 1", url], row.theirs),
                ([bench.opts.opsh, "--target", "db=" + url, "-e",
                  'db "select 1"'], row.ours)):
            run = bench.attempt(argv, bench.env, (row,), None)
            if run:
                values.append(run.wall)


def pg(bench):
    folder, url, psql = start(bench)
    try:
        rows(bench, url, psql)
        connect(bench, url, psql)
    finally:
        subprocess.run([bench.STACK, "down", folder], check=False)
