"""What the profiles of edge NPUs say of single nodes: Rockchip RK3588, Axelera Metis, Kneron KL520 and KL720, DEEPX DX-M1.

Each case names the rule that must judge the node, the level it must come to, and how the measured text begins. The values
are those of the vendors' documents. Together the cases reach every rule of the five profiles.
"""

import datetime as dt

import numpy as np
import pytest
from test_graph import floats, model_of

from attnbench.npu.judge import judge
from attnbench.npu.targets import load_target

RK3588, AXELERA, KL520, KL720, DEEPX = (
    "rockchip-rk3588-2.3.2", "axelera-metis-1.2.5", "kneron-kl520", "kneron-kl720", "deepx-2.4.1",
)  # fmt: skip
MAP, PLANE_GATE, CHANNEL_GATE = (1, 8, 4, 6), (1, 1, 4, 6), (1, 8, 1, 1)
ROOT = np.float32(2**0.5)


def one(op, *operands, outputs=1, opset=20, **attributes):
    """One node: a tuple is the shape of a variable operand, an array a constant one, ``None`` one that is left out."""
    names = ["" if operand is None else f"i{k}" for k, operand in enumerate(operands)]
    inputs = {f"i{k}": operand for k, operand in enumerate(operands) if isinstance(operand, tuple)}
    weights = {f"i{k}": operand for k, operand in enumerate(operands) if not isinstance(operand, tuple | None)}
    made = [f"y{k}" for k in range(outputs)]
    return [(op, names, made, attributes)], inputs, dict.fromkeys(made), weights, opset


def written(*nodes, x=MAP, **weights):
    """Several nodes from ``x`` to ``y``, each (op, inputs, output) or with attributes as well."""
    made = [
        (op, names.split(), [output], *rest) if rest else (op, names.split(), [output], {})
        for op, names, output, *rest in nodes
    ]
    return made, {"x": x}, {"y": None}, weights, 20


def conv(kernel, channels=8, outputs=8, *, side=40, op="Conv", opset=20, **attributes):
    groups = attributes.get("group", 1)
    shape = (outputs, channels // groups) if op == "Conv" else (channels, outputs // groups)
    return one(op, (1, channels, *(side,) * len(kernel)), floats(*shape, *kernel), opset=opset, **attributes)


def transposed(kernel, *args, **attributes):
    return conv(kernel, *args, op="ConvTranspose", **attributes)


def unary(op, shape=MAP, **attributes):
    return one(op, shape, **attributes)


def reduced(op, axes, shape=MAP, keepdims=1):
    return one(op, shape, ints(*axes), keepdims=keepdims)


def resized(scale, *, mode="nearest", shape=MAP, roi=None, **attributes):
    scales = np.array([1, 1, *(scale if isinstance(scale, tuple) else (scale, scale))], dtype=np.float32)
    return one("Resize", shape, roi, scales, mode=mode, **attributes)


def sliced(axes, *, shape=MAP, steps=None):
    ends = ints(*(1 for _ in axes))
    return one("Slice", shape, ints(*(0 for _ in axes)), ends, ints(*axes), *(() if steps is None else (ints(*steps),)))


def padded(pads, *extra, shape=MAP, **attributes):
    return one("Pad", shape, ints(*pads), *extra, **attributes)


def pooled(op, kernel, shape=(1, 8, 40, 40), **attributes):
    return one(op, shape, kernel_shape=kernel, **attributes)


def normalised(op, channels=8):
    vector = floats(channels)
    return one(op, MAP, *(vector,) * (4 if op == "BatchNormalization" else 2))


def ints(*values):
    return np.array(values, dtype=np.int64)


def number(value):
    return np.array(value, dtype=np.float32)


def hard_sigmoid_written_out():
    nodes = [("Add", "x three", "a"), ("Clip", "a zero six", "b"), ("Mul", "b sixth", "y")]
    return written(*nodes, three=number(3), zero=number(0), six=number(6), sixth=number(1 / 6))


def gelu_written_out():
    nodes = [("Div", "x root", "a"), ("Erf", "a", "b"), ("Add", "b one", "c"), ("Mul", "x c", "d"), ("Mul", "d half", "y")]
    return written(*nodes, root=ROOT, one=number(1), half=number(0.5))


def layer_norm_written_out():
    nodes = [
        ("ReduceMean", "x axes", "m"), ("Sub", "x m", "c"), ("Pow", "c two", "p"), ("ReduceMean", "p axes", "v"),
        ("Add", "v eps", "e"), ("Sqrt", "e", "s"), ("Div", "c s", "n"), ("Mul", "n scale", "w"), ("Add", "w bias", "y"),
    ]  # fmt: skip
    return written(*nodes, x=(1, 9, 8), axes=ints(-1), two=number(2), eps=number(1e-5), scale=floats(8), bias=floats(8))


def swish_written_out():
    return written(("Sigmoid", "x", "a"), ("Mul", "x a", "y"))


def attention_written_out(tokens=9):
    nodes = [("MatMul", ["q", "k"], ["a"], {}), ("Softmax", ["a"], ["b"], {"axis": -1}), ("MatMul", ["b", "v"], ["y"], {})]
    return nodes, {"q": (1, 2, tokens, 4), "k": (1, 2, 4, tokens), "v": (1, 2, tokens, 4)}, {"y": None}, {}, 20


def biased():
    return written(("MatMul", "x w", "a"), ("Add", "a bias", "y"), w=floats(6, 6), bias=floats(6))


def unnamed():
    return unary("Softsign")


CASES = {
    RK3588: [
        ("conv", "supported", "kernel 31x31", conv((31, 31))),
        ("conv", "fallback", "kernel 33x33", conv((33, 33))),
        ("conv", "fallback", "stride 8x8", conv((3, 3), strides=[8, 8])),
        ("conv", "fallback", "padding [16, 16, 16, 16]", conv((3, 3), pads=[16] * 4)),
        ("conv", "fallback", "plane 3x16383", one("Conv", (1, 8, 3, 16383), floats(8, 8, 3, 3))),
        ("conv-row", "supported", "stride 1x1", one("Conv", (1, 8, 3, 16383), floats(8, 8, 1, 3))),
        ("conv-row", "fallback", "dilation 1x32", one("Conv", (1, 8, 3, 99), floats(8, 8, 1, 3), dilations=[1, 32])),
        ("conv-other-rank", "unknown", "", conv((3,), channels=1, outputs=1)),
        ("conv-other-rank", "unknown", "", conv((3, 3, 3), side=5)),
        ("conv-grouped", "unknown", "", conv((3, 3), group=4)),
        ("conv-depthwise", "supported", "kernel 7x7", conv((7, 7), group=8)),
        ("conv-depthwise", "fallback", "kernel 1x11", conv((1, 11), group=8)),
        ("transposed", "constrained", "one group, kernel 4x4, stride 2x2", transposed((4, 4), strides=[2, 2])),
        ("transposed", "fallback", "stride 3x3", transposed((3, 3), strides=[3, 3])),
        ("transposed", "fallback", "dilation 2x2", transposed((3, 3), dilations=[2, 2])),
        ("transposed", "fallback", "several groups", transposed((3, 3), group=2)),
        ("transposed-1x1", "constrained", "stride 2x2", transposed((1, 1), strides=[2, 2])),
        ("transposed-depthwise", "constrained", "kernel 2x2", transposed((2, 2), strides=[2, 2], group=8)),
        ("transposed-depthwise", "fallback", "8 channels to 16", transposed((2, 2), 8, 16, strides=[2, 2], group=8)),
        ("gemm", "supported", "", one("Gemm", (1, 8), floats(8, 4))),
        ("matmul", "constrained", "sums over 64 products", one("MatMul", (1, 2, 9, 64), (1, 2, 64, 9))),
        ("matmul", "fallback", "sums over 8193 products", one("MatMul", (1, 1, 2, 8193), (1, 1, 8193, 2))),
        ("attention", "supported", "a side of 9", attention_written_out()),
        ("attention", "unknown", "a side of 8193", attention_written_out(8193)),
        ("softmax", "constrained", "rank 4, axes [3]", unary("Softmax", axis=-1)),
        ("softmax", "constrained", "rank 4, axes [1]", unary("Softmax", axis=1)),
        ("softmax", "fallback", "axes [2]", unary("Softmax", axis=2)),
        ("softmax", "fallback", "rank 3", unary("Softmax", (1, 9, 9))),
        ("softmax-batch", "refused", "axes [2]", unary("Softmax", (2, 8, 4, 6), axis=2)),
        ("reshape", "supported", "", one("Reshape", MAP, ints(1, 8, 24))),
        ("transpose-channels-last", "supported", "8 channels, plane 4x6 = 24, 48 values a row", unary("Transpose", perm=[0, 2, 3, 1])),
        ("transpose-channels-last", "fallback", "plane 5x5 = 25", unary("Transpose", (1, 8, 5, 5), perm=[0, 2, 3, 1])),
        ("transpose-channels-last", "fallback", "131072 values a row", unary("Transpose", (1, 4096, 2, 32), perm=[0, 2, 3, 1])),
        ("transpose", "unknown", "", unary("Transpose", perm=[0, 2, 1, 3])),
        ("flatten", "fallback", "", unary("Flatten")),
        ("flatten", "fallback", "", one("Squeeze", CHANNEL_GATE, ints(2, 3))),
        ("cast", "fallback", "", unary("Cast", to=1)),
        ("concat-split", "supported", "axes [1]", one("Concat", MAP, MAP, axis=1)),
        ("concat-split", "unknown", "axes [4]", one("Split", (1, 2, 3, 4, 6), axis=4, num_outputs=2, outputs=2)),
        ("slice", "supported", "axes [1], steps [1]", sliced([1], steps=[1])),
        ("slice", "fallback", "steps [2]", sliced([2], steps=[2])),
        ("slice-batch", "refused", "steps [2]", sliced([2], shape=(2, 8, 4, 6), steps=[2])),
        ("gather", "supported", "axes [1], indices of rank 1", one("Gather", MAP, ints(0, 2), axis=1)),
        ("gather", "fallback", "indices of rank 0", one("Gather", MAP, np.int64(0), axis=1)),
        ("expand", "supported", "1x8x1x1 to 1x8x4x6", one("Expand", CHANNEL_GATE, ints(*MAP))),
        ("expand", "fallback", "1x1x4x6 to 1x8x4x6", one("Expand", PLANE_GATE, ints(*MAP))),
        ("expand", "fallback", "output plane 1x8193", one("Expand", (1, 1, 1, 1), ints(1, 1, 1, 8193))),
        ("elementwise", "supported", "", one("Add", MAP, MAP)),
        ("elementwise", "supported", "", one("Mul", MAP, number(2))),
        ("elementwise-broadcast", "supported", "operands 1x8x4x6 and 1x8x1x1", one("Mul", MAP, CHANNEL_GATE)),
        ("elementwise-broadcast", "fallback", "operands 1x8x4x6 and 1x1x4x6", one("Mul", MAP, PLANE_GATE)),
        ("broadcast-open", "unknown", "", one("Mul", (1, 8, 4, 1), (1, 8, 1, 6))),
        ("broadcast-open", "unknown", "", one("Add", (1, 9, 8), floats(8))),
        ("div", "constrained", "", one("Div", MAP, MAP)),
        ("div-broadcast", "constrained", "operands 1x8x4x6 and 1x8x1x1", one("Div", MAP, CHANNEL_GATE)),
        ("div-broadcast", "fallback", "operands 1x8x4x6 and 1x1x4x6", one("Div", MAP, PLANE_GATE)),
        ("sub", "supported", "operands 1x8x4x6 and 1x8x1x1", one("Sub", MAP, CHANNEL_GATE)),
        ("sub", "fallback", "operands 1x8x4x6 and 1x8x4x1", one("Sub", MAP, (1, 8, 4, 1))),
        ("resize", "supported", "attributes", resized(2, mode="linear", coordinate_transformation_mode="half_pixel")),
        ("resize", "fallback", "attributes", resized(2, coordinate_transformation_mode="asymmetric")),
        ("resize", "fallback", "scales [1.5, 1.5]", resized(1.5)),
        ("resize", "fallback", "scales [9.0, 9.0]", resized(9)),
        ("global-pool", "supported", "plane 7x7, 8192 channels", unary("GlobalAveragePool", (1, 8192, 7, 7))),
        ("global-pool", "fallback", "plane 8x7", unary("GlobalAveragePool", (1, 8, 8, 7))),
        ("global-pool", "fallback", "8200 channels", unary("GlobalMaxPool", (1, 8200, 7, 7))),
        ("pool", "supported", "attributes", pooled("MaxPool", [7, 7], strides=[2, 2])),
        ("pool", "fallback", "kernel 9x9", pooled("MaxPool", [9, 9])),
        ("pool", "fallback", "attributes", pooled("AveragePool", [2, 2], ceil_mode=1)),
        ("pool", "fallback", "a side of 8200", pooled("AveragePool", [2, 2], (1, 1, 2, 8200))),
        ("reduce", "fallback", "", reduced("ReduceMean", [1])),
        ("reduce", "refused", "another form", reduced("ReduceMax", [1], (1, 2, 3, 4, 5))),
        ("reduce-l2", "unknown", "", reduced("ReduceL2", [1])),
        ("neg-abs", "unknown", "", unary("Abs")),
        ("einsum", "unknown", "", one("Einsum", (2, 3), (3, 4), equation="ij,jk->ik")),
        ("pow", "supported", "exponent [2.0]", one("Pow", MAP, number([2]))),
        ("pow", "fallback", "exponent [4.0]", one("Pow", MAP, number([4]))),
        ("cpu-only", "fallback", "", unary("Sqrt")),
        ("activation", "supported", "", unary("Sigmoid", CHANNEL_GATE)),
        ("activation", "supported", "", swish_written_out()),
        ("prelu", "supported", "slope of shape [8, 1, 1]", one("PRelu", MAP, floats(8, 1, 1))),
        ("prelu", "unknown", "slope of shape [1, 4, 6]", one("PRelu", MAP, floats(1, 4, 6))),
        ("elu", "supported", "attributes {'alpha': 1.0}", unary("Elu")),
        ("elu", "unknown", "attributes {'alpha': 0.5}", unary("Elu", alpha=0.5)),
        ("gelu-tanh", "supported", "", unary("Gelu", approximate="tanh")),
        ("gelu", "unknown", "", unary("Gelu")),
        ("gelu", "unknown", "", gelu_written_out()),
        ("hard-sigmoid", "supported", "attributes {'alpha': 0.16", unary("HardSigmoid", alpha=1 / 6)),
        ("hard-sigmoid", "fallback", "attributes {'alpha': 0.2", unary("HardSigmoid", alpha=0.2)),
        ("hard-sigmoid-written-out", "supported", "", hard_sigmoid_written_out()),
        ("hard-swish", "supported", "", unary("HardSwish")),
        ("layer-norm", "constrained", "axes [1, 2, 3]", one("LayerNormalization", MAP, floats(8, 4, 6), axis=1)),
        ("layer-norm", "fallback", "axes [2]", one("LayerNormalization", (1, 9, 8), floats(8))),
        ("layer-norm-written-out", "unknown", "", layer_norm_written_out()),
        ("batch-norm", "supported", "", normalised("BatchNormalization")),
        ("instance-norm", "fallback", "", normalised("InstanceNormalization")),
        ("pad", "supported", "attributes {'mode': 'constant'}", padded([0, 0, 1, 1, 0, 0, 1, 1])),
        ("pad", "fallback", "attributes {'mode': 'edge'}", padded([0, 0, 1, 1, 0, 0, 1, 1], mode="edge")),
        ("pad-reflect", "supported", "rank 4, image 8x6x8", padded([0, 0, 1, 1, 0, 0, 1, 1], mode="reflect")),
        ("pad-reflect", "fallback", "image 1x2x8178", padded([0, 0, 0, 1, 0, 0, 0, 1], shape=(1, 1, 2, 8176), mode="reflect")),
        ("refused", "refused", "", one("GridSample", MAP, (1, 4, 6, 2))),
        ("unlisted", "unknown", "", unnamed()),
    ],
    AXELERA: [
        ("conv", "supported", "attributes {'auto_pad': 'NOTSET'}", conv((7, 7))),
        ("conv", "refused", "attributes {'auto_pad': 'SAME_UPPER'}", conv((7, 7), auto_pad="SAME_UPPER")),
        ("conv-depthwise", "supported", "attributes {'auto_pad': 'NOTSET'}, kernel 7x7", conv((7, 7), group=8)),
        ("conv-depthwise", "refused", "kernel 1x11", conv((1, 11), group=8)),
        ("conv-grouped", "refused", "", conv((3, 3), group=4)),
        ("conv-other-rank", "unknown", "", conv((3,), channels=1, outputs=1)),
        ("conv-other-rank", "unknown", "", conv((3, 3, 3), side=5)),
        ("transposed", "supported", "attributes", transposed((2, 2), strides=[2, 2])),
        ("gemm", "supported", "attributes {'transA': 0}", one("Gemm", (1, 8), floats(8, 4))),
        ("gemm", "refused", "attributes {'transA': 1}", one("Gemm", (8, 1), floats(8, 4), transA=1)),
        ("elementwise", "supported", "operands 1x8x4x6 and 1x8x1x1", one("Mul", MAP, CHANNEL_GATE)),
        ("elementwise", "supported", "operands 1x8x4x6 and ", one("Add", MAP, number(3))),
        ("elementwise", "refused", "operands 1x8x4x6 and 1x1x4x6", one("Mul", MAP, PLANE_GATE)),
        ("elementwise-batch", "supported", "operands 2x8x4x6 and 1x8x1x1", one("Mul", (2, 8, 4, 6), floats(1, 8, 1, 1))),
        ("elementwise-batch", "refused", "operands 2x8x4x6 and 2x8x1x1", one("Mul", (2, 8, 4, 6), (2, 8, 1, 1))),
        ("elementwise", "supported", "operands scalar and 1x8x4x6", one("Sub", number(1), MAP)),
        ("concat", "supported", "axes [1]", one("Concat", MAP, MAP, axis=-3)),
        ("concat", "refused", "axes [2]", one("Concat", MAP, MAP, axis=2)),
        ("slice", "supported", "axes [1]", sliced([1])),
        ("slice", "refused", "axes [1, 2]", sliced([1, 2])),
        ("slice-steps", "unknown", "", sliced([1], steps=[1])),
        ("slice-stepped", "refused", "", sliced([2], steps=[2])),
        ("split", "supported", "attributes {'axis': 1}", one("Split", MAP, axis=1, num_outputs=2, outputs=2)),
        ("split", "refused", "attributes {'axis': -3}", one("Split", MAP, axis=-3, num_outputs=2, outputs=2)),
        ("transpose", "supported", "permutation [0, 1, 2, 3]", unary("Transpose", perm=[0, 1, 2, 3])),
        ("transpose", "refused", "permutation [0, 2, 3, 1]", unary("Transpose", perm=[0, 2, 3, 1])),
        ("resize-nearest", "supported", "left out", resized(1.5)),
        ("resize-nearest", "refused", "input 1 is given", resized(2, roi=floats(8))),
        ("resize-linear", "supported", "left out, scales [2.0, 2.0]", resized(2, mode="linear")),
        ("resize-linear", "refused", "scales [1.5, 1.5]", resized(1.5, mode="linear")),
        ("resize-linear", "refused", "scales [2.0, 4.0]", resized((2, 4), mode="linear")),
        ("resize-cubic", "refused", "", resized(2, mode="cubic")),
        ("average-pool", "supported", "rank 4", pooled("AveragePool", [3, 3])),
        ("average-pool-padded", "supported", "rank 4", pooled("AveragePool", [3, 3], pads=[1] * 4, count_include_pad=1)),
        ("average-pool-padded", "refused", "attributes", pooled("AveragePool", [3, 3], pads=[1] * 4)),
        ("average-pool-padded", "refused", "padding [2, 2, 2, 2], kernel 3x3", pooled("AveragePool", [3, 3], pads=[2] * 4, count_include_pad=1)),
        ("average-pool-lopsided", "unknown", "", pooled("AveragePool", [3, 3], pads=[0, 0, 1, 1])),
        ("max-pool", "supported", "attributes", pooled("MaxPool", [5, 5], pads=[2] * 4)),
        ("max-pool", "refused", "attributes {'auto_pad': 'SAME_LOWER'", pooled("MaxPool", [5, 5], auto_pad="SAME_LOWER")),
        ("any", "supported", "", unary("GlobalAveragePool", (1, 8, 160, 160))),
        ("any", "supported", "", unary("Sigmoid", PLANE_GATE)),
        ("clip", "supported", "clips to [0, 6]", one("Clip", MAP, number(0), number(6))),
        ("clip", "supported", "clips to [-1, 1]", one("Clip", MAP, number(-1), number(1))),
        ("clip", "refused", "clips to [0, 1]", one("Clip", MAP, number(0), number(1))),
        ("hard-sigmoid", "supported", "attributes {'alpha': 0.16", unary("HardSigmoid", alpha=1 / 6)),
        ("hard-sigmoid", "refused", "attributes {'alpha': 0.2", unary("HardSigmoid", alpha=0.2)),
        ("hard-sigmoid-written-out", "supported", "", hard_sigmoid_written_out()),
        ("prelu", "supported", "slope of shape [1]", one("PRelu", MAP, floats(1))),
        ("prelu", "refused", "slope of shape [4, 6]", one("PRelu", MAP, floats(4, 6))),
        ("pad", "supported", "attributes {'mode': 'constant'}", padded([0, 0, 1, 1, 0, 0, 1, 1])),
        ("pad", "refused", "pads [0, 1, 0, 0, 0, 1, 0, 0]", padded([0, 1, 0, 0, 0, 1, 0, 0])),
        ("pad", "refused", "attributes {'mode': 'reflect'}", padded([0, 0, 1, 1, 0, 0, 1, 1], mode="reflect")),
        ("selu", "unknown", "", unary("Selu")),
        ("unlisted", "refused", "", one("MatMul", (1, 2, 9, 4), (1, 2, 4, 9))),
        ("unlisted", "refused", "", unary("Softmax")),
        ("unlisted", "refused", "", one("Reshape", MAP, ints(1, 8, 24))),
        ("unlisted", "refused", "", reduced("ReduceMean", [1])),
        ("unlisted", "refused", "", unary("HardSwish")),
    ],
    KL520: [
        ("conv", "supported", "rank 4, kernel 12x12, stride 4x16", conv((12, 12), strides=[4, 16])),
        ("conv", "refused", "kernel 13x13", conv((13, 13))),
        ("conv", "refused", "kernel 1x21", conv((1, 21), group=8)),
        ("conv", "refused", "stride 5x1", conv((3, 3), strides=[5, 1])),
        ("conv", "supported", "rank 3", conv((3,), channels=1, outputs=1)),
        ("conv", "refused", "rank 5", conv((3, 3, 3), side=5)),
        ("gemm", "supported", "", one("Gemm", (1, 8), floats(8, 4))),
        ("rank", "supported", "rank 4", one("Concat", MAP, MAP, axis=1)),
        ("rank", "refused", "rank 5", one("Add", (1, 2, 3, 4, 5), (1, 2, 3, 4, 5))),
        ("any", "supported", "", one("Sub", MAP, MAP)),
        ("any", "supported", "", unary("Relu")),
        ("gather", "supported", "1 indices", one("Gather", MAP, np.int64(0), axis=1)),
        ("gather", "refused", "2 indices", one("Gather", MAP, ints(0, 2), axis=1)),
        ("resize-cubic", "refused", "", resized(2, mode="cubic")),
        ("resize-phase", "unknown", "", resized(2, mode="linear")),
        ("resize-nearest", "supported", "rank 4", resized(2, coordinate_transformation_mode="asymmetric", nearest_mode="floor")),
        ("resize-nearest", "refused", "attributes {'nearest_mode': 'ceil'}", resized(2, coordinate_transformation_mode="asymmetric", nearest_mode="ceil")),
        ("resize-linear", "supported", "rank 4", resized(2, mode="linear", coordinate_transformation_mode="align_corners")),
        ("global-average-pool", "supported", "plane 16x16 = 256", unary("GlobalAveragePool", (1, 8, 16, 16))),
        ("global-average-pool", "refused", "plane 16x17 = 272", unary("GlobalAveragePool", (1, 8, 16, 17))),
        ("global-max-pool", "supported", "plane 4x1", unary("GlobalMaxPool", (1, 8, 4, 1))),
        ("global-max-pool", "refused", "plane 3x9", unary("GlobalMaxPool", (1, 8, 3, 9))),
        ("pool", "supported", "kernel 3x3, stride 2x2", pooled("MaxPool", [3, 3], strides=[2, 2])),
        ("pool", "unknown", "kernel 2x2, stride 3x3", pooled("MaxPool", [2, 2], strides=[3, 3])),
        ("pool-large", "supported", "kernel 8x8, stride 8x8", pooled("AveragePool", [8, 8], strides=[8, 8])),
        ("pool-large", "unknown", "kernel 5x5, stride 1x1", pooled("MaxPool", [5, 5])),
        ("reduce-max", "supported", "keepdims 1", reduced("ReduceMax", [1])),
        ("reduce-max", "refused", "keepdims 0", reduced("ReduceMax", [1], keepdims=0)),
        ("reduce-sum", "supported", "keepdims 1, axes [1]", reduced("ReduceSum", [1])),
        ("reduce-sum", "refused", "axes [2, 3]", reduced("ReduceSum", [2, 3])),
        ("clip", "supported", "clips to [0, 6]", one("Clip", MAP, number(0), number(6))),
        ("clip", "refused", "clips to [-1, 1]", one("Clip", MAP, number(-1), number(1))),
        ("pad", "supported", "mode constant", padded([0, 0, 31, 1, 0, 0, 1, 1])),
        ("pad", "refused", "pads [0, 0, 32, 1, 0, 0, 1, 1]", padded([0, 0, 32, 1, 0, 0, 1, 1])),
        ("pad", "refused", "pads axes [0]", padded([1, 0, 0, 0, 1, 0, 0, 0])),
        ("pad", "refused", "mode reflect", padded([0, 0, 1, 1, 0, 0, 1, 1], mode="reflect")),
        ("refused", "refused", "", unary("Sigmoid", CHANNEL_GATE)),
        ("refused", "refused", "", one("Mul", MAP, CHANNEL_GATE)),
        ("refused", "refused", "", one("MatMul", (1, 2, 9, 4), (1, 2, 4, 9))),
        ("refused", "refused", "", reduced("ReduceMean", [1])),
        ("refused", "refused", "", one("Reshape", MAP, ints(1, 8, 24))),
        ("refused", "refused", "", hard_sigmoid_written_out()),
        ("unlisted", "unknown", "", unnamed()),
    ],
    KL720: [
        ("conv", "supported", "rank 4, stride 4x16", conv((31, 31), strides=[4, 16])),
        ("conv", "refused", "stride 1x17", conv((3, 3), strides=[1, 17])),
        ("transposed", "supported", "stride 2x2", transposed((4, 4), strides=[2, 2])),
        ("transposed", "refused", "stride 1x1", transposed((3, 3))),
        ("matmul-constant", "supported", "second input of rank 2", one("MatMul", (1, 9, 8), floats(8, 4))),
        ("matmul-constant", "supported", "second input of rank 4", one("MatMul", (1, 2, 9, 8), floats(1, 1, 8, 4))),
        ("matmul-constant", "refused", "second operand 1x2x8x4", one("MatMul", (1, 2, 9, 8), floats(1, 2, 8, 4))),
        ("matmul", "supported", "operands of rank 4 and 4", one("MatMul", (1, 2, 9, 4), (1, 2, 4, 9))),
        ("matmul", "refused", "operands of rank 3 and 3", one("MatMul", (2, 9, 4), (2, 4, 9))),
        ("softmax", "refused", "", unary("Softmax")),
        ("any", "supported", "", unary("Sigmoid", CHANNEL_GATE)),
        ("any", "supported", "", one("Reshape", MAP, ints(1, 8, 24))),
        ("exp", "constrained", "", unary("Exp")),
        ("mul-plane-gate", "unknown", "", one("Mul", MAP, PLANE_GATE)),
        ("rank", "supported", "rank 4", one("Mul", MAP, CHANNEL_GATE)),
        ("rank", "refused", "rank 5", one("Mul", (1, 2, 3, 4, 5), (1, 2, 3, 4, 5))),
        ("transpose", "supported", "permutation [0, 1, 3, 2]", unary("Transpose", perm=[0, 1, 3, 2])),
        ("transpose", "refused", "permutation [1, 0, 2, 3]", unary("Transpose", perm=[1, 0, 2, 3])),
        ("transpose-both", "unknown", "", unary("Transpose", perm=[0, 2, 3, 1])),
        ("flatten", "supported", "axes [1]", unary("Flatten")),
        ("flatten", "refused", "axes [2]", unary("Flatten", axis=2)),
        ("slice", "supported", "rank 4, steps [1]", sliced([1], steps=[1])),
        ("slice", "refused", "steps [2]", sliced([2], steps=[2])),
        ("gather", "refused", "2 indices", one("Gather", MAP, ints(0, 2), axis=1)),
        ("expand", "supported", "1x8x4x1 to 1x8x4x6", one("Expand", (1, 8, 4, 1), ints(*MAP))),
        ("expand", "refused", "1x1x4x6 to 1x8x4x6", one("Expand", PLANE_GATE, ints(*MAP))),
        ("expand-both", "unknown", "", one("Expand", CHANNEL_GATE, ints(*MAP))),
        ("resize", "unknown", "", resized(2)),
        ("global-average-pool", "supported", "plane 128x128 = 16384", unary("GlobalAveragePool", (1, 8, 128, 128))),
        ("global-average-pool", "refused", "plane 128x129 = 16512", unary("GlobalAveragePool", (1, 8, 128, 129))),
        ("pool", "supported", "kernel 3x3", pooled("MaxPool", [3, 3], strides=[2, 2])),
        ("pool", "unknown", "kernel 5x5", pooled("MaxPool", [5, 5])),
        ("reduce-max", "refused", "keepdims 0", reduced("ReduceMax", [1], keepdims=0)),
        ("reduce", "supported", "keepdims 1, axes [1]", reduced("ReduceMean", [1])),
        ("reduce", "refused", "axes [0]", reduced("ReduceSum", [0])),
        ("pow", "supported", "exponent [2.0]", one("Pow", MAP, number(2))),
        ("pow", "refused", "exponent [3.0]", one("Pow", MAP, number(3))),
        ("clip", "refused", "clips to [-1, 1]", one("Clip", MAP, number(-1), number(1))),
        ("pad", "refused", "pads [0, 0, 32, 1, 0, 0, 1, 1]", padded([0, 0, 32, 1, 0, 0, 1, 1])),
        ("hard-written-out", "unknown", "", hard_sigmoid_written_out()),
        ("refused", "refused", "", unary("HardSigmoid", alpha=1 / 6)),
        ("refused", "refused", "", one("Div", MAP, number(2))),
        ("refused", "refused", "", layer_norm_written_out()),
        ("unlisted", "unknown", "", unnamed()),
    ],
    DEEPX: [
        ("conv", "supported", "kernel 15x15", conv((15, 15), strides=[15, 15], pads=[63] * 4)),
        ("conv", "refused", "kernel 16x16", conv((16, 16))),
        ("conv", "refused", "stride 16x16", conv((3, 3), strides=[16, 16])),
        ("conv", "refused", "dilation 1x64", one("Conv", (1, 1, 1, 200), floats(1, 1, 1, 3), dilations=[1, 64])),
        ("conv", "refused", "image 1x1x8192", one("Conv", (1, 1, 1, 8192), floats(1, 1, 1, 1))),
        ("conv-other-rank", "unknown", "", conv((3,), channels=1, outputs=1)),
        ("conv-other-rank", "unknown", "", conv((3, 3, 3), side=5)),
        ("conv-grouped", "unknown", "", conv((3, 3), group=4)),
        ("conv-depthwise", "supported", "kernel 5x5", conv((5, 5), group=8)),
        ("conv-depthwise", "refused", "kernel 7x7", conv((7, 7), group=8)),
        ("conv-depthwise", "refused", "kernel 1x11", conv((1, 11), group=8)),
        ("conv-depthwise", "refused", "input 1 is not constant", one("Conv", (1, 8, 9, 9), (8, 1, 3, 3), group=8)),
        ("transposed", "supported", "one group, kernel 4x4, stride 2x2", transposed((4, 4), strides=[2, 2], pads=[1] * 4)),
        ("transposed", "refused", "stride 1x1", transposed((3, 3))),
        ("transposed", "refused", "stride 2x4", transposed((4, 4), strides=[2, 4])),
        ("transposed", "refused", "output padding [1, 1]", transposed((3, 3), strides=[2, 2], output_padding=[1, 1])),
        ("average-pool", "supported", "kernel 31x31", pooled("AveragePool", [31, 31])),
        ("average-pool", "refused", "kernel 32x32", pooled("AveragePool", [32, 32])),
        ("max-pool", "refused", "kernel 16x16", pooled("MaxPool", [16, 16])),
        ("any", "supported", "image 8x160x160", unary("GlobalAveragePool", (1, 8, 160, 160))),
        ("any", "supported", "image 2x9x9", one("MatMul", (1, 2, 9, 4), (1, 2, 4, 9))),
        ("any", "supported", "no image", one("Gemm", (1, 8), floats(8, 4))),
        ("any", "refused", "image 32768x1x1", unary("GlobalAveragePool", (1, 32768, 1, 1))),
        ("activation", "supported", "image 1x4x6", unary("Sigmoid", PLANE_GATE)),
        ("activation", "supported", "image 8x4x6", unary("HardSigmoid", alpha=0.2)),
        ("activation", "supported", "image 8x4x6", gelu_written_out()),
        ("activation", "supported", "image 8x4x6", swish_written_out()),
        ("prelu", "constrained", "image 8x4x6", one("PRelu", MAP, floats(1))),
        ("clip", "constrained", "image 8x4x6", one("Clip", MAP, number(0), number(6))),
        ("elementwise", "supported", "operands 1x8x4x6 and 1x8x1x1", one("Mul", MAP, CHANNEL_GATE)),
        ("elementwise", "supported", "operands 1x8x4x6 and ", one("Add", MAP, number(3))),
        ("elementwise", "refused", "operands 1x8x4x6 and 1x1x4x6", one("Mul", MAP, PLANE_GATE)),
        ("elementwise", "refused", "operands 1x1x4x6 and 1x8x4x6", one("Mul", PLANE_GATE, MAP)),
        ("elementwise", "unknown", "the channels of operands of rank 3", one("Mul", (1, 9, 8), (1, 9, 1))),
        ("bias", "unknown", "", biased()),
        ("div", "supported", "constant, operands 1x8x4x6 and ", one("Div", MAP, number(2))),
        ("div", "refused", "input 1 is not constant", one("Div", MAP, MAP)),
        ("erf", "refused", "", unary("Erf")),
        ("layer-norm", "supported", "no image", layer_norm_written_out()),
        ("layer-norm-op", "unknown", "", one("LayerNormalization", (1, 9, 8), floats(8))),
        ("softmax", "supported", "4080 elements along the axis", unary("Softmax", (1, 4080))),
        ("softmax", "refused", "4081 elements along the axis", unary("Softmax", (1, 4081))),
        ("reduce-mean", "supported", "axes [1]", reduced("ReduceMean", [1])),
        ("reduce-mean", "supported", "axes [2, 3]", reduced("ReduceMean", [2, 3])),
        ("reduce-mean", "refused", "axes [3]", reduced("ReduceMean", [3])),
        ("reduce-sum", "refused", "axes [2, 3]", reduced("ReduceSum", [2, 3])),
        ("reduce-other-rank", "unknown", "", reduced("ReduceMean", [1], (1, 9, 8))),
        ("gather", "supported", "indices of rank 0", one("Gather", MAP, np.int64(0), axis=1)),
        ("gather", "refused", "indices of rank 2", one("Gather", MAP, np.array([[0, 1]]), axis=1)),
        ("pad", "refused", "read by Relu", written(("Pad", "x pads", "a"), ("Relu", "a", "y"), pads=ints(0, 0, 1, 1, 0, 0, 1, 1))),
        ("pad", "supported", "attributes", written(("Pad", "x pads", "a"), ("Conv", "a w", "y"), pads=ints(0, 0, 1, 1, 0, 0, 1, 1), w=floats(8, 8, 3, 3))),
        ("resize", "supported", "attributes", resized(2, mode="linear", coordinate_transformation_mode="pytorch_half_pixel")),
        ("resize", "refused", "attributes", resized(2, coordinate_transformation_mode="asymmetric")),
        ("resize", "refused", "scales [1.5, 1.5]", resized(1.5, coordinate_transformation_mode="pytorch_half_pixel")),
        ("unlisted", "unknown", "", unary("GlobalMaxPool")),
        ("unlisted", "unknown", "", reduced("ReduceMax", [1])),
    ],
}  # fmt: skip

SILENT = {
    RK3588: "Sum GroupNormalization",
    AXELERA: "MatMul Softmax Reshape Flatten Squeeze Unsqueeze Gather Expand ReduceMean ReduceMax ReduceSum ReduceL2 Div Max "
    "Min Sum Pow Sqrt Exp Log Erf Abs Neg HardSwish Elu Gelu Softplus Mish LayerNormalization InstanceNormalization "
    "GroupNormalization Cast Where Einsum DeformConv",
    KL520: "Max Min Sum Log Abs Gelu Softplus Mish GroupNormalization DeformConv",
    KL720: "Max Min Sum Log Abs Gelu Softplus Mish GroupNormalization DeformConv",
    DEEPX: "Unsqueeze Expand GlobalMaxPool ReduceMax ReduceL2 Max Min Sum Pow Sqrt Exp Log Abs Neg InstanceNormalization "
    "GroupNormalization Cast Where Einsum DeformConv",
}
"""The ops of attention blocks that a document does not list, so that the profile's policy judges them."""

OPS = (
    "Conv ConvTranspose Gemm MatMul Softmax Reshape Transpose Flatten Squeeze Unsqueeze Split Slice Gather Concat Expand "
    "Resize GlobalAveragePool GlobalMaxPool AveragePool MaxPool ReduceMean ReduceMax ReduceSum ReduceL2 Add Sub Mul Div Max "
    "Min Sum Pow Sqrt Exp Log Erf Abs Neg Relu LeakyRelu PRelu Clip Sigmoid Tanh HardSigmoid HardSwish Elu Gelu Softplus "
    "Mish LayerNormalization InstanceNormalization BatchNormalization GroupNormalization Pad Cast Where Einsum DeformConv"
).split()


def named(case):
    return f"{case[0]}-{case[1]}"


@pytest.mark.parametrize(
    ("target", "rule", "level", "measured", "model"),
    [pytest.param(name, *case, id=f"{name}-{named(case)}") for name, cases in CASES.items() for case in cases],
)
def test_what_a_document_says_of_a_node(target, rule, level, measured, model):
    findings = judge(model_of(*model), load_target(target))
    finding = next((one for one in findings if one.rule == rule), findings[0])
    assert (finding.rule, finding.level) == (rule, level), finding
    assert finding.measured.startswith(measured)
    assert finding.source
    assert finding.reason
    if finding.composite:
        assert {(other.rule, other.level) for other in findings} == {(rule, level)}


@pytest.mark.parametrize("name", CASES)
def test_the_cases_reach_every_rule(name):
    judged = {rule for rule, *_ in CASES[name]}
    assert judged - {"unlisted"} == {rule.id for rule in load_target(name).rules}


@pytest.mark.parametrize("name", CASES)
def test_no_rule_stands_behind_one_that_takes_every_node(name):
    target = load_target(name)
    for rule in target.rules:
        for op in rule.ops:
            before = target.rules_for(op)[: target.rules_for(op).index(rule)]
            assert all(earlier.where for earlier in before), (rule.id, op)


@pytest.mark.parametrize("name", CASES)
def test_a_profile_answers_for_every_op_that_its_document_names(name):
    target = load_target(name)
    assert {op for op in OPS if not target.rules_for(op)} == set(SILENT[name].split())


@pytest.mark.parametrize("name", CASES)
def test_a_profile_says_of_when_and_where_it_is(name):
    target = load_target(name)
    assert dt.date.fromisoformat(target.date) <= dt.date(2026, 11, 21)
    assert "commit" in target.source
    assert all(rule.reason.strip() and rule.evidence == "vendor-doc" for rule in target.rules)


def test_a_part_is_refused_alone_and_supported_inside_the_whole():
    target = load_target(DEEPX)
    alone = judge(model_of(*unary("Erf")), target)
    inside = judge(model_of(*gelu_written_out()), target)
    assert [finding.level for finding in alone] == ["refused"]
    assert {(finding.level, finding.composite) for finding in inside} == {("supported", "Gelu")}


def test_the_npu_falls_back_to_a_named_device():
    finding = judge(model_of(*unary("GlobalAveragePool", (1, 8, 8, 8))), load_target(RK3588))[0]
    assert (finding.level, finding.device, finding.limit) == ("fallback", "cpu", "height and width at most 7")
