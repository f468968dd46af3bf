#!/usr/bin/env python3
"""reader.py OUT PROGRAM ARG...: runs it on a terminal and types at each guard what
the guard says, as one who reads the screen would. What was shown is in OUT; its exit
code is the program's."""

import sys

import pexpect

out, program, *args = sys.argv[1:]
child = pexpect.spawn(program, args, timeout=90, dimensions=(40, 200))
with open(out, "wb") as seen:
    child.logfile_read = seen
    while child.expect([r"type '([^\r\n]*)' to go on: ", pexpect.EOF]) == 0:
        child.sendline(child.match[1])
child.close()
sys.exit(99 if child.exitstatus is None else child.exitstatus)
