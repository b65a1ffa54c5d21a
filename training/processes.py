"""Several training processes as one: what they average, share and start from."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from typing import Callable, Iterable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor

from ecdc.errors import EcdcError


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def average(tensors: Iterable[Tensor], total: bool = False) -> None:
    """Replace tensors by their mean (or total) over all processes, in one message."""
    tensors = list(tensors)
    if world() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    if not total:
        flat /= world()
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start:start + tensor.numel()].view_as(tensor))
        start += tensor.numel()


def share(tensor: Tensor) -> None:
    """Give all processes the first one's values."""
    if world() > 1 and tensor.numel():
        contiguous = tensor.contiguous()
        dist.broadcast(contiguous, 0)
        if contiguous is not tensor:
            tensor.copy_(contiguous)


@contextlib.contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """A function that says, the same in all processes, whether one has got SIGTERM or SIGINT; they do nothing else."""
    stop = torch.zeros(1)

    def asked() -> bool:
        total = stop.clone()
        average([total], total=True)
        return bool(total.item())

    before = {number: signal.signal(number, lambda *_: stop.fill_(1)) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(work: Callable[..., None], processes: int, *arguments: object) -> None:
    """Run `work(*arguments)` in so many processes of one thread each, or here if it is one.

    Raises EcdcError if one ends by a signal: killed, or told to stop before it could listen.
    """
    if processes == 1:
        work(*arguments)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Without these, every allocation of a large tensor costs page faults (glibc).
    os.environ.update({"OMP_NUM_THREADS": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184"})
    started = torch.multiprocessing.start_processes(_entered, (work, processes, port, arguments), processes,
                                                    join=False, start_method="spawn")

    def forward(number: int, frame: object) -> None:
        for pid in started.pids():
            os.kill(pid, number)

    # They end by themselves once they have saved.
    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not started.join():
            pass
    except torch.multiprocessing.ProcessExitedException as error:
        raise EcdcError(f"a process ended before its time ({error.signal_name or error.exit_code}); "
                        "the same command goes on after what was last saved") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _entered(index: int, work: Callable[..., None], processes: int, port: int, arguments: tuple) -> None:
    torch.set_num_threads(1)
    if torch.cuda.is_available():
        torch.cuda.set_device(index % torch.cuda.device_count())
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
                            f"tcp://127.0.0.1:{port}", rank=index, world_size=processes)
    work(*arguments)
    # Nobody leaves while others may still wait for it.
    dist.barrier()
    # Not by the interpreter's end: gloo's threads have been seen to abort it, after all was done and saved.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
