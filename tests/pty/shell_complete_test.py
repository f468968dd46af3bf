#!/usr/bin/python3
"""`opsh completion bash` in a real bash: commands, options, playbooks and their
parameters, targets of the file that is named, files where opsh has no word. Owns
what terminal.py owns. Last line: N passed, N failed.
"""

import os
import sys

import terminal
from terminal import Terminal, main, path, run, test

TARGETS = """return { environment = "test", targets = {
  cache = "redis://127.0.0.1:1/0", orders_db = "postgresql://u@127.0.0.1:1/x" } }
"""


def bash():
    """A bash that has the completion; `opsh` is the program that is tested."""
    os.makedirs(path("bin"), exist_ok=True)
    link = path("bin/opsh")
    if not os.path.lexists(link):
        os.symlink(terminal.OPSH, link)
    path("opsh.lua", TARGETS)
    t = Terminal("--norc", "--noprofile", "-i", program="/bin/bash",
                 size=(40, 120), PS1="$ ", TERM="dumb",
                 PATH=path("bin") + ":" + os.environ["PATH"])
    t.expect(r"\$ ")
    t.type("source <(opsh completion bash); bind 'set bell-style none'; "
           "bind 'set enable-bracketed-paste off'; echo re''ady\r")
    t.expect(r"ready\r\n")
    t.expect(r"\$ ")
    return t


def becomes(t, typed, whole):
    t.type(typed + "\t")
    t.expect(whole.replace("/", r"\/") + r"$")
    t.type("\x15")


@test
def words_are_completed():
    t = bash()
    becomes(t, "opsh timel", "opsh timeline ")
    becomes(t, "opsh plan redis/cache-f", "opsh plan redis/cache-flush ")
    becomes(t, "opsh plan redis/cache-flush patt", "opsh plan redis/cache-flush pattern=")
    becomes(t, "opsh plan redis/cache-flush whole=t", "redis/cache-flush whole=true ")
    becomes(t, "opsh run --appr", "opsh run --approve ")
    becomes(t, "opsh run --approve ord", "opsh run --approve orders_db ")
    becomes(t, "opsh run --bind db=ord", "opsh run --bind db=orders_db ")
    becomes(t, "opsh --output js", "opsh --output jsonl ")
    becomes(t, "opsh timeline la", "opsh timeline last ")
    becomes(t, "opsh help err", "opsh help errors ")
    becomes(t, "opsh completion fi", "opsh completion fish ")
    # where opsh has no word, a file
    becomes(t, "opsh check ops", "opsh check opsh.lua ")
    becomes(t, "opsh nothing at all /etc/hostn", "/etc/hostname ")
    t.type("\x15exit\r")
    assert t.end() == 0


@test
def several_are_listed():
    t = bash()
    t.type("opsh ru\t\t\t")
    t.expect(r"run +runs")
    t.type("\x15opsh plan postgres/ba\t")
    t.expect(r"postgres/backup ")
    t.type("\x15exit\r")
    assert t.end() == 0


@test
def it_says_nothing_into_the_line():
    with open(path("broken.lua"), "w") as file:
        file.write("return {")
    for words in (["--targets", path("broken.lua"), "--approve", ""],
                  ["--targets", "/no/such/file", "--approve", ""],
                  ["run", "no/such", ""], ["run", "no/such", "x="], [], [""],
                  ["--nonsense", ""], ["--", ""], ["\xff", "\n", ""]):
        code, out, err = run("completion", "--words", "--", *words)
        assert code == 0 and not err, (words, code, err)
    code, out, err = run("completion", "csh")
    assert code == 2 and b"bash, fish, zsh" in err, err
    for shell in ("bash", "zsh", "fish"):
        code, out, err = run("completion", shell)
        assert code == 0 and b"completion --words" in out, shell


if __name__ == "__main__":
    sys.exit(main())
