"""Pieces of work done ahead in forks of this process, one a core, for whoever asks for their results in its own order."""

import multiprocessing
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from attnbench.core.guarded import begin_fork
from attnbench.measure.machine import granted_cores

FEW = 12
"""So many pieces of work, or fewer, are done sooner than forks are made."""


class Ahead:
    """Results that forks have or will have, by key."""

    def __init__(self, pending: Mapping[Hashable, Future[Any]]) -> None:
        self._pending = pending

    def result(self, key: Hashable, work: Callable[[], Any]) -> Any:
        """A fork's result; where there is none, or an error, the work is done here, which raises what it raises."""
        if key in self._pending:
            with suppress(Exception):
                return self._pending[key].result()
        return work()


@contextmanager
def ahead(jobs: Mapping[Hashable, Callable[[], Any]]) -> Iterator[Ahead]:
    """Start jobs, whose work and results pickle, for the time of some work that asks for them."""
    cores = granted_cores()
    if len(jobs) <= FEW or cores < 2 or "fork" not in multiprocessing.get_all_start_methods():
        yield Ahead({})
        return
    pool = ProcessPoolExecutor(cores, multiprocessing.get_context("fork"), begin_fork)
    try:
        yield Ahead({key: pool.submit(work) for key, work in jobs.items()})
    finally:
        pool.shutdown(cancel_futures=True)
