"""Work that does not depend on other work is done in threads, as native code lets them run; its order is kept."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Generic, TypeVar

Result = TypeVar("Result")
CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """Cores that this process may use: those that it is bound to, and no more than its control group's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        group = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip().lstrip("/")
        quota, period = (CGROUP / group / "cpu.max").read_text().split()
        count = min(count, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        # No such system, or a quota of "max".
        pass
    return count


class Ordered(Generic[Result]):
    """Submit work, get its results in the order in which it was submitted; with one thread all is done at once.

    No more waits than there are threads, and one more: memory does not grow.
    """

    def __init__(self, threads: int):
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[Result]] = deque()

    def submit(self, work: Callable[[], Result]) -> Iterator[Result]:
        """Results that have come by now; for more than one thread those of earlier work."""
        if self.threads == 1:
            yield work()
            return
        # Made only where there is work: a program may make many streams.
        self._pool = self._pool or ThreadPoolExecutor(self.threads, "ecdc")
        self._waiting.append(self._pool.submit(work))
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > self.threads):
            yield self._waiting.popleft().result()

    def finish(self) -> Iterator[Result]:
        """All others."""
        while self._waiting:
            yield self._waiting.popleft().result()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def map(self, works: Sequence[Callable[[], Result]]) -> list[Result]:
        """Results of works that are all at hand; a single one needs no thread."""
        if len(works) == 1:
            return [works[0]()]
        return [result for work in works for result in self.submit(work)] + list(self.finish())
