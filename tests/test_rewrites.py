"""Modules that compute another one exactly with ops that an NPU takes."""

import numpy as np
import pytest
import torch
from made import every, ran
from torch import nn

from attnbench.core.grammar import Spec, parse_spec
from attnbench.core.protocol import Protocol
from attnbench.core.records import Case
from attnbench.graph.export import to_onnx
from attnbench.graph.load import parse, verify
from attnbench.graph.torch_counts import count_torch, parameters_of
from attnbench.hosts import HostReference
from attnbench.judge.verdicts import npu_verdict
from attnbench.measure.build import CaseBuilder
from attnbench.modules import MODULES, Plane, build_module, rewrites_of
from attnbench.modules.coord import stretches, strided_mean
from attnbench.npu.judge import judge
from attnbench.npu.targets import load_target

PLANES = [
    Plane(64, 6, 10), Plane(64, 1, 1), Plane(128, 24, 40), Plane(512, 12, 20), Plane(256, 5, 19), Plane(64, 7, 33),
]  # fmt: skip
REWRITES = [(name, original) for name in MODULES.names() for original in MODULES.describe()[name].get("rewrite_of", ())]
TOLERANCE = 1e-5
TARGETS = {"at_conv": "aimotive-apache6"}  # the report's own list says nothing of roots and quotients


def lively(module: nn.Module) -> nn.Module:
    """The module in evaluation, with statistics and scales that a normalisation must honour."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values, low, high in (
                (layer.weight, 0.5, 1.5), (layer.bias, -1, 1), (layer.running_mean, -1, 1), (layer.running_var, 0.5, 2),
            ):  # fmt: skip
                nn.init.uniform_(values, low, high)
    return module.eval()


def pair(name: str, original: str, plane: Plane, **options) -> tuple[nn.Module, nn.Module]:
    """An original with random weights, and the rewrite that adopted them; options in the original's own words."""
    torch.manual_seed(0)
    options = {**MODULES.load(original).options, **options}
    theirs = lively(build_module(Spec(original, options), plane))
    mine = build_module(Spec(name, options), plane).eval()
    mine.adopt(theirs)
    return mine, theirs


def verdict(graph: bytes, target: str) -> str:
    return npu_verdict(judge(parse(graph), load_target(target)))


def distance(one, two) -> float:
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(every(one), every(two), strict=True))


@pytest.mark.parametrize("plane", PLANES, ids=str)
@pytest.mark.parametrize(("name", "original"), REWRITES)
def test_a_rewrite_is_its_original_and_passes_where_that_does_not(name, original, plane):
    mine, theirs = pair(name, original, plane)
    shape = (2, plane.channels, plane.height, plane.width)
    x = torch.randn(shape)
    with torch.no_grad():
        expected = theirs(x)
        assert distance(mine(x), expected) < TOLERANCE
    graph = to_onnx(mine, shape, canonical=True)
    verify(graph, "export")
    assert distance(tuple(ran(graph, x)), expected) < TOLERANCE
    target = TARGETS.get(name, "aimotive")
    assert verdict(graph, target) in ("ok", "ok with constraint")
    if plane in (PLANES[0], PLANES[3]):
        assert verdict(to_onnx(theirs, shape, canonical=True), target) in ("refused", "unknown")


@pytest.mark.parametrize(
    ("name", "original", "plane", "options"),
    [
        ("eca_banded", "eca", Plane(2, 3, 4), {"kernel": 7}), ("eca_banded", "eca_npu", Plane(48, 3, 4), {"kernel": 9}),
        ("coord_split", "coord", Plane(32, 1, 300), {"reduction": 4}), ("coord_split", "coord", Plane(32, 35, 1), {"minimum": 3}),
        ("cbam_chunked", "cbam", Plane(1024, 3, 4), {}), ("cbam_chunked", "cbam", Plane(300, 3, 4), {"reduction": 4, "kernel": 3}),
        ("se", "se_linear", Plane(20, 3, 4), {"reduction": 5}),
    ],
)  # fmt: skip
def test_a_rewrite_takes_its_originals_options_and_counts_by_its_own_form(name, original, plane, options):
    mine, theirs = pair(name, original, plane, **options)
    x = torch.randn(1, plane.channels, plane.height, plane.width)
    with torch.no_grad():
        assert distance(mine(x), theirs(x)) < TOLERANCE
    entry = MODULES.load(name)
    counts = count_torch(mine, tuple(x.shape))
    options = {**entry.options, **options}
    assert (counts.params, counts.macs) == (entry.params(plane, **options), entry.macs(plane, **options))


@pytest.mark.parametrize(("name", "original"), REWRITES)
def test_a_rewrite_has_every_option_of_its_original(name, original):
    assert MODULES.load(name).options.keys() >= MODULES.load(original).options.keys()


@pytest.mark.parametrize(("name", "original"), [("coord_split", "coord"), ("cbam_chunked", "cbam")])
def test_weights_that_are_not_learned_are_no_parameters(name, original):
    mine, theirs = pair(name, original, Plane(512, 4, 6))
    assert parameters_of(mine) == parameters_of(theirs)
    assert sum(buffer.numel() for buffer in mine.buffers()) > sum(buffer.numel() for buffer in theirs.buffers())
    assert len(mine.state_dict()) == len(theirs.state_dict())


@pytest.mark.parametrize(
    ("name", "original", "mine", "theirs"),
    [
        ("eca_banded", "eca", {"kernel": 3}, {"kernel": 5}), ("coord_split", "coord", {"reduction": 4}, {"reduction": 2}),
        ("cbam_chunked", "cbam", {"reduction": 8}, {"reduction": 16}), ("se", "se_linear", {"reduction": 8}, {"reduction": 16}),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused(name, original, mine, theirs):
    plane = Plane(64, 4, 6)
    with pytest.raises(ValueError, match="does not fit"):
        build_module(Spec(name, mine), plane).adopt(build_module(Spec(original, theirs), plane))


def test_a_mean_of_any_length_takes_the_fewest_kernels_up_to_17():
    assert [stretches(n) for n in (1, 2, 17, 18, 40, 289, 290)] == [[], [2], [17], [5, 4], [7, 6], [17, 17], [7, 7, 6]]
    for length in range(1, 330):
        x = torch.randn(1, 2, 3, length)
        steps = strided_mean(2, length, 3)
        assert all(max(step.kernel) <= 17 for step in steps)
        assert torch.allclose(steps(x), x.mean(3, keepdim=True), atol=1e-6), length
        assert torch.equal(strided_mean(2, length, 2)(x.transpose(2, 3)), steps(x).transpose(2, 3)), length


@pytest.mark.parametrize(
    ("spec", "rewrites"),
    [("eca", ["eca_banded"]), ("eca[kernel=7]", ["eca_banded[kernel=7]"]), ("eca_npu", ["eca_banded[kernel=5]"]),
     ("se_linear[reduction=8]", ["se[reduction=8]"]), ("coord", ["coord_split"]), ("se", [])],
)  # fmt: skip
def test_a_rewrite_is_named_with_the_originals_options(spec, rewrites):
    assert list(map(str, rewrites_of(parse_spec(spec)))) == rewrites


def test_a_refused_finding_names_the_rewrite_that_can_stand_in_for_it(tmp_path):
    case = Case("resnetsan01", "encoder.layer3=eca,encoder.layer4=self_attention", "64x96")
    built = CaseBuilder(Protocol(), tmp_path).describe(case, HostReference("resnetsan01"), ("aimotive",))
    refused = [finding for finding in built.findings if finding.level in ("refused", "unknown")]
    assert {finding.substitute for finding in refused if finding.site == "encoder.layer3"} == {"eca_banded"}
    assert {finding.substitute for finding in refused if finding.site == "encoder.layer4"} == {""}
    assert not any(finding.substitute for finding in built.findings if finding not in refused)
