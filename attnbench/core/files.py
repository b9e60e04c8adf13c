"""Files written in one step: nobody sees half of one, and a full disk or a kill leaves what was there before."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from attnbench.core.errors import InputError


def write_whole(path: Path, text: str) -> None:
    """Text to a file, at once. Raises ``InputError`` for a place that cannot be written; a device is written as it is."""
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        target = path.resolve()
        part = target.with_name(f".{target.name[:100]}.{os.getpid()}.part")
        try:
            part.write_text(text, encoding="utf-8")
            with suppress(FileNotFoundError):
                shutil.copymode(target, part)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
