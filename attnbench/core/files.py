"""Files written in one step: nobody sees half of one, and a full disk or a kill leaves what was there before."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from attnbench.core.errors import InputError


def write_whole(path: Path, content: str | bytes) -> None:
    """Text or bytes to a file, at once; a device is written as it is. Raises ``InputError`` for what cannot be written."""
    data = content.encode() if isinstance(content, str) else content
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        target = path.resolve()
        part = target.with_name(f".{target.name[:100]}.{os.getpid()}.part")
        try:
            part.write_bytes(data)
            with suppress(FileNotFoundError):
                shutil.copymode(target, part)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
