"""Runs a command on a terminal of its own, as a person would, and tells what happened there.

    terminal.py ROWS COLUMNS WAIT-FOR TYPE COMMAND…

Waits until the terminal shows WAIT-FOR, types TYPE (`\\x03` is Ctrl-C; SIGTERM sends the signal instead), and waits for
the end. Prints JSON: the exit code, all that was written, and whether the terminal is left in the mode it was found in.
"""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

DEADLINE = 60


def main():
    rows, columns, wanted, typed, *command = sys.argv[1:]
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))
    before = termios.tcgetattr(slave)
    child = os.fork()
    if child == 0:
        os.login_tty(slave) if hasattr(os, "login_tty") else login(slave)
        os.execvp(command[0], command)
    written, is_typed, end = b"", False, time.monotonic() + DEADLINE
    status = None
    while status is None:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        ready, _, _ = select.select([master], [], [], 0.05)
        if ready:
            written += os.read(master, 65536)
        if not is_typed and wanted.encode() in written:
            is_typed = True
            if typed == "SIGTERM":
                os.kill(child, signal.SIGTERM)
            else:
                os.write(master, typed.encode().decode("unicode_escape").encode())
        if not ready:
            pid, code = os.waitpid(child, os.WNOHANG)
            status = os.waitstatus_to_exitcode(code) if pid else None
    # What it wrote between the last look and its end.
    while select.select([master], [], [], 0)[0]:
        written += os.read(master, 65536)
    restored = termios.tcgetattr(slave) == before
    print(json.dumps({"code": status, "restored": restored, "written": written.decode("utf-8", "replace")}))


def login(slave):
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for descriptor in range(3):
        os.dup2(slave, descriptor)


main()
