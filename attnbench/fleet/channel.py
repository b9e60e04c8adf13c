"""Dask, and nothing of it elsewhere: the workers of a scheduler, and what is asked of one and comes back.

A future is pinned to its worker, and never retried or moved by Dask, which knows neither of the machine's lock nor of facts
that are kept.

Rejected: ``Client.gather`` of all steps (a lost worker's results are measured again, and stolen tasks overlap), and Dask's
actors (their state dies with the worker).
"""

import json
import logging
import queue
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from attnbench.core.errors import InputError
from attnbench.fleet import worker
from attnbench.fleet.trust import Tls, check_listening

CONNECT_SECONDS = 10.0
FETCH_SECONDS = 120.0
AT_A_TIME = 16
"""Answers that are fetched at a time."""


class Channel:
    """A connection to a scheduler, which may end and be made again; ``runtimes`` are those whose versions are asked for."""

    def __init__(self, address: str, tls: Tls | None, runtimes: Sequence[str] = ()) -> None:
        self.address = address
        self.tls = tls
        self.runtimes = list(runtimes)
        self.client: Any = None
        self._came: queue.SimpleQueue[tuple[str, Any, Any]] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(AT_A_TIME)

    def connect(self) -> None:
        """Reach the scheduler. Raises ``InputError`` where it cannot be reached, or others could reach it."""
        try:
            import distributed  # noqa: PLC0415  the extra; slow to import
        except ImportError as error:
            raise InputError("a sweep over many machines needs Dask: pip install 'attnbench[dask]'") from error
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what goes wrong is told by those who handle it
        files = dict(zip(("tls_ca_file", "tls_client_cert", "tls_client_key"), map(str, self.tls or ()), strict=False))
        try:
            dask: Any = distributed
            security = dask.Security(require_encryption=True, **files) if files else None
            asked = {"security": security, "timeout": CONNECT_SECONDS, "set_as_default": False, "name": "attnbench"}
            client = dask.Client(self.address, **asked)
            listening = str(client.scheduler_info(n_workers=0)["address"])
        except (OSError, TimeoutError, RuntimeError, ValueError) as error:
            text = " ".join(str(error).split())[:200]
            raise InputError(f"no Dask scheduler answers at {self.address}: {text or type(error).__name__}") from error
        self.client = client
        try:
            check_listening(listening)
        except InputError:
            self.drop()
            raise

    @property
    def running(self) -> bool:
        """Whether the scheduler was there when it was last heard of."""
        return self.client is not None and self.client.status == "running"

    def drop(self) -> None:
        """Give the connection up."""
        client, self.client = self.client, None
        if client is not None:
            with suppress(Exception):  # it may be broken in any way
                client.close(timeout=1)

    def close(self) -> None:
        """The end."""
        self.drop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def workers(self) -> Mapping[str, Mapping[str, Any]]:
        """By its address what each worker's heartbeat says last. Raises ``OSError`` where the scheduler is gone."""
        if self.client is None or not self.running:
            raise OSError("the connection ended")
        found = self.client.scheduler_info(n_workers=-1)["workers"]
        return {address: about.get("metrics", {}).get(worker.METRIC, {}) for address, about in found.items()}

    def describe_workers(self) -> dict[str, dict[str, Any]]:
        """What each worker is and is at; one that no fleet has greeted yet is asked now."""
        found = {}
        for address, about in self.workers().items():
            known = dict(about)
            if "called" not in known:
                with suppress(Exception):  # attnbench may not be there, or the worker gone: then its address is all
                    said = json.loads(self.client.run(worker.hello, workers=[address])[address])
                    known |= {"called": said["name"], "machine": said["machine"]["id"], "cpu": said["machine"]["cpu"]}
                    known |= {"software": said["software"]["id"], "state": "idle"}
            found[address] = known
        return found

    def greet(self, address: str) -> object:
        """Have a worker say who it is, at once, whatever else it does. What is given back names the answer."""
        greeting, client = object(), self.client

        def ask() -> None:
            try:
                found: Any = client.run(worker.hello, self.runtimes, workers=[address])[address] if client else None
            except BaseException as error:  # noqa: BLE001  whatever it is, it is handled where it is known of whom
                found = error
            self._came.put((address, greeting, found))

        self._threads.submit(ask)
        return greeting

    def ask(self, address: str, function: Any, *values: Any, fetch: bool = True) -> Any:
        """Have a worker do something: the future, which names the answer, where one is wanted."""
        if self.client is None:
            raise OSError("the connection ended")
        future = self.client.submit(function, *values, workers=[address], allow_other_workers=False, pure=False, retries=0)
        if fetch:
            future.add_done_callback(lambda done: self._threads.submit(self._fetch, address, done))
        return future

    def _fetch(self, address: str, future: Any) -> None:
        """In a thread: wait for what a future holds, which may never come where its worker is gone."""
        try:
            found: Any = future.result(timeout=FETCH_SECONDS)
        except BaseException as error:  # noqa: BLE001  as above
            found = error
        self._came.put((address, future, found))

    def arrived(self, timeout: float) -> list[tuple[str, Any, Any]]:
        """What came since: from whom, what names it, and the answer or the error."""
        found = []
        with suppress(queue.Empty):
            found.append(self._came.get(timeout=timeout))
            while True:
                found.append(self._came.get_nowait())
        return found

    def forget(self, future: Any) -> None:
        """Let go of what was asked: it is written, or its worker is gone."""
        if hasattr(future, "release"):
            with suppress(Exception):  # the scheduler may be going, too
                if self.client is not None and future.status == "pending":
                    self.client.cancel([future], force=True)
                future.release()

    def wait(self, futures: list[Any]) -> None:
        """Wait a little for the end of what was asked last."""
        deadline = time.monotonic() + CONNECT_SECONDS
        while any(future.status == "pending" for future in futures) and time.monotonic() < deadline:
            time.sleep(0.02)
