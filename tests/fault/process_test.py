#!/usr/bin/python3
"""Processes under bad conditions: a gigabyte through every way, few descriptors,
a journal that takes nothing, an environment full of traps, a file system that is
full, descriptors 0 to 2 closed at the start, no pidfd. Owns a throwaway folder;
the last line is `N passed, N failed`.
"""

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path.append(os.path.join(ROOT, "tests/lib"))
import cases  # noqa: E402  (the tree stays free of __pycache__)
from cases import test  # noqa: E402

OPSH = os.environ.get("OPSH_TEST", os.path.join(ROOT, "build/test/opsh"))
TMP = tempfile.mkdtemp(prefix="opsh-process.")
LIMIT = 100
GB = 1000000000
# Address sanitizer's own memory is no measure of ours.
MEASURED = "asan" not in OPSH

RSS = """
local function rss(what)
  for l in io.lines "/proc/self/status" do
    local k = l:match("^" .. what .. ":%s+(%d+)")
    if k then return tonumber(k) / 1024 end
  end
end
"""


def environment(**more):
    env = {k: os.environ[k] for k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS",
                                      "LSAN_OPTIONS") if k in os.environ}
    env.update(HOME=TMP, XDG_STATE_HOME=os.path.join(TMP, "state"), CI="1")
    env.update(more)
    return env


def opsh(code, *words, env=None, **kw):
    """Exit code, stdout, stderr of a script."""
    path = os.path.join(TMP, "script.lua")
    with open(path, "w") as file:
        file.write(code)
    done = subprocess.run([OPSH, "run", path] + list(words), cwd=TMP,
                          stdin=kw.pop("stdin", subprocess.DEVNULL),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=LIMIT, env=environment(**(env or {})), **kw)
    return (done.returncode, done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"))


def passes(code, *words, **kw):
    rc, out, err = opsh(code, *words, **kw)
    assert rc == 0, (rc, out, err)
    return out


def memory(code, wanted):
    """Runs code between two readings; it must pass in base + 64 MiB."""
    out = passes(RSS + 'local before = rss "VmRSS"\n' + code
                 + '\nprint("MiB", rss "VmHWM" - before)')
    assert wanted in out, out
    used = float(re.search(r"MiB\s+([\d.]+)", out)[1])
    assert used <= 64 or not MEASURED, "%.1f MiB" % used


LINE = "0123456789abcdef" * 5


@test
def a_gigabyte_of_lines():
    memory("""local n = 0
        for line in sh.lines { "sh", "-c", "yes %s | head -c %d",
          effect = "read" } do n = n + #line + 1 end print("bytes", n)
        """ % (LINE, GB), str(GB // 1000))


@test
def lines_to_a_slow_reader():
    memory("""local n = 0
        for line in sh.lines { "sh", "-c", "yes %s | head -c 100000000",
          effect = "read" } do
          n = n + 1
          if n %% 100000 == 0 then task.sleep(0.05) end
        end print("lines", n)""" % LINE, str(100000000 // 81 + 1))


@test
def a_gigabyte_to_a_file_and_through_a_pipeline():
    path = os.path.join(TMP, "big")
    memory("""sh.pipe { { "head", "-c", "%d", "/dev/zero" }, { "cat" },
        stdout = "%s" }
        print(sh.run { "stat", "-c", "%%s", "%s", effect = "read" }.stdout)
        """ % (GB, path, path), str(GB))
    os.unlink(path)


@test
def a_gigabyte_is_more_than_is_captured():
    memory("""local r, e = try(sh.run, { "head", "-c", "%d", "/dev/zero" })
        print(e.kind, e.outcome, #e.stdout, e.message)""" % GB,
           "limit\tdone\t16777216")


@test
def a_gigabyte_of_input():
    memory("""local left, chunk = 1000, ("x"):rep(1000000)
        print(sh.run { "wc", "-c", stdin = function()
          left = left - 1
          if left >= 0 then return chunk end
        end, effect = "read" }.stdout)""", str(GB))


@test
def output_shown_live():
    memory("""local r, e = try(sh.run, { "sh", "-c",
        "yes %s | head -c 50000000", live = true, max = 1000000 })
        print(e.kind, e.outcome)""" % LINE, "limit\tdone")


@test
def few_descriptors():
    """The soft limit is raised when it is reached; children get it back."""
    def little():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 4096))
    out = passes("""
        local fs = {}
        for n = 1, 100 do
          fs[n] = function()
            return sh.run { "sh", "-c", "sleep 0.2; ulimit -Sn",
              effect = "read" }.stdout
          end
        end
        local all, seen = table.pack(task.all(fs)), {}
        local list = all.n == 1 and all[1] or all
        for _, text in ipairs(list) do seen[text] = (seen[text] or 0) + 1 end
        for text, n in pairs(seen) do print("limit", n, text) end
        """, preexec_fn=little)
    assert re.search(r"limit\s+100\s+64\b", out), out


@test
def no_descriptor_left():
    """A clear error, nobody left behind, and it goes on afterwards."""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
    out = passes("""
        local fs = {}
        for n = 1, 40 do
          fs[n] = function()
            local r, e = try(sh.run, { "sleep", "0.3", effect = "read" })
            return r and "fine" or e.kind .. ": " .. e.message
          end
        end
        local all, seen = table.pack(task.all(fs)), {}
        local list = all.n == 1 and all[1] or all
        for _, text in ipairs(list) do seen[text] = (seen[text] or 0) + 1 end
        for text, n in pairs(seen) do print(n, text) end
        print(sh.run { "echo", "after", effect = "read" }.stdout)
        """, preexec_fn=few)
    assert "fine" in out and "after" in out, out
    assert "Too many open files" in out or "watch" in out, out


@test
def no_intent_no_program():
    path = os.path.join(TMP, "must-not-be")
    rc, out, err = opsh('sh.run { "touch", "%s" }' % path,
                        env={"XDG_STATE_HOME": "/proc/none"})
    assert rc == 74, (rc, out, err)
    assert not os.path.exists(path)
    rc, out, err = opsh('print(sh.run { "echo", "x", effect = "read" }.stdout)',
                        env={"XDG_STATE_HOME": "/proc/none"})
    assert rc == 0 and "x" in out, (rc, out, err)


@test
def traps_in_the_environment():
    traps = {"LD_LIBRARY_PATH": "/nowhere", "BASH_ENV": "/tmp/evil",
             "http_proxy": "http://evil", "PGPASSWORD": "hunter2hunter2",
             "SSLKEYLOGFILE": TMP + "/keys", "LUA_INIT": "os.exit(9)",
             "IFS": "x", "PYTHONPATH": "/evil", "AWS_SECRET_KEY": "k" * 20}
    out = passes('print(sh.run { "env", effect = "read" }.stdout)', env=traps)
    for name in traps:
        assert name + "=" not in out, (name, out)
    out = passes('print(sh.run { "env", effect = "read", inherit = '
                 '{ "PGPASSWORD" } }.stdout)', env=traps)
    assert "PGPASSWORD=hunter2hunter2" in out and "AWS" not in out, out
    out = passes('print(sh.run { "env", effect = "read", inherit = true }'
                 '.stdout)', env=traps)
    assert "AWS_SECRET_KEY" in out and "SSLKEYLOGFILE" not in out, out


@test
def an_output_file_that_is_full():
    rc, _, err = opsh('sh.run { "echo", "x", stdout = "/dev/full" }')
    assert rc == 1 and "No space left" in err, (rc, err)
    rc, _, err = opsh('sh.run { "echo", "x", stdout = "/no/such/place" }')
    assert rc == 1 and "cannot open '/no/such/place'" in err, (rc, err)


@test
def descriptors_closed_at_the_start():
    """What we open must not become the child's by accident."""
    path = os.path.join(TMP, "script.lua")
    with open(path, "w") as file:
        file.write('local r = sh.run { "sh", "-c", "cat; echo o; echo e >&2", '
                   'stdin = "i\\n", effect = "read" }\n'
                   'fs.write("%s/result", r.stdout .. r.stderr)\n' % TMP)
    for closed in ("<&-", "<&- >&-", "<&- >&- 2>&-", ">&- 2>&-"):
        done = subprocess.run(["sh", "-c", "'%s' run '%s' --approve local %s" % (
            OPSH, path, closed)], cwd=TMP, env=environment(), timeout=LIMIT,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with open(os.path.join(TMP, "result")) as file:
            assert file.read() == "i\no\ne\n", (closed, done)
        os.unlink(os.path.join(TMP, "result"))


@test
def a_signal_that_we_were_started_to_ignore():
    """nohup, or a parent that ignores SIGPIPE: the child must not."""
    out = passes("""
        local r = sh.pipe { { "yes" }, { "head", "-n", "1" }, effect = "read",
          timeout = 5 }
        print(r.statuses[1], sh.run { "grep", "SigIgn", "/proc/self/status",
          effect = "read" }.stdout)""")
    ignored = int(re.search(r"SigIgn:\s+([0-9a-f]+)", out)[1], 16)
    # glibc's posix_spawn leaves its own 32 and 33 ignored
    assert "SIGPIPE" in out and not ignored & 0x7fffffff, out


@test
def thousands_of_children_leave_nothing():
    out = passes(RSS + """
        for n = 1, 500 do sh.run { "true", effect = "read" } end
        collectgarbage() collectgarbage()
        local before = rss "VmRSS"
        for n = 1, 5000 do sh.run { "true", effect = "read" } end
        collectgarbage() collectgarbage()
        print("grown", rss "VmRSS" - before)
        print("fds", sh.shell("ls /proc/$PPID/fd | wc -l",
          { effect = "read" }).stdout)""")
    assert float(re.search(r"grown\s+([-\d.e]+)", out)[1]) < 4 or \
        not MEASURED, out
    assert int(re.search(r"fds\s+(\d+)", out)[1]) < 16, out


@test
def nobody_reads_stdin_within_the_deadline():
    began = time.monotonic()
    rc, _, err = opsh('sh.run { "sleep", "30", stdin = ("x"):rep(1000000), '
                      'timeout = 0.5, effect = "read" }')
    assert rc == 124 and "did not end within 0.5 s" in err, (rc, err)
    assert time.monotonic() - began < 3


def end():
    shutil.rmtree(TMP, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(cases.main(end=end))
