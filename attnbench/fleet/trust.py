"""Whom a sweep over many machines talks to, and what it takes from them: loopback or TLS, and plain data alone.

Dask sends functions and errors as pickles, and who may send a pickle to a process may run any code in it. A worker trusts
its client, that is what it is for; the client need not trust the workers. While a fleet is at work, this process loads no
pickle of Dask's but those of plain builtin types, and no message above ``MOST_BYTES``.

Rejected: ``deserializers=`` of Dask's client. It holds for results; errors, warnings and messages are loaded past it.
"""

import io
import ipaddress
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from attnbench.core.errors import InputError

MOST_BYTES = 64 << 20
"""What one answer of a machine may take."""

PLAIN = frozenset({"bytes", "bytearray", "memoryview", "str", "int", "float", "bool", "list", "tuple", "dict", "set"})

Tls = tuple[Path, Path, Path]
"""The files of the certificate authority, of the own certificate and of its key."""


def check_address(address: str, tls: Tls | None) -> str:
    """The scheduler's address in full. Raises ``InputError`` for one elsewhere without TLS, and for a missing file."""
    scheme, slashes, place = address.rpartition("://")
    scheme = scheme or ("tls" if tls else "tcp")
    if (slashes and scheme not in ("tcp", "tls")) or not place.rpartition(":")[2].isdecimal():
        raise InputError(f"--dask '{address}' is no address of a Dask scheduler: write it like tls://HOST:8786")
    if tls is None and (scheme == "tls" or not is_loopback(place)):
        why = "is spoken to by TLS" if scheme == "tls" else "is not on this machine"
        raise InputError(f"--dask '{address}' {why}: give --dask-tls CA CERT KEY, or tunnel to 127.0.0.1")
    if tls is not None and scheme != "tls":
        raise InputError(f"--dask '{address}' is not spoken to by TLS: write tls://{place}, or leave out --dask-tls")
    for path in tls or ():
        if not path.is_file():
            raise InputError(f"--dask-tls: there is no file {path}")
    return f"{scheme}://{place}"


def is_loopback(address: str) -> bool:
    """Whether an address like ``tcp://127.0.0.1:8786`` is this machine's alone."""
    host = address.rpartition("://")[2].rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_listening(address: str) -> None:
    """Raise ``InputError`` for a scheduler that others on the network may reach without TLS: they may run code there."""
    if not address.startswith("tls://") and not is_loopback(address):
        raise InputError(
            f"the scheduler listens at {address} without TLS, for all the network: start it with --host 127.0.0.1, "
            f"or with --tls-ca-file, --tls-cert and --tls-key"
        )


class _Plain(pickle.Unpickler):
    """Loads what is made of plain builtin types."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "builtins" and name in PLAIN:
            return super().find_class(module, name)
        raise TypeError(f"a pickle of {module}.{name} is not loaded")


def load_plain(data: Any, *, buffers: Any = ()) -> Any:
    """What a pickle holds. Raises ``TypeError`` for anything but plain builtin types."""
    return _Plain(io.BytesIO(bytes(data)), buffers=buffers or None).load()


@contextmanager
def plain_data_only() -> Iterator[None]:
    """Meanwhile, Dask loads nothing in this process but plain data, and no message of more than ``MOST_BYTES``."""
    import distributed.client  # noqa: PLC0415  the extra; slow to import
    import distributed.comm.tcp  # noqa: PLC0415
    import distributed.protocol.pickle  # noqa: PLC0415

    client: Any = distributed.client
    tcp: Any = distributed.comm.tcp
    protocol: Any = distributed.protocol.pickle
    before = protocol.loads, client.pickle, tcp.read_bytes_rw

    async def read(stream: Any, size: int) -> Any:
        if size > MOST_BYTES:
            raise OSError(f"a message of {size} bytes, more than {MOST_BYTES}, is not read")
        return await before[2](stream, size)

    protocol.loads, tcp.read_bytes_rw = load_plain, read
    client.pickle = SimpleNamespace(loads=load_plain, dumps=pickle.dumps)
    try:
        yield
    finally:
        protocol.loads, client.pickle, tcp.read_bytes_rw = before
