"""Quantised files read as the network that they stand for, and what targets say of int8."""

import json

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from made import graph, proto_of
from onnx import TensorProto, helper, numpy_helper

from attnbench.core.errors import InputError
from attnbench.graph.foreign import read_model
from attnbench.graph.integers import computes, form_of
from attnbench.graph.lifting import lifted
from attnbench.npu.check import check
from attnbench.npu.judge import judge
from attnbench.npu.rewriting import input_shapes
from attnbench.npu.targets import load_target
from attnbench.targets import target_names

NOISE = np.random.default_rng(0)


class Pairs:
    """A graph on its way to Q/DQ form: its nodes, its constants, and by tensor the one that was quantised."""

    def __init__(self, kind: str, zero: int, *, channels: bool, trained: bool) -> None:
        self.type, self.zero, self.channels, self.trained = np.dtype(kind).type, zero, channels, trained
        self.made, self.held, self.quantised = [], {}, {}

    def pair(self, name: str) -> str:
        if name not in self.quantised:
            ends = [f"{name}.scale", f"{name}.zero"]
            self.held.update({ends[0]: np.float32(0.1), ends[1]: self.type(self.zero)})
            self.made.append(("QuantizeLinear", [name, *ends], [f"{name}.q"], {}))
            self.made.append(("DequantizeLinear", [f"{name}.q", *ends], [f"{name}.dq"], {}))
            self.quantised[name] = f"{name}.dq"
        return self.quantised[name]

    def constant(self, name: str, value: np.ndarray) -> str:
        if value.dtype != np.float32 or value.ndim < 2:
            self.held[name] = value
            return name
        shape = value.shape[:1] if self.channels else ()
        ends = [f"{name}.s", f"{name}.z"]
        self.held.update({ends[0]: np.full(shape, 0.1, np.float32), ends[1]: np.zeros(shape, np.int8)})
        self.held[name if self.trained else f"{name}.q"] = value if self.trained else value.astype(np.int8)
        if self.trained:
            self.made.append(("QuantizeLinear", [name, *ends], [f"{name}.q"], {"axis": 0}))
        self.made.append(("DequantizeLinear", [f"{name}.q", *ends], [f"{name}.dq"], {"axis": 0}))
        return f"{name}.dq"


def qdq(text: str, kind: str = "int8", zero: int = 0, *, channels: bool = False, floats: str = "", trained: bool = False):
    """The graph of a text as a model with Q/DQ pairs around each node but those of the ops in ``floats``.

    ``channels`` gives weights a scale a channel; ``trained`` quantises weights in the graph, as exporters of fake
    quantisation do.
    """
    nodes, inputs, outputs, weights, opset = graph(text, opset=21)
    pairs = Pairs(kind, zero, channels=channels, trained=trained)
    for op, names, given, attributes in nodes:
        left = op in floats.split()
        pairs.held.update({n: weights[n] for n in names if left and n in weights})
        activation = (lambda n: pairs.quantised.get(n, n)) if left else pairs.pair
        read = [
            n if not n or (left and n in weights) else pairs.constant(n, weights[n]) if n in weights else activation(n)
            for n in names
        ]
        pairs.made.append((op, read, given, attributes))
        if not left:
            for output in given:
                pairs.pair(output)
    last = next(iter(outputs))
    proto = proto_of(pairs.made, inputs, {pairs.quantised.get(last, last): None}, pairs.held, opset=opset, ir_version=10)
    for number, node in enumerate(n for n in proto.graph.node if n.op_type not in ("QuantizeLinear", "DequantizeLinear")):
        node.name = f"op{number}"
    return proto


def read(tmp_path, proto: onnx.ModelProto) -> ir.Model:
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return read_model(str(path))


def how(model: ir.Model) -> dict[str, str]:
    return {node.op_type: str(computes(node)) for node in lifted(model).graph}


CONV = "Conv 1x8x4x4 =8x8x3x3 pads=[1,1,1,1]"


@pytest.mark.parametrize(
    ("text", "more", "wanted"),
    [
        (CONV, {}, {"Conv": "int8"}),
        (CONV, {"kind": "uint8", "zero": 7}, {"Conv": "uint8, weights int8"}),
        (CONV, {"kind": "uint8", "channels": True}, {"Conv": "uint8, weights int8 by channel"}),
        (CONV, {"kind": "int16"}, {"Conv": "int16, weights int8"}),
        (CONV, {"trained": True, "channels": True}, {"Conv": "int8, weights int8 by channel"}),
        ("MatMul 1x4x8 =8x8", {}, {"MatMul": "int8"}),
        (f"{CONV}; Elu $1; Erf $2; Sigmoid $3", {"floats": "Elu Erf"},
         {"Conv": "int8", "Elu": "float32", "Erf": "float32", "Sigmoid": "int8"}),
        (f"{CONV}; Elu $1; Sigmoid $2", {"floats": "Elu"}, {"Conv": "int8", "Elu": "int8", "Sigmoid": "int8"}),
        (f"{CONV}; Elu $1", {"floats": "Elu"}, {"Conv": "int8", "Elu": "float32"}),
        (f"{CONV}; MaxPool $1 kernel_shape=[2,2]; Sigmoid $2", {"floats": "MaxPool"},
         {"Conv": "int8", "MaxPool": "int8", "Sigmoid": "int8"}),
    ],
)  # fmt: skip
def test_each_node_computes_in_what_its_pairs_say(tmp_path, text, more, wanted):
    model = read(tmp_path, qdq(text, **more))
    assert how(model) == wanted
    assert [n.op_type for n in model.graph].count("DequantizeLinear") > 1, "the file's own graph is left as it is"


def between(*ops: str) -> onnx.ModelProto:
    """A convolution and other ops with Q/DQ pairs at the edges alone, as a training tool places them."""
    nodes = [("QuantizeLinear", ["x", "s", "z"], ["xq"], {}), ("DequantizeLinear", ["xq", "s", "z"], ["xd"], {}),
             ("DequantizeLinear", ["wq", "s", "z"], ["w"], {}), ("Conv", ["xd", "w"], ["v0"], {})]  # fmt: skip
    held = {
        "s": np.float32(0.1),
        "z": np.int8(0),
        "wq": np.ones((4, 4, 1, 1), np.int8),
        **{k: np.ones(4, np.float32) for k in "abmv"},
    }
    for number, op in enumerate(ops):
        more = list("abmv") if op == "BatchNormalization" else ["xd"] if op == "Add" else []
        nodes.append((op, [f"v{number}", *more], [f"v{number + 1}"], {}))
    last = f"v{len(ops)}"
    nodes += [("QuantizeLinear", [last, "s", "z"], ["yq"], {}), ("DequantizeLinear", ["yq", "s", "z"], ["y"], {})]
    return proto_of(nodes, {"x": (1, 4, 4, 4)}, {"y": None}, held)


@pytest.mark.parametrize(
    ("ops", "floats"),
    [(("Relu",), set()), (("BatchNormalization", "Relu"), set()), (("Add", "Relu"), set()), (("Elu",), {"Conv", "Elu"}),
     (("Elu", "Relu"), {"Conv", "Elu", "Relu"})],
)  # fmt: skip
def test_what_follows_a_convolution_before_its_result_is_quantised_belongs_to_it(tmp_path, ops, floats):
    seen = how(read(tmp_path, between(*ops)))
    assert {op for op, dtype in seen.items() if dtype == "float32"} == floats
    assert all(dtype.startswith("int8") for op, dtype in seen.items() if op not in floats)


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """A gated block quantised by ONNX Runtime in each form, with the float one."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

    text = (
        "Conv x:1x4x8x8 ~8x4x3x3 pads=[1,1,1,1]; Relu $1; GlobalAveragePool $2; Conv $3 ~2x8x1x1; Relu $4; Conv $5 ~8x2x1x1; "
        "Sigmoid $6; Mul $2 $7; Add $8 $2; MaxPool $9 kernel_shape=[2,2] strides=[2,2]; Concat $10 $10 axis=1; Reshape $11 [1,256]; "
        "Elu $12; Erf $13; Gemm $14 ~256x4"
    )
    nodes, inputs, _, weights, _ = graph(text)
    folder = tmp_path_factory.mktemp("forms")
    onnx.save(proto_of(nodes, inputs, {"y": (1, 4)}, weights, opset=17), folder / "float.onnx")

    class Noise(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter([{"x": NOISE.standard_normal((1, 4, 8, 8)).astype(np.float32)}])

        def get_next(self):
            return next(self.left, None)

    operators = {"quant_format": QuantFormat.QOperator}
    for name, options in {
        "qdq": {}, "qdq_channels": {"per_channel": True, "activation_type": QuantType.QUInt8},
        "qdq_int16": {"activation_type": QuantType.QInt16}, "operators": operators,
        "operators_channels": {**operators, "per_channel": True, "activation_type": QuantType.QUInt8},
    }.items():  # fmt: skip
        quantize_static(folder / "float.onnx", folder / f"{name}.onnx", Noise(), **options)
    quantize_dynamic(folder / "float.onnx", folder / "dynamic.onnx")
    contributed = onnx.load(folder / "qdq.onnx")  # as ONNX Runtime wrote 16 bits before 1.27: no inference knows the types
    contributed.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    for node in contributed.graph.node:
        node.domain = "com.microsoft" if node.op_type in ("QuantizeLinear", "DequantizeLinear") else node.domain
    del contributed.graph.value_info[:]
    onnx.save(contributed, folder / "qdq_contributed.onnx")
    return folder


FORMS = {
    "qdq": ("Q/DQ", "int8"), "qdq_contributed": ("Q/DQ", "int8"), "qdq_channels": ("Q/DQ", "uint8, weights int8 by channel"), "qdq_int16": ("Q/DQ", "int16, weights int8"),
    "operators": ("integer ops", "int8"), "operators_channels": ("integer ops", "uint8, weights int8 by channel"),
    "dynamic": ("dynamic", "uint8, weights int8"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_as_the_float_network(forms, form):
    plain, model = read_model(str(forms / "float.onnx")), lifted(read_model(str(forms / f"{form}.onnx")))
    wanted = [node.op_type for node in plain.graph]
    seen = [node.op_type for node in model.graph]
    if form == "dynamic":
        assert seen == [*wanted[:-1], "MatMul"] or seen == [*wanted[:-1], "MatMul", "Add"]
    else:
        assert [op for op in seen if op != "Relu"] == [op for op in wanted if op != "Relu"]
        assert {str(computes(n)) for n in model.graph if n.op_type in ("Elu", "Erf")} == {"float32"}
    assert (form_of(model), str(computes(next(iter(model.graph))))) == FORMS[form]
    shapes = {node.op_type: node.outputs[0].shape for node in plain.graph}
    assert all(
        node.outputs[0].shape == shapes[node.op_type] for node in model.graph if node.op_type in ("Reshape", "Concat")
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_weight_is_what_the_integers_stand_for(forms, form):
    plain, model = read_model(str(forms / "float.onnx")), lifted(read_model(str(forms / f"{form}.onnx")))
    (first, *_), (quantised, *_) = ([n for n in m.graph if n.op_type == "Conv"] for m in (plain, model))
    ours, theirs = quantised.inputs[1].const_value.numpy(), first.inputs[1].const_value.numpy()
    scale = 1 if form != "dynamic" else np.abs(theirs).max() / np.abs(ours).max()
    assert np.abs(ours * scale - theirs).max() <= np.abs(theirs).max() / 100


@pytest.mark.parametrize("form", ["qdq", "operators"])
@pytest.mark.parametrize("name", target_names())
def test_ops_get_the_levels_of_the_float_network_or_a_reason(forms, form, name):
    target = load_target(name)
    plain = {f.node: f for f in judge(read_model(str(forms / "float.onnx")), target)}
    for finding in judge(read_model(str(forms / f"{form}.onnx")), target):
        other = plain[finding.node.removesuffix("_quant")]
        assert finding.dtype
        if finding.level != other.level:
            assert finding.rule in {"stayed-float", *(rule.id for rule in target.quantised)}, finding
            assert finding.reason


AROUND = "Conv 1x8x4x4 =8x8x3x3 pads=[1,1,1,1]"
SAID = [
    ("ti-tidl-11.02", "without-qdq", "supported", "Elu 1x8x4x4; Reshape $1 [1,128]; Elu $2", {"floats": "Elu Reshape"}, "Reshape"),
    ("ti-tidl-11.02", "qdq-needed", "unknown", f"{CONV}; Elu $1", {"floats": "Elu"}, "Elu"),
    ("ti-tidl-11.02", "int8-symmetric", "supported", CONV, {"channels": True}, "Conv"),
    ("ti-tidl-11.02", "int8-asymmetric", "constrained", CONV, {"zero": 3}, "Conv"),
    ("ti-tidl-11.02", "int8-product", "constrained", "MatMul 1x1x4x8 =8x8", {"zero": 3}, "MatMul"),
    ("ti-tidl-11.02", "int8-product", "unknown", "MatMul 1x1x4x8 1x1x8x4", {"zero": 3}, "MatMul"),
    ("ti-tidl-11.02", "int8-one-scale", "unknown", "ConvTranspose 1x8x4x4 =8x8x2x2 strides=[2,2]", {"channels": True}, "ConvTranspose"),
    ("ti-tidl-11.02", "int8-one-scale", "supported", "ConvTranspose 1x8x4x4 =8x8x2x2 strides=[2,2]", {}, "ConvTranspose"),
    ("ti-tidl-11.02", "int8-around-0", "supported", "Sigmoid 1x8x4x4", {}, "Sigmoid"),
    ("ti-tidl-11.02", "int8-around-0", "unknown", "Sigmoid 1x8x4x4", {"zero": 3}, "Sigmoid"),
    ("nvidia-orin-dla-trt10", "float-beside-int8", "supported", f"{CONV}; Sigmoid $1", {"floats": "Sigmoid"}, "Sigmoid"),
    ("nvidia-orin-dla-trt10", "int8-around-0", "supported", CONV, {"channels": True}, "Conv"),
    ("nvidia-orin-dla-trt10", "int8-around-0", "unknown", CONV, {"zero": 3}, "Conv"),
    ("nvidia-orin-dla-trt10", "int8-around-0", "unknown", CONV, {"kind": "uint8"}, "Conv"),
    ("horizon-rdk-x3", "float-beside-int8", "fallback", f"{CONV}; Relu $1", {"floats": "Relu"}, "Relu"),
    ("horizon-rdk-ultra", "float-beside-int8", "fallback", f"{CONV}; Sigmoid $1", {"floats": "Sigmoid"}, "Sigmoid"),
    ("kneron-kl520", "bit-widths", "refused", CONV, {"kind": "int16"}, "Conv"),
    ("kneron-kl520", "bit-widths", "supported", CONV, {}, "Conv"),
    ("kneron-kl720", "bit-widths", "supported", CONV, {"kind": "int16"}, "Conv"),
    ("rockchip-rk3588-2.3.2", "div-in-int8", "fallback", "Div 1x8x4x4 1x8x4x4", {}, "Div"),
    ("aimotive", "stayed-float", "unknown", f"{CONV}; Sigmoid $1; Sigmoid $2", {"floats": "Sigmoid"}, "Sigmoid"),
]  # fmt: skip
"""A target's rule on quantised networks, the level of an op by it, and the graph that shows it."""

FORMED = [
    ("ti-tidl-11.02", "qdq", "prequantised", "constrained"), ("ti-tidl-11.02", "operators", "prequantised-otherwise", "unknown"),
    ("nvidia-orin-dla-trt10", "qdq", "qdq-translated", "constrained"), ("horizon-rdk-x3", "qdq", "quantised-before", "unknown"),
    ("horizon-rdk-ultra", "operators", "quantised-before", "unknown"), ("kneron-kl520", "qdq", "quantised-before", "refused"),
    ("kneron-kl720", "dynamic", "quantised-before", "refused"), ("axelera-metis-1.2.5", "qdq", "unlisted", "refused"),
    ("aimotive", "qdq", "", ""), ("aimotive", "dynamic", "unlisted", "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rule", "level", "text", "more", "op"), SAID)
def test_what_a_document_says_of_a_quantised_op(tmp_path, name, rule, level, text, more, op):
    target = load_target(name)
    finding = next(f for f in judge(read(tmp_path, qdq(text, **more)), target) if f.op == op)
    assert finding.level == level, finding
    if level != "supported":
        assert (finding.rule, bool(finding.reason)) == (rule, True)


@pytest.mark.parametrize(("name", "form", "rule", "level"), FORMED)
def test_what_a_document_says_of_a_quantised_file(forms, name, form, rule, level):
    checked = check(read_model(str(forms / f"{form}.onnx")), load_target(name), "m")
    found = [(f.rule, f.level) for f in checked.whole if f.rule != "opset"]
    assert found == ([(rule, level)] if rule else [])


def test_every_rule_on_quantised_networks_has_a_case():
    wanted = {(name, rule.id) for name in target_names() for rule in load_target(name).quantised}
    assert wanted <= {(name, rule) for name, rule, *_ in SAID} | {(name, rule) for name, _, rule, _ in FORMED}


def test_floats_in_an_int8_network_are_counted_and_named(command, forms):
    path = forms / "qdq.onnx"
    code, out, _ = command("check", path, "--target", "aimotive", "--verbose")
    assert code == 1
    assert "in integers, 2 stayed float (1 Elu, 1 Erf), 2 conversions between" in " ".join(out.split())
    code, out, _ = command("check", path, "--target", "aimotive", "--format", "json")
    (one,) = json.loads(out)["checks"]
    told = one["precision"]
    assert (told["form"], told["stayed_float"], told["conversions"]) == ("Q/DQ", {"Elu": 1, "Erf": 1}, 2)
    assert told["quantised"] + 2 == len(one["nodes"])
    assert {node["dtype"] for node in one["nodes"]} == {"int8", "float32"}
    for format_ in ("sarif", "netron", "md"):
        code, out, _ = command("check", path, "--target", "aimotive", "--format", format_)
        assert (code, bool(out)) == (1, True)
    assert "Elu in float32" in command("check", path, "--target", "aimotive", "--format", "sarif")[1]


def test_rewrite_refuses_a_quantised_model_in_one_line(refused, forms, tmp_path):
    for form in FORMS:
        line = refused("rewrite", forms / f"{form}.onnx", "--target", "aimotive", "--output", tmp_path / "out.onnx")
        assert "the model is quantised" in line
    with pytest.raises(InputError, match="rewrite it before quantising"):
        input_shapes(read_model(str(forms / "operators.onnx")))


def test_a_float_network_says_nothing_of_types(forms):
    checked = check(read_model(str(forms / "float.onnx")), load_target("ti-tidl-11.02"), "m")
    assert checked.precision is None
    assert {finding.dtype for finding in checked.findings} == {""}


def test_integers_without_a_shape_or_a_zero_point_are_read(tmp_path):
    make = helper.make_tensor_value_info
    nodes = [helper.make_node("QuantizeLinear", ["x", "s"], ["q"]), helper.make_node("MaxPool", ["q"], ["p"], kernel_shape=[2, 2]),
             helper.make_node("DequantizeLinear", ["p", "s"], ["y"])]  # fmt: skip
    made = helper.make_graph(nodes, "g", [make("x", TensorProto.FLOAT, [1, 2, 4, 4])], [make("y", TensorProto.FLOAT, None)],
                             [numpy_helper.from_array(np.float32(0.1), "s")])  # fmt: skip
    model = read(tmp_path, helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    assert how(model) == {"MaxPool": "uint8"}


def test_a_graph_may_be_deeper_than_calls_may_be(tmp_path):
    deep = "; ".join([CONV, *(f"Relu ${n}" for n in range(1, 1500))])
    model = read(tmp_path, qdq(deep, floats="Relu"))
    assert set(how(model).values()) == {"int8", "float32"}
