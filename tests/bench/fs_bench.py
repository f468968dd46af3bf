"""fs_bench: the files' questions of bench.py: checksum, packing, copy and lines of
one file against the usual tools. Owns a file of random and repeated bytes in the
scratch folder. Must not judge, as bench.py.
"""

import os
import random

SIZE = 256 << 20
PIECE = 1 << 20


def make(path):
    """Half of it packs well; all of it is in lines."""
    rng = random.Random(1)
    line = b"2026-01-01T00:00:00Z INFO gateway order accepted user=u1 item=101\n"
    with open(path, "wb") as file:
        for _ in range(SIZE // PIECE):
            noise = rng.randbytes(PIECE // 2).replace(b"\n", b" ")
            lines = line * (PIECE // 2 // len(line))
            file.write((noise + b"\n" + lines).ljust(PIECE, b"x"))


def fs(bench):
    path, to = (os.path.join(bench.scratch, n) for n in ("big", "out"))
    make(path)
    questions = (
        ("SHA-256 of 256 MB", "sha256sum", ["sha256sum", path],
         'print(fs.hash("%s"))' % path, 1.25),
        ("gzip of 256 MB", "gzip -6 >", ["sh", "-c", "gzip -6 <%s >%s" % (
            path, to)], 'fs.gzip("%s", "%s", { sync = false })' % (path, to),
         1.25),
        ("copy of 256 MB", "cp", ["cp", path, to],
         'fs.copy("%s", "%s", { sync = false })' % (path, to), 1.5),
        ("lines of 256 MB", "wc -l", ["wc", "-l", path],
         'local n = 0 for _ in fs.lines("%s") do n = n + 1 end print(n)' % path,
         None))
    for name, tool, argv, code, limit in questions:
        row = bench.row(name, tool, limit)
        for _ in range(min(5, bench.opts.runs)):
            for side, words in ((row.theirs, argv),
                                (row.ours, [bench.opts.opsh, "-e", code])):
                if os.path.exists(to):
                    os.unlink(to)
                run = bench.attempt(words, bench.env, (row,), None)
                if run:
                    side.append(run.wall)
    os.unlink(path)
