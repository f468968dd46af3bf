"""pg_rig: what the tests of the Postgres binding under faults share: a server of
examples/stack (main() starts it when there is none), a fault proxy before it,
psql as the witness. Owns the proxies; http_rig.py owns the rest. Must not know
what is tested.
"""

import os
import subprocess
import sys

sys.dont_write_bytecode = True
import http_rig as rig  # noqa: E402  (the tree stays free of __pycache__)
from tool import Tool  # noqa: E402


def env(name):
    return os.environ["OPSH_" + name]


def at(port, user="postgres", host="127.0.0.1", node=None, **keywords):
    """The URL of the database behind that port; TLS only when asked for."""
    if node:
        password = env("PG_PASSWORD") if user == "ops" else \
            env("PG_PRIMARY_SUPER_URL").split(":")[2].split("@")[0]
    else:
        password = env("POSTGRES_PASSWORD" if user == "ops" else
                       "POSTGRES_SUPER_PASSWORD")
    keywords.setdefault("sslmode", "disable")
    return "postgresql://%s:%s@%s:%s/flights?%s" % (
        user, password, host, port, "&".join(
            "%s=%s" % pair for pair in keywords.items()))


def direct(**keywords):
    return at(env("POSTGRES_PORT"), **keywords)


def sql(text, url=None, check=True):
    """What psql prints: rows by line, columns by '|'. Text from stdin: it may
    be many statements."""
    done = subprocess.run(
        ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", url or direct()],
        input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=dict(os.environ, PGCONNECT_TIMEOUT="5"), timeout=60)
    assert not check or done.returncode == 0, (text, done.stderr)
    return done.stdout.decode().strip()


class Session:
    """A psql that stays, to hold a lock or to be in the way."""

    def __init__(self, url=None):
        self.process = subprocess.Popen(
            ["psql", "-XqAt", url or direct()], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)

    def ask(self, text):
        self.process.stdin.write(text.encode() + b"\n\\echo done\n")
        lines = []
        while True:
            line = self.process.stdout.readline().decode().rstrip("\n")
            if line == "done":
                return "\n".join(lines)
            assert line or self.process.poll() is None, "psql ended"
            lines.append(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def proxy(port=None, mode="pass"):
    return Tool("proxy.py", "--proto", "raw", "--mode", mode, "--to",
                "127.0.0.1:%s" % (port or env("POSTGRES_PORT")))


def tell(p, command):
    answer = p.tell(command)
    assert answer == "ok", (command, answer)


def backends(name):
    """Sessions of that application_name that the server has."""
    return int(sql("select count(*) from pg_stat_activity where "
                   "application_name = '%s'" % name))


def peak_base(url):
    done = rig.run("probe('base', db.value, db, 'select 1')",
                   targets=["db=" + url])
    assert done.said["base"].get("ok"), done.said
    return done.said["base"]["peak"]


def main(component="postgres", variable="OPSH_POSTGRES_PORT", prepare=None):
    return rig.main(component, variable, prepare)
