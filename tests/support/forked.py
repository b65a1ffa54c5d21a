"""The command in a process of its own, forked from one that has imported what it needs: seconds less for every call.

That process has imported modules and done nothing else, so a call is what it is in a fresh one.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping

LONGEST_REQUEST = 1 << 20


class Forker:
    """Starts with the first call, and ends with this process. `program`: ecdc, or train of bin."""

    def __init__(self, program: str = "ecdc") -> None:
        self._program = program
        self._socket: socket.socket | None = None

    def run(
        self,
        arguments: list[str],
        input: bytes | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess:
        """As subprocess.run does it, with the output of both kinds as bytes."""
        if self._socket is None:
            self._start()
        (child_in, to_child), (from_out, child_out), (from_err, child_err) = os.pipe(), os.pipe(), os.pipe()
        request = {"arguments": arguments, "cwd": str(cwd or os.getcwd()), "env": dict(env or os.environ)}
        self._socket.settimeout(timeout)
        socket.send_fds(self._socket, [json.dumps(request).encode()], [child_in, child_out, child_err])
        for descriptor in (child_in, child_out, child_err):
            os.close(descriptor)
        output: dict[int, bytes] = {}
        threads = [threading.Thread(target=_read, args=(descriptor, output)) for descriptor in (from_out, from_err)]
        threads.append(threading.Thread(target=_write, args=(to_child, input or b"")))
        for thread in threads:
            thread.start()
        status = int(self._socket.recv(16))
        for thread in threads:
            thread.join()
        return subprocess.CompletedProcess(
            arguments, os.waitstatus_to_exitcode(status), output[from_out], output[from_err]
        )

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST_REQUEST)
        subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno()), self._program],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()


def _read(descriptor: int, output: dict[int, bytes]) -> None:
    with open(descriptor, "rb") as file:
        output[descriptor] = file.read()


def _write(descriptor: int, data: bytes) -> None:
    try:
        with open(descriptor, "wb", buffering=0) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
    except BrokenPipeError:
        pass


def serve(connection: socket.socket, program: str) -> None:
    run = _ecdc() if program == "ecdc" else _train()

    while True:
        request, descriptors, _, _ = socket.recv_fds(connection, LONGEST_REQUEST, 3)
        if not request:
            return
        child = os.fork()
        if child == 0:
            connection.close()
            _command(run, program, json.loads(request), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        connection.send(b"%d" % os.waitpid(child, 0)[1])


def _ecdc() -> Callable[[], None]:
    # Few commands need PyTorch, which takes longest to import.
    import ecdc.codec.codec
    import ecdc.models.importing
    import ecdc.stream.edit
    import ecdc.stream.repair  # noqa: F401
    from ecdc.cli import run

    return run


def _train() -> Callable[[], None]:
    import training.codec.trainer
    import training.lm.trainer  # noqa: F401
    from training.cli import main
    from training.console import run

    return functools.partial(run, main, "train")


def _command(run: Callable[[], None], program: str, request: dict, descriptors: list[int]) -> None:
    """What a new interpreter does with the command, to its end."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = [program, *request["arguments"]]
    status = 0
    try:
        run()
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    atexit._run_exitfuncs()
    for file in (sys.stdout, sys.stderr):
        file.flush()
    os._exit(status)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
