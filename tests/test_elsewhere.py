"""Profiles that other tools took: each format is read, and comes to the overhead that its fixture was written for.

`tests/data/profiles/README.md` says after what each fixture is written. In all of them the shared layers take 400 units,
less the input of some, and SE adds 20.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import HEAVY, loaded_by
from onnx import TensorProto, helper, save

from attnbench.core.errors import InputError
from attnbench.measure.elsewhere import NamedGraph, attribute_elsewhere
from attnbench.profiles import PROFILES, read_profile

DATA = Path(__file__).parent / "data" / "profiles"
SUFFIX = {"tensorrt": "json", "openvino": "csv", "tflite": "csv", "rknn": "txt", "tidl": "txt", "onnxruntime": "json"}
INFO = {"tidl": ("tidl.base.layer_info.txt", "tidl.se.layer_info.txt")}
MADE_OF = {
    "tensorrt": {"added": 2.0, "layout": 0.5, "unfused": 7.5, "changed": -5.0},
    "openvino": {"added": 4.0, "layout": 1.0},
    "tflite": {"added": 5.0},
    "rknn": {"added": 5.0},
    "tidl": {"added": 5.0},
    "onnxruntime": {"added": 4.0, "layout": 1.0},
}
"""Points of the overhead by kind. TensorRT's input is reformatted in 10 units more, and SE breaks a fusion there."""


def pair(name: str):
    infos = [DATA / one for one in INFO[name]] if name in INFO else [None, None]
    return tuple(
        read_profile(DATA / f"{name}.{which}.{SUFFIX[name]}", info=info)[1]
        for which, info in zip(("base", "se"), infos, strict=True)
    )


def by_kind(found) -> dict[str, float]:
    points: dict[str, float] = {}
    for node in found.shown.nodes:
        points[node.kind] = points.get(node.kind, 0.0) + 100 * node.share
    return points


def slower(profile, factor: float):
    return replace(profile, runs=tuple(tuple(factor * seconds for seconds in run) for run in profile.runs))


def test_every_format_has_a_fixture_and_is_known_by_its_text():
    assert set(MADE_OF) == set(PROFILES.names())
    for path in DATA.glob("*.*.*"):
        if "layer" not in path.name:
            text = path.read_text()
            assert [name for name in PROFILES.names() if PROFILES.load(name).looks(text)] == [
                path.name.split(".")[0].split("-")[0]
            ]


@pytest.mark.parametrize("name", MADE_OF)
@pytest.mark.parametrize("speed", [1.0, 1.7])
def test_an_overhead_is_what_its_layers_say_at_any_speed_of_the_machine(name, speed):
    baseline, variant = pair(name)
    found = attribute_elsewhere([(baseline, slower(variant, speed))])
    whole = 410 if name == "tensorrt" else 400
    wanted = {kind: points * 400 / whole for kind, points in MADE_OF[name].items()}
    assert found.shown.reason == ""
    assert by_kind(found) == pytest.approx(wanted, abs=1e-6)
    assert found.estimate.value == pytest.approx(sum(wanted.values()) / 100, abs=1e-8)
    assert found.estimate.low is None
    assert {node.site for node in found.shown.nodes if node.kind != "changed"} == {"body"}


def test_counters_that_openvino_wrote_come_to_what_its_inserted_layers_took():
    """All other layers of the host are shared, whatever numbers the plugin gave them."""
    base, se = (read_profile(DATA / f"openvino-2026.{which}.csv")[1] for which in ("base", "se"))
    found = attribute_elsewhere([(base, se)])
    own = [i for i, layer in enumerate(se.layers) if layer.name.startswith("@encoder.layer3@0.se@/")]
    (run,) = se.runs
    assert found.shown.aligned == 1.0
    assert by_kind(found).keys() == {"added"}
    assert len(found.shown.nodes) == len(own) == 4
    assert found.estimate.value == pytest.approx(sum(run[i] for i in own) / (sum(run) - sum(run[i] for i in own)))
    assert "2 inserted nodes listed as not run: folded into others, or computed ahead" in found.untold


def test_tensorrt_says_which_layers_hold_host_and_module():
    found = attribute_elsewhere([pair("tensorrt")])
    assert any("1 layer of the variant with nodes of the host and of the module" in one for one in found.untold)
    assert any("median" in one for one in found.untold)
    (fused,) = [node for node in found.shown.nodes if "node_conv" in node.node]
    assert fused.node == "@body@0.se[reduction=8]@/node_conv + node_relu"


def test_layers_of_tensorrt_that_do_not_say_what_they_hold_are_told_by_the_layer_information():
    baseline = read_profile(DATA / "tensorrt.base.json")[1]
    _, untold = read_profile(DATA / "tensorrt.myelin.json")
    found = attribute_elsewhere([(baseline, untold)])
    assert found.shown.reason == "the runtime ran no inserted node by itself"
    assert (
        "1 layer of the variant without a word of what it holds (2% of its time): __myl_MeanMulSigm_myl0_3" in found.untold
    )
    info = DATA / "tensorrt.myelin.layers.json"
    same = read_profile(DATA / "tensorrt.myelin.json", info=info)[1]
    without = replace(same, layers=(*same.layers[:2], same.layers[3]), runs=tuple((*run[:2], run[3]) for run in same.runs))
    found = attribute_elsewhere([(without, same)])
    assert found.estimate.value == pytest.approx(0.01 / 0.41)
    assert [(node.node, node.kind) for node in found.shown.nodes] == [
        ("@body@0.se[reduction=8]@/node_pool + node_sigmoid + node_mul", "added")
    ]


RKNN_BEFORE = """
D RKNN: [15:13:15.945] ID   OpType           DataType Target InputShape      OutputShape      DDR Cycles  NPU Cycles  Total Cycles  Time(us)  MacUsage(%)  WorkLoad(0/1/2)-ImproveTherical  Task Number  Lut Number  RW(KB)  FullName
D RKNN: [15:13:15.945] 1    InputOperator    UINT8    CPU    \\               (1,3,224,224)    0           0           0             7         \\            0.0%/0.0%/0.0% - Up:0.0%         0            0           147.00  InputOperator:data
D RKNN: [15:13:15.945] 2    ConvRelu         UINT8    NPU    (1,3,224,224),(32,3,3,3),(32)  (1,32,112,112)  94150  10584  94150  428  2.47  100.0%/0.0%/0.0% - Up:0.0%  3  0  543.75  conv1
Total Operator Elapsed Time(us): 435
"""


def test_rockchips_table_of_before_has_cycles_in_three_columns():
    found = PROFILES.load("rknn").read(RKNN_BEFORE, "")
    assert [(layer.name, layer.op) for layer in found.layers] == [("data", "InputOperator"), ("conv1", "ConvRelu")]
    assert found.runs == (pytest.approx((7e-6, 428e-6)),)


def test_a_delegate_is_never_taken_for_one_and_the_same_layer():
    found = read_profile(DATA / "tflite.delegate.txt")[1]
    assert [layer.op for layer in found.layers] == ["TfLiteXNNPackDelegate"]
    result = attribute_elsewhere([(found, slower(found, 1.05))])
    assert result.shown.reason
    assert any("without a word of what it holds (100% of its time)" in one for one in result.untold)


def test_more_pairs_give_an_interval():
    baseline, variant = pair("rknn")
    more = replace(variant, runs=tuple(tuple(t + 2e-6 * (i == 5) for i, t in enumerate(run)) for run in variant.runs))
    found = attribute_elsewhere([(baseline, variant), (baseline, more)])
    assert found.overheads == pytest.approx((0.05, 0.055))
    assert found.estimate.low < 0.0525 < found.estimate.high


@pytest.fixture
def graphs(tmp_path):
    """The files of the two graphs, the node names of one mangled as some converters do, with one more node in SE."""

    def node(op, read, gave, name):
        return helper.make_node(op, [read], [gave], name=name)

    stem, body = node("Relu", "image", "stem_out", "node_stem"), node("Relu", "stem_out", "body_out", "node_body")
    own = [node("Relu", "body_out", "@body@0.se@/pool", "@body@0.se@/node_pool"),
           node("Abs", "@body@0.se@/pool", "@body@0.se@/abs", "@body@0.se@/node_abs"),
           node("Neg", "@body@0.se@/abs", "@body@0.se@/mul", "@body@0.se@/node_mul")]  # fmt: skip
    ends = [node("Relu", read, "head_out", "node_head") for read in ("body_out", "@body@0.se@/mul")]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 4, 4]) for name in ("image", "head_out")]
    paths = []
    for name, nodes in (("base", [stem, body, ends[0]]), ("se", [stem, body, *own, ends[1]])):
        paths.append(tmp_path / f"{name}.onnx")
        save(helper.make_model(helper.make_graph(nodes, name, values[:1], values[1:])), paths[-1])
    return paths


def test_graphs_find_nodes_by_their_tensors_and_say_what_no_layer_names(graphs):
    base, se = map(NamedGraph.read, graphs)
    assert se.node("_body_0_se__node_mul") == se.node("@body@0.se@/mul") == "@body@0.se@/node_mul"
    assert se.node("elsewhere") == "elsewhere"
    found = attribute_elsewhere([pair("tidl")], (base, se))
    assert found.estimate.value == pytest.approx(0.05)
    assert {(node.node, node.op) for node in found.shown.nodes} == {
        ("@body@0.se@/node_pool", "Relu"),
        ("@body@0.se@/node_mul", "Neg"),
    }
    (untold,) = [one for one in found.untold if "named in no layer" in one]
    assert untold.startswith("1 inserted node named in no layer (Abs)")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "nothing of the kind", "unknown format of the profile"),
        (lambda text: text[:-200], "is no tensorrt profile that can be read"),
        (
            lambda text: text.replace("0.1,", "0,").replace("0.2,", "0,").replace("0.01,", "0,"),
            "holds no layer with a time: take it with trtexec",
        ),
    ],
)
def test_a_text_that_is_no_profile_is_one_line(tmp_path, change, message):
    path = tmp_path / "profile.json"
    path.write_text(change((DATA / "tensorrt.base.json").read_text()))
    with pytest.raises(InputError, match=message):
        read_profile(path)


def test_tables_of_unlike_layers_and_layers_without_names_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"its layers are numbers: give the \*\.layer_info\.txt"):
        read_profile(DATA / "tidl.se.txt")
    with pytest.raises(InputError, match="layer 4 is not in the layer information"):
        read_profile(DATA / "tidl.se.txt", info=DATA / "tidl.base.layer_info.txt")
    with pytest.raises(InputError, match="openvino has no file of layer names"):
        read_profile(DATA / "openvino.se.csv", info=DATA / "tidl.base.layer_info.txt")
    path = tmp_path / "two.csv"
    path.write_text((DATA / "openvino.base.csv").read_text() + (DATA / "openvino.se.csv").read_text())
    with pytest.raises(InputError, match="its 4 tables are not of the same layers"):
        read_profile(path)


def test_the_command_answers_in_every_form(command, refused, graphs, tmp_path):
    base, se = DATA / "openvino.base.csv", DATA / "openvino.se.csv"
    code, out, _ = command("attribute", base, se)
    assert code == 0
    assert "overhead 5.000 % of the baseline's time, by openvino" in out
    assert "1 inserted node listed as not run" in out
    assert "changes of layout around it" in out
    code, out, _ = command("attribute", base, se, "--format", "json", "--graphs", *graphs)
    told = json.loads(out)
    assert (code, told["overhead_pct"], told["unit"]) == (0, pytest.approx(5.0), "s")
    assert {layer["kind"] for layer in told["layers"]} == {"added", "layout"}
    code, out, _ = command("attribute", base, base, "--format", "csv")
    assert (code, out.splitlines()) == (1, ["site,node,op,kind,time,unit,overhead_pct"])
    assert "come in pairs" in refused("attribute", base)
    assert "profiles of different tools" in refused("attribute", base, DATA / "rknn.se.txt")
    assert "did you mean 'openvino'" in refused("attribute", base, se, "--profiler", "openvin")
    code, out, _ = command("list", "profiles")
    assert code == 0
    assert all(name in out for name in MADE_OF)


def test_the_command_loads_no_torch_and_no_runtime():
    base, se = DATA / "openvino.base.csv", DATA / "openvino.se.csv"
    assert not loaded_by(("attribute", base, se)) & HEAVY
