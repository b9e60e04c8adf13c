"""Any ONNX file against any target: what is read, what is judged, how it is told, and every way it can be no use."""

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from made import floats, graph, model_of, proto_of, said_of
from onnx import TensorProto, helper

from attnbench.core.errors import InputError
from attnbench.core.records import ON_NPU
from attnbench.graph.composites import composites
from attnbench.graph.foreign import fold, read_model
from attnbench.npu.check import causes, check
from attnbench.npu.judge import judge
from attnbench.npu.targets import load_target
from attnbench.targets import target_names

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def saved(tmp_path: Path, proto: onnx.ModelProto, name: str = "m.onnx") -> str:
    path = tmp_path / name
    path.write_bytes(proto.SerializeToString())
    return str(path)


def net(**more) -> onnx.ModelProto:
    """Conv, Relu, Reshape to a vector, Gemm: one island cut off from the rest."""
    nodes = [
        ("Conv", ["x", "w"], ["a"], {"pads": [1] * 4}), ("Relu", ["a"], ["b"], {}), ("GlobalAveragePool", ["b"], ["c"], {}),
        ("Reshape", ["c", "s"], ["d"], {}), ("Gemm", ["d", "v", "u"], ["y"], {}),
    ]  # fmt: skip
    weights = {"w": floats(8, 3, 3, 3), "v": floats(8, 4), "u": floats(4), "s": np.array([1, 8])}
    return proto_of(nodes, {"x": (1, 3, 8, 8)}, {"y": (1, 4)}, weights, **more)


def test_islands_crossings_and_shares_are_of_the_graph():
    checked = check(model_of_proto(net()), load_target("aimotive"), "net")
    assert [node.finding.level for node in checked.nodes] == ["supported"] * 3 + ["refused", "unknown"]
    assert (checked.cut.islands, checked.cut.crossings) == (1, 1)
    assert (checked.cut_if_unknown_runs.islands, checked.cut_if_unknown_runs.crossings) == (2, 2)
    assert checked.share("supported", "nodes") == pytest.approx(3 / 5)
    assert checked.share("supported", "macs") == pytest.approx(8 * 27 * 64 / (8 * 27 * 64 + 32))
    assert checked.share("supported", "params") == pytest.approx(216 / (216 + 32 + 4))


def model_of_proto(proto):
    import onnx_ir as ir

    return fold(ir.from_proto(onnx.shape_inference.infer_shapes(proto)))


def test_a_diamond_is_one_island_and_a_tensor_read_twice_crosses_once():
    diamond = "Relu 1x2x4x4; Tanh $1; Tanh $1; Sigmoid $1; Mul $2 $4; Mul $3 $5"
    checked = check(model_of(diamond), load_target("aimotive"), "d")
    assert (checked.cut.islands, checked.cut.crossings) == (1, 3)  # a out, b in, c in


def test_constants_are_folded_before_anything_is_judged():
    nodes = [
        ("Shape", ["x"], ["s"], {}), ("Gather", ["s", "i"], ["n"], {}), ("Unsqueeze", ["n", "zero"], ["m"], {}),
        ("Concat", ["m", "rest"], ["t"], {"axis": 0}), ("Reshape", ["x", "t"], ["y"], {}),
    ]  # fmt: skip
    weights = {"i": np.array(0), "zero": np.array([0]), "rest": np.array([-1])}
    findings = judge(model_of_proto(proto_of(nodes, {"x": (2, 3, 4, 4)}, {"y": (2, 48)}, weights)), load_target("aimotive"))
    assert [finding.op for finding in findings] == ["Reshape"]


GELU = "Div x:1x8x4x4 1.4142135; Erf $1; Add 1.0 $2; Mul x $3; Mul $4 0.5"


def test_a_composite_is_found_in_any_order_of_operands_and_only_if_nothing_reads_its_inside():
    (found,) = composites(model_of(GELU))
    assert (found.op, len(found.nodes), [v.name for v in found.inputs]) == ("Gelu", 5, ["x"])
    nodes, inputs, outputs, weights, opset = graph(GELU)
    leaking = [*nodes, ("Relu", ["$2"], ["z"], {})]
    assert composites(model_of(leaking, inputs, {**outputs, "z": (1, 8, 4, 4)}, weights, opset)) == []


def test_a_part_that_is_refused_alone_is_supported_inside_its_composite(tmp_path):
    target = written(tmp_path, ('["Gelu"]', "supported", ""), ('["Erf"]', "refused", ""))
    inside = said_of(GELU, load_target(target))
    assert {(f.op, f.level, f.composite) for f in inside if f.op == "Erf"} == {("Erf", "supported", "Gelu")}
    assert [f.level for f in said_of("Erf 1x2", load_target(target))] == ["refused"]


def test_limits_on_a_composite_are_measured_on_its_own_input(tmp_path):
    def seen(most: int) -> set[tuple[str, str]]:
        target = load_target(written(tmp_path, ('["Gelu"]', "supported", f"limits = {{ channels_at_most = {most} }}")))
        return {(f.level, f.composite) for f in said_of(GELU, target)}

    assert seen(8) == {("supported", "Gelu")}
    assert seen(4) == {("unknown", "")}, "a composite that is not taken is judged by its parts"


def written(folder: Path, *rules: tuple[str, str, str], unlisted: str = "unknown") -> str:
    head = (
        '[target]\nname = "t"\ntitle = "T"\nvendor = "v"\nchip = "c"\nversion = "1"\ndate = "2026-01-01"\n'
        f'document = "d"\nsource = "s"\nunlisted = "{unlisted}"\n'
    )
    bodies = [
        f'[[rule]]\nid = "r{i}"\nops = {ops}\nlevel = "{level}"\nevidence = "vendor-doc"\nsection = "1"\nreason = "because"\n{more}\n'
        for i, (ops, level, more) in enumerate(rules)
    ]
    path = folder / "t.toml"
    path.write_text(head + "\n".join(bodies))
    return str(path)


def test_the_first_rule_for_a_node_judges_it_and_none_is_beyond_the_profile(tmp_path):
    target = load_target(
        written(
            tmp_path, ('["Conv"]', "supported", 'where = { group_kinds = ["depthwise"] }\nlimits = { kernel_at_most = 3 }'),
            ('["Conv"]', "constrained", 'where = { group_kinds = ["none"] }'), unlisted="fallback:arm",
        )
    )  # fmt: skip

    def level(groups: int, kernel: int) -> tuple[str, str]:
        pads = ",".join([str(kernel // 2)] * 4)
        (finding,) = said_of(f"Conv 1x4x8x8 =4x{4 // groups}x{kernel}x{kernel} group={groups} pads=[{pads}]", target)
        return finding.level, finding.device

    assert level(4, 3) == ("supported", "")
    assert level(4, 5) == ("fallback", "arm")
    assert level(1, 5) == ("constrained", "")
    assert level(2, 3) == ("fallback", "arm")


def test_the_bodies_of_control_flow_are_judged(tmp_path):
    branch = lambda op: helper.make_graph(  # noqa: E731
        [helper.make_node(op, ["x"], [f"{op}_out"], name=op)], op, [],
        [helper.make_tensor_value_info(f"{op}_out", TensorProto.FLOAT, [1, 2, 4, 4])],
    )  # fmt: skip
    proto = proto_of(
        [("ReduceMax", ["x"], ["m"], {"keepdims": 0}), ("Greater", ["m", "zero"], ["c"], {}),
         ("If", ["c"], ["y"], {"then_branch": branch("Relu"), "else_branch": branch("Tanh")})],
        {"x": (1, 2, 4, 4)}, {"y": (1, 2, 4, 4)}, {"zero": np.array(0, dtype=np.float32)},
    )  # fmt: skip
    findings = judge(read_model(saved(tmp_path, proto)), load_target("aimotive"))
    assert {("Relu", "supported"), ("Tanh", "unknown")} <= {(f.op, f.level) for f in findings}


def test_a_shape_that_stays_open_is_one_cause(tmp_path):
    nodes = [
        ("NonZero", ["x"], ["i"], {}), ("Cast", ["i"], ["f"], {"to": 1}), ("Relu", ["f"], ["a"], {}),
        ("ReduceMax", ["a", "axes"], ["y"], {}), ("ReduceMean", ["a", "axes"], ["z"], {}),
    ]  # fmt: skip
    proto = proto_of(nodes, {"x": (2, 3)}, {"y": (2, 1), "z": (2, 1)}, {"axes": np.array([1])})
    checked = check(read_model(saved(tmp_path, proto)), load_target("aimotive"), "m")
    grouped = [cause for cause in causes(checked.nodes) if "not static" in " ".join(cause.measured)]
    assert [cause.ops for cause in grouped] == [("ReduceMax", "ReduceMean")]


@pytest.mark.parametrize("opset", [9, 11, 13, 18, 21])
def test_every_opset_from_nine_on_is_judged_alike(tmp_path, opset):
    findings = judge(read_model(saved(tmp_path, net(opset=opset, ir_version=8))), load_target("aimotive"))
    assert [f.level for f in findings] == ["supported"] * 3 + ["refused", "unknown"]


def test_a_size_fixes_an_open_image_input_and_a_shape_any_other(tmp_path):
    proto = proto_of([("Relu", ["x"], ["y"], {})], {"x": ("n", 3, "h", "w")}, {"y": ("n", 3, "h", "w")})
    path = saved(tmp_path, proto)
    assert read_model(path, (6, 8)).graph.inputs[0].shape == [1, 3, 6, 8]
    assert read_model(path, None, {"x": (2, 3, 4, 4)}).graph.outputs[0].shape == [2, 3, 4, 4]
    with pytest.raises(InputError, match=r"input 'x' has no static shape \(nx3xhxw\): give --size HEIGHTxWIDTH"):
        read_model(path)
    text = proto_of([("Relu", ["x"], ["y"], {})], {"x": ("n", "t", 8)}, {"y": ("n", "t", 8)})
    with pytest.raises(InputError, match="give --shape x="):
        read_model(saved(tmp_path, text, "t.onnx"), (6, 8))
    with pytest.raises(InputError, match="did you mean 'x'"):
        read_model(path, None, {"xx": (1, 3, 4, 4)})
    with pytest.raises(InputError, match="has 4 sides, not 2"):
        read_model(path, None, {"x": (1, 3)})


def plain(kind: str) -> tuple[bytes, str]:
    """The bytes of a file that cannot be judged, and what is said of it."""
    chain = {"x": (1, 2)}
    cyclic = [("Add", ["x", "b"], ["a"], {}), ("Relu", ["a"], ["b"], {})]
    twice = [("Relu", ["x"], ["y"], {}), ("Tanh", ["x"], ["y"], {})]
    return {
        "empty": (b"", "the file is empty"),
        "truncated": (net().SerializeToString()[:-40], "not an ONNX model, or a truncated one"),
        "text": (b"hello, this is no model at all", "not an ONNX model"),
        "old": (net(opset=6, ir_version=3).SerializeToString(), "opset 6 is older than 7"),
        "cyclic": (proto_of(cyclic, chain, {"b": (1, 2)}).SerializeToString(), "the ONNX checker refuses it"),
        "duplicate": (proto_of(twice, chain, {"y": (1, 2)}).SerializeToString(), "the ONNX checker refuses it"),
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "truncated", "text", "old", "cyclic", "duplicate"])
def test_a_file_that_is_no_use_is_one_line_and_exit_two(command, tmp_path, kind):
    path = tmp_path / "m.onnx"
    data, message = plain(kind)
    path.write_bytes(data)
    code, out, error = command("check", path)
    assert (code, out) == (2, "")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("location", "message"),
    [("", "weights gone.data are missing"), ("../w.data", "outside its folder"), ("/etc/hostname", "outside its folder")],
)
def test_weights_are_read_from_the_files_own_folder_only(command, tmp_path, location, message):
    (tmp_path / "w.data").write_bytes(b"0" * 4096)
    folder = tmp_path / "inner"
    folder.mkdir()
    onnx.save(net(), folder / "w.onnx", save_as_external_data=True, location="w.data", size_threshold=0)
    raw = onnx.load(folder / "w.onnx", load_external_data=False)
    for entry in (entry for tensor in raw.graph.initializer for entry in tensor.external_data if entry.key == "location"):
        entry.value = location or "gone.data"
    code, _, error = command("check", saved(folder, raw))
    assert code == 2
    assert message in error


def test_a_file_that_is_not_there_is_one_line(command, tmp_path):
    code, _, error = command("check", tmp_path / "no.onnx")
    assert code == 2
    assert "there is no such file" in error


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_one_line(command, tmp_path):
    path = Path(saved(tmp_path, net()))
    path.chmod(0)
    assert command("check", path)[0] == 2


def test_a_model_over_protobufs_limit_is_named_before_it_is_read(command, tmp_path):
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(2 * 1024**3 + 1)
    code, _, error = command("check", path)
    assert code == 2
    assert "over protobuf's limit of 2 GB" in error


def test_an_op_of_a_custom_domain_is_a_finding_and_not_the_end(tmp_path):
    proto = net()
    node = proto.graph.node[1]
    node.op_type, node.domain = "Fancy", "com.example"
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    findings = judge(read_model(saved(tmp_path, proto)), load_target("aimotive"))
    assert ("Fancy", "unknown", "com.example::Fancy is not an op of ONNX") in {(f.op, f.level, f.reason) for f in findings}


def test_the_command_tells_readers_and_programs_the_same(command, tmp_path):
    path = saved(tmp_path, net())
    code, text, _ = command("check", path)
    assert code == 1
    assert "refused; 1 island on the NPU, 1 crossing (2 islands and 2 crossings if all unknown ops run there)" in text
    code, markdown, _ = command("check", path, "-f", "md")
    assert code == 1
    assert "## Findings by cause" in markdown
    code, data, _ = command("check", path, "-f", "json")
    (one,) = json.loads(data)["checks"]
    assert (code, one["verdict"], one["cut"]) == (1, "refused", {"islands": 1, "crossings": 1})
    assert one["shares"]["supported"]["nodes"] == pytest.approx(0.6)
    assert sum(len(cause["nodes"]) for cause in one["causes"]) == len(one["nodes"]) == 5
    code, _, _ = command("check", path, "--verbose", "-o", tmp_path / "out.md")
    assert "n3" in (tmp_path / "out.md").read_text()


def test_sarif_holds_to_its_schema_and_names_nodes(command, tmp_path):
    from sarif_pydantic import Sarif

    code, text, _ = command("check", saved(tmp_path, net()), "-f", "sarif", "--target", "aimotive", "--target", "aimotive")
    log = Sarif.model_validate_json(text)
    assert code == 1
    assert len(log.runs) == 2
    results = json.loads(text)["runs"][0]["results"]
    assert [(r["ruleId"], r["level"]) for r in results] == [
        ("aimotive/reshape", "error"),
        ("aimotive/unlisted/Gemm", "note"),
    ]
    assert results[0]["locations"][0]["logicalLocations"][0]["name"] == "n3"
    rules = json.loads(text)["runs"][0]["tool"]["driver"]["rules"]
    assert [rules[r["ruleIndex"]]["id"] for r in results] == [r["ruleId"] for r in results]


def test_all_targets_give_one_matrix(command, tmp_path):
    code, text, _ = command("check", saved(tmp_path, net()), "--target", "all")
    assert code == 1
    assert all(name in text for name in target_names())
    assert "verdict" in text


def test_unknown_alone_is_clean_unless_strict(command, tmp_path):
    path = saved(tmp_path, proto_of([("Tanh", ["x"], ["y"], {})], {"x": (1, 2, 4, 4)}, {"y": (1, 2, 4, 4)}))
    assert command("check", path)[0] == 0
    assert command("check", path, "--strict")[0] == 1


def test_a_module_is_checked_without_a_host_and_its_substitute_is_named(command):
    code, text, _ = command("check", "--module", "eca", "--channels", 64, "--plane", "6x10")
    assert code == 1
    assert "eca_banded" in text
    assert command("check", "--module", "se", "--channels", 128, "--plane", "6x10")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give an ONNX file, or --module"), (("m.onnx", "--module", "se"), "not both"),
        (("--module", "se"), "--module needs --channels and --plane"),
        (("--module", "see", "--channels", "8", "--plane", "4x4"), "did you mean 'se'"),
        (("--module", "se", "--channels", "8", "--plane", "4x4"), "needs at least 16 channels"),
        (("--module", "se", "--channels", "64", "--plane", "4"), "size"),
        (("no.onnx", "--target", "aimotiv"), "did you mean 'aimotive'"), (("no.onnx", "--shape", "x"), "is not NAME=SIDES"),
    ],
)  # fmt: skip
def test_a_call_that_means_nothing_is_answered(command, arguments, message):
    code, _, error = command("check", *arguments)
    assert code == 2
    assert message in error


@pytest.mark.parametrize("name", ["light_resnet50", "light_shufflenet", "light_squeezenet", "light_densenet121"])
def test_real_networks_are_judged_by_every_target(name):
    model = read_model(str(LIGHT / f"{name}.onnx"))
    for target in target_names():
        checked = check(model, load_target(target), name)
        assert len(checked.nodes) == len(list(checked.findings))
        assert sum(checked.share(level, "nodes") or 0 for level in {f.level for f in checked.findings}) == pytest.approx(1)
        assert all(finding.reason and finding.source for finding in checked.findings)


def test_a_sweeps_report_says_where_two_profiles_of_a_vendor_differ(tmp_path):
    from attnbench.core.protocol import Protocol
    from attnbench.core.records import Case, Record, Run, RunHeader
    from attnbench.hosts import HostReference
    from attnbench.measure.build import CaseBuilder
    from attnbench.report import npu
    from attnbench.report.frame import to_frame

    targets = ("aimotive", "aimotive-apache6", "ti-tidl-11.02")
    builder, records = CaseBuilder(Protocol(), tmp_path), []
    for variant in ("baseline", "encoder.layer4=cbam", "encoder.layer4=se_npu"):
        case = Case("resnetsan01", variant, "64x96")
        built = builder.describe(case, HostReference("resnetsan01"), targets)
        records.append(Record(case, "ok", built.measurements, built.findings))
    header = RunHeader(1, "0", "", {"name": "t", "targets": list(targets), "cases": []}, {}, {}, {}, {})
    run = Run(header, tuple(records))
    frame = to_frame(run)
    disputed = npu.disputed(run)
    row = next(row for row in disputed.records() if row["op"] == "ReduceMax")
    assert row["not taken"] == "aimotive, refused: 512 channels (limit: at most 256 channels)"
    assert row["taken"].startswith("aimotive-apache6")
    matrix = {row["module"]: row for row in npu.by_target(run).records()}
    assert matrix["se_npu"]["aimotive"] == "ok"
    added = frame[(frame["variant"] == "encoder.layer4=cbam") & (frame["target"] == "aimotive")].iloc[0]
    assert added["npu_nodes_added"] == added["npu_refused_added"] + added["npu_unknown_added"] + sum(
        f.level in ON_NPU for f in records[1].findings if f.target == "aimotive"
    )
    assert added["npu_islands_added"] > 0
