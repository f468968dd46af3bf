"""cases: the tests of a program, run one after the other and counted: all of them, or
those that the command line names. Owns nothing: what a test made is cleared by the
functions that main() is given. Must not know what is tested.
"""

import signal
import sys
import time
import traceback

TESTS = []


class Skip(Exception):
    """A test that can't be made here: why."""


def test(fn):
    TESTS.append(fn)
    return fn


def until(what, condition, seconds):
    """Polls until condition() is true; its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("not within %d s: %s" % (seconds, what))


def nothing():
    pass


def main(before=nothing, after=nothing, end=nothing):
    """before() all, after() each, end() however it ends; the exit code."""
    passed = failed = skipped = 0
    chosen = [t for t in TESTS
              if not sys.argv[1:] or t.__name__ in sys.argv[1:]]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        before()
        for fn in chosen:
            start = time.monotonic()
            try:
                fn()
                passed += 1
                print("ok: %s (%.1f s)" % (fn.__name__,
                                           time.monotonic() - start), flush=True)
            except Skip as why:
                skipped += 1
                print("skipped %s: %s" % (fn.__name__, why), flush=True)
            except Exception:   # any failure is this test's, the rest go on
                failed += 1
                print("not ok: %s" % fn.__name__, file=sys.stderr)
                traceback.print_exc()
            finally:
                after()
    finally:
        end()
    print("%d passed, %d failed%s" % (
        passed, failed, ", %d skipped" % skipped if skipped else ""))
    return 1 if failed else 0
