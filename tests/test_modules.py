"""What every attention module is held to, whatever file it comes from."""

from contextlib import nullcontext

import pytest
import torch
from made import every

from attnbench.core.errors import CaseRefused, InputError
from attnbench.core.grammar import Spec, parse_spec
from attnbench.core.protocol import Protocol
from attnbench.graph import OPSET
from attnbench.graph.cost import graph_cost
from attnbench.graph.export import to_onnx
from attnbench.graph.load import parse, verify
from attnbench.graph.parity import compare
from attnbench.graph.quantise import calibrate, noise, quantise, strays
from attnbench.graph.torch_counts import count_torch, parameters_of
from attnbench.measure.build import CaseBuilder
from attnbench.measure.int8 import A_STEP
from attnbench.modules import MODULES, Plane, build_module, check_spec
from attnbench.modules.eca import adaptive_kernel

NAMES = MODULES.names()
PLANES = [Plane(32, 7, 5), Plane(64, 6, 10), Plane(256, 3, 4), Plane(512, 1, 2), Plane(16, 1, 1)]

NOT_IN_INT8 = {"ema": "ONNX Runtime does not run it: .*QLinearGlobalAveragePool"}
"""Modules whose Q/DQ graph the runtime does not run, and what it says."""


def accepted_by(name: str, *planes: Plane) -> Plane:
    """The first of the planes that a module's own definition allows."""
    entry = MODULES.load(name)
    return next(plane for plane in planes if not (entry.refuses and entry.refuses(plane, **entry.options)))


def built(name: str, plane: Plane, **options):
    torch.manual_seed(0)
    return build_module(Spec(name, options), plane).eval()


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def skip_if_refused(name: str, plane: Plane) -> None:
    entry = MODULES.load(name)
    reason = entry.refuses(plane, **entry.options) if entry.refuses else ""
    if reason:
        with pytest.raises(CaseRefused, match=f"^build: {name} at {plane.channels}x{plane.height}x{plane.width}: "):
            built(name, plane)
        pytest.skip(reason)


def test_every_module_stands_in_at_least_one_plane_of_each_kind(name):
    assert accepted_by(name, Plane(64, 6, 10), Plane(128, 6, 10))
    assert accepted_by(name, Plane(256, 8, 12))


@pytest.mark.parametrize("plane", PLANES, ids=str)
def test_the_output_is_finite_and_of_the_inputs_shape_and_counts_equal_their_closed_forms(name, plane):
    skip_if_refused(name, plane)
    entry, module = MODULES.load(name), built(name, plane)
    x = torch.randn(2, plane.channels, plane.height, plane.width)
    with torch.no_grad():
        found = every(module(x))
    assert found[0].shape == x.shape
    assert all(torch.isfinite(y).all() for y in found)
    assert parameters_of(module) == entry.params(plane, **entry.options)
    counts = count_torch(module, (1, plane.channels, plane.height, plane.width))
    assert counts.uncounted == ()
    assert counts.macs == entry.macs(plane, **entry.options)


def test_the_graph_exports_verifies_agrees_counts_the_same_and_quantises(name, tmp_path):
    plane = accepted_by(name, Plane(64, 6, 10), Plane(128, 6, 10))
    shape = (1, plane.channels, 6, 10)
    entry, module = MODULES.load(name), built(name, plane)
    graph = to_onnx(module, shape, canonical=True, opset=max(OPSET, entry.opset))
    verify(graph, "export")
    parity = compare(module, graph, shape, 1, name)
    assert parity.error < 1e-5
    cost = graph_cost(parse(graph))
    assert cost.uncounted == ()
    assert cost.macs == entry.macs(plane, **entry.options)
    if entry.tap:
        return  # alone, it gives its input back, which is no graph to quantise; in a host it is one
    floats, images = tmp_path / "floats.onnx", noise(shape, 0)
    floats.write_bytes(graph)
    quantise(floats, tmp_path / "int8.onnx", calibrate(floats, images), reduce_range=True)
    with pytest.raises(CaseRefused, match=NOT_IN_INT8[name]) if name in NOT_IN_INT8 else nullcontext():
        runtime, itself = strays(tmp_path / "int8.onnx", images[0], floats=floats)
        assert runtime <= A_STEP * itself


def test_gradients_reach_every_parameter(name):
    plane = accepted_by(name, Plane(64, 6, 10), Plane(128, 6, 10))
    module = built(name, plane).train()
    x = torch.randn(2, plane.channels, 6, 10, requires_grad=True)
    sum(y.square().sum() for y in every(module(x))).backward()
    assert torch.isfinite(x.grad).all()
    for key, parameter in module.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key


def test_batches_do_not_mix(name):
    plane = accepted_by(name, Plane(32, 6, 5), Plane(64, 6, 4), Plane(128, 6, 4))
    module, x = built(name, plane), torch.randn(3, plane.channels, plane.height, plane.width)
    with torch.no_grad():
        for both, one in zip(every(module(x)), every(module(x[1:2])), strict=True):
            assert torch.allclose(both[1:2], one, atol=1e-5)


def test_the_entry_says_where_it_comes_from(name):
    entry = MODULES.load(name)
    assert entry.summary
    assert entry.source
    assert 2015 <= entry.year <= 2030


@pytest.mark.parametrize(
    ("name", "channels", "params"),
    [  # from the authors' code
        ("se", 64, 580), ("se", 256, 8464), ("se_linear", 64, 512), ("cbam", 64, 680), ("cbam", 128, 2284),
        ("cbam", 256, 8564), ("cbam", 512, 33412), ("coord", 64, 1688), ("coord", 128, 3352), ("coord", 256, 6680),
        ("coord", 512, 25648), ("eca", 64, 3), ("eca", 128, 5), ("eca", 2048, 7), ("axial_conv", 64, 38 * 64),
        ("ese", 64, 4160), ("bam", 64, 1173), ("bam", 128, 4457), ("bam", 256, 17361), ("bam", 512, 68513), ("gc", 64, 653),
        ("triplet", 64, 300), ("triplet", 512, 300), ("shuffle", 256, 12), ("sge", 512, 128), ("gam", 64, 102720),
        ("ema", 64, 48), ("ema", 128, 176), ("ema", 256, 672), ("ema", 512, 2624), ("sk", 512, 198720), ("simam", 64, 0),
        ("scse", 64, 4257), ("nam", 64, 128), ("lka", 64, 64**2 + 77 * 64), ("parnet", 64, 11 * 64**2 + 6 * 64),
        ("transformer_block", 64, 12 * 64**2 + 13 * 64), ("psa", 64, 2 * 64**2 + 64), ("attention_gate", 64, 4323),
        ("se_npu", 64, 1024), ("cbam_npu", 256, 8290), ("cbam_npu", 512, 32768), ("linear_attention", 64, 16640),
        ("deform_conv", 64, 9 * 64**2 + 64 + 27 * (9 * 64 + 1)), ("coord_split", 64, 1688), ("cbam_chunked", 512, 33412),
        ("eca_banded", 64, 64**2),
    ],
)  # fmt: skip
def test_parameter_counts_as_published(name, channels, params):
    assert parameters_of(built(name, Plane(channels, 4, 4))) == params


MOVES_WITH_POSITIONS = (
    "se", "ese", "scse", "gc", "nam", "simam", "a2", "danet", "efficient_attention", "self_attention", "linear_attention",
    "soca", "psa", "sge", "transformer_block", "attention_gate", "eca", "eca_banded", "se_swish",
)  # fmt: skip


@pytest.mark.parametrize("name", MOVES_WITH_POSITIONS)
def test_what_knows_no_places_moves_with_its_positions(name):
    module, x = built(name, Plane(64, 4, 5)), torch.randn(2, 64, 4, 5)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))

    def mixed(y):
        return y.flatten(2)[:, :, order].reshape(y.shape)

    with torch.no_grad():
        assert torch.allclose(module(mixed(x)), mixed(module(x)), atol=1e-5)


@pytest.mark.parametrize(("name", "options"), [("simam", {}), ("ge", {"form": "minus"})])
def test_what_has_no_weights_moves_with_its_channels(name, options):
    module, x = built(name, Plane(16, 4, 5), **options), torch.randn(2, 16, 4, 5)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(module(x[:, order]), module(x)[:, order], atol=1e-6)


def test_criss_cross_reaches_a_cross_in_one_pass_and_the_map_in_two():
    for recurrence, reached in ((1, 5 + 6 - 1), (2, 5 * 6)):
        module = built("criss_cross", Plane(8, 5, 6), recurrence=recurrence)
        x = torch.randn(1, 8, 5, 6, requires_grad=True)
        module(x)[0, :, 2, 3].sum().backward()
        assert int((x.grad[0].abs().sum(0) > 0).sum()) == reached


def test_criss_cross_counts_its_own_place_once():
    module = built("criss_cross", Plane(8, 3, 4), recurrence=1)
    with torch.no_grad():
        for layer in (module.query, module.key):
            layer.weight.zero_()
            layer.bias.zero_()
        x = torch.randn(1, 8, 3, 4)
        value = module.value(x)
        mean = (value[:, :, :, 1].sum(-1) + value[:, :, 2].sum(-1) - value[:, :, 2, 1]) / (3 + 4 - 1)
        assert torch.allclose(module(x)[:, :, 2, 1], x[:, :, 2, 1] + mean, atol=1e-5)


def test_axial_attention_sees_rows_after_columns():
    module = built("axial_attention", Plane(8, 5, 6))
    x = torch.randn(1, 8, 5, 6, requires_grad=True)
    module.columns(x.permute(0, 3, 2, 1))[0, 3, 2].sum().backward()
    seen = x.grad[0].abs().sum(0) > 0
    assert int(seen.sum()) == 5
    assert bool(seen[:, 3].all())


def test_socas_root_squared_is_the_covariance():
    from attnbench.modules.soca import square_root

    data = torch.randn(2, 6, 200, dtype=torch.float64)
    covariance = data @ data.transpose(1, 2) / 200
    root = square_root(covariance)
    assert torch.allclose(root @ root, covariance, atol=1e-3)


def test_s2_shifts_each_quarter_one_way_and_repeats_the_edge():
    from attnbench.modules.s2_mlp import shifted

    x = torch.arange(12.0).reshape(1, 3, 4, 1).expand(1, 3, 4, 4)
    down, up, right, left = shifted(x, (1, 1, 2, 2)).unbind(-1)
    plane = x[..., 0]
    assert torch.equal(down[0, 1:], plane[0, :-1])
    assert torch.equal(down[0, 0], plane[0, 0])
    assert torch.equal(up[0, :-1], plane[0, 1:])
    assert torch.equal(right[0, :, 1:], plane[0, :, :-1])
    assert torch.equal(left[0, :, :-1], plane[0, :, 1:])


def test_the_transformer_block_is_torchs_own_encoder_layer():
    module = built("transformer_block", Plane(16, 3, 4), heads=4)
    layer = torch.nn.TransformerEncoderLayer(16, 4, 64, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True).eval()
    theirs = {
        "self_attn.in_proj_weight": module.query_key_value.weight, "self_attn.in_proj_bias": module.query_key_value.bias,
        "self_attn.out_proj.weight": module.project.weight, "self_attn.out_proj.bias": module.project.bias,
        "norm1.weight": module.attention_norm.weight, "norm1.bias": module.attention_norm.bias,
        "norm2.weight": module.perceptron[0].weight, "norm2.bias": module.perceptron[0].bias,
        "linear1.weight": module.perceptron[1].weight, "linear1.bias": module.perceptron[1].bias,
        "linear2.weight": module.perceptron[3].weight, "linear2.bias": module.perceptron[3].bias,
    }  # fmt: skip
    layer.load_state_dict({key: value.detach() for key, value in theirs.items()})
    x = torch.randn(2, 16, 3, 4)
    with torch.no_grad():
        expected = layer(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)
        assert torch.allclose(module(x), expected, atol=1e-5)


def test_efficient_attention_is_its_definition_written_as_a_full_map():
    module, x = built("efficient_attention", Plane(16, 3, 4), heads=2), torch.randn(1, 16, 3, 4)
    query, key, value = (layer(x).reshape(2, 4, 12) for layer in (module.query, module.key, module.value))
    weights = torch.einsum("hcn,hcm->hnm", torch.softmax(query, 1), torch.softmax(key, 2))
    attended = torch.einsum("hnm,hcm->hcn", weights, value).reshape(1, 8, 3, 4)
    assert torch.allclose(module(x), x + module.project(attended), atol=1e-5)


B0_GATES = [  # channels of the gate and of the block's input, times in EfficientNet-B0, parameters where published
    (32, 32, 1, 552), (96, 16, 1, 868), (144, 24, 2, 1878), (240, 40, 2, 5050), (480, 80, 3, 19700), (672, 112, 3, 38332),
    (1152, 192, 4, None),
]  # fmt: skip


def test_efficientnets_gates_are_as_wide_as_their_blocks_inputs_ask():
    entry, params, macs = MODULES.load("se_swish"), 0, 0
    for channels, block_input, times, published in B0_GATES:
        plane = Plane(channels, 3, 2, block_input)
        module = built("se_swish", plane)
        assert published in (None, parameters_of(module))
        assert parameters_of(module) == entry.params(plane, **entry.options)
        counts = count_torch(module, (1, channels, 3, 2))
        assert counts.macs == entry.macs(plane, **entry.options)
        params, macs = params + times * counts.params, macs + times * counts.macs
    assert (params, macs) == (636_540, 627_200)


def test_efficientnets_gate_takes_its_own_channels_where_no_block_says():
    assert built("se_swish", Plane(64, 3, 2)).reduce.out_channels == 16
    assert built("se_swish", Plane(64, 3, 2), ratio=0.001).reduce.out_channels == 1


def wandering(plane: Plane):
    """A deformable convolution whose offsets differ from place to place and reach outside the map."""
    module = built("deform_conv", plane)
    torch.nn.init.normal_(module.guide.weight, 0, 0.3)
    torch.nn.init.normal_(module.guide.bias, 0, 2)
    return module


def test_an_untrained_deformable_convolution_is_half_a_plain_one():
    module, x = built("deform_conv", Plane(16, 5, 7)), torch.randn(2, 16, 5, 7)
    layer = module.convolve
    expected = torch.nn.functional.conv2d(x, layer.weight / 2, layer.bias, padding=1)
    assert torch.allclose(module(x), expected, atol=1e-5)


def test_deformed_taps_are_weighted_by_nearness_and_zero_outside():
    from attnbench.modules.deform_conv import sampled

    height, width = 4, 5
    x, offsets = torch.randn(1, 2, height, width), 3 * torch.randn(1, 18, height, width)
    given, outside = sampled(x, offsets), 0
    for tap, row, column in torch.cartesian_prod(torch.arange(9), torch.arange(height), torch.arange(width)).tolist():
        down = row + tap // 3 - 1 + float(offsets[0, 2 * tap, row, column])
        right = column + tap % 3 - 1 + float(offsets[0, 2 * tap + 1, row, column])
        expected = torch.zeros(2)
        for r in range(height):
            for c in range(width):
                expected += max(0.0, 1 - abs(r - down)) * max(0.0, 1 - abs(c - right)) * x[0, :, r, c]
        outside += not (0 <= down < height and 0 <= right < width)
        assert torch.allclose(given[0, :, tap, row, column], expected, atol=1e-5)
    assert outside > 20


@pytest.mark.parametrize("plane", [Plane(64, 6, 10), Plane(16, 1, 1), Plane(32, 7, 5), Plane(16, 24, 40)], ids=str)
def test_a_deformed_map_is_the_runtimes(plane):
    module, shape = wandering(plane), (2, plane.channels, plane.height, plane.width)
    with torch.no_grad():
        offsets = module.guide(torch.randn(shape))[:, :18]
    assert float(offsets.abs().max()) > 4
    graph = to_onnx(module, shape, canonical=True, opset=19)
    assert [node.op_type for node in parse(graph).graph] == ["Conv", "Split", "Sigmoid", "DeformConv"]
    assert compare(module, graph, shape, 1, "deform_conv").error < 1e-4


def test_a_module_of_a_newer_opset_says_so_beside_an_older_host(tmp_path):
    builder, spec, plane = CaseBuilder(Protocol(), tmp_path), Spec("deform_conv"), Plane(16, 4, 6)
    note = "opset 19, where the baseline has 18: deform_conv has an op that opset 18 lacks"
    for host, opset, notes in ((18, 19, (note,)), (19, 19, ()), (20, 20, ())):
        part = builder.module(spec, 1, plane, host)
        assert parse(part.graph).opset_imports[""] == opset
        assert part.notes == notes


def test_eca_and_its_view_form_are_one_function():
    plane = Plane(128, 5, 6)
    one, two = built("eca", plane), built("eca_npu", plane)
    two.neighbours.weight.data = one.neighbours.weight.data[:, :, None, :].clone()
    x = torch.randn(2, 128, 5, 6)
    assert torch.allclose(one(x), two(x), atol=1e-6)


@pytest.mark.parametrize(("channels", "kernel"), [(16, 3), (64, 3), (96, 3), (128, 5), (1024, 5), (2048, 7)])
def test_ecas_kernel_follows_the_papers_rule(channels, kernel):
    assert adaptive_kernel(channels) == kernel


def test_cbam_npu_has_no_spatial_gate_above_its_limit():
    assert built("cbam_npu", Plane(256, 4, 4)).spatial is not None
    assert built("cbam_npu", Plane(257, 4, 4)).spatial is None
    assert built("cbam_npu", Plane(512, 4, 4), spatial_limit=512).spatial is not None


def test_one_axial_block_reaches_a_plus_and_not_a_square():
    module = built("axial_conv", Plane(1, 41, 41))
    x = torch.zeros(1, 1, 41, 41, requires_grad=True)
    (module.column(x) + module.row(x) + x)[0, 0, 20, 20].backward()
    reached = x.grad[0, 0].nonzero()
    assert len(reached) == 33
    assert (reached.amax(0) - reached.amin(0) + 1).tolist() == [17, 17]


def test_se_reads_means_or_maxima():
    plane, x = Plane(32, 5, 6), torch.randn(2, 32, 5, 6)
    mean, peak = built("se", plane), built("se", plane, pool="max")
    described = {"avg": x.mean((2, 3), keepdim=True), "max": x.amax((2, 3), keepdim=True)}
    for module, pool in ((mean, "avg"), (peak, "max")):
        assert torch.allclose(module.pool(x), described[pool], atol=1e-6)
        assert parameters_of(module) == MODULES.load("se").params(plane, reduction=16, pool=pool)
    with pytest.raises(CaseRefused, match="pool must be one of avg, max, not min"):
        built("se", plane, pool="min")


def test_a_separable_convolution_filters_before_it_mixes():
    module, plane = built("separable_conv", Plane(64, 5, 6)), Plane(64, 5, 6)
    depthwise, pointwise = (layer for layer in module if isinstance(layer, torch.nn.Conv2d))
    assert (depthwise.groups, depthwise.kernel_size, pointwise.kernel_size) == (64, (3, 3), (1, 1))
    ratio = MODULES.load("conv").macs(plane, kernel=3) / MODULES.load("separable_conv").macs(plane, kernel=3)
    assert ratio == pytest.approx(1 / (1 / 64 + 1 / 9))


def test_self_attention_is_torchs_own():
    module, x = built("self_attention", Plane(8, 3, 4)), torch.randn(2, 8, 3, 4)
    query, key, value = (layer(x).flatten(2).transpose(1, 2) for layer in (module.query, module.key, module.value))
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    assert torch.allclose(module(x), expected.transpose(1, 2).reshape(x.shape), atol=1e-6)


def test_linear_attention_is_its_definition_written_as_a_full_map():
    module, x = built("linear_attention", Plane(8, 3, 4), heads=2), torch.randn(1, 8, 3, 4)
    elu = torch.nn.functional.elu
    query, key = (elu(layer(x)).view(2, 4, 12) + 1 for layer in (module.query, module.key))
    weights = torch.einsum("hcn,hcm->hnm", query, key)
    weights = weights / (weights.sum(-1, keepdim=True) + 1e-6)
    attended = torch.einsum("hnm,hcm->hcn", weights, module.value(x).view(2, 4, 12))
    assert torch.allclose(module(x), module.project(attended.reshape(1, 8, 3, 4)), atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "channels"),
    [("se", 8), ("cbam", 8), ("se_linear", 15), ("linear_attention[heads=3]", 64), ("self_attention[reduction=32]", 16),
     ("eca[kernel=4]", 64), ("axial_conv[kernel=2]", 64), ("eca_banded[kernel=4]", 64), ("cbam_chunked", 8),
     ("cbam_chunked", 514)],
)  # fmt: skip
def test_a_plane_outside_the_definition_is_refused_with_a_reason(spec, channels):
    with pytest.raises(CaseRefused, match="needs at least|must be"):
        build_module(parse_spec(spec), Plane(channels, 4, 4))


def test_specs_are_checked_without_building():
    check_spec(parse_spec("se[reduction=8]"))
    for text in ("see", "se[ratio=2]", "se[reduction=x]"):
        with pytest.raises(InputError):
            check_spec(parse_spec(text))


@pytest.mark.parametrize(
    ("name", "message"),
    [("not_callable", "must be a class or a function"), ("not_a_module", "must give a torch.nn.Module"),
     ("build", "takes no argument 'channels'"), ("Gate[size=3]", "takes no option size")],
)  # fmt: skip
def test_a_users_module_that_is_none_is_named(user_file, name, message):
    with pytest.raises(InputError, match=message):
        build_module(parse_spec(f"{user_file}:{name}"), Plane(8, 4, 4))


def test_a_users_module_gets_what_its_signature_takes_and_its_options(user_file):
    module = build_module(parse_spec(f"{user_file}:Gate[scale=3]"), Plane(8, 4, 4))
    assert module.scale.shape == (1, 8, 1, 1)
    assert float(module.scale[0, 0]) == 3
