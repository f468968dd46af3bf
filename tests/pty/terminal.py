"""terminal: what the pty tests share: opsh on a terminal of its own, a throwaway
folder, a Redis from examples/stack, waiting with a deadline. Owns every process
and file that it made; all are gone when main() ends. Must not know what is
tested.
"""

import fcntl
import io
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios

import pexpect

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path.append(os.path.join(ROOT, "tests/lib"))
import cases  # noqa: E402  (the tree stays free of __pycache__)
from cases import test  # noqa: E402,F401  (for those who import this)

OPSH = os.environ.get("OPSH", os.path.join(ROOT, "build/release/opsh"))
# Built with failpoints and --spec: what user code can't call is called by it.
TEST = os.environ.get("OPSH_TEST", os.path.join(ROOT, "build/test/opsh"))
STACK = os.path.join(ROOT, "examples/stack/stack")
TMP = tempfile.mkdtemp(prefix="opsh-pty.")
TIOCGPTN = 0x80045430
LIMIT = 20      # seconds for anything
started = []
servers = {}
running = set()    # components of the stack


def environment(**more):
    """A bare environment: nothing of the caller's changes what is shown."""
    keep = {k: os.environ[k] for k in ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS",
                                       "UBSAN_OPTIONS", "LSAN_OPTIONS")
            if k in os.environ}
    keep.update(HOME=TMP, TERM="xterm-256color", LANG="C.UTF-8",
                XDG_STATE_HOME=os.path.join(TMP, "state"))
    keep.update(servers)
    keep.update(more)
    return {k: v for k, v in keep.items() if v is not None}


def until(what, condition):
    """Polls until condition() is true; its value."""
    return cases.until(what, condition, LIMIT)


class Terminal:
    """One opsh on a terminal; everything that it wrote is in .seen."""

    def __init__(self, *args, program=None, size=(24, 80), **env):
        self.log = io.BytesIO()
        self.child = pexpect.spawn(program or OPSH, list(args), cwd=TMP,
                                   dimensions=size, timeout=LIMIT,
                                   env=environment(**env))
        self.child.delaybeforesend = None
        self.child.logfile_read = self.log
        # the slave's end: settings can be read once opsh is gone
        number = fcntl.ioctl(self.child.child_fd, TIOCGPTN, b"    ")
        self.slave = os.open("/dev/pts/%d" % struct.unpack("I", number),
                             os.O_RDWR | os.O_NOCTTY)
        started.append(self)

    @property
    def seen(self):
        return self.log.getvalue()

    def expect(self, pattern):
        """Waits for a regular expression; the match."""
        if isinstance(pattern, str):
            pattern = pattern.encode()
        try:
            self.child.expect(pattern)
        except (pexpect.TIMEOUT, pexpect.EOF) as e:
            raise AssertionError("%s instead of %r in %r" % (
                type(e).__name__, pattern, self.seen)) from None
        return self.child.match

    def type(self, text):
        self.child.send(text)

    def signal(self, number):
        os.kill(self.child.pid, number)

    def end(self):
        """Waits for its end; the exit code (128 + n for a signal)."""
        if self.slave is not None:      # else the end would not be seen
            os.close(self.slave)
            self.slave = None
        self.expect_end()
        self.child.close(force=False)
        code = self.child.exitstatus
        return code if code is not None else 128 + self.child.signalstatus

    def expect_end(self):
        try:
            self.child.expect(pexpect.EOF)
        except pexpect.TIMEOUT:
            raise AssertionError("no end: %r" % self.seen) from None

    def gone(self):
        """Waits until the process has ended, the terminal still open."""
        until("the process ends", lambda: not self.child.isalive())
        code = self.child.exitstatus
        return code if code is not None else 128 + self.child.signalstatus

    def echoes(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def settings(self):
        return termios.tcgetattr(self.slave)

    def hang_up(self):
        """Closes the window; the exit code."""
        if self.slave is not None:
            os.close(self.slave)
            self.slave = None
        os.close(self.child.child_fd)
        self.child.child_fd = -1
        self.child.closed = self.child.terminated = True
        return self.reap()

    def reap(self):
        """The exit code of a process that pexpect knows no more of."""
        found = until("the end after a hang-up",
                      lambda: [status for pid, status in [os.waitpid(
                          self.child.pid, os.WNOHANG)] if pid])
        return os.waitstatus_to_exitcode(found[0])

    def release(self):
        if self.slave is not None:
            os.close(self.slave)
            self.slave = None
        if not self.child.terminated:
            try:
                os.kill(self.child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.child.close(force=True)


def run(*args, **kw):
    """opsh without a terminal: exit code, stdout, stderr."""
    env = kw.pop("env", {})
    done = subprocess.run([kw.pop("program", OPSH)] + list(args), cwd=TMP,
                          stdin=kw.pop("stdin", subprocess.DEVNULL),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=LIMIT, env=environment(**env), **kw)
    return done.returncode, done.stdout, done.stderr


def path(name, text=None):
    """A file of the throwaway folder, written when a text is given."""
    name = os.path.join(TMP, name)
    if text is not None:
        with open(name, "w") as file:
            file.write(text)
    return name


def redis(*words):
    """Asks the Redis of the stack, which is started with the first call."""
    up()
    done = subprocess.run(["redis-cli", "-p", servers["OPSH_REDIS_PORT"]]
                          + list(words), stdout=subprocess.PIPE, timeout=LIMIT)
    return done.stdout.decode(errors="surrogateescape").rstrip("\n")


def up(*components):
    """Starts these components of the stack, a Redis by default, once."""
    folder = os.path.join(TMP, "stack")
    missing = [name for name in components or ("redis",) if name not in running]
    if not missing:
        return
    subprocess.run([STACK, "up", folder] + missing, check=True, timeout=60)
    running.update(missing)
    with open(os.path.join(folder, "env")) as file:
        for name, value in re.findall(r"^(\w+)='(.*)'$", file.read(), re.M):
            servers[name] = value


# What opsh itself writes: styles, and the erased rest of a line.
OURS = re.compile(rb"\x1b\[[0-9;]*m|\x1b\[K")


def clean(seen):
    """Asserts that a terminal was given no order that is not ours."""
    rest = OURS.sub(b"", seen)
    assert b"\x1b" not in rest, rest
    assert not re.search(rb"[\x00-\x06\x07\x08\x0b\x0c\x0e-\x1f\x7f]", rest), rest
    text = rest.decode(errors="replace")
    assert not re.search("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
                         "\u0080-\u009f\u200b]", text), text


def newest_run():
    """The folder of the newest run."""
    runs = os.path.join(TMP, "state/opsh/runs")
    return os.path.join(runs, max(n for n in os.listdir(runs) if len(n) == 26))


def journal(folder=None):
    with open(os.path.join(folder or newest_run(), "journal.jsonl")) as file:
        return [json.loads(line) for line in file]


def fresh():
    """The settings of a terminal that nobody has changed."""
    master, slave = os.openpty()
    try:
        return termios.tcgetattr(slave)
    finally:
        os.close(master)
        os.close(slave)


def release():
    while started:
        started.pop().release()


def end():
    release()
    if servers:
        subprocess.run([STACK, "down", os.path.join(TMP, "stack")], timeout=60)
    shutil.rmtree(TMP, ignore_errors=True)


def main():
    return cases.main(after=release, end=end)
