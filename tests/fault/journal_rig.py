"""journal_rig: what the tests of the journal under faults share: a place for each, opsh in
it, what is on record there, file systems that are full or read-only. Owns a throwaway
folder, the processes and what it mounts (root only; else these tests are skipped, and
said); all are gone when main() ends. Must not know what is tested.
"""

import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path.append(os.path.join(ROOT, "tests/lib"))
import cases  # noqa: E402  (the tree stays free of __pycache__)
from cases import test  # noqa: E402,F401  (for those who import this)

OPSH = os.environ.get("OPSH_TEST", os.path.join(ROOT, "build/test/opsh"))
TMP = tempfile.mkdtemp(prefix="opsh-journal.")
LIMIT = 30
mounts = []
running = []
count = 0

# Three writes, one after the other; each leaves a file.
WRITES = """
for n = 1, 3 do
    local f = assert(io.open(os.getenv "WORK" .. "/" .. n, "w"))
    f:close()
end
print "all"
"""


def fresh():
    """A new folder: work/ for what is written, state/ for the journal."""
    global count
    count += 1
    place = os.path.join(TMP, str(count))
    os.makedirs(os.path.join(place, "work"))
    return place


def environment(place, **more):
    env = {k: os.environ[k] for k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS",
                                      "LSAN_OPTIONS") if k in os.environ}
    env.update(HOME=place, XDG_STATE_HOME=os.path.join(place, "state"),
               WORK=os.path.join(place, "work"), CI="1")
    env.update(more)
    return env


def start(place, *args, **more):
    process = subprocess.Popen(
        [OPSH] + list(args), cwd=place, stdin=subprocess.DEVNULL,
        stdout=more.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE,
        env=environment(place, **more))
    running.append(process)
    return process


def opsh(place, *args, **more):
    process = start(place, *args, **more)
    out, err = process.communicate(timeout=LIMIT)
    return process.returncode, out.decode(), err.decode(errors="replace")


def journals(place):
    return sorted(glob.glob(os.path.join(
        place, "state/opsh/runs/*/journal.jsonl")))


def records(place):
    """The records of the newest run; a torn last line is left out."""
    with open(journals(place)[-1], "rb") as file:
        return [json.loads(line) for line in file.read().split(b"\n")[:-1]]


def types(place):
    return [r["type"] for r in records(place)]


def verify(place):
    return opsh(place, "verify", "last")[0]


def holds(place):
    """The chain holds as far as it goes: it may lack its end."""
    code, out, _ = opsh(place, "verify", "last")
    return code == 0 or "no end record" in out or "no record" in out


def done(place):
    return sorted(os.listdir(os.path.join(place, "work")))


def tmpfs(size):
    """A file system of so many bytes, as the state folder of a new place."""
    place = fresh()
    state = os.path.join(place, "state")
    os.mkdir(state)
    got = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % size,
                          "opsh-test", state], stderr=subprocess.PIPE)
    if got.returncode:
        raise cases.Skip("no mount: %s" % got.stderr.decode().strip())
    mounts.append(state)
    return place


def until(what, condition):
    return cases.until(what, condition, LIMIT)


def release():
    while running:
        process = running.pop()
        if process.poll() is None:
            process.kill()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()
        process.wait()
    while mounts:
        state = mounts.pop()
        subprocess.run(["umount", state], stderr=subprocess.DEVNULL) \
            .returncode and subprocess.run(["umount", "-l", state])


def end():
    shutil.rmtree(TMP, ignore_errors=True)


def main():
    return cases.main(after=release, end=end)
