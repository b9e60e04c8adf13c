"""What a graph is fed: seeded normal noise, or the user's own arrays and images, in turn.

A ``.npy`` file holds one input or several, float32 or what becomes that; an image is resized to the input's sides and scaled
to 0..1. Whoever normalises otherwise gives arrays.
"""

import hashlib
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

ARRAYS, IMAGES = frozenset((".npy",)), frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm"))


def input_files(folder: str) -> list[Path]:
    """The arrays and images of a folder, by name. Raises ``InputError`` where there is none."""
    if not Path(folder).is_dir():
        raise InputError(f"inputs: there is no folder {folder}")
    if found := files_in(Path(folder), ARRAYS | IMAGES):
        return found
    raise InputError(f"inputs: {folder} holds no .npy file and no image")


def files_in(folder: Path, endings: Container[str]) -> list[Path]:
    """The files of a folder whose names end so, whatever the case of their letters, by name; none without a folder."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in endings)


def inputs_mark(folder: str) -> str:
    """The folder's name and a hash of what it holds: what two runs must share."""
    content = hashlib.sha256()
    for path in input_files(folder):
        content.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"{Path(folder).resolve().name} {content.hexdigest()[:12]}"


def read_inputs(folder: str, shape: tuple[int, ...]) -> "list[np.ndarray]":
    """What the folder holds, as inputs of this shape. Raises ``InputError`` for a file that cannot be one."""
    return [array for path in input_files(folder) for array in _read(path, shape)]


def _read(path: Path, shape: tuple[int, ...]) -> "Iterator[np.ndarray]":
    import numpy as np  # noqa: PLC0415  planning reads names and hashes alone

    if path.suffix.lower() in IMAGES:
        yield np.broadcast_to(_image(path, shape), shape).copy()
        return
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"inputs: {path} is no array: {error}") from error
    if array.shape == shape[1:]:
        array = np.broadcast_to(array, shape)
    if array.shape[1:] != shape[1:] or len(array) % shape[0] or not len(array) or array.dtype.kind not in "fiub":
        raise InputError(f"inputs: {path} is {array.dtype} of {list(array.shape)}: the input is {list(shape)}")
    for start in range(0, len(array), shape[0]):
        yield np.ascontiguousarray(array[start : start + shape[0]], dtype=np.float32)


def pixels(path: Path, channels: int, height: int, width: int) -> "np.ndarray":
    """An image file as ``[C, H, W]``, stretched to the size, its values from 0 to 1: grey for one channel, else of three.

    Raises ``OSError`` for a file that is no image.
    """
    import numpy as np  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415  only where images are given

    with Image.open(path) as image:
        sized = image.convert("L" if channels == 1 else "RGB").resize((width, height))
    values = np.asarray(sized, dtype=np.float32) / 255
    return values[None] if channels == 1 else values.transpose(2, 0, 1)


def _image(path: Path, shape: tuple[int, ...]) -> "np.ndarray":
    if len(shape) != 4 or shape[1] not in (1, 3):
        raise InputError(f"inputs: {path} is an image, and the input is {list(shape)}: give .npy files")
    try:
        return pixels(path, *shape[1:])
    except OSError as error:
        raise InputError(f"inputs: {path} is no image: {error}") from error
