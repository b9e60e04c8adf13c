"""int8 as a number type of cases: planned, quantised, measured beside fp32, and never mixed with it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from attnbench import run_study
from attnbench.core.errors import CaseFailure, CaseSkipped, InputError
from attnbench.core.naming import is_inserted
from attnbench.core.protocol import Protocol
from attnbench.core.records import Case, Record
from attnbench.graph.quantise import noise, samples_in
from attnbench.hosts import HostReference
from attnbench.judge.compare import compare, parse
from attnbench.judge.compare.match import match
from attnbench.judge.rows import rows_of
from attnbench.measure import build, int8, panels
from attnbench.measure.build import CaseBuilder
from attnbench.measure.int8 import floats_among, reduces_range
from attnbench.measure.optimised import OptimisedNode
from attnbench.report import tables
from attnbench.report.frame import to_frame
from attnbench.report.markdown import render
from attnbench.runs.facts import ProfileFact
from attnbench.runs.store import read_run_file
from attnbench.study.flags import from_flags
from attnbench.study.plan import plan

FAST = {"processes": 1, "max_processes": 1, "warmup": 1, "repeat": 3, "crosscheck": 0, "memory": False}
SIZE = "32x48"
SITES = {"stem": "stem", "body": "body.1"}


def test_a_case_of_fp32_is_the_key_that_it_was():
    old = Record.from_json({"case": {"host": "h", "variant": "v", "size": "8x8", "batch": 1}, "status": "ok"}).case
    new = Case("h", "v", "8x8", dtype="int8")
    assert (old, old.label, old.at) == (Case("h", "v", "8x8"), "h 8x8 v", "8x8")
    assert (new.label, new.at, new.in_floats) == ("h 8x8 int8 v", "8x8 int8", old)
    assert new.baseline == Case("h", "baseline", "8x8", dtype="int8") != old.baseline


def test_each_number_type_has_its_own_baseline_and_variants():
    asked = {"hosts": ["resnet18"], "sizes": ["32x32"], "matrix": [{"modules": ["se"], "places": ["layer1"]}]}
    cases = [one.case for one in plan({**asked, "dtypes": ["fp32", "int8"]}).cases]
    assert [(case.dtype, case.is_baseline) for case in cases] == [
        ("fp32", True), ("fp32", False), ("int8", True), ("int8", False),
    ]  # fmt: skip
    assert [one.case for one in plan(asked).cases] == cases[:2]
    beside = plan({**asked, "dtypes": ["fp32", "int8"], "runtimes": ["openvino", "onnxruntime"]}).cases
    assert list(dict.fromkeys((one.case.runtime, one.case.dtype) for one in beside)) == [
        ("openvino", "fp32"), ("onnxruntime", "fp32"), ("onnxruntime", "int8"),
    ]  # fmt: skip
    with pytest.raises(InputError, match="int8 is measured in onnxruntime alone"):
        plan({**asked, "dtypes": ["int8"], "runtimes": ["openvino"]})
    with pytest.raises(InputError, match="number type.*did you mean 'int8'"):
        plan({**asked, "dtypes": ["int9"]})


def test_the_command_line_takes_number_types(refused):
    def cases(*dtypes):
        return plan(from_flags("quick", [], [], [], [], ["64x64"], [], None, dtypes=list(dtypes))).cases

    assert (
        {one.case.dtype for one in cases("fp32,int8")}
        == {one.case.dtype for one in cases("fp32", "int8")}
        == {"fp32", "int8"}
    )
    assert {one.case.dtype for one in cases()} == {"fp32"}
    assert "number type" in refused("sweep", "quick", "--dtype", "fp16", "--dry-run")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A host of the user's with two modules in both number types, calibrated on files."""
    from conftest import USER_CODE

    folder = tmp_path_factory.mktemp("int8")
    (folder / "mine.py").write_text(USER_CODE)
    (folder / "maps").mkdir()
    for number, sample in enumerate(noise((1, 3, 32, 48), 3)):
        np.save(folder / "maps" / f"{number}.npy", sample[0])
    host = {"spec": f"{folder / 'mine.py'}:build", "sites": SITES}
    study = {"name": "types", "hosts": [host], "sizes": [SIZE], "dtypes": ["fp32", "int8"],
             "settings": {"calibration": str(folder / "maps")},
             "matrix": [{"modules": ["se_npu", "simam"], "places": ["body"]}]}  # fmt: skip
    return run_study(study, out=folder / "out", **FAST).run


def test_both_types_are_measured_each_over_its_own_baseline(finished):
    rows = {(row.case.variant, row.case.dtype): row for row in rows_of(finished)}
    assert [row.record.status for row in rows.values()] == ["ok"] * 6
    for (variant, dtype), row in rows.items():
        assert row.baseline.case == Case(row.case.host, "baseline", SIZE, dtype=dtype)
        if dtype == "fp32":
            assert (row.floats, row.get("int8_float_ops"), row.get("int8_gain")) == (None, None, None)
            continue
        floats = rows[variant, "fp32"]
        assert row.get("params") == floats.get("params")
        assert row.get("macs") == floats.get("macs")
        assert row.get("weight_bytes") < floats.get("weight_bytes")
        assert row.get("activation_peak_bytes") is None
        assert row.get("int8_gain") > 0
        assert row.get("fp32_overhead_pct") == floats.get("overhead_pct")
        assert 0 <= row.get("int8_parity_error") <= row.get("int8_parity_tolerance")
        assert (row.get("sqnr_db") is None) == (variant == "baseline")
    simam, se = rows["body=simam", "int8"], rows["body=se_npu", "int8"]
    assert simam.get("int8_float_ops_added") > se.get("int8_float_ops_added")
    assert "of modules:" in simam.get("int8_float_ops_named")
    assert {node.op for node in simam.record.nodes if node.kind == "added"} & {"QuantizeLinear", "DequantizeLinear"}
    assert se.get("sqnr_db") > 10


def test_reports_hold_both_types_apart(finished):
    table = tables.int8(rows_of(finished))
    assert table.column("variant") == ["baseline", "body=se_npu", "body=simam"]
    text = render(finished)
    assert text.count("\n## Overhead in % of ") == 2
    assert "accuracy" not in text.lower()
    frame = to_frame(finished)
    assert sorted(frame["dtype"]) == ["fp32"] * 3 + ["int8"] * 3


def test_a_comparison_never_pairs_the_two(finished):
    pairs = list(match(finished, finished))
    assert len(pairs) == 6
    assert all(pair.before.case == pair.after.case for pair in pairs)


def described(user_file: Path, folder: Path, variant: str):
    """What is known of an int8 case of the user's host without a clock, on seeded noise."""
    reference = HostReference(f"{user_file}:build", SITES)
    case = Case(reference.spec, variant, SIZE, dtype="int8")
    return CaseBuilder(Protocol(), folder)._describe(case, reference, ("aimotive",))


def test_a_panel_quantises_each_case_as_it_is_alone(user_file, tmp_path):
    reference, builder = HostReference(f"{user_file}:build", SITES), CaseBuilder(Protocol(), tmp_path)
    cases = [Case(reference.spec, variant, SIZE, dtype="int8") for variant in ("stem=se_npu", "body=cbam_npu")]

    def parameters(name: str, *own: Case) -> dict[str, list[float]]:
        graph = onnx.load(str(builder.write([(case, reference) for case in own], name))).graph
        held = (tensor for tensor in graph.initializer if tensor.name.endswith(("_scale", "_zero_point")))
        own_or_range = (one for one in held if is_inserted(one.name) or "bias_quantized" not in one.name)
        return {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in own_or_range}  # of a bias, its input's

    together = parameters("both", *cases)
    alone = [parameters(f"{number}", case) for number, case in enumerate((cases[0].baseline, *cases))]
    assert all(any(map(is_inserted, one)) for one in alone[1:])
    assert together == {**alone[1], **alone[2], **alone[0]}


def test_int8_cases_share_a_graph_and_are_held_against_the_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(panels, "TINY", 0)
    asked = {"hosts": ["resnet18"], "sizes": ["32x48"], "dtypes": ["int8"],
             "case": [{"variant": "layer1.0.end=se"}, {"variant": "layer3.0.end=eca"}]}  # fmt: skip
    run = run_study(asked, out=tmp_path / "run", **{**FAST, "crosscheck": 6}).run
    facts = [fact for fact in read_run_file(tmp_path / "run").facts if isinstance(fact, ProfileFact)]
    assert len({fact.panel for fact in facts if not fact.case.is_baseline and not fact.repeat} - {""}) == 1
    assert len(run.records[0].get("panel_paired").samples) == 6
    parts = [record.value("overhead") for record in run.records[1:]]
    assert run.records[0].value("panel_sum") == pytest.approx(sum(parts))


def test_without_files_the_ranges_are_of_noise_and_say_so(user_file, tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "machine", lambda: {"architecture": "x86_64", "kernel_flags": ["avx2"]})
    built = described(user_file, tmp_path, "body=se_npu")
    assert any("seeded noise" in note for note in built.notes)
    assert any("no VNNI" in note for note in built.notes)
    assert {finding.dtype for finding in built.findings} <= {"uint8", "uint8, weights int8 by channel", "float32"}
    assert "sqnr" not in {m.metric for m in built.measurements}
    assert not list(tmp_path.glob("described-*")), "nothing is left of what was described"


@pytest.mark.parametrize(
    ("architecture", "flags", "reduced"),
    [("x86_64", ["avx2"], True), ("x86_64", ["avx512_vnni"], False), ("x86_64", ["avx_vnni"], False),
     ("aarch64", ["asimd"], False)],
)  # fmt: skip
def test_weights_get_seven_bits_where_sums_would_overflow(monkeypatch, architecture, flags, reduced):
    monkeypatch.setattr(int8, "machine", lambda: {"architecture": architecture, "kernel_flags": flags})
    assert reduces_range() is reduced


def test_what_stayed_float_is_read_off_the_runtimes_graph():
    def node(kind: str, reads: str, writes: str) -> OptimisedNode:
        return OptimisedNode(kind, kind, tuple(reads.split()), tuple(writes.split()))

    graph = [node("QuantizeLinear", "x", "a"), node("QLinearConv 3x3", "a", "b"), node("MaxPool", "b", "c"),
             node("NhwcMaxPool", "c", "h"),
             node("DequantizeLinear", "c", "d"), node("Elu", "d", "e"), node("Reshape", "e", "f"), node("MatMulInteger", "c", "g")]  # fmt: skip
    assert [one.kind for one in floats_among(graph)] == ["Elu", "Reshape"]


def test_calibration_takes_images_and_arrays_and_says_what_does_not_fit(tmp_path, refused):
    with pytest.raises(InputError, match="no folder with images or .npy files"):
        samples_in(tmp_path, (1, 3, 8, 6))
    Image.new("RGB", (20, 10), (255, 0, 0)).save(tmp_path / "a.png")
    np.save(tmp_path / "b.npy", np.zeros((3, 8, 6), np.float32))
    image, array = samples_in(tmp_path, (2, 3, 8, 6))
    assert image.shape == array.shape == (2, 3, 8, 6)
    assert (image[0, 0].min(), image[0, 1].max()) == (1, 0)
    np.save(tmp_path / "c.npy", np.zeros((3, 9, 6), np.float32))
    with pytest.raises(InputError, match=r"c.npy: holds \[1, 3, 9, 6\], and the network takes \[1, 3, 8, 6\]"):
        samples_in(tmp_path, (1, 3, 8, 6))
    (tmp_path / "c.npy").unlink()
    (tmp_path / "d.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="d.png: no image that Pillow reads"):
        samples_in(tmp_path, (1, 3, 8, 6))


def test_what_memory_cannot_hold_is_skipped_before_its_ranges_are_looked_for(user_file, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "free_memory", lambda: 1000)
    with pytest.raises(CaseSkipped, match="needs .* of memory"):
        described(user_file, tmp_path, "body=se_npu")


def test_a_graph_that_strays_more_than_int8_itself_fails(user_file, tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "strays", lambda *_, **__: (0.5, 0.1))
    with pytest.raises(CaseFailure, match="strays from the Q/DQ graph by 0.5 of the output"):
        described(user_file, tmp_path, "baseline")


def test_a_gate_asks_no_type_for_what_it_has_not(finished):
    found = compare(finished, finished, parse(["memory:5%,int8_float_ops:0,macs:0"]))
    assert [gap for gap in found.missing if gap.why == "neither run has it"] == []
