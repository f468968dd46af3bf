"""tool: a program of this folder that is told what to do through its stdin: the
fault proxy, a fake server. Owns its process, from the start to the end of the
`with` it stands in. Must not know what it is used for.
"""

import os
import select
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Tool:
    """A proxy or a fake server, told what to do through its stdin."""

    def __init__(self, name, *args):
        self.process = subprocess.Popen(
            [os.path.join(HERE, name)] + list(args), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.buffer, self.fired = b"", 0
        line = self.line()
        assert line.isdigit(), (line, self.process.stderr.read())
        self.port = int(line)

    def line(self, timeout=10):
        until = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            left = until - time.monotonic()
            if left < 0 or not select.select(
                    [self.process.stdout], [], [], left)[0]:
                raise TimeoutError("no line from the tool")
            data = os.read(self.process.stdout.fileno(), 4096)
            if not data:
                break
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode()

    def tell(self, command):
        """Its answer; a strike that comes before it counts in `fired`."""
        self.process.stdin.write(command.encode() + b"\n")
        while True:
            line = self.line()
            if not line.startswith("fired"):
                return line
            self.fired += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait(10) == 0, "tool ended badly"
        self.process.stdout.close()
        self.process.stderr.close()
