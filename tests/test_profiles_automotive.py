"""What the profiles of automotive NPUs say of nodes, held to the documents that they restate."""

import numpy as np
import pytest
from test_graph import floats, model_of

from attnbench.npu.judge import judge
from attnbench.npu.rules import PREDICATES
from attnbench.npu.targets import load_target

APACHE, TIDL, ORIN = "aimotive-apache6", "ti-tidl-11.02", "nvidia-orin-dla-trt10"
X3, ULTRA = "horizon-rdk-x3", "horizon-rdk-ultra"
TARGETS = {name: load_target(name) for name in (APACHE, TIDL, ORIN, X3, ULTRA)}
OPS = """
    Conv ConvTranspose Gemm MatMul Softmax Reshape Transpose Flatten Squeeze Unsqueeze Split Slice Gather Concat Expand Resize
    GlobalAveragePool GlobalMaxPool AveragePool MaxPool ReduceMean ReduceMax ReduceSum ReduceL2 Add Sub Mul Div Max Min Sum
    Pow Sqrt Exp Log Erf Abs Neg Relu LeakyRelu PRelu Clip Sigmoid Tanh HardSigmoid HardSwish Elu Gelu Softplus Mish
    LayerNormalization InstanceNormalization BatchNormalization GroupNormalization Pad Cast Where Einsum DeformConv
""".split()
UNLISTED = {
    APACHE: """
        MatMul Gemm Softmax Transpose Expand Gather ReduceSum InstanceNormalization LayerNormalization Einsum DeformConv Erf
        HardSwish Gelu GroupNormalization Max Min Mish ReduceL2 Where
    """.split(),
    TIDL: "ReduceL2 Einsum Where GlobalMaxPool GroupNormalization Softplus".split(),
    ORIN: "Cast Gelu".split(),
    X3: "HardSwish LayerNormalization Gelu GroupNormalization DeformConv Mish".split(),
    ULTRA: "HardSwish LayerNormalization Gelu GroupNormalization DeformConv Mish".split(),
}


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def number(value: float) -> np.ndarray:
    return np.array(value, dtype=np.float32)


def node(op, *inputs, to, **attributes):
    """A graph of one node: a tuple is a computed input of that shape, an array a constant, ``None`` an absent input."""
    names = ["" if value is None else f"i{index}" for index, value in enumerate(inputs)]
    shapes = {name: value for name, value in zip(names, inputs, strict=True) if isinstance(value, tuple)}
    weights = {name: value for name, value in zip(names, inputs, strict=True) if isinstance(value, np.ndarray)}
    return [(op, names, ["y"], attributes)], shapes, {"y": to}, weights


def conv(channels, kernel, outputs=8, stride=1, dilation=1, group=1, side=32):
    high, wide = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    pads = [dilation * (high // 2), dilation * (wide // 2)] * 2
    out = [
        (side + 2 * pad - dilation * (length - 1) - 1) // stride + 1 for pad, length in zip(pads, (high, wide), strict=False)
    ]
    return node(
        "Conv", (1, channels, side, side), floats(outputs, channels // group, high, wide), to=(1, outputs, *out),
        pads=pads, strides=[stride] * 2, dilations=[dilation] * 2, group=group,
    )  # fmt: skip


def deconv(kernel, stride, padding=0, side=8):
    out = (side - 1) * stride + kernel - 2 * padding
    return node(
        "ConvTranspose", (1, 4, side, side), floats(4, 8, kernel, kernel), to=(1, 8, out, out),
        strides=[stride] * 2, pads=[padding] * 4,
    )  # fmt: skip


def pool(op, kernel, stride=1, side=32, **more):
    out = (side - kernel) // stride + 1
    return node(op, (1, 4, side, side), to=(1, 4, out, out), kernel_shape=[kernel] * 2, strides=[stride] * 2, **more)


def global_pool(op, height, width, channels=8):
    return node(op, (1, channels, height, width), to=(1, channels, 1, 1))


def reduction(op, axes, shape=(1, 512, 16, 16), keepdims=1):
    out = tuple(1 if axis in axes else side for axis, side in enumerate(shape))
    out = out if keepdims else tuple(side for axis, side in enumerate(shape) if axis not in axes)
    return node(op, shape, ints(*axes), to=out, keepdims=keepdims)


def gate(op, other, shape=(1, 8, 16, 16)):
    """A map that meets another operand: computed where that is a tuple, constant where it is an array."""
    return node(op, shape, other, to=shape)


def resize(factor, side=8, **attributes):
    out = [int(side * step) for step in (factor if isinstance(factor, tuple) else (factor, factor))]
    return node("Resize", (1, 4, side, side), None, None, ints(1, 4, *out), to=(1, 4, *out), **attributes)


def slicing(axis, start, end, step=1, shape=(1, 16, 32, 32)):
    out = tuple(-(-(end - start) // step) if index == axis else side for index, side in enumerate(shape))
    return node("Slice", shape, ints(start), ints(end), ints(axis), ints(step), to=out)


def unary(op, shape=(1, 8, 16, 16), **attributes):
    return node(op, shape, to=shape, **attributes)


def softmax(axis, shape):
    return node("Softmax", shape, to=shape, axis=axis)


def matmul(first, second):
    shape = second.shape if isinstance(second, np.ndarray) else second
    stack = np.broadcast_shapes(first[:-2], shape[:-2])
    return node("MatMul", first, second, to=(*stack, first[-2], shape[-1]))


def arg_max(channels):
    nodes = [("ArgMax", ["x"], ["a"], {"axis": 1}), ("Cast", ["a"], ["y"], {"to": 1})]
    return nodes, {"x": (1, channels, 8, 8)}, {"y": (1, 1, 8, 8)}


def gelu_parts():
    """GELU as exporters write it."""
    constants = {"root": number(2**0.5), "one": number(1), "half": number(0.5)}
    nodes = [
        ("Div", ["x", "root"], ["a"], {}), ("Erf", ["a"], ["b"], {}), ("Add", ["b", "one"], ["c"], {}),
        ("Mul", ["x", "c"], ["d"], {}), ("Mul", ["d", "half"], ["y"], {}),
    ]  # fmt: skip
    return nodes, {"x": (1, 8, 16, 16)}, {"y": (1, 8, 16, 16)}, constants


def hard_swish_parts():
    """The hard swish as older exporters write it."""
    constants = {"three": number(3), "zero": number(0), "six": number(6)}
    nodes = [
        ("Add", ["x", "three"], ["a"], {}), ("Clip", ["a", "zero", "six"], ["b"], {}),
        ("Mul", ["x", "b"], ["c"], {}), ("Div", ["c", "six"], ["y"], {}),
    ]  # fmt: skip
    return nodes, {"x": (1, 8, 16, 16)}, {"y": (1, 8, 16, 16)}, constants


BROADCAST = "operands 1x8x16x16 and "
SPATIAL = (1, 1, 16, 16)
HALF = {"coordinate_transformation_mode": "half_pixel"}
CORNER = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}

CASES = [
    # AImotive's table: a closed list
    (APACHE, conv(64, 17), "supported", "kernel 17x17, dilation 1x1, stride 1x1"),
    (APACHE, conv(64, 19), "refused", "kernel 19x19"),
    (APACHE, conv(64, 3, dilation=6), "refused", "dilation 6x6"),
    (APACHE, conv(64, 3, stride=3), "refused", "stride 3x3"),
    (APACHE, conv(64, 1, outputs=4, side=1), "efficiency", "4 output channels"),
    (APACHE, conv(64, 1, outputs=16, side=1), "supported", "kernel 1x1"),
    (APACHE, node("Conv", (1, 1, 9), floats(1, 1, 3), to=(1, 1, 7)), "unknown", ""),
    (APACHE, reduction("ReduceMax", [1]), "supported", "axes [1]"),
    (APACHE, reduction("ReduceMean", [0]), "refused", "axes [0]"),
    (APACHE, reduction("ReduceMax", [1], shape=(1, 512, 20, 20)), "efficiency", "output plane 20x20"),
    (APACHE, arg_max(256), "supported", "axes [1], 256 channels"),
    (APACHE, arg_max(512), "refused", "512 channels"),
    (APACHE, global_pool("GlobalAveragePool", 160, 160), "supported", ""),
    (APACHE, gate("Mul", SPATIAL), "supported", "0 constant operands"),
    (APACHE, gate("Mul", floats(1, 8, 1, 1)), "supported", "1 constant operands, constants of shape [1, 8, 1, 1]"),
    (APACHE, gate("Add", floats(1, 1, 16, 16)), "refused", "a constant of shape [1, 1, 16, 16]"),
    (APACHE, gate("Add", floats(8, 1, 1)), "unknown", ""),
    (APACHE, gate("Add", number(1)), "unknown", ""),
    (APACHE, gate("Pow", (1, 8, 16, 16)), "refused", "input 1 is not constant"),
    (APACHE, slicing(1, 0, 8), "supported", "axes [1], axes [1], from [0] to [8]"),
    (APACHE, slicing(1, 0, 4), "refused", "from [0] to [4]"),
    (APACHE, node("Reshape", (1, 8, 16, 16), ints(1, 8, 256), to=(1, 8, 256)), "refused", ""),
    (APACHE, node("Squeeze", (1, 8, 1, 1), ints(2, 3), to=(1, 8)), "supported", "axes [2, 3]"),
    (APACHE, node("Squeeze", (1, 8, 1, 1), ints(3), to=(1, 8, 1)), "refused", "axes [3]"),
    (APACHE, resize(2, mode="nearest", **CORNER), "supported", "attributes {'mode': 'nearest'}"),
    (APACHE, resize(3, mode="nearest", **CORNER), "refused", "scales [3.0, 3.0]"),
    (APACHE, unary("Tanh"), "supported", ""),
    (APACHE, matmul((1, 4, 16, 8), (1, 4, 8, 16)), "refused", ""),
    (APACHE, softmax(3, (1, 4, 16, 16)), "refused", ""),
    (APACHE, unary("HardSwish"), "refused", ""),
    # TI TIDL: what it does not take runs on Arm
    (TIDL, global_pool("GlobalAveragePool", 32, 32), "supported", "rank 4, plane 32x32 = 1024"),
    (TIDL, global_pool("GlobalAveragePool", 64, 40), "fallback", "plane 64x40 = 2560"),
    (TIDL, global_pool("GlobalMaxPool", 8, 8), "fallback", ""),
    (TIDL, conv(8, 7, group=8), "supported", "kernel 7x7, stride 1x1"),
    (TIDL, conv(8, (1, 11), group=8), "fallback", "kernel 1x11, stride 1x1"),
    (TIDL, conv(8, 9, stride=2), "fallback", "kernel 9x9"),
    (TIDL, conv(8, 11, stride=4), "supported", "kernel 11x11"),
    (TIDL, conv(8, 7, stride=4), "fallback", "kernel 7x7"),
    (TIDL, conv(64, 1, outputs=4, side=1), "supported", "stride 1x1"),
    (TIDL, deconv(4, 2), "supported", "kernel 4x4, stride 2x2"),
    (TIDL, deconv(2, 1), "fallback", "kernel 2x2, stride 1x1"),
    (TIDL, reduction("ReduceMax", [1]), "fallback", "axes [-3] of rank 4"),
    (TIDL, reduction("ReduceMax", [2]), "supported", "axes [-2] of rank 4, keepdims 1"),
    (TIDL, reduction("ReduceMean", [1]), "supported", ""),
    (TIDL, softmax(-2, (1, 4, 16, 16)), "supported", "axes [-2] of rank 4"),
    (TIDL, softmax(1, (1, 4, 16, 16)), "fallback", "axes [-3] of rank 4"),
    (TIDL, matmul((1, 4, 16, 8), (1, 4, 8, 16)), "supported", "3 sides longer than 1"),
    (TIDL, gate("Mul", (1, 8, 1, 1)), "supported", "2 inputs"),
    (TIDL, gate("Mul", SPATIAL), "constrained", "2 inputs"),
    (TIDL, gate("Add", floats(16)), "supported", "2 inputs"),
    (TIDL, gate("Add", (1, 8, 16, 16), shape=(2, 8, 16, 16)), "unknown", ""),
    (TIDL, node("Transpose", (2, 3, 4, 5, 6), to=(6, 2, 3, 4, 5), perm=[4, 0, 1, 2, 3]), "fallback", "permutation [4, 0"),
    (TIDL, slicing(1, 0, 8), "constrained", "rank 4, batch 1, constant, axes [1], steps [1]"),
    (TIDL, slicing(2, 0, 32, step=2), "fallback", "steps [2]"),
    (TIDL, pool("MaxPool", 2, 2), "supported", "dilation 1x1"),
    (TIDL, pool("MaxPool", 5), "unknown", ""),
    (TIDL, resize(2, mode="linear", **HALF), "supported", "attributes {'coordinate_transformation_mode': 'half_pixel'}"),
    (TIDL, resize(2, mode="nearest", **CORNER), "supported", "attributes {'nearest_mode': 'floor'"),
    (TIDL, resize(2, mode="nearest", **HALF), "fallback", "attributes {'nearest_mode': 'round_prefer_floor'"),
    (TIDL, resize(3, mode="linear", **HALF), "fallback", "scales [3.0, 3.0]"),
    (TIDL, resize(2, mode="cubic"), "fallback", ""),
    (TIDL, node("Gemm", (1, 64), floats(64, 8), floats(8), to=(1, 8)), "supported", "constant, attributes {'transA': 0"),
    (TIDL, node("Gemm", (1, 64), floats(64, 8), floats(1), to=(1, 8)), "fallback", "shapes [1] for 8"),
    (TIDL, unary("HardSigmoid"), "supported", "3 sides longer than 1"),
    (TIDL, node("Clip", (1, 8), number(0), number(6), to=(1, 8)), "supported", "clips to [0, 6]"),
    (TIDL, node("Clip", (1, 8), number(1), number(6), to=(1, 8)), "fallback", "clips to [1, 6]"),
    (TIDL, unary("Erf"), "fallback", ""),
    (TIDL, reduction("ReduceL2", [1]), "fallback", ""),
    # NVIDIA's DLA: what it does not take runs on the GPU
    (ORIN, global_pool("GlobalAveragePool", 64, 40), "fallback", ""),
    (ORIN, global_pool("GlobalMaxPool", 64, 40), "supported", "rank 4, batch 1, a side of 64"),
    (ORIN, reduction("ReduceMean", [1]), "fallback", ""),
    (ORIN, reduction("ReduceMax", [1]), "supported", "rank 4, axes [1]"),
    (ORIN, conv(64, 1, outputs=4, side=1), "supported", "rank 4, kernel 1x1"),
    (ORIN, conv(8, 7, group=8), "supported", "rank 4, kernel 7x7"),
    (ORIN, conv(2, 33), "fallback", "kernel 33x33"),
    (ORIN, conv(2, 3, dilation=4), "unknown", ""),
    (ORIN, node("Conv", (1, 2, 8, 8), floats(8, 2, 1, 1), to=(1, 8, 10, 10), pads=[1] * 4), "fallback", ""),
    (ORIN, deconv(4, 2), "supported", "rank 4, kernel 4x4"),
    (ORIN, deconv(4, 2, padding=1), "fallback", "padding [1, 1, 1, 1]"),
    (ORIN, matmul((1, 4, 16, 8), (1, 4, 8, 16)), "fallback", "input 1 is not constant"),
    (ORIN, matmul((1, 4, 16, 8), floats(8, 16)), "supported", "constant"),
    (ORIN, softmax(3, (1, 4, 1024, 1024)), "supported", "axes [3], 1024 elements along the axis"),
    (ORIN, softmax(3, (1, 4, 1025, 1025)), "fallback", "1025 elements along the axis"),
    (ORIN, softmax(1, (1, 4096, 1, 1)), "supported", "axes [1], 4096 elements along the axis"),
    (ORIN, softmax(2, (8, 16, 16)), "unknown", ""),
    (ORIN, gate("Mul", (1, 8, 1, 1)), "supported", "batch 1, a side of 16"),
    (ORIN, gate("Mul", SPATIAL), "unknown", ""),
    (ORIN, gate("Div", number(6)), "supported", "1 constant operands"),
    (ORIN, gate("Min", SPATIAL), "unknown", ""),
    (ORIN, unary("Sigmoid"), "supported", "batch 1, a side of 16"),
    (ORIN, unary("Relu", (1, 8, 1, 9000)), "fallback", "a side of 9000"),
    (ORIN, unary("HardSigmoid"), "fallback", ""),
    (ORIN, node("Flatten", (1, 8, 1, 1), to=(1, 8)), "fallback", ""),
    (ORIN, node("Transpose", (1, 8, 4, 4), to=(1, 4, 4, 8), perm=[0, 2, 3, 1]), "unknown", ""),
    (ORIN, node("Concat", SPATIAL, SPATIAL, to=(1, 2, 16, 16), axis=1), "supported", "axes [1]"),
    (ORIN, node("Concat", SPATIAL, SPATIAL, to=(1, 1, 32, 16), axis=2), "fallback", "axes [2]"),
    (ORIN, pool("AveragePool", 9), "fallback", "kernel 9x9"),
    (ORIN, resize(2, mode="nearest", **CORNER), "supported", "rank 4, attributes {'nearest_mode': 'floor'}"),
    (ORIN, resize(8, mode="linear", **HALF), "fallback", "scales [8.0, 8.0]"),
    # Horizon's X3: what the BPU does not take runs on the CPU, what the table does not list nowhere
    (X3, global_pool("GlobalAveragePool", 64, 40), "supported", "plane 64x40 = 2560"),
    (X3, global_pool("GlobalAveragePool", 96, 96), "fallback", "plane 96x96 = 9216"),
    (X3, global_pool("GlobalMaxPool", 64, 40), "supported", "plane 64x40"),
    (X3, reduction("ReduceMax", [1]), "fallback", ""),
    (X3, reduction("ReduceMean", [1]), "fallback", "axes [1]"),
    (X3, reduction("ReduceMean", [2, 3], keepdims=0), "supported", "rank 4, axes [2, 3]"),
    (X3, conv(64, 7), "supported", "rank 4, kernel 7x7, 64 channels, 8 output channels, 3136 weights an output"),
    (X3, conv(64, 9), "fallback", "kernel 9x9"),
    (X3, conv(1024, 7), "fallback", "50176 weights an output"),
    (X3, conv(1024, 7, outputs=1024, group=1024), "supported", "rank 4, kernel 7x7, 1 channels a group"),
    (X3, conv(8, 3, dilation=3), "fallback", "dilation 3x3"),
    (X3, conv(64, 1, outputs=4, side=1), "supported", "rank 4, kernel 1x1"),
    (X3, deconv(4, 2, padding=1), "supported", "rank 4, kernel 4x4"),
    (X3, deconv(4, 2, padding=2), "fallback", "padding [2, 2, 2, 2], kernel 4x4"),
    (X3, gate("Mul", (1, 8, 1, 1)), "supported", "operands of rank 4 and 4, 8 output channels, operands 1x8"),
    (X3, gate("Mul", SPATIAL), "fallback", BROADCAST + "1x1x16x16"),
    (X3, gate("Mul", number(2)), "unknown", ""),
    (X3, gate("Add", floats(1, 8, 1, 1)), "fallback", "1 constant operands"),
    (X3, gate("Add", (1, 8, 16, 16)), "supported", "0 constant operands, operands of rank 4 and 4"),
    (X3, gate("Div", floats(1, 8, 1, 1)), "fallback", "1 constant operands"),
    (X3, unary("Sigmoid", (1, 8192, 1, 1)), "supported", "8192 aligned elements"),
    (X3, unary("Sigmoid", (1, 1, 32, 64)), "supported", "8192 aligned elements"),
    (X3, unary("Sigmoid", (1, 1, 64, 40)), "fallback", "10240 aligned elements"),
    (X3, unary("Sqrt", (1, 8, 32, 32)), "supported", "8192 elements an image"),
    (X3, unary("Tanh", (1, 16, 32, 32)), "fallback", "16384 elements an image"),
    (X3, matmul((1, 4, 16, 8), (1, 4, 8, 16)), "fallback", "second operand 1x4x8x16"),
    (X3, matmul((1, 4, 16, 8), (1, 1, 8, 16)), "supported", "operands of rank 4 and 4, second operand 1x1x8x16"),
    (X3, matmul((1, 196, 64), floats(64, 64)), "supported", "second operand 64x64"),
    (X3, softmax(1, (1, 8, 4, 4)), "constrained", "batch 1"),
    (X3, softmax(3, (1, 8, 4, 4)), "fallback", ""),
    (X3, node("Concat", (1, 2048, 2, 2), (1, 8, 2, 2), to=(1, 2056, 2, 2), axis=1), "fallback", "2056 output channels"),
    (X3, node("Reshape", (1, 8, 16, 16), ints(1, 8, 256), to=(1, 8, 256)), "fallback", ""),
    (X3, unary("HardSwish"), "refused", ""),
    (X3, node("Einsum", (4, 8), (8, 4), to=(4, 4), equation="ij,jk->ik"), "refused", ""),
    # Horizon's Ultra
    (ULTRA, global_pool("GlobalAveragePool", 160, 160), "supported", "rank 4"),
    (ULTRA, global_pool("GlobalMaxPool", 320, 160), "fallback", "plane 320x160"),
    (ULTRA, reduction("ReduceMax", [1]), "supported", "rank 4, rank 4, axes [1], 512 elements along the axis, keepdims 1"),
    (ULTRA, reduction("ReduceMax", [1], keepdims=0), "fallback", "keepdims 0"),
    (ULTRA, reduction("ReduceMax", [1], shape=(1, 8193, 2, 2)), "fallback", "8193 elements along the axis"),
    (ULTRA, reduction("ReduceMean", [1]), "supported", "rank 4, rank 4, axes [1]"),
    (ULTRA, reduction("ReduceMean", [1, 2]), "fallback", "axes [1, 2]"),
    (ULTRA, reduction("ReduceL2", [1]), "fallback", ""),
    (ULTRA, conv(64, 31), "supported", "rank 4, kernel 31x31"),
    (ULTRA, conv(64, 33), "fallback", "kernel 33x33"),
    (ULTRA, conv(64, 1, outputs=4, side=1), "supported", "rank 4, kernel 1x1"),
    (ULTRA, conv(8, 3, dilation=2, stride=2), "fallback", "stride 2x2"),
    (ULTRA, conv(8, 3, dilation=5), "fallback", "plane 32x32, dilation 5x5"),
    (ULTRA, deconv(1, 2), "fallback", ""),
    (ULTRA, gate("Mul", SPATIAL), "supported", "0 constant operands"),
    (ULTRA, gate("Mul", (1, 8, 16, 16), shape=(2, 8, 16, 16)), "fallback", "operands 2x8x16x16 and 1x8x16x16"),
    (ULTRA, gate("Sub", floats(1, 8, 1, 1)), "supported", "1 constant operands"),
    (ULTRA, gate("Div", floats(1, 8, 1, 1)), "fallback", "1 constant operands"),
    (ULTRA, matmul((1, 4, 16, 8), (1, 4, 8, 16)), "supported", "operands of rank 4 and 4, a matrix side of 16"),
    (ULTRA, matmul((1, 196, 64), floats(64, 64)), "fallback", "operands of rank 3 and 2"),
    (ULTRA, softmax(3, (1, 4, 16, 16)), "constrained", "batch 1"),
    (ULTRA, softmax(2, (1, 4, 16)), "fallback", ""),
    (ULTRA, node("Reshape", (1, 8, 16, 16), ints(1, 8, 256), to=(1, 8, 256)), "supported", "rank 4"),
    (ULTRA, node("Expand", (1, 8, 1, 1), ints(1, 8, 4, 4), to=(1, 8, 4, 4)), "fallback", "1x8x1x1 to 1x8x4x4"),
    (ULTRA, unary("HardSigmoid"), "supported", "rank 4"),
    (ULTRA, unary("Erf"), "fallback", ""),
    (ULTRA, unary("HardSwish"), "refused", ""),
    (ULTRA, node("Einsum", (4, 8), (8, 4), to=(4, 4), equation="ij,jk->ik"), "refused", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "model", "level", "measured"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_the_document_says_of_a_node(name, model, level, measured):
    finding = judge(model_of(*model), TARGETS[name])[0]
    assert (finding.level, finding.measured[: len(measured)]) == (level, measured), finding
    assert finding.reason
    assert finding.source


def test_every_target_has_cases_of_every_kind():
    for name in TARGETS:
        levels = [level for target, _, level, _ in CASES if target == name]
        assert len(levels) >= 12
        assert {"supported", "fallback" if name != APACHE else "refused"} <= set(levels)


def test_a_fallback_names_where_it_runs():
    model = model_of(*reduction("ReduceL2", [1]))
    devices = {name: judge(model, target)[0].device for name, target in TARGETS.items()}
    assert devices == {APACHE: "", TIDL: "arm", ORIN: "gpu", X3: "cpu", ULTRA: "cpu"}


def test_the_report_and_the_table_disagree_about_512_channels():
    model = model_of(*reduction("ReduceMax", [1]))
    assert [judge(model, target)[0].level for target in (load_target("aimotive"), TARGETS[APACHE])] == [
        "refused",
        "supported",
    ]


def test_erf_is_taken_inside_gelu_only():
    parts = judge(model_of(*gelu_parts()), TARGETS[TIDL])
    assert {(finding.level, finding.composite, finding.rule) for finding in parts} == {
        ("supported", "Gelu", "gelu-written-out")
    }
    alone = judge(model_of(*unary("Erf")), TARGETS[TIDL])[0]
    whole = judge(model_of(*unary("Gelu"), opset=20), TARGETS[TIDL])[0]
    assert [(finding.level, finding.device) for finding in (alone, whole)] == [("fallback", "arm")] * 2


def test_layer_normalisation_over_the_last_axis_only():
    vectors = (floats(16), floats(16))
    for axis, level in ((-1, "supported"), (3, "supported"), (2, "fallback")):
        scales = vectors if axis != 2 else (floats(16, 16), floats(16, 16))
        model = node("LayerNormalization", (1, 8, 16, 16), *scales, to=(1, 8, 16, 16), axis=axis)
        assert judge(model_of(*model), TARGETS[TIDL])[0].level == level


def test_a_hard_swish_written_out_runs_on_the_dla_where_the_op_does_not():
    assert {finding.level for finding in judge(model_of(*hard_swish_parts()), TARGETS[ORIN])} == {"supported"}
    assert judge(model_of(*unary("HardSwish")), TARGETS[ORIN])[0].level == "fallback"


def test_a_cast_is_taken_at_the_networks_ends_only():
    cast = ("Cast", ["x"], ["a"], {"to": 1})
    inside = [("Relu", ["x"], ["b"], {}), ("Cast", ["b"], ["c"], {"to": 1}), ("Relu", ["c"], ["y"], {})]
    ends = [cast, ("Relu", ["a"], ["y"], {})]
    shapes = {"x": (1, 8)}, {"y": (1, 8)}
    assert judge(model_of(ends, *shapes), TARGETS[TIDL])[0].level == "supported"
    assert judge(model_of(inside, *shapes), TARGETS[TIDL])[1].measured == "inside the network"


def test_batch_normalisation_on_x3_needs_a_convolution_before_it():
    norm = ("BatchNormalization", ["a", "s", "s", "s", "s"], ["y"], {})
    weights = {"s": floats(8), "w": floats(8, 8, 1, 1)}
    shapes = {"x": (1, 8, 4, 4)}, {"y": (1, 8, 4, 4)}
    behind_conv = model_of([("Conv", ["x", "w"], ["a"], {}), norm], *shapes, weights)
    behind_relu = model_of([("Relu", ["x"], ["a"], {}), norm], *shapes, {"s": weights["s"]})
    assert [judge(model, TARGETS[X3])[1].level for model in (behind_conv, behind_relu)] == ["supported", "unknown"]


@pytest.mark.parametrize(
    ("pads", "reader", "rule", "level", "measured"),
    [
        ((0, 0, 1, 1), ("Conv", {}), "pad-before-window", "supported", "read by Conv"),
        ((0, 0, 1, 1), ("Conv", {"pads": [1] * 4}), "pad-before-window", "refused", "read by Conv with padding"),
        ((0, 0, 1, 1), ("Relu", {}), "pad-before-window", "refused", "read by Relu"),
        ((0, 4, 0, 0), ("Relu", {}), "pad-channels", "supported", ""),
    ],
)
def test_padding_on_apache6_is_for_channels_or_for_windows(pads, reader, rule, level, measured):
    op, attributes = reader
    channels, side = 8 + 2 * pads[1], 16 - 2 * pads[2]
    reads = {"Conv": ["p", "w"], "Relu": ["p"]}[op]
    inner = {"Conv": 14 + sum(attributes.get("pads", ())) // 2, "Relu": 16}[op]
    nodes = [("Pad", ["x", "pads"], ["p"], {}), (op, reads, ["y"], attributes)]
    weights = {"pads": ints(*pads, *pads), "w": floats(channels, channels, 3, 3)}
    model = model_of(nodes, {"x": (1, 8, side, side)}, {"y": (1, channels, inner, inner)}, weights)
    finding = judge(model, TARGETS[APACHE])[0]
    assert (finding.rule, finding.level, finding.measured) == (rule, level, measured)


@pytest.mark.parametrize(
    ("first", "second", "met"),
    [
        ((4, 5, 2, 3), (4, 1, 3, 2), True), ((4, 1, 2, 3), (1, 5, 3, 2), False), ((1, 1, 2, 3), (4, 5, 3, 2), True),
        ((4, 1, 2, 3), (4, 5, 3, 2), False), ((6, 4, 5, 2, 3), (6, 1, 1, 3, 2), True),
        ((6, 4, 5, 2, 3), (6, 1, 5, 3, 2), False), ((1, 4, 2, 3), (1, 4, 3, 2), True),
    ],
)  # fmt: skip
def test_stacks_of_matrices_meet_as_ultras_examples_do(first, second, met):
    single = next(iter(model_of(*matmul(first, second)).graph))
    assert PREDICATES["stacks_meet"](single, True).within == met


@pytest.mark.parametrize("name", TARGETS)
class TestProfile:
    def test_its_head_says_what_was_read_and_of_when(self, name):
        target = TARGETS[name]
        assert target.date[:4].isdigit()
        assert "@" in target.source or target.source.startswith("https://")
        assert target.unlisted == ("error" if name in (APACHE, X3, ULTRA) else target.beyond)

    def test_every_rule_can_be_the_first_for_each_of_its_ops(self, name):
        rules = TARGETS[name].rules
        hidden = [
            (rule.id, op)
            for index, rule in enumerate(rules)
            for op in rule.ops
            if any(op in earlier.ops and not earlier.where for earlier in rules[:index])
        ]
        assert not hidden

    def test_every_reason_is_one_sentence_of_its_own(self, name):
        reasons = [rule.reason for rule in TARGETS[name].rules]
        assert len(set(reasons)) == len(reasons)
        assert all(10 < len(reason) < 240 and not reason.endswith(".") and "\n" not in reason for reason in reasons)

    def test_its_evidence_is_the_documents(self, name):
        assert {rule.evidence for rule in TARGETS[name].rules} == {"third-party" if name == APACHE else "vendor-doc"}

    def test_it_answers_for_every_op_of_interest(self, name):
        assert [op for op in OPS if not TARGETS[name].rules_for(op)] == [op for op in OPS if op in UNLISTED[name]]
