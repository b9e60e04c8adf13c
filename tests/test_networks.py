"""What each host is held to beside the contract: published counts, its authors' names, and the kinds of its places."""

import pytest
import torch

from attnbench.core.grammar import parse_spec, parse_variant
from attnbench.graph.torch_counts import count_torch, parameters_of
from attnbench.hosts import HOSTS, host_options, modules_by_site, resolve_place, site_table
from attnbench.hosts.efficientnet_b0 import MBConv
from attnbench.hosts.mobilenet_v2 import InvertedResidual
from attnbench.hosts.mobilenext import SandglassBlock
from attnbench.hosts.resnet_blocks import BasicBlock, Bottleneck
from attnbench.hosts.site import Site, occupy, sites_of
from attnbench.hosts.yolov5s import YoloBottleneck
from attnbench.modules import build_module

RESIDUAL = (BasicBlock, Bottleneck, InvertedResidual, SandglassBlock, MBConv, YoloBottleneck)

KINDS = ("residual-branch", "block-ends", "stage-ends", "after-depthwise", "slots", "skips")

RESNETS = ["resnet18", "resnet34", "resnet50", "resnet101"]


def build(text: str) -> torch.nn.Module:
    torch.manual_seed(0)
    spec = parse_spec(text)
    return HOSTS.load(spec.name).build(**host_options(spec)).eval()


def members(name: str, place: str) -> list[str]:
    entry = HOSTS.load(name)
    return resolve_place(place, site_table(entry.sites), entry.placements, name)


def occupants(name: str, variant: str, size: int) -> dict[str, torch.nn.Module]:
    """The modules of a variant, each built for its site at an image of this size."""
    entry = HOSTS.load(name)
    table = site_table(entry.sites)
    rows = modules_by_site(parse_variant(variant), table, entry.placements, name)
    built = {site: [build_module(spec, table[site].at(size, size)) for spec in row] for site, row in rows.items()}
    return {site: torch.nn.Sequential(*row) for site, row in built.items()}


PARAMETERS = [
    ("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032), ("resnet101", 44_549_160),
    ("mobilenet_v2", 3_504_872), ("mobilenext", 3_535_416), ("efficientnet_b0", 5_288_548 - 636_540),
    ("yolov5s", 7_235_389),
]  # fmt: skip
"""torchvision's figures, and Ultralytics'. MobileNeXt's authors print 3.5 M: this is what their code comes to."""


@pytest.mark.parametrize(("name", "published"), PARAMETERS)
def test_a_host_has_the_published_parameters(name, published):
    assert parameters_of(build(name)) == published


def test_yolov5s_has_the_published_parameters_of_the_fused_network():
    host = build("yolov5s")
    norms = [module for module in host.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert all(norm.eps == 1e-3 for norm in norms)
    assert parameters_of(host) - sum(norm.num_features for norm in norms) == 7_225_885


def test_yolov5s_gives_three_raw_maps_of_three_boxes_each():
    with torch.no_grad():
        maps = build("yolov5s[classes=3]")(torch.randn(2, 3, 64, 96))
    assert [tuple(map_.shape) for map_ in maps] == [(2, 24, 8, 12), (2, 24, 4, 6), (2, 24, 2, 3)]


@pytest.mark.parametrize(
    ("name", "variant", "published"),
    [
        ("efficientnet_b0", "slots=se_swish", 5_288_548),  # torchvision
        ("resnet18", "residual-branch=se", 11_778_592),  # SE-ResNet-18 in timm
        ("resnet50", "residual-branch=se", 28_088_024),  # SE-ResNet-50 in timm
        ("mobilenet_v2", "after-depthwise=coord", 3_950_648),  # mbv2_ca.py; its README prints 3.95 M
    ],
)
def test_a_module_where_its_authors_put_it_gives_their_parameters(name, variant, published):
    built = occupants(name, variant, 224)
    assert parameters_of(build(name)) + sum(map(parameters_of, built.values())) == published


@pytest.mark.parametrize(
    ("name", "variant", "published"),
    [
        ("resnet18", "", 1.814), ("resnet34", "", 3.664), ("resnet50", "", 4.089), ("resnet101", "", 7.801),
        ("mobilenet_v2", "", 0.301), ("efficientnet_b0", "slots=se_swish", 0.386),
    ],
)  # fmt: skip
def test_macs_at_224_are_torchvisions(name, variant, published):
    host = build(name)
    if variant:
        occupy(host, occupants(name, variant, 224))
    counted = count_torch(host, (1, 3, 224, 224))
    assert round(counted.macs / 1e9, 3) == published
    assert counted.uncounted == ()


def test_macs_of_mobilenext_are_the_authors_300_million():
    assert count_torch(build("mobilenext"), (1, 3, 224, 224)).macs == 311_342_592


def test_macs_of_yolov5s_are_half_of_ultralytics_16_and_a_half_gflops():
    assert count_torch(build("yolov5s"), (1, 3, 640, 640)).macs * 2 / 1e9 == pytest.approx(16.5, abs=0.1)


NAMES = [
    ("resnet18", 122, {"conv1.weight": (64, 3, 7, 7), "layer1.1.bn2.running_var": (64,), "fc.bias": (1000,),
                       "layer2.0.downsample.0.weight": (128, 64, 1, 1), "layer4.0.downsample.1.bias": (512,)}),
    ("resnet50", 320, {"layer1.0.conv1.weight": (64, 64, 1, 1), "layer1.0.downsample.0.weight": (256, 64, 1, 1),
                       "layer3.5.conv3.weight": (1024, 256, 1, 1), "layer4.2.bn3.num_batches_tracked": ()}),
    ("mobilenet_v2", 314, {"features.0.0.weight": (32, 3, 3, 3), "features.1.conv.0.0.weight": (32, 1, 3, 3),
                           "features.1.conv.2.bias": (16,), "features.2.conv.1.0.weight": (96, 1, 3, 3),
                           "features.17.conv.3.running_mean": (320,), "features.18.0.weight": (1280, 320, 1, 1),
                           "classifier.1.weight": (1000, 1280)}),
    ("mobilenext", 446, {"features.0.1.weight": (32,), "features.1.conv.0.weight": (32, 1, 3, 3),
                         "features.1.conv.8.weight": (96, 1, 3, 3), "features.2.conv.3.weight": (32, 96, 1, 1),
                         "features.3.conv.0.weight": (32, 144, 1, 1), "features.3.conv.5.weight": (192, 1, 3, 3),
                         "features.20.conv.9.bias": (1280,), "classifier.1.bias": (1000,)}),
    ("efficientnet_b0", 296, {"features.0.0.weight": (32, 3, 3, 3), "features.1.0.block.2.0.weight": (16, 32, 1, 1),
                              "features.2.0.block.0.1.weight": (96,), "features.3.1.block.1.0.weight": (240, 1, 5, 5),
                              "features.7.0.block.3.1.bias": (320,), "features.8.0.weight": (1280, 320, 1, 1),
                              "classifier.1.weight": (1000, 1280)}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "entries", "known"), NAMES)
def test_weights_have_their_authors_names_and_sites_have_none(name, entries, known):
    state = build(name).state_dict()
    assert len(state) == entries
    assert {key: tuple(state[key].shape) for key in known} == known


@pytest.mark.parametrize("name", HOSTS.names())
def test_every_placement_is_some_sites_and_every_site_is_in_the_host(name):
    entry = HOSTS.load(name)
    table = site_table(entry.sites)
    assert all(members(name, place) for place in entry.placements)
    assert not set(entry.placements) & set(table)
    found = sites_of(build(name))
    assert {site: module.block_input for site, module in found.items()} == {
        site: plane.block_input for site, plane in table.items()
    }
    assert [site for site, plane in table.items() if plane.block_input] == (
        members(name, "slots") if "slots" in entry.placements else []
    )


@pytest.mark.parametrize("name", [name for name in HOSTS.names() if HOSTS.load(name).multiple == 1])
def test_strides_round_up_where_any_size_is_taken(name):
    host, seen = build(name), {}
    for site, module in sites_of(host).items():
        module.register_forward_hook(
            lambda _module, _inputs, output, site=site: seen.update({site: tuple(output.shape[1:])})
        )
    with torch.no_grad():
        host(torch.randn(1, 3, 65, 97))
    declared = {site: plane.at(65, 97) for site, plane in site_table(HOSTS.load(name).sites).items()}
    assert seen == {site: (plane.channels, plane.height, plane.width) for site, plane in declared.items()}


@pytest.mark.parametrize("name", HOSTS.names())
def test_kinds_of_places_are_known_and_every_host_has_the_three_of_residual_networks(name):
    placements = HOSTS.load(name).placements
    assert {"residual-branch", "block-ends", "stage-ends"} <= set(placements)
    if not name.startswith(("resnetsan01", *RESNETS, "yolov5s")):
        assert {placement.partition(".")[0] for placement in placements} <= {*KINDS, "projections"}


@pytest.mark.parametrize("name", HOSTS.names())
def test_stage_ends_are_the_last_block_ends_of_each_resolution(name):
    table = site_table(HOSTS.load(name).sites)
    found = members(name, "stage-ends")
    last = {table[site].stride: site for site in members(name, "block-ends") if not site.startswith("neck.")}
    if name == "yolov5s":
        last[32] = "backbone.sppf"  # no block, but the last map of the resolution
    assert found == list(last.values())
    assert [table[site].stride for site in found] == sorted(last)


class Nothing(torch.nn.Module):
    """Zeros in place of what comes in."""

    def forward(self, x):
        return x * 0


@pytest.mark.parametrize("name", HOSTS.names())
def test_without_its_branches_every_residual_block_is_its_shortcut(name):
    host, branches = build(name), set(members(name, "residual-branch"))
    occupy(host, {site: Nothing() for site in branches})
    blocks = [
        block for block in host.modules()
        if isinstance(block, RESIDUAL) and any(isinstance(m, Site) and m.name in branches for m in block.modules())
    ]  # fmt: skip
    assert len(blocks) == len(branches)
    passed = []
    for block in blocks:
        block.register_forward_hook(lambda block, inputs, output: passed.append((block, inputs[0], output)))
    with torch.no_grad():
        host(torch.randn(1, 3, 64, 64))
        for block, x, output in passed:
            if isinstance(block, BasicBlock | Bottleneck):
                assert torch.equal(output, torch.relu(x if block.downsample is None else block.downsample(x)))
            else:
                assert torch.equal(output, x)
    assert len(passed) == len(branches)


def test_the_places_of_one_block_follow_each_other():
    assert members("resnet50", "residual-branch")[:3] == ["layer1.0.branch", "layer1.1.branch", "layer1.2.branch"]
    assert members("resnet101", "layer3") == ["layer3.22.end"]
    assert members("mobilenet_v2", "after-depthwise") == [f"features.{i}.depthwise" for i in range(2, 18)]
    assert members("efficientnet_b0", "slots") == [f"blocks.{i}.slot" for i in range(16)]
    assert members("efficientnet_b0", "after-depthwise") == [f"blocks.{i}.slot" for i in range(1, 16)]
    assert members("yolov5s", "skips") == ["skip.p4", "skip.p3"]
    assert len(members("mobilenext", "after-depthwise")) == 15
    assert len(members("mobilenext", "residual-branch")) == 12
