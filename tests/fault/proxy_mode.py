"""What proxy.py is told: its modes with their options, and a fault that waits for the
request it strikes. Owns nothing but a fault's counts. Must not know of connections;
proxy.py says what each mode does.
"""

import re
import shlex

SIDES = ("client", "server")
ENDINGS = ("fin", "rst", "freeze", "go")
MODES = {
    "pass": {},
    "cut": {"side": SIDES, "after": int, "how": ("fin", "rst")},
    "drop-reply": {"match": str, "nth": int, "times": int, "keep": int,
                   "then": ENDINGS},
    "drop-request": {"match": str, "nth": int, "times": int, "keep": int,
                     "then": ENDINGS},
    "freeze": {},
    "silent": {},
    "refuse": {},
    "blackhole": {},
    "delay": {"seconds": float},
    "slow": {"bytes": int, "side": SIDES},
}
REQUIRED = {"cut": ("side", "after"), "delay": ("seconds",)}


def parse(line):
    """(verb, options) of a mode, or ValueError that says what was expected."""
    words = shlex.split(line)
    if not words or words[0] not in MODES:
        raise ValueError("unknown command '%s': expected one of %s" % (
            words[0] if words else "", " ".join(
                list(MODES) + ["rst", "close", "stat", "quit"])))
    verb, opts = words[0], {}
    for word in words[1:]:
        name, equal, value = word.partition("=")
        kind = MODES[verb].get(name)
        if kind is None or not equal:
            raise ValueError("unknown option '%s' of '%s': expected %s" % (
                word, verb, " ".join(MODES[verb]) or "none"))
        if isinstance(kind, tuple):
            if value not in kind:
                raise ValueError("bad value '%s' of '%s': expected %s" % (
                    value, name, " or ".join(kind)))
            opts[name] = value
        else:
            opts[name] = kind(value)
    for name in REQUIRED.get(verb, ()):
        if name not in opts:
            raise ValueError("'%s' needs '%s='" % (verb, name))
    if "match" in opts:
        re.compile(opts["match"].encode())
    return verb, opts


class Fault:
    """A drop-reply or drop-request that is armed."""

    def __init__(self, name, opts):
        self.name = name
        self.match = re.compile(opts.get("match", "").encode(), re.S)
        self.nth = opts.get("nth", 1)
        self.times = opts.get("times", 1)
        self.keep = opts.get("keep", 0)
        self.then = opts.get("then", "fin")
        self.matched = self.struck = 0
        self.kept = 0

    def hits(self, words):
        if not self.match.search(b" ".join(words)):
            return False
        self.matched += 1
        if self.matched < self.nth or \
           (self.times and self.struck >= self.times):
            return False
        self.struck += 1
        return True
