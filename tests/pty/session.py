"""session: a session of opsh at a terminal, for the tests of the REPL: its
prompt, entries typed and answered, its history's file, what tmux shows of it. Owns
the servers of tmux that it started; terminal.py owns the rest. Must not know
what is tested.
"""

import os
import re
import subprocess

import terminal
from terminal import Terminal, environment, until

PROMPT = r"[0-9A-Z]{4}> "
MORE = r"\.\.\.> "
HISTORY = os.path.join(terminal.TMP, "state/opsh/history")
TMUX = os.path.join(terminal.TMP, "tmux")


class Session(Terminal):
    """A session without colours, its first prompt shown."""

    def __init__(self, *args, **env):
        env.setdefault("NO_COLOR", "1")
        env.setdefault("size", (24, 200))
        self.prompt = env.pop("PROMPT", PROMPT)
        super().__init__(*args, **env)
        self.ready()

    def ready(self):
        self.expect(self.prompt)

    def type(self, text):
        """Types keys; ends of lines as Enter gives them."""
        super().type(text.replace("\n", "\r"))

    def enter(self, text, *patterns, then=None):
        """Types an entry; waits for what it answers, then for the prompt."""
        self.type(text + "\n")
        for line in text.split("\n"):
            self.expect(re.escape(line))
        for pattern in patterns:
            self.expect(pattern)
        self.expect(then or self.prompt)

    def more(self, text):
        """Types a line after which the entry goes on."""
        self.enter(text, then=MORE)

    def quit(self):
        self.type("\x04")
        return self.end()


def history():
    """The texts of the history's file."""
    with open(HISTORY) as file:
        return [line.split("\t", 1)[1].rstrip("\n") for line in file]


def forget():
    if os.path.exists(HISTORY):
        os.unlink(HISTORY)


class Tmux:
    """A session whose screen is kept by tmux."""

    def __init__(self, *args, size=(80, 24)):
        self.tmux("kill-server", check=False)
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(size[0]),
                  "-y", str(size[1]), terminal.OPSH, *args)
        terminal.started.append(self)

    def tmux(self, *args, check=True):
        done = subprocess.run(["tmux", "-u", "-S", TMUX] + list(args),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=terminal.LIMIT, cwd=terminal.TMP,
                              env=environment(NO_COLOR="1"))
        if check and done.returncode:
            raise AssertionError("tmux %r: %r" % (args, done.stderr))
        return done.stdout.decode()

    def screen(self):
        return self.tmux("capture-pane", "-p").rstrip("\n")

    def shows(self, what, found):
        """Waits until found(screen) is true."""
        try:
            return until(what, lambda: found(self.screen()))
        except AssertionError as e:
            raise AssertionError("%s: %s" % (e, self.screen())) from None

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def key(self, *names):
        self.tmux("send-keys", *names)

    def size(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))
        # tmux shows it at once and tells the program later
        tty = os.open(self.tmux("display-message", "-p", "#{pane_tty}").strip(),
                      os.O_RDONLY | os.O_NOCTTY)
        until("the program is told", lambda: os.get_terminal_size(tty) ==
              (columns, rows))
        os.close(tty)

    def release(self):
        self.tmux("kill-server", check=False)
