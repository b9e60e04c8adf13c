"""Images in, and attention maps as pictures over them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

from attnbench.core.errors import InputError
from attnbench.core.inputs import files_in

NORMALISATIONS = {
    "unit": (np.zeros(3), np.ones(3)),
    "imagenet": (np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])),
}
"""Mean and standard deviation of red, green and blue that a network was trained with, of values from 0 to 1."""

COLOURS = ((0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191))
"""From nothing to the peak: five points of the magma scale, whose lightness rises evenly."""

STRENGTH = 0.6
"""How much of an overlay is the map."""

TILE, LABEL = 320, 16
"""Pixels: the longer side of an image on a sheet, and the height of a line of text."""


def check_image(path: Path) -> None:
    """Raise ``InputError`` for a file that is no image, from its head alone."""
    with _opened(path):
        pass


def read_image(path: Path) -> Image.Image:
    """An image file, upright, in red, green and blue. Raises ``InputError`` for a file that is none."""
    with _opened(path) as file:
        return ImageOps.exif_transpose(file).convert("RGB")


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as file:
            yield file
    except FileNotFoundError as error:
        raise InputError(f"image: there is no file {path}") from error
    except UnidentifiedImageError as error:
        raise InputError(f"image {path}: no format that Pillow reads") from error
    except OSError as error:
        raise InputError(f"image {path}: cannot be read: {error.strerror or error}") from error


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder by their extensions, sorted. Raises ``InputError`` where there is none."""
    if found := files_in(folder, Image.registered_extensions()):
        return found
    raise InputError(f"images: {folder} is no folder with an image in it")


def network_input(image: Image.Image, shape: Sequence[int], normalisation: str) -> np.ndarray:
    """The image as a network takes it, ``[1, C, H, W]``: stretched to the size, its values from 0 to 1, then normalised.

    Raises ``InputError`` for a network whose channels are neither colours nor grey.
    """
    batch, channels, height, width = shape
    if batch != 1 or channels not in (1, 3):
        raise InputError(f"the network takes {list(shape)}: an image is one of 3 channels, or of 1")
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float64) / 255
    mean, deviation = NORMALISATIONS[normalisation]
    planes = ((pixels - mean) / deviation).transpose(2, 0, 1)
    return (planes if channels == 3 else planes.mean(0, keepdims=True))[None].astype(np.float32)


def overlay(image: Image.Image, values: np.ndarray) -> Image.Image:
    """The map over the image in grey, stretched to it: black where it is lowest, bright where it peaks."""
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / (high - low or 1.0)
    steps = Image.fromarray((255 * scaled).astype(np.uint8)).resize(image.size, Image.Resampling.BICUBIC)
    points = np.linspace(0, 255, len(COLOURS))
    table = np.stack([np.interp(np.arange(256), points, channel) for channel in zip(*COLOURS, strict=True)], 1)
    colours = Image.fromarray(table.astype(np.uint8)[np.asarray(steps)])
    return Image.blend(image.convert("L").convert("RGB"), colours, STRENGTH)


def png(image: Image.Image) -> bytes:
    """The image as the bytes of a PNG file."""
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def sheet(image: Image.Image, overlays: Mapping[str, Image.Image]) -> Image.Image:
    """The image and all overlays on one picture, each under its name."""
    tiles = [(name, ImageOps.contain(one, (TILE, TILE))) for name, one in {"image": image, **overlays}.items()]
    width, height = tiles[0][1].width, tiles[0][1].height + LABEL
    columns = ceil(sqrt(len(tiles) * height / width))
    page = Image.new("RGB", (columns * width, ceil(len(tiles) / columns) * height), "white")
    draw = ImageDraw.Draw(page)
    for number, (name, tile) in enumerate(tiles):
        x, y = number % columns * width, number // columns * height
        draw.text((x + 3, y + 2), name, fill="black")
        page.paste(tile, (x, y + LABEL))
    return page
