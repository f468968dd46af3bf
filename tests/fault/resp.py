"""RESP2/3 message boundaries, for the fault proxy and the fake server.

Owns nothing but its parse state. Must not judge what a message means, and
keeps no more of one than its first LIMIT bytes of words.
"""

LIMIT = 4096


class Resp:
    """Finds where messages end in a stream that comes in any pieces."""

    def __init__(self):
        self.line = b""
        self.size = 0           # of the bulk string at hand
        self.skip = 0           # bytes left of a bulk string with its CRLF
        self.open = []          # elements missing in each open aggregate
        self.words = []
        self.seen = 0

    def feed(self, data):
        """Yields (end, [word, ..]) for each message that ends in data."""
        pos = 0
        while pos < len(data):
            if self.skip:
                pos = self.take(data, pos)
                done = self.skip == 0 and self.value()
            else:
                end = data.find(b"\n", pos)
                if end < 0:
                    self.line += data[pos:]
                    return
                line = (self.line + data[pos:end]).rstrip(b"\r")
                self.line = b""
                pos = end + 1
                done = self.header(line)
            if done:
                words, self.words, self.seen = self.words, [], 0
                yield pos, words

    def take(self, data, pos):
        part = data[pos:pos + self.skip]
        self.skip -= len(part)
        if self.seen < LIMIT:
            self.words[-1] += part
            self.seen += len(part)
        if self.skip == 0:
            self.words[-1] = self.words[-1][:self.size]
        return pos + len(part)

    def header(self, line):
        """True when this line ends the message."""
        kind = line[:1]
        if kind in (b"*", b"~", b">", b"%", b"|"):
            count = self.number(line) * (2 if kind in (b"%", b"|") else 1)
            if count > 0:
                self.open.append(count)
                return False
        elif kind in (b"$", b"=", b"!") and self.number(line) >= 0:
            self.size = self.number(line)
            self.skip = self.size + 2
            self.words.append(b"")
            return False
        elif line and not self.open:
            self.words.append(line)
        return self.value()

    @staticmethod
    def number(line):
        try:
            return int(line[1:])
        except ValueError:
            return -1

    def value(self):
        """One value is complete; True when nothing is open any more."""
        while self.open:
            self.open[-1] -= 1
            if self.open[-1] > 0:
                return False
            self.open.pop()
        return True
