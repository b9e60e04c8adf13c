"""What each host is held to beside the contract: published counts, its authors' names, and the kinds of its places."""

import pytest
import torch

from attnbench.core.grammar import parse_spec, parse_variant
from attnbench.graph.torch_counts import parameters_of
from attnbench.hosts import (
    HOSTS,
    declared_places,
    host_options,
    inverted,
    modules_by_site,
    resolve_place,
    vovnet,
    yolov8,
)
from attnbench.hosts.convnext import ConvNeXtBlock
from attnbench.hosts.mobilenet_v2 import InvertedResidual
from attnbench.hosts.mobilenext import SandglassBlock
from attnbench.hosts.resnet_blocks import BasicBlock, Bottleneck
from attnbench.hosts.site import Site, occupy, sites_of
from attnbench.hosts.yolov5s import YoloBottleneck
from attnbench.measure.count import count_plan
from attnbench.measure.parts import replaced_layers
from attnbench.modules import build_module
from attnbench.study.plan import plan

RESIDUAL = (
    BasicBlock, Bottleneck, InvertedResidual, SandglassBlock, YoloBottleneck, ConvNeXtBlock, inverted.InvertedBlock,
    vovnet.OneShotBlock, yolov8.ConvBottleneck,
)  # fmt: skip

KINDS = ("residual-branch", "block-ends", "stage-ends", "after-depthwise", "slots", "skips", "conv3x3")

SHAPELY = [*HOSTS.names(), "resnet50[shortcut=pool,stem=deep]", "resnet26[stem=tiered,stride_at=1x1]", "mobilenet_v2[width=1.4]",
           "resnet_cifar[depth=32,shortcut=conv]", "yolov8[scale=m]", "mnasnet[width=0.5]",
           "resnet50[groups=32,width=4]"]  # fmt: skip
"""All hosts, and some whose options move sites or change their channels."""


def outline(text: str) -> torch.nn.Module:
    """A host of shapes alone: it takes no memory and no time."""
    spec = parse_spec(text)
    with torch.device("meta"):
        return HOSTS.load(spec.name).build(**host_options(spec)).eval()


def members(name: str, place: str) -> list[str]:
    sites, placements = declared_places(parse_spec(name))
    return resolve_place(place, sites, placements, name)


def occupants(name: str, variant: str, size: int) -> dict[str, torch.nn.Module]:
    """The modules of a variant, each built for its site at an image of this size."""
    table, placements = declared_places(parse_spec(name))
    rows = modules_by_site(parse_variant(variant), table, placements, name)
    with torch.device("meta"):
        built = {site: [build_module(spec, table[site].at(size, size)) for spec in row] for site, row in rows.items()}
    return {site: torch.nn.Sequential(*row) for site, row in built.items()}


def counted(name: str, variant: str, size: str) -> int:
    """The MACs of a variant."""
    study = {"hosts": [name], "sizes": [size], "case": [{"variant": variant or "baseline"}]}
    record = count_plan(plan(study)).run.records[-1]
    assert (record.status, record.uncounted, record.notes) == ("ok", (), ())
    return int(record.value("macs"))


PARAMETERS = [
    ("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032), ("resnet101", 44_549_160),
    ("resnet152", 60_192_808), ("resnet50[groups=32,width=4]", 25_028_904), ("resnet101[groups=32,width=8]", 88_791_336),
    ("resnet101[groups=64,width=4]", 83_455_272), ("resnet50[width=128]", 68_883_240), ("resnet50[stride_at=1x1]", 25_557_032),
    ("resnet_cifar", 269_722), ("resnet_cifar[depth=110]", 1_727_962), ("resnet_cifar[depth=32,shortcut=conv]", 466_906),
    ("mobilenet_v2", 3_504_872), ("mobilenext", 3_535_416), ("efficientnet_b0", 5_288_548 - 636_540),
    ("mnasnet", 4_383_312), ("mnasnet[width=0.5]", 2_218_512), ("mnasnet[width=1.3]", 6_282_256),
    ("regnet_x_400mf", 5_495_976), ("regnet_x_800mf", 7_259_656), ("regnet_x_1_6gf", 9_190_136),
    ("convnext_tiny", 28_589_128), ("convnext_small", 50_223_688), ("vit_b_16", 86_567_656), ("vit_b_32", 88_224_232),
    ("deit_tiny", 5_717_416), ("deit_small", 22_050_664),
    ("mobilevit_xxs", 1_272_024), ("mobilevit_xs", 2_317_848), ("mobilevit_s", 5_578_632),
    ("yolov5s", 7_235_389), ("yolov8", 3_157_200 - 16), ("yolov8[scale=s]", 11_166_560 - 16),
    ("retinanet", 34_014_999 + 53_120),
    ("resnetsan01[block=elu,output=disparity,scales=4]", 11_176_512 + 3_152_724),
]  # fmt: skip
"""torchvision's figures, timm's, DeiT's, Ultralytics' and, for the CIFAR networks, a port's own. MobileNeXt's authors print 3.5 M: this
is what their code comes to. YOLOv8's 16 fixed weights and RetinaNet's frozen norms are told apart in their files."""


@pytest.mark.parametrize(("name", "published"), PARAMETERS)
def test_a_host_has_the_published_parameters(name, published):
    assert parameters_of(outline(name)) == published


@pytest.mark.parametrize(
    ("name", "published"),
    [("resnet26[shortcut=pool,stem=tiered]", "16.01"), ("resnet50[shortcut=pool,stem=deep]", "25.58"),
     ("resnet50[shortcut=pool,stem=tiered]", "25.57"), ("resnet18[shortcut=pool,stem=deep]", "11.71"),
     ("mobilenet_v2[width=0.5]", "1.97"), ("mobilenet_v2[width=1.4]", "6.11"), ("yolov8[scale=x]", "68.23")],
)  # fmt: skip
def test_a_host_has_the_parameters_that_are_printed_in_millions(name, published):
    assert f"{parameters_of(outline(name)) / 1e6:.2f}" == published


def test_yolov5s_has_the_published_parameters_of_the_fused_network():
    host = outline("yolov5s")
    norms = [module for module in host.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert all(norm.eps == 1e-3 for norm in norms)
    assert parameters_of(host) - sum(norm.num_features for norm in norms) == 7_225_885


def test_yolov5s_gives_three_raw_maps_of_three_boxes_each():
    with torch.no_grad(), torch.device("meta"):
        maps = outline("yolov5s[classes=3]")(torch.zeros(2, 3, 64, 96))
    assert [tuple(map_.shape) for map_ in maps] == [(2, 24, 8, 12), (2, 24, 4, 6), (2, 24, 2, 3)]


@pytest.mark.parametrize(
    ("name", "variant", "published"),
    [
        ("efficientnet_b0", "slots=se_swish", 5_288_548),  # torchvision
        ("resnet18", "residual-branch=se", 11_778_592),  # SE-ResNet-18 in timm
        ("resnet50", "residual-branch=se", 28_088_024),  # SE-ResNet-50 in timm
        ("mobilenet_v2", "after-depthwise=coord", 3_950_648),  # mbv2_ca.py; its README prints 3.95 M
        ("mobilenet_v3_large", "slots=se_mobile", 5_483_032),  # torchvision, as are the next four
        ("mobilenet_v3_small", "slots=se_mobile", 2_542_856),
        ("regnet_y_400mf", "slots=se_regnet", 4_344_144),
        ("regnet_y_800mf", "slots=se_regnet", 6_432_512),
        ("regnet_y_1_6gf", "slots=se_regnet", 11_202_430),
        ("resnet50[groups=32,width=4]", "conv3x3=sk", 27_479_784),  # SKNet-50: 27.5 M in its README, 27.48 M in timm
        ("resnet50[shortcut=pool,stem=deep]", "conv3x3=split", 27_483_240),  # ResNeSt-50 in timm
        ("axial_resnet26", "conv3x3=axial_position", 5_944_936),  # Axial-ResNet-26-S; its README prints 5.9 M
        ("resnet_cifar[depth=32,shortcut=conv]", "residual-branch=srm", 469_146),  # EvgenyKashin/SRMnet, as is the next
        ("resnet_cifar[depth=32,shortcut=conv]", "residual-branch=se_linear", 470_266),
    ],
)
def test_a_module_where_its_authors_put_it_gives_their_parameters(name, variant, published):
    host, built = outline(name), occupants(name, variant, 32 if "cifar" in name else 224)
    gone = sum(parameters_of(layers) for site, layers in replaced_layers(host).items() if site in built)
    assert parameters_of(host) + sum(map(parameters_of, built.values())) - gone == published


@pytest.mark.parametrize(
    ("name", "variant", "printed"),
    [("vovnet39", "slots=ese", "24.57"), ("van_b0", "slots=lka", "4.11"), ("van_b2", "slots=lka", "26.58"),
     ("resnet50[stem=deep]", "conv3x3=involution,stem.conv3x3=involution[kernel=3]", "15.54")],
)  # fmt: skip
def test_a_module_where_its_authors_put_it_gives_what_is_printed_in_millions(name, variant, printed):
    host, built = outline(name), occupants(name, variant, 224)
    gone = sum(parameters_of(layers) for site, layers in replaced_layers(host).items() if site in built)
    assert f"{(parameters_of(host) + sum(map(parameters_of, built.values())) - gone) / 1e6:.2f}" == printed


@pytest.mark.parametrize(
    ("name", "variant", "published"),
    [
        ("resnet18", "", 1.814), ("resnet34", "", 3.664), ("resnet50", "", 4.089), ("resnet101", "", 7.801),
        ("mobilenet_v2", "", 0.301), ("efficientnet_b0", "slots=se_swish", 0.386),
    ],
)  # fmt: skip
def test_macs_at_224_are_torchvisions(name, variant, published):
    assert round(counted(name, variant, "224x224") / 1e9, 3) == published


def test_macs_of_mobilenext_are_the_authors_300_million():
    assert counted("mobilenext", "", "224x224") == 311_342_592


def test_macs_of_yolov5s_are_half_of_ultralytics_16_and_a_half_gflops():
    assert counted("yolov5s", "", "640x640") * 2 / 1e9 == pytest.approx(16.5, abs=0.1)


def test_macs_of_monodepth2_are_those_of_its_encoder_and_decoder_and_of_resnetsan01_the_reports():
    assert counted("resnetsan01[block=elu,output=disparity,scales=4]", "", "384x640") == 16_026_992_640
    assert counted("resnetsan01", "", "384x640") == 16_031_416_320


def test_a_replaced_convolution_is_taken_off_and_its_stride_counted():
    name, base = "resnet26", counted("resnet26", "", "64x64")
    assert counted(name, "layer2.0.conv3x3=sk", "64x64") - base == (
        18 * 128**2 // 32 * 8 * 8 + 3 * 128 * 32 - 9 * 128**2 * 8 * 8
    )


@pytest.mark.parametrize("module", ["se", "sk+eca"])
def test_a_place_with_a_stride_refuses_what_keeps_the_size(module):
    study = {"hosts": ["resnet26"], "sizes": ["64x64"], "case": [{"variant": f"layer2.0.conv3x3={module}"}]}
    record = count_plan(plan(study)).run.records[-1]
    assert record.status == "refused"
    assert "stride" in str(record.failure)


def test_each_place_and_globs_pass_places_over_that_replace():
    study = {"hosts": ["resnet26"], "sizes": ["64x64"], "matrix": [{"modules": ["eca"], "places": "each"}]}
    assert not [one for one in plan(study).cases if "conv3x3" in one.case.variant]
    assert members("resnet26", "layer1.*") == ["layer1.0.branch", "layer1.0.end", "layer1.1.branch", "layer1.1.end"]
    assert members("resnet26", "layer1.*.conv3x3") == ["layer1.0.conv3x3", "layer1.1.conv3x3"]


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
    state = outline(name).state_dict()
    assert len(state) == entries
    assert {key: tuple(state[key].shape) for key in known} == known


@pytest.mark.parametrize("name", SHAPELY)
def test_every_placement_is_some_sites_and_every_site_is_in_the_host(name):
    table, placements = declared_places(parse_spec(name))
    assert all(members(name, place) for place in placements)
    assert not set(placements) & set(table)
    found = sites_of(outline(name))
    assert {site: module.block_input for site, module in found.items()} == {
        site: plane.block_input for site, plane in table.items()
    }
    assert [site for site, plane in table.items() if plane.block_input] == (
        members(name, "slots") if "slots" in placements else []
    )


@pytest.mark.parametrize("name", SHAPELY)
def test_sites_are_where_the_entry_says_at_odd_sizes_where_they_are_taken(name):
    host, seen = outline(name), {}
    for site, module in sites_of(host).items():
        module.register_forward_hook(
            lambda module, inputs, output, site=site: seen.update({site: (inputs[0].shape[1:], output.shape[1:])})
        )
    size = (65, 97) if HOSTS.load(parse_spec(name).name).multiple == 1 else (64, 128)
    with torch.no_grad(), torch.device("meta"):
        host(torch.zeros(1, 3, *size))
    declared = {site: plane.at(*size) for site, plane in declared_places(parse_spec(name)).sites.items()}
    given = {
        site: (one.channels, -(-one.height // one.stride), -(-one.width // one.stride)) for site, one in declared.items()
    }
    taken = {site: (one.channels, one.height, one.width) for site, one in declared.items()}
    assert {site: tuple(before) for site, (before, _) in seen.items()} == taken
    assert {site: tuple(after) for site, (_, after) in seen.items()} == given


TRANSFORMERS = ("vit_b_16", "vit_b_32", "deit_tiny", "deit_small")


@pytest.mark.parametrize("name", [name for name in HOSTS.names() if name not in TRANSFORMERS])
def test_kinds_of_places_are_known_and_every_host_has_the_three_of_residual_networks(name):
    placements = declared_places(parse_spec(name)).placements
    assert {"residual-branch", "block-ends", "stage-ends"} <= set(placements)
    if not name.startswith(("resnetsan01", "yolo")):
        own = {placement for placement in placements if not placement.startswith(("layer", "block", "stage", "projections"))}
        assert own <= {*KINDS, "neck"}


@pytest.mark.parametrize("name", [name for name in HOSTS.names() if name not in TRANSFORMERS])
def test_stage_ends_are_the_last_block_ends_of_each_resolution(name):
    table = declared_places(parse_spec(name)).sites
    found = members(name, "stage-ends")
    last = {table[site].stride: site for site in members(name, "block-ends") if not site.startswith("neck.")}
    if name.startswith("yolo"):
        last[32] = "backbone.sppf"  # no block, but the last map of the resolution
    assert found == list(last.values())
    assert [table[site].stride for site in found] == sorted(last)


class Nothing(torch.nn.Module):
    """Zeros in place of what comes in."""

    def forward(self, x):
        return x * 0


def weighed(name: str) -> torch.nn.Module:
    """A host with random weights at once, without the pass that sets its norms' statistics."""
    host = outline(name).to_empty(device="cpu")
    for key, held in host.state_dict().items():
        if "running_var" in key:
            torch.nn.init.ones_(held)
        elif held.is_floating_point():
            torch.nn.init.normal_(held, 0, 0.1)
    return host


@pytest.mark.parametrize(
    "name",
    ["resnetsan01", "resnet18", "resnet26[shortcut=pool,stem=deep]", "mobilenet_v2", "mobilenext", "efficientnet_b0", "yolov5s",
     "resnet_cifar", "mobilenet_v3_small", "mnasnet", "regnet_x_400mf", "convnext_tiny", "vovnet39", "mobilevit_xxs", "yolov8"],
)  # fmt: skip
def test_without_its_branches_every_residual_block_is_its_shortcut(name):
    host, branches = weighed(name), set(members(name, "residual-branch"))
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
