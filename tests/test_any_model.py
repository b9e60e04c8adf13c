"""Any model is judged, or refused in one line that names the node: real graphs, odd ones, broken ones and hostile ones."""

import json
import resource
import time
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from made import floats, graph, ints, model_of, proto_of, said_of
from onnx import TensorProto, helper, numpy_helper
from test_check import saved, written

from attnbench.core.errors import InputError
from attnbench.core.guarded import guarded
from attnbench.graph.composites import composites
from attnbench.graph.foreign import read_model
from attnbench.npu.check import causes, check, check_all
from attnbench.npu.judge import judge
from attnbench.npu.nodes import is_constant, pads_of
from attnbench.npu.rules import PREDICATES
from attnbench.npu.targets import load_target

IMAGE = (1, 8, 8, 8)
ROOT = Path(__file__).resolve().parents[1]


def body(op: str, *inputs: str) -> onnx.GraphProto:
    """A branch of an If: one op on tensors from outside."""
    made = helper.make_node(op, list(inputs), [f"{op}.out"])
    return helper.make_graph([made], op, [], [helper.make_tensor_value_info(f"{op}.out", TensorProto.FLOAT, None)])


def judged(path: str, target: str = "aimotive") -> list[tuple[str, str]]:
    return [(finding.op, finding.level) for finding in judge(read_model(path), load_target(target))]


# what exporters make of an expansion: the shape of a shape, filled, compared and chosen from
EXPANDED = [
    ("Shape", ["x"], ["s"], {}), ("Shape", ["s"], ["n"], {}),
    ("ConstantOfShape", ["n"], ["ones"], {"value": helper.make_tensor("v", TensorProto.INT64, [1], [1])}),
    ("Mul", ["ones", "minus"], ["m"], {}), ("Equal", ["s", "m"], ["e"], {}), ("Where", ["e", "ones", "s"], ["t"], {}),
    ("Expand", ["w", "t"], ["b"], {}), ("Relu", ["x"], ["a"], {}), ("Add", ["a", "b"], ["y"], {}),
]  # fmt: skip
RANGED = [
    ("Shape", ["x"], ["s"], {}), ("Gather", ["s", "two"], ["h"], {}), ("Range", ["zero", "h", "one"], ["r"], {}),
    ("Shape", ["r"], ["l"], {}), ("Concat", ["l", "rest"], ["t"], {"axis": 0}), ("Reshape", ["x", "t"], ["y"], {}),
]  # fmt: skip
OPEN = [("NonZero", ["big"], ["i"], {}), ("Cast", ["i"], ["f"], {"to": 1}), ("Mul", ["x", "f"], ["y"], {})]
BRANCHED = [
    ("ReduceMax", ["x"], ["m"], {"keepdims": 0}), ("Greater", ["m", "half"], ["c"], {}),
    ("If", ["c"], ["y"], {"then_branch": body("Identity", "x"), "else_branch": body("Tanh", "x")}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "inputs", "weights", "target", "found"),
    [
        (EXPANDED, {"x": IMAGE}, {"minus": np.array(-1), "w": floats(1, 8, 1, 1)}, "aimotive",
         [("Add", "supported"), ("Relu", "supported")]),
        (RANGED, {"x": IMAGE}, {"two": np.array(2), "zero": np.array(0), "one": np.array(1), "rest": ints(64)},
         "aimotive", [("Reshape", "refused")]),
        (OPEN, {"x": (1,)}, {"big": np.ones((1 << 20) + 1, np.int8)}, "ti-tidl-11.02", [("Mul", "unknown")]),
        (BRANCHED, {"x": IMAGE}, {"half": np.float32(0.5)}, "ti-tidl-11.02",
         [("Greater", "fallback"), ("Identity", "fallback"), ("If", "fallback"), ("ReduceMax", "fallback"), ("Tanh", "supported")]),
    ],
    ids=["an expansion by shapes", "a range of a side", "an open constant", "an identity as a branch"],
)  # fmt: skip
def test_what_real_graphs_hold_is_judged(tmp_path, nodes, inputs, weights, target, found):
    path = saved(tmp_path, proto_of(nodes, inputs, {"y": None}, weights))
    assert sorted(judged(path, target)) == found


def test_a_wide_graph_of_shared_constants_is_judged_in_a_moment():
    width = 3000
    many = [("Relu", ["x"], [f"a{i}"], {}) for i in range(width)]
    joined = [("Concat", [f"a{i}" for i in range(width)], ["y"], {"axis": 1})]
    shared = [("Concat", ["w"] * width, ["v"], {"axis": 1}), ("Mul", ["y", "v"], ["z"], {})]
    model = model_of([*many, *joined, *shared], {"x": (1, 1, 2, 2)}, {"z": None}, {"w": floats(1, 1, 1, 1)})
    began = time.process_time()
    (one, other) = check_all(model, [load_target("aimotive"), load_target("kneron-kl720")], "wide")
    assert len(one.nodes) == len(other.nodes) == width + 2
    assert time.process_time() - began < 20
    assert is_constant(model.graph.node(width + 1).outputs[0])


HARD = "Add x:1x8x4x4 {three}; Clip $1 0.0 6.0; Mul $2 {sixth}"


@pytest.mark.parametrize(
    ("text", "op", "number"),
    [
        (HARD.format(three=3.0, sixth=1 / 6), "HardSigmoid", 3),
        (HARD.format(three="[3.0]", sixth=f"[{1 / 6}]"), "HardSigmoid", 3),
        ("Add x:1x8x4x4 [3.0]; Clip $1 0.0 6.0; Mul x $2; Div $3 [6.0]", "HardSwish", 4),
        ("Add x:1x8x4x4 [3.0]; Clip $1 0.0 6.0; Mul x $2; Div $3 [[[[6.0]]]]", "HardSwish", 4),
        ("Conv 1x8x4x4 =8x8x1x1; Add $1 ~1x8x1x1", "Conv", 2),
        ("Conv 1x8x4x4 =8x8x1x1; Add ~8x1x1 $1", "Conv", 2),
        ("Conv 1x8x4x4 =8x8x1x1 =8; BatchNormalization $1 =8 =8 =8 =8; Add $2 1.5", "Conv", 3),
        ("ConvTranspose 1x8x4x4 =8x8x1x1; Add $1 ~1x8x1x1", "ConvTranspose", 2),
    ],
)
def test_what_exporters_write_apart_is_found(text, op, number):
    (found,) = composites(model_of(text))
    assert (found.op, len(found.nodes)) == (op, number)


@pytest.mark.parametrize(
    "text",
    [
        HARD.format(three="[3.0,3.0,3.0,3.0]", sixth=1 / 6), "Add x:1x8x4x4 4.0; Clip $1 0.0 6.0; Div $2 6.0",
        "Conv 1x8x4x4 =8x8x1x1; Add $1 ~1x1x4x4", "Conv 1x8x4x4 =8x8x1x1; Add $1 1x8x1x1",
        "Conv 1x8x4x4 =8x8x1x1; Add $1 ~1x8x1x1; Mul $1 $2", "Conv 1x1x4x4 =1x1x1x1; Add $1 ~1x8x1x1",
    ],
)  # fmt: skip
def test_what_is_no_such_thing_is_not(text):
    assert composites(model_of(text)) == []


def test_a_sum_by_a_constant_behind_a_convolution_is_its_bias_whatever_becomes_of_it():
    target = load_target("horizon-rdk-x3")
    alone = said_of("Add 1x8x4x4 ~1x8x1x1", target)
    fused = said_of("Conv 1x8x4x4 =8x8x1x1; Add $1 ~1x8x1x1", target)
    wide = said_of("Conv 1x8x16x16 =8x8x9x9; Add $1 ~1x8x1x1", target)
    assert [f.level for f in alone] == ["fallback"]
    assert [(f.op, f.level, f.composite) for f in fused] == [("Conv", "supported", "Conv"), ("Add", "supported", "Conv")]
    assert {(f.rule, f.level, f.measured) for f in wide} == {("conv", "fallback", "kernel 9x9")}
    residual = said_of("Conv 1x8x12x12 =8x8x1x1 strides=[3,3]; Add $1 ~1x8x1x1; Add $2 1x8x4x4", target)
    assert next(f.level for f in residual) == "fallback", "a residual sum behind the bias is still behind the convolution"


def test_functions_of_the_model_are_written_out_and_one_that_calls_itself_is_refused(tmp_path):
    def saved_with(calls: str) -> str:
        proto = proto_of([("Relu", ["x"], ["a"], {}), ("Double", ["a"], ["y"], {})], {"x": IMAGE}, {"y": IMAGE})
        proto.graph.node[1].domain = "mine"
        inner = helper.make_node(
            calls, ["v", "v"] if calls == "Add" else ["v"], ["w"], domain="" if calls == "Add" else "mine"
        )
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("mine", 1)]
        proto.functions.append(helper.make_function("mine", "Double", ["v"], ["w"], [inner], opsets))
        proto.opset_import.append(opsets[1])
        return saved(tmp_path, proto)

    assert [op for op, _ in judged(saved_with("Add"))] == ["Relu", "Add"]
    with pytest.raises(InputError, match="its function mine::Double calls itself"):
        read_model(saved_with("Double"))


CONV = "Conv 1x8x8x8 =8x8x3x3"
BROKEN = {
    f"{CONV} strides=[0,1]": "n0",
    f"{CONV} dilations=[0,1]": "n0",
    f"{CONV} group=0": "n0",
    f"{CONV} pads=[-1,0,0,0]": "n0",
    "Conv 1x8x2x2 =8x8x3x3": "n0",
    "Conv 1x6x8x8 =8x8x3x3": "n0",
    "MaxPool 1x8x2x2 kernel_shape=[3,3]": "n0",
    "AveragePool 1x8x8x8 kernel_shape=[3,3] strides=[1,0]": "n0",
    "Transpose 1x8x8x8 perm=[0,1,1,3]": "n0",
    "Transpose 1x8x8x8 perm=[0,1,2]": "n0",
    "Softmax 1x8x8x8 axis=4": "n0",
    "Concat 1x8x8x8 1x8x8x8 axis=-5": "n0",
    "Concat 1x8x8x8 1x8x4x4 axis=1": "n0",
    "Flatten 1x8x8x8 axis=5": "n0",
    "Add 1x8x8x8 1x7x8x8": "n0",
    "MatMul 1x8 =7x3": "n0",
    "Gemm 1x8 =7x3": "n0",
    "Reshape 1x8x8x8 [1,7]": "n0",
    "Relu 1x8; Conv $1 =8x8x3x3": "n1",
}
"""Graphs that nothing runs, with the node at fault."""


@pytest.mark.parametrize("text", BROKEN)
def test_a_graph_that_nothing_runs_is_bad_input_and_names_the_node(command, tmp_path, text):
    nodes, inputs, outputs, weights, opset = graph(text, opset=17)
    code, out, error = command(
        "check", saved(tmp_path, proto_of(nodes, inputs, dict.fromkeys(outputs, None), weights, opset))
    )
    assert (code, out) == (2, ""), out
    assert BROKEN[text] in error
    assert error.count("\n") == 1


def test_an_opset_that_is_not_known_is_bad_input_and_one_beyond_the_document_is_told(command, tmp_path):
    ahead = proto_of([("Relu", ["x"], ["y"], {})], {"x": IMAGE}, {"y": IMAGE}, opset=99)
    code, _, error = command("check", saved(tmp_path, ahead))
    assert code == 2
    assert "opset 99 is newer than" in error
    path = saved(tmp_path, proto_of([("Relu", ["x"], ["y"], {})], {"x": IMAGE}, {"y": IMAGE}, opset=17))
    (one,) = check_all(read_model(path), [load_target("axelera-metis-1.2.5")], "m")
    assert [(f.rule, f.level, f.measured, f.limit) for f in one.whole] == [
        ("opset", "constrained", "opset 17", "opset 14 at most")
    ]
    assert one.causes[0].nodes == ("the model",)
    assert len(one.nodes) == 1
    assert not check(read_model(path), load_target("ti-tidl-11.02"), "m").whole


def test_an_input_that_contradicts_the_weights_is_bad_input(command, tmp_path):
    proto = proto_of([("Conv", ["x", "w"], ["y"], {})], {"x": ("n", "c", "h", "w_")}, {"y": None}, {"w": floats(8, 3, 3, 3)})
    code, _, error = command("check", saved(tmp_path, proto), "--shape", "x=1x4x8x8")
    assert code == 2
    assert "n0" in error


@pytest.mark.parametrize(
    ("text", "padding"),
    [
        ("Conv 1x1x7x8 =1x1x3x3 strides=[2,2] auto_pad=SAME_UPPER", (1, 0, 1, 1)),
        ("Conv 1x1x7x8 =1x1x3x3 strides=[2,2] auto_pad=SAME_LOWER", (1, 1, 1, 0)),
        ("Conv 1x1x7x8 =1x1x5x5 dilations=[2,2] auto_pad=SAME_UPPER", (4, 4, 4, 4)),
        ("Conv 1x1x7x8 =1x1x3x3 auto_pad=VALID pads=[0,0,0,0]", (0, 0, 0, 0)),
        ("ConvTranspose 1x1x4x4 =1x1x3x3 strides=[2,2] output_shape=[8,8]", (1, 1, 0, 0)),
        ("ConvTranspose 1x1x4x4 =1x1x3x3 strides=[2,2] auto_pad=SAME_UPPER", (0, 0, 1, 1)),
    ],
)
def test_padding_is_what_the_node_implies(text, padding):
    (node,) = model_of(text).graph
    assert pads_of(node) == padding


@pytest.mark.parametrize(
    ("predicate", "limit", "text", "within"),
    [
        ("leading_sides_at_most", 4096, "Relu 64x65x4x4x4", False), ("leading_sides_at_most", 4096, "Relu 64x64x4x4x4", True),
        ("tensor_elements_at_most", 100, "Relu 2x51", False), ("tensor_elements_at_most", 100, "Relu 2x50", True),
        ("constants_not_zero", True, "Mul 1x2 [1.0,0.0]", False), ("constants_not_zero", True, "Mul 1x2 [1.0,2.0]", True),
        ("element_types", ["float32"], "Relu 1x2", True), ("element_types", ["float16"], "Relu 1x2", False),
    ],
)  # fmt: skip
def test_a_predicate_measures_both_sides_of_its_limit(predicate, limit, text, within):
    (node,) = model_of(text).graph
    assert PREDICATES[predicate](node, limit).within == within


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.INT64])
def test_types_that_a_document_does_not_speak_of_are_unknown(kind):
    nodes = [helper.make_node("Add", ["x", "x"], ["y"], name="n")]
    edges = [helper.make_tensor_value_info(name, kind, IMAGE) for name in "xy"]
    proto = helper.make_model(
        helper.make_graph(nodes, "g", edges[:1], edges[1:]), opset_imports=[helper.make_opsetid("", 17)]
    )
    (finding,) = judge(ir.from_proto(proto), load_target("axelera-metis-1.2.5"))
    assert (finding.level, finding.limit) == ("unknown", "elements of float32, float16, int8, uint8")


LARGE = [("ConstantOfShape", ["n"], ["c"], {}), ("ReduceSum", ["c"], ["s"], {}), ("Add", ["x", "s"], ["y"], {})]
SPREAD = [("Expand", ["w", "n"], ["c"], {}), ("ReduceSum", ["c"], ["s"], {}), ("Add", ["x", "s"], ["y"], {})]


@pytest.mark.parametrize("nodes", [LARGE, SPREAD], ids=["8 GB", "4 TiB"])
def test_what_would_be_large_is_not_worked_out(tmp_path, nodes):
    sides = ints(1 << 31) if nodes is LARGE else ints(1 << 20, 1 << 20)
    path = saved(tmp_path, proto_of(nodes, {"x": (1, 1)}, {"y": None}, {"n": sides, "w": floats(1, 1)}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert judged(path) == [("Add", "supported")]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_work_has_an_end_in_time_and_memory_and_whatever_happens_is_one_line():
    assert guarded(lambda: 6 * 7, "it") == 42

    def crash() -> None:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    for work, options, message in (
        (lambda: time.sleep(60), {"seconds": 0.2}, "it: takes more than 0.2 s"),
        (lambda: np.ones(1 << 28), {"memory": 1 << 28}, "it: needs more than 268 MB of memory"),
        (lambda: int("x"), {}, r"it: cannot be judged \(ValueError: invalid literal"),
        (crash, {}, "a library crashed on it"),
    ):
        with pytest.raises(InputError, match=message):
            guarded(work, "it", **options)


def outside(**places: str) -> onnx.ModelProto:
    proto = proto_of([("Conv", ["x", "w"], ["y"], {})], {"x": (1, 3, 8, 8)}, {"y": None}, {"w": floats(8, 3, 3, 3)})
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "w.bin", **places}.items():
        tensor.external_data.add(key=key, value=value)
    return proto


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"offset": "-8"}, "the offset of the weights of 'w' is '-8'"), ({"offset": "abc"}, "the offset of the weights of 'w'"),
        ({"length": "1e3"}, "the length of the weights of 'w'"), ({"length": "9999"}, "end at byte 9999"),
        ({"location": "a\0b"}, "which names no file"), ({"length": "100"}, "'w' of 8x3x3x3 holds 100 values or bytes, not 864"),
    ],
)  # fmt: skip
def test_a_place_of_weights_that_is_none_is_one_line(command, tmp_path, places, message):
    (tmp_path / "w.bin").write_bytes(bytes(864))
    code, out, error = command("check", saved(tmp_path, outside(**places)))
    assert (code, out) == (2, "")
    assert message in error
    assert error.count("\n") == 1


def test_names_are_text_and_nothing_that_a_terminal_obeys(command, tmp_path):
    proto = proto_of([("Tanh", ["x"], ["y"], {})], {"x": IMAGE}, {"y": IMAGE})
    proto.graph.node[0].name = "red\x1b[31m\nline"
    code, out, _ = command("check", saved(tmp_path, proto), "--verbose")
    assert code == 0
    assert "\x1b" not in out
    assert "red\\x1b[31m\\nline" in out
    path = tmp_path / "bytes.onnx"
    path.write_bytes(
        proto_of([("Tanh", ["x"], ["y"], {})], {"x": IMAGE}, {"y": IMAGE}).SerializeToString().replace(b"n0", b"\xff\xfe")
    )
    code, out, error = command("check", path)
    assert (code, out) == (2, "")
    assert error.count("\n") == 1
    assert "UTF-8" in error


def test_a_tensor_without_its_data_is_one_line(command, tmp_path):
    proto = proto_of([("Conv", ["x", "w"], ["y"], {})], {"x": (1, 3, 8, 8)}, {"y": None}, {"w": floats(8, 3, 3, 3)})
    proto.graph.initializer[0].dims[0] = 1 << 40
    code, _, error = command("check", saved(tmp_path, proto))
    assert code == 2
    assert "tensor 'w' of 1099511627776x3x3x3 holds 864" in error


@pytest.mark.parametrize(
    ("sides", "options", "advice"),
    [
        (("n", 3, "h", "w"), (), "give --size HEIGHTxWIDTH"),
        (("n", 3, 32, 32), (), "give --shape x=1x3x32x32"),
        (("n", "c", "h", "w"), ("--size", "8x8"), "give --shape x=1x3x8x8"),
        (("n", "t", 8), ("--size", "8x8"), "give --shape x=1x64x8"),
        (("n",), (), "give --shape x=1"),
        ((-1, 3, -1, -1), ("--size", "8x8"), None),
    ],
)
def test_advice_on_open_sides_works_when_it_is_followed(command, tmp_path, sides, options, advice):
    path = saved(tmp_path, proto_of([("Relu", ["x"], ["y"], {})], {"x": sides}, {"y": sides}))
    code, _, error = command("check", path, *options)
    if advice is None:
        assert code == 0
        return
    assert code == 2
    assert advice in error
    option, value = error.partition("give ")[2].split(",")[0].split()
    assert command("check", path, option, value.replace("HEIGHTxWIDTH", "8x8"))[0] == 0


def test_a_finding_by_form_says_what_was_seen_and_numbers_are_short(tmp_path):
    target = load_target(
        written(tmp_path, ('["HardSigmoid"]', "supported", "limits = { attributes = { alpha = 0.5 } }"),
                ('["Conv"]', "fallback:cpu", "where = { kernel_at_most = 3 }"),
                ('["MaxPool"]', "supported", "where = { kernel_at_most = 3 }"))
    )  # fmt: skip
    (hard,) = said_of("HardSigmoid 1x8 alpha=0.2", target)
    (conv,) = said_of("Conv 1x8x8x8 =8x8x3x3", target)
    (pool,) = said_of("MaxPool 1x8x8x8 kernel_shape=[5,5]", target)
    assert hard.measured == "attributes {'alpha': 0.2}"
    assert (conv.level, conv.measured) == ("fallback", "kernel 3x3")
    assert (pool.measured, pool.limit) == ("kernel 5x5", "kernel at most 3 in each direction")


def test_a_check_says_which_findings_a_rewrite_cures(command, tmp_path):
    nodes, inputs, _outputs, weights, opset = graph("ReduceMean x:1x8x4x4 [2,3] keepdims=1; Mul x $1; Tanh $2", opset=18)
    path = saved(tmp_path, proto_of(nodes, inputs, {"y": (*IMAGE[:2], 4, 4)}, weights, opset))
    code, text, _ = command("check", path, "-f", "json")
    (one,) = json.loads(text)["checks"]
    cured = {node["op"]: node["substitute"] for node in one["nodes"]}
    assert code in (0, 1)
    assert cured == {"ReduceMean": "rewrite: global pooling", "Mul": "", "Tanh": ""}


def test_sarif_says_all_that_a_code_host_asks_for(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path, proto_of(*graph("GlobalMaxPool 1x8x4x4; Erf $1; Softmax $2 axis=1", opset=17)))
    _, text, _ = command("check", path, "-f", "sarif", "--target", "ti-tidl-11.02")
    (run,) = json.loads(text)["runs"]
    rules, results = run["tool"]["driver"]["rules"], run["results"]
    assert all({"help", "fullDescription", "helpUri", "defaultConfiguration", "name"} <= set(rule) for rule in rules)
    assert {rule["helpUri"] for rule in rules} == {
        "https://github.com/TexasInstruments/edgeai-tidl-tools/tree/238cb8b029ecb087d8eef6374c52ffa4b21b6ab3"
    }
    places = [result["locations"][0]["physicalLocation"] for result in results]
    assert {place["artifactLocation"]["uri"] for place in places} == {"m.onnx"}
    assert all(place["region"]["startLine"] == 1 for place in places)
    prints = [result["partialFingerprints"]["primaryLocationLineHash"] for result in results]
    assert len(set(prints)) == len(results) > 1


def test_causes_are_the_worst_first_and_the_costliest_of_those(tmp_path):
    target = load_target(
        written(tmp_path, ('["Conv"]', "refused", ""), ('["Relu"]', "refused", ""), ('["Tanh"]', "unknown", ""))
    )
    checked = check(model_of("Tanh 1x8x8x8; Relu $1; Conv $2 =8x8x3x3; Relu $3"), target, "m")
    assert [(cause.finding.level, cause.ops, len(cause.nodes)) for cause in causes(checked.nodes)] == [
        ("refused", ("Conv",), 1), ("refused", ("Relu",), 2), ("unknown", ("Tanh",), 1),
    ]  # fmt: skip


def test_random_graphs_are_judged_or_refused_as_the_runtime_has_it(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.chdir(tmp_path)
    from fuzz_check import fuzz

    counts, wrong = fuzz(range(1000, 1100), tmp_path, asked=10)
    assert wrong == []
    assert {"graphs: exit code 1", "graphs: exit code 2", "spoilt files: exit code 2"} <= set(counts)


def test_weights_that_are_large_are_not_handed_to_onnx_and_are_there_in_the_end(tmp_path):
    proto = proto_of([("Conv", ["x", "w"], ["y"], {})], {"x": (1, 64, 8, 8)}, {"y": None}, {"w": floats(64, 64, 3, 3)})
    model = read_model(saved(tmp_path, proto))
    assert [value.name for value in model.graph.inputs] == ["x"]
    assert np.array_equal(
        model.graph.initializers["w"].const_value.numpy(), numpy_helper.to_array(proto.graph.initializer[0])
    )
