"""A process that lets `tests/helpers/fork_server.py` do what it was started for, and ends as that does."""

import json
import os
import signal
import socket
import sys


def run(address: str) -> None:
    """Never returns."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.connect(address)
    words = [word for word in sys.orig_argv[1:] if word != "-u"]
    request = {"words": words, "environment": dict(os.environ), "folder": os.getcwd(), "path": sys.path}
    request["nice"] = os.nice(0)
    socket.send_fds(server, [json.dumps(request).encode()], [0, 1, 2])
    fork = int(server.recv(32))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(fork, number))
    code = int(server.recv(32) or -signal.SIGKILL)
    if code < 0:
        if -code != signal.SIGKILL:  # which has no handler to take away
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
