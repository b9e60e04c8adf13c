"""A float graph to int8 in Q/DQ form, by ``onnxruntime.quantization``: static, weights of int8 with a scale a channel.

Activations are uint8 around a zero point of their own. On an x86 CPU whose kernels add products of 8 bits in 16 (no VNNI),
weights get 7 bits, because the sums would overflow: ONNX Runtime's own advice (``reduce_range``). Ranges are minimum and
maximum over the images that a graph is calibrated on; without the user's these are seeded noise, which is good for what
int8 costs and for nothing else.
"""

import logging
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime import quantization

from attnbench.core.errors import CaseRefused, InputError
from attnbench.core.inputs import ARRAYS, IMAGES, files_in, pixels
from attnbench.graph.quiet import quiet

Ranges = Mapping[str, Any]
"""By tensor the least and the largest value that it was seen to have, as ONNX Runtime's calibrator gives it."""

NOISE_SAMPLES, MOST_SAMPLES = 2, 32
"""How many maps of noise a graph is calibrated on, and how many of the user's files at most."""


def noise(shape: Sequence[int], seed: int) -> list[np.ndarray]:
    """Maps of normal noise, the same for the same seed and shape."""
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(tuple(shape), dtype=np.float32) for _ in range(NOISE_SAMPLES)]


def samples_in(folder: Path, shape: Sequence[int]) -> list[np.ndarray]:
    """What a graph is calibrated on from a folder: ``.npy`` files as they are, images stretched to ``[N, C, H, W]``.

    An image's values go from 0 to 1; what a network wants otherwise stands in ``.npy`` files, of the input's own shape or
    ``[C, H, W]``. The first ``MOST_SAMPLES`` files by name. Raises ``InputError`` for a folder without any, and for a file
    that does not fit.
    """
    found = files_in(folder, ARRAYS | IMAGES)
    if not found:
        raise InputError(f"--calibration {folder}: no folder with images or .npy files in it")
    return [_sample(path, tuple(shape)) for path in found[:MOST_SAMPLES]]


def _sample(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    if path.suffix.lower() == ".npy":
        try:
            values = np.load(path, allow_pickle=False).astype(np.float32)
        except (OSError, ValueError) as error:
            raise InputError(f"calibration {path}: cannot be read as .npy: {error}") from error
        values = values[None] if values.ndim == len(shape) - 1 else values
        if values.shape[1:] != shape[1:] or values.shape[0] not in (1, shape[0]):
            raise InputError(f"calibration {path}: holds {list(values.shape)}, and the network takes {list(shape)}")
        return np.ascontiguousarray(np.broadcast_to(values, shape))
    _, channels, height, width = shape
    try:
        planes = pixels(path, channels, height, width)
    except OSError as error:
        raise InputError(f"calibration {path}: no image that Pillow reads: {error}") from error
    if planes.shape[0] != channels:
        raise InputError(f"calibration {path}: an image has 3 channels, and the network takes {channels}: give .npy files")
    return np.ascontiguousarray(np.broadcast_to(planes[None], shape))


class _Samples(quantization.CalibrationDataReader):  # type: ignore[misc]
    """The images, one after the other, as the calibrator asks for them."""

    def __init__(self, name: str, images: Iterable[np.ndarray]) -> None:
        self.left = iter([{name: image} for image in images])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next image; ``None`` after the last."""
        return next(self.left, None)


def calibrate(model: Path, images: Sequence[np.ndarray]) -> Ranges:
    """The ranges of a graph's tensors over some images. Raises ``CaseRefused``."""
    try:
        with tempfile.TemporaryDirectory() as folder, quiet(logging.ERROR, ""):
            calibrator = quantization.create_calibrator(
                model, augmented_model_path=str(Path(folder, "augmented.onnx")), use_external_data_format=True
            )
            name = onnx.load(str(model), load_external_data=False).graph.input[0].name
            calibrator.collect_data(_Samples(name, images))
            return dict(calibrator.compute_data().data)
    except Exception as error:  # the quantiser raises types of its own and of ONNX Runtime's
        raise CaseRefused("quantise", f"it cannot be calibrated: {_first_line(error)}") from error


def quantise(model: Path, result: Path, ranges: Ranges, *, reduce_range: bool) -> None:
    """Write a graph in Q/DQ form with these ranges, its weights inside. Raises ``CaseRefused``."""
    try:
        with tempfile.TemporaryDirectory() as folder, quiet(logging.ERROR, ""):
            known = Path(folder, "ranges.json")
            data = quantization.TensorsData(quantization.CalibrationMethod.MinMax, dict(ranges))
            quantization.save_tensors_data(data, known)
            quantization.quantize_static(
                model,
                result,
                None,
                per_channel=True,
                reduce_range=reduce_range,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                calibration_cache_path=known,
            )
    except Exception as error:  # the quantiser raises types of its own and of ONNX Runtime's
        raise CaseRefused("quantise", f"ONNX Runtime does not quantise it: {_first_line(error)}") from error


def strays(model: Path, image: np.ndarray, *, floats: Path) -> tuple[float, float]:
    """How far two runs of a Q/DQ graph lie apart, and how far it lies from the float graph, at the outputs.

    The two runs are with all optimisations of the runtime, and with none. Both are root mean squares, as shares of the float
    outputs'.
    """
    level = ort.GraphOptimizationLevel
    plain, optimised = (run(model, image, of)[0] for of in (level.ORT_DISABLE_ALL, level.ORT_ENABLE_ALL))
    exact, _ = run(floats, image)
    scale = _apart(exact, [np.zeros_like(one) for one in exact]) or 1.0
    return _apart(plain, optimised) / scale, _apart(plain, exact) / scale


def run(
    model: Path, image: np.ndarray, level: Any = ort.GraphOptimizationLevel.ORT_ENABLE_ALL, more: Sequence[str] = ()
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The outputs of a graph, and some of its inner tensors. Raises ``CaseRefused``."""
    options = ort.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.intra_op_num_threads, options.log_severity_level, options.graph_optimization_level = 1, 3, level
    try:
        with _with_outputs(model, more) as path:
            session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            found = session.run(None, {session.get_inputs()[0].name: image})
    except Exception as error:  # onnxruntime raises types of its own, none public
        raise CaseRefused("quantise", f"ONNX Runtime does not run it: {_first_line(error)}") from error
    return found[: len(found) - len(more)], found[len(found) - len(more) :]


@contextmanager
def _with_outputs(model: Path, names: Sequence[str]) -> Iterator[Path]:
    """A graph whose outputs are these tensors, too, beside the file that it is made of, where its weights are found."""
    if not names:
        yield model
        return
    proto = onnx.load(str(model), load_external_data=False)
    proto.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    path = model.with_suffix(".open.onnx")
    path.write_bytes(proto.SerializeToString())
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def signal_to_noise(model: Path, floats: Path, images: Sequence[np.ndarray], tensors: Sequence[str]) -> float | None:
    """Decibels by which tensors of the float graph are larger than what int8 makes wrong of them (SQNR), over all images.

    Of a tensor, what the next node reads counts: it as it was quantised. ``None`` where nothing is wrong, or nothing there.
    """
    made = {name for node in onnx.load(str(model), load_external_data=False).graph.node for name in node.output}
    read = [next((n for n in (f"{t}_DequantizeLinear_Output", t) if n in made), None) for t in tensors]
    if not tensors or None in read:
        return None
    signal = wrong = 0.0
    for image in images:
        _, wanted = run(floats, image, more=tensors)
        _, given = run(model, image, more=[name for name in read if name is not None])
        signal += sum(float((one.astype(np.float64) ** 2).sum()) for one in wanted)
        pairs = zip(wanted, given, strict=True)
        wrong += sum(float(((one.astype(np.float64) - other) ** 2).sum()) for one, other in pairs)
    return 10 * math.log10(signal / wrong) if signal and wrong else None


def _apart(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> float:
    """The root mean square of the difference of two runs' outputs."""
    squares = [(one.astype(np.float64) - other) ** 2 for one, other in zip(left, right, strict=True)]
    return math.sqrt(sum(float(one.sum()) for one in squares) / max(1, sum(one.size for one in squares)))


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
