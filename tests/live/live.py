#!/usr/bin/python3
"""Helpers of the live tests: reads journals, drives a terminal, damages copies
of a journal. Must not start or stop a server.

    live.py rate JOURNAL                 keys a second between the first and the
                                         last UNLINK of a run, by its record
    live.py requests TYPE JOURNAL        the requests of records of a type
    live.py commands FILE                the commands that a MONITOR has seen,
                                         as COMMAND INFO names them
    live.py pty ANSWER COMMAND...        runs COMMAND on a terminal, types ANSWER
                                         at its prompt ('-': never); prints what
                                         came, raw; exits as COMMAND did
    live.py interrupt TEXT COMMAND...    the same, but Ctrl-C once TEXT is seen
    live.py forms                        the forms of the secret on stdin
    live.py leaks FILE PATH...           which forms (lines of FILE) stand in
                                         these files, or in files below them
    live.py damage OPSH RUNS RUN         every edit, cut, swap and insertion of
                                         a line of a run; prints what verify
                                         did not find, and how many it judged
"""
import base64
import json
import os
import re
import signal
import subprocess
import sys
import urllib.parse

CONTAINERS = ("CLIENT", "COMMAND", "CONFIG", "MEMORY", "OBJECT", "LATENCY")
LIMIT = 60              # seconds for anything on a terminal


def records(path):
    with open(path, "rb") as f:
        for line in f:
            if line.endswith(b"\n"):
                yield json.loads(line)


def rate(path):
    sent, count = [], {}
    for r in records(path):
        if r["type"] == "intent" and r["verb"] == "UNLINK":
            sent.append((r["seq"], r["mono"]))
        elif r["type"] == "outcome":
            count[r["of"]] = r.get("count", 0)
    keys = sum(count[seq] for seq, _ in sent[:-1])
    print(round(keys / (sent[-1][1] - sent[0][1])))


def requests(kind, path):
    for r in records(path):
        if r["type"] == kind:
            print(r.get("step"), r["class"], r["request"])


def commands(path):
    seen = set()
    with open(path, encoding="latin-1") as f:
        for line in f:
            words = re.findall(r'"((?:[^"\\]|\\.)*)"', line.partition("]")[2])
            if words:
                name = words[0].upper()
                if name in CONTAINERS and len(words) > 1:
                    name += "|" + words[1].upper()
                seen.add(name)
    print("\n".join(sorted(seen)))


def pty_run(expected, answer, argv):
    import pexpect
    out = open(os.dup(1), "wb", buffering=0)
    child = pexpect.spawn(argv[0], argv[1:], timeout=LIMIT,
                          dimensions=(40, 160))
    child.logfile_read = out
    try:
        if answer != b"-":
            child.expect_exact(expected)
            child.send(answer)
        child.expect(pexpect.EOF)
    except pexpect.ExceptionPexpect as e:
        print("live.py: %s" % type(e).__name__, file=sys.stderr)
        child.kill(signal.SIGKILL)
        return 98
    child.close()
    return child.exitstatus if child.exitstatus is not None else 99


def forms():
    text = sys.stdin.buffer.read()
    plain = text.decode()
    out = {text}
    # base64 at each of the three alignments, without the bytes that depend on
    # the neighbours
    for pad in range(3):
        coded = base64.b64encode(b"x" * pad + text + b"xx")
        start = (pad * 8 + 5) // 6
        end = (pad + len(text)) * 8 // 6
        out.add(coded[start:end])
        out.add(base64.urlsafe_b64encode(b"x" * pad + text + b"xx")[start:end])
    out.add(urllib.parse.quote(plain, safe="").encode())
    out.add(re.sub("%..", lambda m: m.group().lower(),
                   urllib.parse.quote(plain, safe="")).encode())
    out.add(urllib.parse.quote_plus(plain, safe="").encode())
    out.add(json.dumps(plain)[1:-1].encode())
    out.add(json.dumps(plain, ensure_ascii=False)[1:-1].encode())
    out.add(text.hex().encode())
    for form in sorted(out):
        sys.stdout.buffer.write(form + b"\n")


def files(paths):
    for path in paths:
        if os.path.isdir(path):
            for folder, _, names in os.walk(path):
                for name in names:
                    yield os.path.join(folder, name)
        else:
            yield path


def leaks(form_file, paths):
    with open(form_file, "rb") as f:
        wanted = f.read().splitlines()
    found = 0
    for path in files(paths):
        with open(path, "rb") as f:
            data = f.read()
        for form in wanted:
            if form in data:
                found += 1
                print("%s: form of %d bytes" % (path, len(form)))
    return 1 if found else 0


def mutations(lines):
    """(what, lines) of every single damage to a line."""
    n = len(lines)
    for i in range(n):
        line = lines[i]
        middle = len(line) // 2
        flipped = bytes([line[middle] ^ 1])
        if flipped in b"\n":
            flipped = b"#"
        yield ("edit of %d" % i, lines[:i] + [line[:middle] + flipped
               + line[middle + 1:]] + lines[i + 1:])
        yield "cut of %d" % i, lines[:i] + lines[i + 1:]
        yield "copy of %d" % i, lines[:i] + [line, line] + lines[i + 1:]
        yield "tail from %d" % i, lines[:i]
        for j in range(i + 1, n):
            other = list(lines)
            other[i], other[j] = other[j], other[i]
            if j == i + 1 or j == n - 1:
                yield "swap of %d and %d" % (i, j), other
        yield ("forged before %d" % i, lines[:i]
               + [b'{"seq":%d,"type":"note"}\n' % (i + 1)] + lines[i:])


def damage(opsh, runs, run):
    path = os.path.join(runs, run, "journal.jsonl")
    with open(path, "rb") as f:
        whole = f.read()
    lines = whole.splitlines(keepends=True)
    judged = 0
    env = dict(os.environ, XDG_STATE_HOME=os.path.dirname(os.path.dirname(
        runs)))
    try:
        for what, damaged in mutations(lines):
            if damaged == lines:
                continue
            with open(path, "wb") as f:
                f.writelines(damaged)
            code = subprocess.run([opsh, "verify", run], env=env, timeout=20,
                                  stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL).returncode
            judged += 1
            if code != 15:
                print("%s: exit %d" % (what, code))
    finally:
        with open(path, "wb") as f:
            f.write(whole)
    print("judged", judged)


def main():
    what, args = (sys.argv + [""])[1], sys.argv[2:]
    if what == "rate":
        return rate(*args)
    if what == "requests":
        return requests(*args)
    if what == "commands":
        return commands(*args)
    if what == "pty":
        answer = args[0].encode()
        return pty_run(b"to go on: ", answer if answer == b"-"
                       else answer + b"\r", args[1:])
    if what == "interrupt":
        return pty_run(args[0].encode(), b"\x03", args[1:])
    if what == "forms":
        return forms()
    if what == "leaks":
        return leaks(args[0], args[1:])
    if what == "damage":
        return damage(*args)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
