"""Exact rewrites of a user's graph: each on exported modules and hand-made graphs, proved, reverted, refused, repeated."""

import os

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from made import graph, ints, model_of, ran
from onnx import TensorProto, helper, numpy_helper
from onnxscript.rewriter.pattern import RewriteRule
from test_targets import GOOD
from torch import nn

from attnbench.core.errors import InputError
from attnbench.graph.export import to_onnx
from attnbench.graph.foreign import read_model
from attnbench.graph.load import parse, serialise
from attnbench.judge.verdicts import npu_verdict
from attnbench.modules.cbam import CBAM
from attnbench.modules.coord import CoordinateAttention
from attnbench.modules.eca import ECA, NpuECA
from attnbench.modules.se import LinearSE
from attnbench.npu import rewriting
from attnbench.npu.rewriting import REWRITES, proof, rewrite
from attnbench.npu.rewriting.matching import LocalRewrite
from attnbench.npu.rewriting.proof import BOUND, Unproven, compare, compare_whole
from attnbench.npu.targets import load_target

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def aimotive():
    return load_target("aimotive")


@pytest.fixture
def profile(tmp_path):
    """A target from rules: (op, level, more)."""

    def made(*rules: tuple[str, str, str], unlisted="unknown"):
        head = GOOD.split("[[rule]]", maxsplit=1)[0].format(unlisted=unlisted)
        path = tmp_path / "t.toml"
        body = [
            f'[[rule]]\nid = "{i}"\nops = ["{op}"]\nlevel = "{level}"\nevidence = "vendor-doc"\nsection = "1"\n'
            f'reason = "because"\n{more}\n'
            for i, (op, level, more) in enumerate(rules)
        ]
        path.write_text(head + "\n".join(body))
        return load_target(str(path))

    return made


def made(text: str, opset=18) -> ir.Model:
    return model_of(text, opset=opset)


def ops(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def edges(model: ir.Model) -> list[tuple]:
    return [(v.name, v.dtype, v.shape) for v in (*model.graph.inputs, *model.graph.outputs)]


def run(model: ir.Model, scale: float) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    noise = (np.float32(scale) * rng.standard_normal(tuple(v.shape), dtype=np.float32) for v in model.graph.inputs)
    return ran(serialise(model), *noise)


def rewritten(model: ir.Model, target) -> rewriting.Rewritten:
    """Rewrites and holds what always holds: same edges, same numbers, checker, same opset, and nothing left to do."""
    given = serialise(model)
    done = rewrite(model, target)
    assert serialise(model) == given
    assert edges(done.model) == edges(model)
    assert done.model.opset_imports == model.opset_imports
    assert all(change.error <= BOUND for change in done.changes)
    onnx.checker.check_model(onnx.load_from_string(serialise(done.model)), full_check=True)
    for scale in (1, 30):
        for before, after in zip(run(model, scale), run(done.model, scale), strict=True):
            assert np.allclose(before, after, atol=1e-5 * max(1e-30, float(np.abs(before).max())), rtol=0)
    again = rewrite(done.model, target)
    assert not again.changes
    assert again.model is done.model
    return done


MODULES = {
    "se_linear": (lambda: LinearSE(32, 4), 32, "ok"),
    "eca": (lambda: ECA(32, 0), 32, "ok"),
    "eca_npu": (lambda: NpuECA(32, 5), 32, "ok"),
    "cbam": (lambda: CBAM(64, 16, 7), 64, "ok with constraint"),
    "cbam wide": (lambda: CBAM(600, 16, 7), 600, "ok with constraint"),
    "coord": (lambda: CoordinateAttention(32, 32, 8), 32, "refused"),
}


class TestModules:
    @pytest.mark.parametrize("canonical", [False, True])
    @pytest.mark.parametrize("name", MODULES)
    def test_what_aimotive_refuses_is_cured_as_far_as_it_can_be(self, aimotive, name, canonical):
        torch.manual_seed(0)
        build, channels, verdict = MODULES[name]
        module = build().eval()
        done = rewritten(parse(to_onnx(module, (2, channels, 9, 7), canonical=canonical)), aimotive)
        assert npu_verdict(done.before) == "refused"
        assert npu_verdict(done.after) == verdict

    def test_the_graphs_are_those_of_the_rewritten_modules(self, aimotive):
        def after(module, channels):
            return ops(rewritten(parse(to_onnx(module, (1, channels, 8, 8), canonical=False)), aimotive).model)

        gate = ["GlobalAveragePool", "Conv", "Relu", "Conv", "Sigmoid", "Mul"]
        assert after(LinearSE(32, 4), 32) == gate
        assert after(ECA(32, 0), 32) == after(NpuECA(32, 5), 32) == ["GlobalAveragePool", "Conv", "Sigmoid", "Mul"]

    def test_coordinate_attention_keeps_what_no_rewrite_is_for(self, aimotive):
        done = rewritten(parse(to_onnx(CoordinateAttention(32, 32, 8), (1, 32, 8, 6), canonical=True)), aimotive)
        assert [change.rewrite for change in done.changes] == ["hard swish"]
        left = {f.op for f in done.after if f.level in ("unknown", "refused")}
        assert left == {"AveragePool", "Transpose", "Concat", "Split"}

    def test_shared_weights_stay_shared_and_names_stay_known(self, aimotive):
        done = rewritten(parse(to_onnx(CBAM(64, 16, 7), (1, 64, 8, 8), canonical=True)), aimotive)
        kernels = [node.inputs[1].name for node in done.model.graph if node.op_type == "Conv"][:4]
        assert kernels == ["bottleneck.1.weight/kernel", "bottleneck.3.weight/kernel"] * 2
        names = {node.name for node in done.model.graph}
        assert {"node_linear", "node_linear_1", "node_sigmoid", "node_mul"} <= names
        assert "unsqueeze_3" in {value.name for node in done.model.graph for value in node.outputs}
        assert not any(name.endswith("weight") for name in done.model.graph.initializers if "bottleneck" in name)

    @pytest.mark.parametrize(
        ("target", "verdict"),
        [("aimotive-apache6", "ok with constraint"), ("horizon-rdk-x3", "fallback"), ("kneron-kl720", "unknown")],
    )
    def test_other_targets_get_what_helps_there(self, target, verdict):
        done = rewritten(parse(to_onnx(CBAM(512, 16, 7), (1, 512, 8, 6), canonical=False)), load_target(target))
        assert npu_verdict(done.after) == verdict
        assert done.changes


def pooling(op: str, axes: str, keepdims: int, opset: int, back="Relu") -> ir.Model:
    pool = f"{op} x:2x8x6x5 {axes if opset >= 18 else f'axes={axes}'} keepdims={keepdims}; "
    unsqueeze = "Unsqueeze $1 [2,3]" if opset >= 13 else "Unsqueeze $1 axes=[2,3]"
    ways = {"Relu": "Relu $1", "Reshape": "Reshape $1 [2,8,1,1]", "Unsqueeze": unsqueeze}
    return made(pool + ways[back], opset)


class TestPools:
    @pytest.mark.parametrize("opset", [11, 13, 18])
    @pytest.mark.parametrize(("op", "pool"), [("ReduceMean", "GlobalAveragePool"), ("ReduceMax", "GlobalMaxPool")])
    def test_a_reduction_of_the_plane_is_a_global_pool_in_every_spelling(self, aimotive, op, pool, opset):
        for axes in ("[2,3]", "[-1,-2]", "[3,-2]"):
            assert ops(rewritten(pooling(op, axes, 1, opset), aimotive).model) == [pool, "Relu"]
            for back in ("Reshape", "Unsqueeze"):
                assert ops(rewritten(pooling(op, axes, 0, opset, back), aimotive).model) == [pool]

    def test_without_a_way_back_the_view_remains_only_where_that_helps(self, aimotive):
        model = pooling("ReduceMax", "[2,3]", 0, 18)
        done = rewritten(model, aimotive)
        assert ops(done.model) == ["GlobalMaxPool", "Relu", "Flatten"]
        assert [f.op for f in done.after if f.level == "unknown"] == ["Flatten"]
        assert npu_verdict(done.before) == "refused"

    @pytest.mark.parametrize("axes", ["[1]", "[2]", "[1,2,3]"])
    def test_other_reductions_are_no_global_pools(self, aimotive, axes):
        assert not rewritten(made(f"ReduceMax 2x8x6x5 {axes}"), aimotive).changes

    @pytest.mark.parametrize(("op", "pool"), [("AveragePool", "GlobalAveragePool"), ("MaxPool", "GlobalMaxPool")])
    def test_a_window_as_large_as_the_plane_is_a_global_pool(self, aimotive, op, pool):
        assert ops(rewritten(made(f"{op} 1x8x6x5 kernel_shape=[6,5]"), aimotive).model) == [pool]
        assert not rewritten(made(f"{op} 1x8x6x5 kernel_shape=[5,5]"), aimotive).changes

    def test_means_over_a_flattened_plane(self, aimotive):
        squeeze = "Reshape x:2x8x6x5 [2,8,30]; ReduceMean $1 [-1] keepdims=1; Sigmoid $2"
        done = rewritten(made(f"{squeeze}; Reshape $3 [2,8,1,1]; Mul x $4"), aimotive)
        assert ops(done.model) == ["GlobalAveragePool", "Sigmoid", "Mul"]


def head(attributes: str, weight: str, bias="", plane="1x1") -> ir.Model:
    return made(f"Flatten x:2x6x{plane}; Gemm $1 w:{weight} {bias} {attributes}")


class TestLinear:
    @pytest.mark.parametrize("plane", [(1, 1), (4, 3)])
    @pytest.mark.parametrize("bias", ["", "~5", "~1x5", "~1", "~1x1"])
    @pytest.mark.parametrize("attributes", ["", "transB=1", "alpha=0.3 beta=2.5", "transB=1 alpha=-2.0"])
    def test_a_head_is_a_convolution_and_one_view_at_the_end(self, aimotive, attributes, bias, plane):
        sides = 6 * plane[0] * plane[1]
        shape = f"~5x{sides}" if "transB" in attributes else f"~{sides}x5"
        done = rewritten(head(attributes, shape, bias, f"{plane[0]}x{plane[1]}"), aimotive)
        assert ops(done.model) == ["Conv", "Flatten"]
        assert next(v for k, v in done.model.graph.initializers.items() if k.endswith("kernel")).shape == [5, 6, *plane]
        assert [f.op for f in done.after if f.level == "unknown"] == ["Flatten"]

    def test_the_transposed_vector_of_one_image(self, aimotive):
        done = rewritten(made("Reshape 1x6x1x1 [6,1]; Gemm $1 ~6x5 transA=1"), aimotive)
        assert ops(done.model) == ["Conv", "Flatten"]

    def test_a_view_that_mixes_images_is_left_alone(self, aimotive):
        assert not rewritten(made("Reshape 2x6x1x1 [1,12]; Gemm $1 ~12x5"), aimotive).changes

    def test_a_bias_that_differs_between_images_is_left_alone(self, aimotive):
        assert not rewritten(head("", "~6x5", "~2x5"), aimotive).changes

    def test_a_kernel_beyond_the_targets_limit_is_reverted_with_the_reason(self, aimotive):
        done = rewritten(head("", f"~{6 * 18 * 18}x5", plane="18x18"), aimotive)
        assert not done.changes
        assert "kernel 18x18" in done.obstacles[0].why
        assert done.obstacles[0].where == "n0 to n1"

    @pytest.mark.parametrize("shape", ["[2,6]", "[2,1,6]", "[2,1,1,6]"])
    def test_matmul_and_bias_on_any_rank_with_activations_between(self, aimotive, shape):
        squeeze = f"ReduceMean x:2x6x4x4 [2,3] keepdims=0; Reshape $1 {shape}; MatMul $2 ~6x3; Add $3 ~3; Relu $4"
        excite = "MatMul $5 ~3x6; Add ~1x6 $6; Sigmoid $7; Reshape $8 [2,6,1,1]; Mul x $9"
        done = rewritten(made(f"{squeeze}; {excite}"), aimotive)
        assert ops(done.model) == ["GlobalAveragePool", "Conv", "Relu", "Conv", "Sigmoid", "Mul"]
        assert len(next(n for n in done.model.graph if n.op_type == "Conv").inputs) == 3

    def test_vectors_meet_normalise_and_join(self, aimotive):
        norm = "GlobalAveragePool x:2x6x4x4; Flatten $1; BatchNormalization $2 ~6 ~6 ~6 [0.5,2.0,1.5,0.7,3.0,1.1]; Mul $3 ~6"
        meet = "Concat $4 $3 axis=1; Gemm $5 ~12x6; Add $6 $3; Unsqueeze $7 [2,3]; Mul x $8"
        done = rewritten(made(f"{norm}; {meet}"), aimotive)
        assert ops(done.model) == [
            "GlobalAveragePool", "BatchNormalization", "Mul", "Concat", "Conv", "Add", "Mul",
        ]  # fmt: skip
        assert npu_verdict(done.after) == "ok with constraint"

    def test_a_vector_that_others_read_as_well_keeps_a_view(self, aimotive):
        text = "GlobalAveragePool x:2x6x4x4; Flatten $1; Gemm $2 ~6x6; Relu $3; Unsqueeze $4 [2,3]; Mul x $5"
        nodes, inputs, outputs, *rest = graph(text, 18)
        done = rewritten(model_of(nodes, inputs, {**outputs, "$4": (2, 6)}, *rest), aimotive)
        assert ops(done.model) == ["GlobalAveragePool", "Conv", "Relu", "Flatten", "Mul"]

    def test_weights_that_are_computed_stay(self, aimotive):
        assert not rewritten(made("Flatten 2x6x1x1; MatMul $1 6x5"), aimotive).changes

    def test_the_last_view_is_the_one_that_the_target_takes(self):
        done = rewritten(head("", "~6x5"), load_target("aimotive-apache6"))
        assert ops(done.model) == ["Conv", "Squeeze"]
        assert npu_verdict(done.after).startswith("ok")

    def test_a_softmax_goes_over_the_channels_where_that_is_taken(self, aimotive):
        for opset in (11, 13):
            model = made("Flatten 1x6x1x1; Gemm $1 ~6x5; Softmax $2 axis=-1", opset)
            done = rewritten(model, load_target("rockchip-rk3588-2.3.2"))
            assert ops(done.model) == ["Conv", "Softmax", "Reshape"]
            assert ops(rewritten(model, aimotive).model) == ["Conv", "Flatten", "Softmax"]

    def test_a_worse_level_is_no_help(self, profile):
        model = made("Reshape 1x6x1x1 [1,6]; Gemm $1 ~6x5")
        conv = ("Conv", "supported", "")
        elsewhere = [(op, "fallback:cpu", "") for op in ("Flatten", "Squeeze")]
        assert ops(rewritten(model, profile(conv, *elsewhere)).model) == ["Conv", "Reshape"]
        done = rewritten(model, profile(conv, *elsewhere, ("Gemm", "supported", "")))
        assert not done.changes
        assert [one.why for one in done.obstacles] == [
            "it would leave Reshape, which the target takes no more than what is there"
        ]


def sliding(row: str, kernel: str, attributes: str, out=11, bias="") -> ir.Model:
    return made(f"Reshape 2x11x1x1 {row}; Conv $1 w:{kernel} {bias} {attributes}; Sigmoid $2; Reshape $3 [2,{out},1,1]")


class TestBanded:
    @pytest.mark.parametrize("bias", [False, True])
    @pytest.mark.parametrize("taps", [1, 3, 5, 31])
    @pytest.mark.parametrize("rank", [3, 4])
    def test_a_convolution_over_channels_is_one_with_a_banded_matrix(self, aimotive, rank, taps, bias):
        half, side = taps // 2, "1," * (rank - 3)
        pads = f"pads=[{half},{half}]" if rank == 3 else f"pads=[0,{half},0,{half}]"
        kernel = "~" + "1x" * (rank - 1) + str(taps)
        done = rewritten(sliding(f"[2,1,{side}11]", kernel, pads, bias="~1" if bias else ""), aimotive)
        assert ops(done.model) == ["Conv", "Sigmoid"]
        matrix = next(v for n, v in done.model.graph.initializers.items() if n == "w/banded").const_value.numpy()
        assert np.count_nonzero(matrix[0]) == min(half + 1, 11)

    def test_strides_dilations_and_uneven_pads(self, aimotive):
        done = rewritten(sliding("[2,1,11]", "~1x1x3", "pads=[3,1] strides=[2] dilations=[2]", out=6), aimotive)
        assert ops(done.model) == ["Conv", "Sigmoid"]


class TestReductions:
    @pytest.mark.parametrize("channels", [257, 300, 512, 1030])
    def test_a_wide_maximum_is_taken_in_pairs_until_the_limit(self, aimotive, channels):
        done = rewritten(made(f"ReduceMax 2x{channels}x3x4 [1]"), aimotive)
        assert ops(done.model)[-1] == "ReduceMax"
        assert npu_verdict(done.after) == "ok with constraint"
        groups = [n.attributes["group"].as_int() for n in done.model.graph if n.op_type == "Conv"]
        assert (1 in groups) == (channels % 2 == 1 or channels == 1030)

    def test_a_target_without_groups_gets_dense_pairs(self, profile):
        target = profile(
            ("Conv", "supported", 'limits = { group_kinds = ["none"] }'), ("Relu", "supported", ""),
            ("Add", "supported", ""), ("ReduceMax", "supported", "limits = { channels_at_most = 8 }"),
        )  # fmt: skip
        done = rewritten(made("ReduceMax 1x20x3x4 axes=[-3]", 13), target)
        assert ops(done.model) == ["Conv", "Conv", "Relu", "Add"] * 2 + ["ReduceMax"]
        assert npu_verdict(done.after) == "ok"

    def test_without_a_limit_there_is_no_rewrite(self, profile):
        target = profile(("Conv", "supported", ""), ("Relu", "supported", ""), ("Add", "supported", ""))
        done = rewrite(made("ReduceMax 1x300x3x4 [1]"), target)
        assert not done.changes
        assert not done.obstacles

    def test_a_wide_mean_is_a_convolution_and_a_narrow_one_stays(self, aimotive):
        def after(channels, opset):
            axes = "axes=[1]" if opset < 18 else "[1]"
            return ops(rewritten(made(f"ReduceMean 2x{channels}x3x4 {axes}", opset), aimotive).model)

        assert after(300, 11) == after(300, 18) == ["Conv"]
        assert after(256, 18) == ["ReduceMean"]


def written_swish(opset: int, sixth: float = 6.0, gate=False) -> ir.Model:
    limits = "min=0.0 max=6.0" if opset < 11 else "0.0 6.0"
    last = "Relu $3" if gate else "Mul x $3"
    return made(f"Add x:2x8x3x3 3.0; Clip $1 {limits}; Div $2 {sixth}; {last}", opset)


def clipping(low: float, high: float) -> ir.Model:
    return made(f"Clip x:1x8x3x3 {float(low)} {float(high)}")


class TestActivations:
    def test_the_op_takes_the_place_of_what_is_written_out(self, profile):
        unlisted = [(op, "refused", "") for op in ("Clip", "Div", "Add")]
        swish = profile(
            ("HardSwish", "refused", "where = { written_out = true }"), ("HardSwish", "supported", ""), *unlisted
        )
        assert ops(rewritten(written_swish(14), swish).model) == ["HardSwish"]
        written = ("HardSigmoid", "refused", "where = { written_out = true }")
        gate = profile(written, ("HardSigmoid", "supported", ""), ("Mul", "supported", ""))
        done = rewritten(written_swish(13), gate)
        assert ops(done.model) == ["HardSigmoid", "Mul"]
        assert done.model.graph[0].attributes["alpha"].as_float() == pytest.approx(1 / 6)
        assert ops(rewritten(written_swish(18, gate=True), gate).model) == ["HardSigmoid", "Relu"]

    @pytest.mark.parametrize("op", ["HardSigmoid", "HardSwish"])
    def test_what_is_written_out_takes_the_place_of_the_op(self, profile, aimotive, op):
        model = made(f"{op} 2x8x3x3" + " alpha=0.16666667" * (op == "HardSigmoid"))
        plain = profile(*((one, "supported", "") for one in ("Add", "Clip", "Mul")))
        last = ["Mul"] if op == "HardSwish" else []
        assert ops(rewritten(model, plain).model) == ["Add", "Clip", "Mul", *last]
        assert npu_verdict(rewritten(model, aimotive).after) == "ok"

    def test_another_hard_sigmoid_keeps_its_slope(self, aimotive):
        done = rewritten(made("HardSigmoid 2x8 alpha=0.37 beta=0.21"), aimotive)
        assert npu_verdict(done.after) == "ok"

    def test_nearly_the_constants_is_not_the_op(self, profile):
        target = profile(("HardSwish", "refused", "where = { written_out = true }"), ("HardSwish", "supported", ""))
        assert not rewrite(written_swish(14, 6.001), target).changes

    @pytest.mark.parametrize("opset", [10, 11, 18])
    def test_older_opsets_have_bounds_as_attributes_and_no_hard_swish(self, aimotive, profile, opset):
        assert npu_verdict(rewritten(written_swish(opset), aimotive).after) == "ok"
        wants = profile(("HardSwish", "supported", ""), ("Mul", "supported", ""), ("HardSigmoid", "supported", ""))
        done = rewrite(written_swish(opset), wants)
        assert "HardSwish" not in ops(done.model) or opset >= 14

    @pytest.mark.parametrize("bounds", [(0, 6), (-1, 1), (-0.5, 20)])
    def test_clipping_by_relu_is_exact_between_the_bounds_and_near_beyond(self, aimotive, bounds):
        done = rewritten(clipping(*bounds), aimotive)
        assert set(ops(done.model)) == {"Relu", "Mul", "Add"}
        image = (np.float32(10) ** RNG.uniform(-9, 2, (1, 8, 3, 3)) * RNG.choice([-1, 1], (1, 8, 3, 3))).astype(np.float32)
        given = ran(serialise(done.model), image)[0]
        inside = (image >= bounds[0]) & (image <= bounds[1])
        assert np.array_equal(given[inside], image[inside])
        assert np.abs(given - np.clip(image, *bounds)).max() <= 100 * 2**-23

    def test_a_gate_by_relu_is_exact_for_any_size(self, aimotive):
        done = rewritten(made("HardSwish x:1x96"), aimotive)
        image = (np.float32(10) ** RNG.uniform(-9, 20, (1, 96)) * RNG.choice([-1, 1], (1, 96))).astype(np.float32)
        given = ran(serialise(done.model), image)[0]
        assert np.allclose(given, image * np.clip(image / 6 + 0.5, 0, 1), rtol=2e-7, atol=2e-7)

    @pytest.mark.parametrize("bounds", [(1, 6), (-6, -1)])
    def test_bounds_that_are_not_around_0_are_left_alone(self, aimotive, bounds):
        assert not rewritten(clipping(*bounds), aimotive).changes

    def test_bounds_that_bound_nothing_are_left_alone(self, aimotive):
        assert not rewritten(clipping(0, 3.4e38), aimotive).changes


class TestArithmetic:
    def test_sums_differences_quotients(self, aimotive):
        terms = "Sum x:2x4x3x3 z:2x4x3x3 x; Sub $1 z; Sub $2 c:~4x1x1; Sub c $3; Div $4 [[[[1.5]],[[0.5]],[[3.0]],[[9.0]]]]"
        done = rewritten(made(terms), aimotive)
        assert npu_verdict(done.after) == "ok"
        assert set(ops(done.model)) == {"Add", "Mul"}

    def test_an_expand_that_all_readers_do_without_goes(self, aimotive):
        expand = "Expand 8x1x1 [2,8,3,3]; Mul x:2x8x3x3 $1"
        assert ops(rewritten(made(f"{expand}; Add $1 $2"), aimotive).model) == ["Mul", "Add"]
        assert not rewritten(made(f"{expand}; Add $1 $1"), aimotive).changes

    def test_constants_get_all_axes_where_the_target_asks_for_them(self):
        done = rewritten(made("Mul 1x8x8x8 c:2.0"), load_target("aimotive-apache6"))
        assert done.model.graph.initializers["c/rank_4"].shape == [1, 1, 1, 1]
        assert npu_verdict(done.after) == "ok"


wrong = LocalRewrite("wrong", RewriteRule(lambda op, x: op.Tanh(x), lambda op, x: op.Relu(x)))


def tanh() -> ir.Model:
    return made("Tanh x:1x8x3x3")


class TestProof:
    def test_a_wrong_rewrite_is_refused(self, aimotive, monkeypatch):
        monkeypatch.setattr(rewriting, "REWRITES", (*REWRITES, wrong))
        with pytest.raises(Unproven, match="wrong at n0: output 'y' on noise: differs by .* nothing written"):
            rewrite(tanh(), aimotive)

    def test_the_whole_is_held_against_the_original(self, aimotive):
        model, other = head("", "~6x5"), head("", "~6x5")
        assert rewrite(model, aimotive, serialise(model)).error <= BOUND
        with pytest.raises(Unproven, match="the whole graph: output 'y' on noise: differs by"):
            rewrite(model, aimotive, serialise(other))

    def test_a_model_may_be_as_far_off_as_it_is_by_itself(self):
        text = "Mul x:1x20000 10000.0; Add $1 1e8; Add $2 -1e8; Mul $3 0.0001"  # rounded to multiples of 8, or of 16
        before, after = serialise(made(text)), serialise(made(text.replace("1e8", "2e8")))
        with pytest.raises(Unproven, match="more than 1e-05"):
            compare(before, after, {"x": (1, 20000)}, "alone")
        assert compare_whole(before, after, {"x": (1, 20000)}) > BOUND
        with pytest.raises(Unproven, match="the whole graph: output 'y' on noise: differs by"):
            compare_whole(before, serialise(made(text.replace("0.0001", "0.00011"))), {"x": (1, 20000)})

    def test_nan_and_infinities_must_stand_where_they_were(self):
        log, shifted = (serialise(made(text)) for text in ("Log x:1x9", "Abs x:1x9; Log $1"))
        assert compare(log, log, {"x": (1, 9)}, "log") == 0
        with pytest.raises(Unproven, match="NaN or infinities are not where they were"):
            compare(log, shifted, {"x": (1, 9)}, "log")

    def test_an_output_that_is_no_float_must_be_equal(self, aimotive):
        nodes = [("ReduceMean", ["x", "a"], ["m"], {}), ("ArgMax", ["m"], ["y"], {"axis": 1})]
        graph = helper.make_graph(
            [helper.make_node(op, i, o, **a) for op, i, o, a in nodes], "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 8, 3, 3))],
            [helper.make_tensor_value_info("y", TensorProto.INT64, (1, 1, 1, 1))],
            [numpy_helper.from_array(ints(2, 3), "a")],
        )  # fmt: skip
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        done = rewrite(ir.from_proto(onnx.shape_inference.infer_shapes(proto)), aimotive)
        assert ops(done.model) == ["GlobalAveragePool", "ArgMax"]

    def test_a_graph_that_the_runtime_does_not_take_is_refused_in_one_line(self):
        with pytest.raises(Unproven, match="ONNX Runtime does not take the graph"):
            compare(b"no graph", b"no graph", {}, "x")


REPEATED = "Resize 1x2x3x4 - [1.0,1.0,2.0,3.0] mode=nearest coordinate_transformation_mode={} nearest_mode={}"


class TestResizing:
    @pytest.mark.parametrize(
        ("target", "given", "after"),
        [
            ("a target of half pixels", ("asymmetric", "floor"), ("half_pixel", "round_prefer_floor")),
            ("ti-tidl-11.02", ("half_pixel", "round_prefer_floor"), ("half_pixel", "round_prefer_ceil")),
            ("nvidia-orin-dla-trt10", ("half_pixel", "round_prefer_floor"), None),
        ],
    )
    def test_repetition_is_spelt_as_the_target_takes_it_and_bit_identical(self, tmp_path, target, given, after):
        text = REPEATED.format(*given)
        if target.startswith("a target"):
            path = tmp_path / "t.toml"
            more = 'limits = { attributes = { coordinate_transformation_mode = "half_pixel" } }'
            rules = GOOD.format(unlisted="error", level="supported", evidence="report", more=more)
            path.write_text(rules.replace('["Conv"]', '["Resize"]'))
            target = str(path)
        else:
            text = text.replace("2.0,3.0", "2.0,2.0")
        model = made(text)
        done = rewrite(model, load_target(target))
        if after is None:
            assert not done.changes
            return
        (node,) = done.model.graph
        assert (
            node.attributes["coordinate_transformation_mode"].as_string(),
            node.attributes["nearest_mode"].as_string(),
        ) == after
        assert all(np.array_equal(a, b) for a, b in zip(run(model, 1), run(done.model, 1), strict=True))
        assert done.error == 0

    def test_what_is_no_repetition_stays(self):
        target = load_target("ti-tidl-11.02")
        for text in (REPEATED.format("asymmetric", "round_prefer_floor"), REPEATED.format("half_pixel", "floor")):
            assert not rewrite(made(text.replace("2.0,3.0", "2.0,2.0")), target).changes


class TestInputs:
    def test_metadata_stays_and_repeated_node_names_are_told_apart(self, aimotive):
        model = head("", "~6x5")
        model.metadata_props["author"] = "me"
        model.producer_name = "mine"
        for node in model.graph:
            node.name = "same"
            node.metadata_props["scope"] = "classifier"
        done = rewrite(model, aimotive)
        assert done.model.metadata_props == {"author": "me"}
        assert done.model.producer_name == "mine"
        assert len({node.name for node in done.model.graph}) == 2
        assert all(node.metadata_props == {"scope": "classifier"} for node in done.model.graph)

    @pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.INT64])
    def test_other_types_are_refused(self, aimotive, dtype):
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            [helper.make_node("Abs", ["x"], ["y"])], "g", [value("x", dtype, (1, 2))], [value("y", dtype, (1, 2))]
        )
        with pytest.raises(InputError, match="only models that take float32"):
            rewrite(ir.from_proto(helper.make_model(graph, ir_version=9)), aimotive)

    def test_quantised_and_dynamic_models_are_refused(self, aimotive):
        held = {"s": np.float32(1), "z": np.uint8(0)}
        nodes = [("QuantizeLinear", ["x", "s", "z"], ["q"], {}), ("DequantizeLinear", ["q", "s", "z"], ["y"], {})]
        with pytest.raises(InputError, match="quantised"):
            rewrite(model_of(nodes, {"x": (1, 2)}, {"y": (1, 2)}, held), aimotive)
        with pytest.raises(InputError, match="has no static shape"):
            rewrite(model_of([("Relu", ["x"], ["y"], {})], {"x": ("N", 2)}, {"y": ("N", 2)}), aimotive)

    def test_light_resnet50_as_onnx_ships_it(self, aimotive, monkeypatch):
        monkeypatch.setattr(proof, "KINDS", {"noise": 1.0})
        path = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data", "light", "light_resnet50.onnx")  # noqa: PTH118, PTH120
        if not os.path.exists(path):  # noqa: PTH110
            pytest.skip("the installed onnx ships no light_resnet50.onnx")
        model = read_model(path)
        done = rewrite(model, aimotive)
        assert [v.name for v in done.model.graph.inputs] == ["gpu_0/data_0"]
        assert done.model.opset_imports == {"": 9}
        assert ops(done.model)[-4:] == ["GlobalAveragePool", "Conv", "Flatten", "Softmax"]
        assert {f.op for f in done.after if f.level in ("unknown", "refused")} == {"MaxPool", "Flatten", "Softmax"}
        assert not rewrite(done.model, aimotive).changes


@pytest.fixture
def gate(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "gate.onnx"
    path.write_bytes(to_onnx(nn.Sequential(nn.Conv2d(3, 16, 3), LinearSE(16, 4)), (1, 3, 8, 8), canonical=False))
    return path


class TestCommand:
    def test_the_result_is_written_and_what_changed_is_told(self, command, gate, tmp_path):
        out = tmp_path / "out.onnx"
        out.write_text("old")
        code, text, _ = command("rewrite", gate, "--target", "aimotive", "-o", out)
        assert code == 0
        for words in ("refused -> ok", "linear layer as convolution", "2 Gemm", "global pooling", "of their scale"):
            assert words in text
        assert "What remains" not in text
        model = read_model(str(out))
        assert ops(model) == ["Conv", "GlobalAveragePool", "Conv", "Relu", "Conv", "Sigmoid", "Mul"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["gate.onnx", "out.onnx"]

        code, text, _ = command("rewrite", out, "--target", "aimotive", "-o", tmp_path / "again.onnx")
        assert code == 0
        assert "ok with constraint; nothing needs rewriting, nothing written" in text
        assert not (tmp_path / "again.onnx").exists()

    def test_an_open_size_is_set(self, command, tmp_path):
        graph = helper.make_graph(
            [helper.make_node("ReduceMean", ["x", "a"], ["m"]), helper.make_node("Mul", ["x", "m"], ["y"])], "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 8, "H", "W"))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("N", 8, "H", "W"))],
            [numpy_helper.from_array(ints(2, 3), "a")],
        )  # fmt: skip
        path, out = tmp_path / "open.onnx", tmp_path / "out.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
        code, _, error = command("rewrite", path, "--target", "aimotive", "-o", out)
        assert (code, out.exists()) == (2, False)
        assert "give --size" in error
        assert command("rewrite", path, "--target", "aimotive", "-o", out, "--size", "6x5")[0] == 0
        assert read_model(str(out)).graph.inputs[0].shape == [1, 8, 6, 5]

    def test_a_shape_closes_what_no_size_does_and_what_was_fixed_is_told(self, command, tmp_path):
        graph = helper.make_graph(
            [helper.make_node("ReduceMean", ["x", "a"], ["m"]), helper.make_node("Mul", ["x", "m"], ["y"])], "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", "C", 4, 4))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("N", "C", 4, 4))],
            [numpy_helper.from_array(ints(2, 3), "a")],
        )  # fmt: skip
        path, out = tmp_path / "open.onnx", tmp_path / "out.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
        code, text, _ = command("rewrite", path, "--target", "aimotive", "-o", out, "--shape", "x=2x8x4x4")
        assert code == 0
        assert "Its input x is now 2x8x4x4; it was NxCx4x4." in text

    def test_where_no_rewrite_helps_nothing_is_written(self, command, tmp_path):
        path, out = tmp_path / "tanh.onnx", tmp_path / "out.onnx"
        path.write_bytes(serialise(tanh()))
        code, text, _ = command("rewrite", path, "--target", "aimotive", "-o", out)
        assert (code, out.exists()) == (1, False)
        assert "unknown; no rewrite helps, nothing written" in text
        assert "aimotive does not list Tanh" in text

    def test_a_failed_proof_is_one_line_and_nothing_is_written(self, command, tmp_path, monkeypatch):
        monkeypatch.setattr(rewriting, "REWRITES", (wrong,))
        path, out = tmp_path / "tanh.onnx", tmp_path / "out.onnx"
        path.write_bytes(serialise(tanh()))
        code, text, error = command("rewrite", path, "--target", "aimotive", "-o", out)
        assert (code, out.exists(), text) == (1, False, "")
        assert error.startswith("attnbench: wrong at n0: ")
        assert error.count("\n") == 1

    def test_weights_beside_the_file_are_read_and_never_overwritten(self, command, gate, tmp_path):
        path = tmp_path / "outside.onnx"
        onnx.save(onnx.load(gate), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
        held = (tmp_path / "weights.bin").read_bytes()
        code, _, error = command("rewrite", path, "--target", "aimotive", "-o", tmp_path / "weights.bin")
        assert code == 2
        assert "it holds the model's weights" in error
        assert (tmp_path / "weights.bin").read_bytes() == held
        assert command("rewrite", path, "--target", "aimotive", "-o", tmp_path / "out.onnx")[0] == 0

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["none.onnx", "--target", "aimotive", "-o", "out.onnx"], "there is no such file"),
            (["bad.onnx", "--target", "aimotive", "-o", "out.onnx"], "not an ONNX model"),
            (["gate.onnx", "--target", "aimotiv", "-o", "out.onnx"], "did you mean 'aimotive'"),
            (["gate.onnx", "--target", "aimotive", "-o", "gate.onnx"], "it is the model itself"),
            (["gate.onnx", "--target", "aimotive", "-o", "link.onnx"], "it is the model itself"),
            (["gate.onnx", "--target", "aimotive", "-o", "no/out.onnx"], "there is no such folder"),
            (["gate.onnx", "--target", "aimotive", "-o", "."], "it is a folder"),
            (["gate.onnx", "--target", "aimotive", "-o", "out.onnx", "--size", "8"], "is not HEIGHTxWIDTH"),
        ],
    )
    def test_bad_input_is_one_line_and_exit_code_two(self, command, gate, tmp_path, monkeypatch, arguments, message):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "bad.onnx").write_text("no model")
        (tmp_path / "link.onnx").symlink_to(gate)
        held = gate.read_bytes()
        code, out, error = command("rewrite", *arguments)
        assert (code, out) == (2, "")
        assert message in error
        assert error.count("\n") == 1
        assert gate.read_bytes() == held
        assert not (tmp_path / "out.onnx").exists()
