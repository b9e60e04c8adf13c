"""What every runtime must do, and what each one's rows are: over the registry, on a small real graph."""

import json

import numpy as np
import onnxruntime as ort
import pytest
import torch
from PIL import Image
from torch import nn

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.grammar import parse_spec
from attnbench.core.inputs import read_inputs
from attnbench.core.naming import insertion_prefix
from attnbench.core.records import Case
from attnbench.core.versions import NOT_INSTALLED
from attnbench.graph.align import ExecutedNode, align
from attnbench.graph.export import to_onnx
from attnbench.graph.load import parse, serialise
from attnbench.measure import session as session_of_measure
from attnbench.measure.observer import Silent
from attnbench.measure.session import profile
from attnbench.measure.sweep import run_plan
from attnbench.report.markdown import render
from attnbench.report.page.run import page_of
from attnbench.report.parts import by_runtime, parts_of
from attnbench.runs.facts import LatencyFact
from attnbench.runs.figures import latency_figures
from attnbench.runs.store import load_run
from attnbench.runtimes import RUNTIMES, SessionSettings, check_runtime, device_of, open_graph, runtime_version
from attnbench.study.plan import plan

NAMES = RUNTIMES.names()
PREFIX = insertion_prefix("body", 0, "gate")


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """A convolution with its activation, a pool, and a convolution: its file, and an input with its output."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3, padding=1))
    path = tmp_path_factory.mktemp("graph") / "g.onnx"
    path.write_bytes(to_onnx(body, (1, 3, 32, 32), canonical=True))
    inputs = {"image": np.random.default_rng(0).standard_normal((1, 3, 32, 32), dtype=np.float32)}
    reference = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {reference.get_inputs()[0].name: next(iter(inputs.values()))}
    return str(path), inputs, reference.run(None, inputs)[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_runtime_says_what_it_is(name):
    described, entry = RUNTIMES.describe()[name], RUNTIMES.load(name)
    assert all(described.get(field) == getattr(entry, field) for field in ("name", "summary", "rows", "distributions"))
    assert described.get("memory", False) == entry.memory
    assert entry.summary
    assert entry.rows
    assert "cpu" in entry.devices()
    assert runtime_version(name)[0].isdigit()


@pytest.mark.parametrize("name", NAMES)
def test_a_runtime_computes_what_the_graph_says(name, graph):
    path, inputs, expected = graph
    session = open_graph(name, path, SessionSettings())
    assert [(one.name, one.shape, one.type) for one in session.inputs] == [(*inputs, (1, 3, 32, 32), "float32")]
    assert len(session.outputs) == 1
    np.testing.assert_allclose(session.run(inputs)[0], expected, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_is_of_the_nodes_of_the_runtimes_own_graph(name, graph):
    path, inputs, _ = graph
    session = open_graph(name, path, SessionSettings(keep="profile"))
    for _ in range(2):
        session.run(inputs)
    session.warm()
    for _ in range(5):
        session.run(inputs)
    nodes, runs = session.profiled()
    known = {one.name: one for one in session.graph()}
    assert {node["name"] for node in nodes} == set(known)
    assert sum("conv" in node["op"].lower() for node in nodes) == 2
    assert 1 <= len(runs) <= 5
    assert all(len(run) == len(nodes) and 0 < sum(run) < 1 for run in runs)
    for node in nodes:
        tensors = json.loads(node["inputs"]) + json.loads(node["outputs"])
        assert all(len(tensor) == 1 and isinstance(next(iter(tensor.values())), list) for tensor in tensors)
        assert known[node["name"]].kind.split()[0] == node["op"] or name == "onnxruntime"
        assert ExecutedNode(**{**node, "originals": tuple(node.get("originals", ()))}).key[3] == node["parameter_bytes"]
    made = {tensor for one in known.values() for tensor in one.writes}
    assert all(made.intersection(one.reads) for one in list(known.values())[-1:]), "edges join its nodes"


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_is_to_be_had_without_a_run(name, graph):
    kinds = [node.kind for node in open_graph(name, graph[0], SessionSettings(keep="graph")).graph()]
    assert any("16x16x3x3" in kind for kind in kinds)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_model_is_an_error(name, tmp_path):
    (tmp_path / "no.onnx").write_text("no model")
    with pytest.raises(Exception, match=r"\w"):
        open_graph(name, str(tmp_path / "no.onnx"), SessionSettings())


@pytest.mark.parametrize("name", NAMES)
def test_the_timing_process_profiles_with_any_runtime(name, graph):
    job = {"model": graph[0], "runtime": name, "warmup": 2, "repeat": 4, "seed": 0, "step_seconds": 9.0}
    found = profile(job)
    assert found["finite"]
    assert found["edges"]
    assert 0 < found["core_share"] <= 1
    assert all(node["kind"] for node in found["nodes"])


def test_runs_are_fed_the_users_own_arrays_and_images(graph, tmp_path, monkeypatch):
    (shape,) = {array.shape for array in graph[1].values()}
    np.save(tmp_path / "two.npy", np.stack([np.full(shape[1:], 1.0), np.full(shape[1:], 2.0)]))
    Image.new("RGB", (64, 48), (255, 0, 0)).save(tmp_path / "red.png")
    arrays = read_inputs(str(tmp_path), shape)
    assert [array.shape for array in arrays] == [shape] * 3
    assert [float(array[0, 0, 0, 0]) for array in arrays] == [1.0, 1.0, 2.0], "red.png comes first"
    assert float(arrays[0][0, 1].max()) == 0.0
    fed = []
    real = session_of_measure.opened

    def spied(*asked, **how):
        opened = real(*asked, **how)
        run = opened.run
        opened.run = lambda inputs: fed.append(float(next(iter(inputs.values()))[0, 2, 0, 0])) or run(inputs)
        return opened

    monkeypatch.setattr(session_of_measure, "opened", spied)
    job = {
        "model": graph[0],
        "threads": 1,
        "warmup": 1,
        "repeat": 3,
        "seed": 0,
        "step_seconds": 9.0,
        "inputs": str(tmp_path),
    }
    session_of_measure.latency(job)
    assert fed == [0.0, 1.0, 2.0, 0.0]


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("", "holds no .npy file and no image"),
        ("bad.npy", "is no array"),
        ("flat.npy", r"is float64 of \[4\]: the input is \[1, 3, 8, 8\]"),
        ("bad.png", "is no image"),
    ],
)
def test_inputs_that_do_not_fit_are_named(tmp_path, file, what):
    if file == "flat.npy":
        np.save(tmp_path / file, np.zeros(4))
    elif file:
        (tmp_path / file).write_text("x")
    with pytest.raises(InputError, match=what):
        read_inputs(str(tmp_path), (1, 3, 8, 8))


def test_a_study_says_by_hash_what_it_was_fed(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 3, 8, 8), np.float32))
    study = {"case": [{"variant": "encoder.layer3=se"}], "settings": {"inputs": str(tmp_path)}}
    one = plan(study)
    assert one.inputs == str(tmp_path)
    np.save(tmp_path / "b.npy", np.zeros((1, 3, 8, 8), np.float32))
    assert one.protocol.inputs.split()[0] == plan(study).protocol.inputs.split()[0] == tmp_path.name
    assert one.protocol.inputs != plan(study).protocol.inputs


def test_a_deadline_is_a_share_of_runs_and_p99_wants_a_hundred():
    def figures(number, deadline=""):
        wall = tuple(0.001 * (at + 1) for at in range(number))
        facts = [LatencyFact(case=Case("h", "v", "1x1"), number=0, threads=1, wall=wall)]
        return {m.metric: m.value for m in latency_figures((), facts, deadline)}

    assert "latency_p99" not in figures(99)
    assert figures(100)["latency_p99"] == pytest.approx(0.09901)
    assert figures(100, "33ms")["within_deadline"] == 0.33
    assert "within_deadline" not in figures(100)
    with pytest.raises(InputError, match="write it like 33ms"):
        plan({"case": [{"variant": "encoder.layer3=se"}], "settings": {"deadline": "33"}})


def test_runtimes_are_a_dimension_of_a_study():
    asked = {"case": [{"variant": "encoder.layer3=se"}], "runtimes": ["onnxruntime", "openvino[device=cpu]"]}
    cases = [planned.case for planned in plan(asked).cases]
    assert [(case.runtime, case.variant) for case in cases] == [
        ("onnxruntime", "baseline"), ("onnxruntime", "encoder.layer3=se"),
        ("openvino", "baseline"), ("openvino", "encoder.layer3=se"),
    ]  # fmt: skip
    assert cases[3].baseline == cases[2] != cases[0]
    assert cases[2].label == "resnetsan01 384x640 openvino baseline"
    assert cases[0].label == "resnetsan01 384x640 baseline"
    assert [case.runtime for case in (planned.case for planned in plan({**asked, "runtimes": ["openvino"]}).cases)] == [
        "openvino"
    ] * 2
    with pytest.raises(InputError, match="did you mean 'openvino'"):
        plan({**asked, "runtimes": ["openvin"]})


@pytest.fixture(scope="module")
def in_both(tmp_path_factory):
    """One study of one module in two runtimes: its run, and the folder of that."""
    study = {
        "name": "two", "sizes": ["64x96"], "runtimes": ["onnxruntime", "openvino"], "targets": [],
        "case": [{"variant": "encoder.layer3=se"}],
        "settings": {"processes": 2, "max_processes": 2, "warmup": 1, "repeat": 3, "crosscheck": 0, "memory": False},
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("two")
    return run_plan(plan(study), folder, folder / "run", Silent())


def test_a_study_in_two_runtimes_is_one_run(in_both):
    run, folder = in_both
    assert [record.status for record in run.records] == ["ok"] * 4
    assert {"onnxruntime", "openvino"} <= set(run.header.software)
    assert load_run(folder).records == run.records


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_each_runtime_of_a_study_has_a_baseline_a_floor_and_an_attributed_overhead(in_both, runtime):
    baseline, variant = (record for record in in_both[0].records if record.case.runtime == runtime)
    assert baseline.value("aa_repeat") is not None
    assert baseline.value("latency") > 0
    assert variant.get("overhead").note.startswith(("budget", "precision"))
    assert variant.value("aligned") > 0.8
    assert {node.site for node in variant.nodes} == {"encoder.layer3"}


def test_a_report_has_a_part_for_each_runtime_and_both_side_by_side(in_both):
    run, _ = in_both
    titles = ["resnetsan01 at 64x96", "resnetsan01 at 64x96 on openvino"]
    assert [part.baseline.where for part in parts_of(run)] == titles
    assert [column for column in by_runtime(run).columns if "onnx" in column] == [
        "onnxruntime (%)",
        "openvino / onnxruntime",
    ]
    assert "## Runtimes side by side" in render(run)

    page = page_of(run)
    (where,) = (part for part in page.parts if part.title == "Where it costs")
    assert [chain.title.partition(",")[0] for chain in where.chains] == titles
    assert [listing.title for listing in where.listings] == ["Runtimes side by side"]
    assert "OpenVINO 20" in page.lines[0]


def test_a_runtime_is_written__as_a_name_with_options():
    assert str(check_runtime("openvino[device=cpu]")) == "openvino", "a default is not written"
    assert str(check_runtime("openvino[device=gpu]")) == "openvino[device=gpu]"
    assert [device_of("openvino[device=gpu]"), device_of("openvino"), device_of("onnxruntime", "xnnpack")] == [
        "gpu", "cpu", "xnnpack",
    ]  # fmt: skip
    with pytest.raises(UnknownName, match="did you mean 'openvino'"):
        check_runtime("openvin")
    with pytest.raises(InputError, match="option"):
        check_runtime("openvino[cores=2]")
    assert runtime_version(parse_spec("openvino").name) != NOT_INSTALLED


def test_openvino_names_the_devices_it_has_and_keeps_to_the_precision(graph):
    with pytest.raises(RuntimeError, match="no device npu here, but cpu"):
        open_graph("openvino[device=npu]", graph[0], SessionSettings())


def test_openvino_adds_what_two_roundings_take(graph, monkeypatch):
    session = open_graph("openvino", graph[0], SessionSettings(keep="profile"))
    names = [one.counted_as for one in session._nodes]
    told = iter([dict.fromkeys(names, 10e-6), {**dict.fromkeys(names, 20e-6), names[0]: 0.0}])
    monkeypatch.setattr(session, "_counters", lambda: next(told))
    session._runs = 2
    session.warm()
    session._runs = 6
    nodes, [run] = session.profiled()
    assert run[0] == 0.0
    assert run[1:] == pytest.approx([(6 * 20 - 2 * 10) / 4 * 1e-6 + 1e-6] * (len(nodes) - 1))


def node(name, op="Convolution", originals=(), weights=36):
    return ExecutedNode(name, op, "i", "o", weights, op, originals)


@pytest.mark.parametrize(
    ("baseline", "variant", "changed", "added", "removed"),
    [
        # the module's last node was folded into the host's convolution
        ([node("c", originals=("c", "r"))], [node("c", originals=("c", f"{PREFIX}mul", "r"))], ((0, 0),), (), ()),
        # the host's activation was folded into a node of the module
        ([node("c", originals=("c", "r"))], [node("c", originals=("c",)), node(f"{PREFIX}s", "Subgraph", (f"{PREFIX}s", "r"), 0)],
         ((0, 0),), (1,), ()),
        # both became one node without weights: all of it is added, and the host's own taken away
        ([node("a", "Subgraph", ("a", "r"), 0)], [node("a", "Subgraph", ("a", f"{PREFIX}m"), 0)], (), (0,), (0,)),
        # an inserted node with a name that the runtime made up
        ([node("c", originals=("c",))], [node("c", originals=("c",)), node(f"{PREFIX}x", "Reduce", (f"{PREFIX}x", "Power_3"), 0)],
         (), (1,), ()),
    ],
)  # fmt: skip
def test_what_a_runtime_folded_is_no_gift(baseline, variant, changed, added, removed):
    found = align(baseline, variant)
    assert (found.changed, found.added, found.removed) == (changed, added, removed)


def test_openvino_tells_what_it_folded_into_the_hosts_convolution(tmp_path):
    """An inserted activation behind a convolution runs inside it: the node says so, and no time is lost."""
    torch.manual_seed(0)
    path = tmp_path / "folded.onnx"
    model = parse(
        to_onnx(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Sigmoid(), nn.MaxPool2d(2)), (1, 8, 32, 32), canonical=True)
    )
    for one in model.graph:
        if one.op_type == "Sigmoid":
            one.name = f"{PREFIX}sigmoid"
    path.write_bytes(serialise(model))
    session = open_graph("openvino", str(path), SessionSettings(keep="profile"))
    session.run({session.inputs[0].name: np.zeros((1, 8, 32, 32), np.float32)})
    rows = [ExecutedNode(**{**row, "originals": tuple(row["originals"])}) for row in session.profiled().nodes]
    (conv,) = [row for row in rows if row.op == "Convolution"]
    assert conv.site == "body"
    assert not conv.name.startswith("@")
