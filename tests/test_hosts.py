"""What every host is held to, and the oracle of the splicing: a spliced graph equals a whole-model export."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from made import ran

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.grammar import Spec, parse_spec, parse_variant
from attnbench.core.naming import MARKER_DOMAIN
from attnbench.core.protocol import Protocol
from attnbench.core.records import Case
from attnbench.graph import OPSET
from attnbench.graph.export import to_onnx
from attnbench.graph.load import parse, serialise, verify
from attnbench.graph.splice import block_inputs, markers, planes, replaced_strides, splice
from attnbench.hosts import (
    HOSTS,
    HostReference,
    check_host,
    check_size,
    declared_places,
    host_options,
    modules_by_site,
    resolve_place,
    site_table,
)
from attnbench.hosts.site import Site, attach_sites, marked, occupy, sites_of
from attnbench.measure.build import CaseBuilder
from attnbench.measure.parts import torch_host
from attnbench.modules import Plane, build_module

SIZE = (64, 96)

OPTIONS = ["resnetsan01[skip=attentive,block=elu,scales=4,output=depth]"]

SPECS = [
    "resnetsan01",
    "resnet18",
    "resnet26[shortcut=pool,stem=deep]",
    "mobilenet_v2",
    "mobilenext",
    "efficientnet_b0",
    "yolov5s",
    *OPTIONS,
]
"""Hosts that are exported here, one a kind of block; what all are held to without an export is in ``test_networks``.

Exports of hosts and modules are those of a sweep, from the tests' common cache where another test had them made."""

VARIANTS = {
    "resnetsan01": (
        "encoder.stem=eca,encoder.layer3=cbam+se,encoder.layer4=self_attention,decoder.fusion=se_npu,skip.[12]=cbam_npu,"
        "decoder.upconv4=linear_attention,encoder.block2.1.branch=eca,encoder.block3.0.end=se"
    ),
    "resnet18": "stage-ends=se_npu,layer4.*.branch=eca,layer4=self_attention,layer1.0.end=axial_conv+coord",
    "resnet26": (
        "layer4.[01].branch=se+eca,layer3=simam,layer2.0.conv3x3=split,layer3.1.conv3x3=sk+eca,"
        "layer4.0.conv3x3=axial_position,stem.conv3x3=involution[kernel=3]"
    ),
    "mobilenet_v2": "features.1[67].depthwise=coord,features.[35].branch=eca",
    "mobilenext": "features.1[56].depthwise=coord,features.[45].branch=eca",
    "efficientnet_b0": "blocks.[0-3].slot=se_swish,blocks.1[24].branch=eca,blocks.15.end=cbam_npu",
    "yolov5s": "stage-ends=eca,neck.p4=se_npu,skips=cbam_npu,backbone.p3.*.branch=simam",
}
"""Several kinds of modules, some in a row, at several kinds of places of each host."""


def build(text: str) -> torch.nn.Module:
    torch.manual_seed(0)
    spec = parse_spec(text)
    return HOSTS.load(spec.name).build(**host_options(spec)).eval()


def seeded(spec: Spec, plane: Plane) -> torch.nn.Module:
    """A module with the weights that it has in its export."""
    torch.manual_seed(0)
    return build_module(spec, plane).eval()


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def outputs(module: torch.nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    """What a host gives, as a list, whether it is one tensor or several."""
    with torch.no_grad():
        given = module(image)
    return [given] if isinstance(given, torch.Tensor) else list(given)


BUILDER = CaseBuilder(Protocol(), Path())


@pytest.fixture(scope="module", params=SPECS)
def host(request):
    """A host, its marked graph, and its name."""
    case, reference = Case(request.param, "baseline", f"{SIZE[0]}x{SIZE[1]}"), HostReference(request.param)
    return request.param, torch_host(case, reference, seed=0)[0].eval(), BUILDER.host_part(case, reference).graph


def test_sites_are_where_the_entry_says(host):
    name, _, graph = host
    found = {site: shape[1:] for site, shape in planes(parse(graph)).items()}
    declared = {site: plane.at(*SIZE) for site, plane in declared_places(parse_spec(name)).sites.items()}
    assert found == {site: (plane.channels, plane.height, plane.width) for site, plane in declared.items()}
    assert block_inputs(parse(graph)) == {site: plane.block_input for site, plane in declared.items()}
    strides = {site: plane.stride for site, plane in declared.items() if site.endswith(".conv3x3")}
    assert replaced_strides(parse(graph)) == strides


def test_the_baseline_is_the_host(host):
    _, module, graph = host
    image = torch.randn(1, 3, *SIZE)
    for mine, theirs in zip(ran(serialise(splice(graph, {})), image), outputs(module, image), strict=True):
        assert np.abs(mine - theirs.numpy()).max() < 1e-4 * max(1, float(theirs.abs().max()))


def test_a_spliced_variant_computes_what_the_network_does_with_the_modules_inside(host):
    name, module, graph = host
    entry = HOSTS.load(parse_spec(name).name)
    shapes, offered, strides = planes(parse(graph)), block_inputs(parse(graph)), replaced_strides(parse(graph))
    placements = declared_places(parse_spec(name)).placements
    specs = modules_by_site(parse_variant(VARIANTS[entry.name]), shapes, placements, name)
    ats = {site: Plane(*shapes[site][1:], offered[site], strides.get(site, 1)) for site in specs}
    rows = {site: [seeded(spec, ats[site]) for spec in row] for site, row in specs.items()}
    parts = {
        site: [(str(spec), BUILDER.module(spec, 1, ats[site], OPSET).graph) for spec in row] for site, row in specs.items()
    }
    model = splice(graph, parts)
    gone = [
        f"{site.removesuffix('.conv3x3')}.conv2.weight" for site in specs if site.startswith("layer") and site in strides
    ]
    assert not set(gone) & set(model.graph.initializers), "what a module takes the place of is gone"
    spliced = serialise(model)
    verify(spliced, "splice")
    image = torch.randn(1, 3, *SIZE)
    plain = outputs(module, image)
    occupy(module, {site: torch.nn.Sequential(*row) for site, row in rows.items()})
    try:
        occupied = outputs(module, image)
    finally:
        for site in sites_of(module).values():
            site.occupant = None
    for mine, theirs, without in zip(ran(spliced, image), occupied, plain, strict=True):
        scale = max(1.0, float(theirs.abs().max()))
        assert np.abs(mine - theirs.numpy()).max() < 1e-4 * scale
        assert np.abs(mine - without.numpy()).max() > 1e-3 * scale, "the modules change the output at all"


def behind(value: ir.Value) -> set[str]:
    """The ops that read a tensor, markers of other sites not counted."""
    found = set()
    for use in value.uses():
        found |= behind(use.node.outputs[0]) if use.node.domain == MARKER_DOMAIN else {use.node.op_type}
    return found


def before(value: ir.Value) -> list[ir.Node]:
    """The nodes from a tensor back to the convolution it comes from, which is the last of them."""
    node = value.producer()
    return [node] if node.op_type == "Conv" else [node, *before(node.inputs[0])]


def test_a_kind_of_place_is_where_it_says(host):
    name, _, graph = host
    placements, found = declared_places(parse_spec(name)).placements, markers(parse(graph))
    of_kind = lambda kind: resolve_place(kind, found, placements, name) if kind in placements else []  # noqa: E731
    assert all(behind(found[site].outputs[0]) == {"Add"} for site in of_kind("residual-branch"))
    assert all(behind(found[site].outputs[0]) == {"Concat"} for site in of_kind("skips"))
    for site in of_kind("after-depthwise") + of_kind("slots"):
        *activation, conv = before(found[site].inputs[0])
        assert conv.attributes.get_int("group", 1) == found[site].inputs[0].shape[1] > 1, "behind a depthwise convolution"
        assert [node.op_type for node in activation] in (["Clip"], ["Mul", "Sigmoid"], ["Mul"])


def test_resnetsan01_has_the_published_parameters():
    host = build("resnetsan01[scales=4]")
    assert parameters(host.encoder) == 11_176_512
    assert parameters(host) - parameters(host.encoder) == 3_154_888


def test_depth_is_integer_times_maximum_plus_fraction():
    heads, depth = build("resnetsan01"), build("resnetsan01[output=depth,max_depth=10]")
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        integer, fractional = heads(image)
        (metres,) = depth(image)
    assert torch.allclose(metres, 10 * integer + fractional, atol=1e-5)
    assert ((integer > 0) & (integer < 1)).all()


def test_four_scales_halve_in_size():
    with torch.no_grad():
        outputs = build("resnetsan01[scales=4]")(torch.randn(1, 3, 64, 96))
    assert [tuple(o.shape[2:]) for o in outputs[::2]] == [(64, 96), (32, 48), (16, 24), (8, 12)]


def test_the_attentive_skip_narrows_the_convolution_behind_it():
    plain, attentive = build("resnetsan01"), build("resnetsan01[skip=attentive]")
    for level, other in zip(plain.levels, attentive.levels, strict=True):
        expected = other.merge[0].out_channels
        assert other.merge[0].in_channels == expected
        assert level.merge[0].in_channels == expected + (level.fuse.outputs - expected if level.fuse else 0)


@pytest.mark.parametrize("name", SPECS)
def test_no_weight_is_subnormal_and_no_output_saturates_vanishes_or_explodes(name):
    module = build(name)
    tiny = torch.finfo(torch.float32).tiny
    assert not any(((p != 0) & (p.abs() < tiny)).any() for p in module.parameters())
    for size in (SIZE, (224, 224)):
        for output in outputs(module, torch.randn(1, 3, *size)):
            assert 1e-2 < float(output.std()) < (0.4 if name == "resnetsan01" else 1e2)


@pytest.mark.parametrize(
    ("spec", "message"),
    [("resnetsan1", "did you mean 'resnetsan01'"), ("resnetsan01[skip=atentive]", "is one of plain, attentive"),
     ("resnetsan01[scales=5]", "is one of 1, 2, 3, 4"), ("resnetsan01[scale=4]", "did you mean 'scales'")],
)  # fmt: skip
def test_a_host_that_does_not_exist_is_answered(spec, message):
    with pytest.raises(InputError, match=message):
        check_host(HostReference(spec))


def test_a_size_the_host_refuses_is_one_line_with_a_way_out():
    with pytest.raises(InputError, match="multiples of 32, not 33x65: try 32x64"):
        check_size(HostReference("resnetsan01"), 33, 65)
    check_size(HostReference("resnetsan01"), 384, 640)
    check_size(HostReference("resnet18"), 33, 65)
    for name in ("resnetsan01", "yolov5s"):
        with pytest.raises(InputError, match=f"{name} takes sides that are multiples of 32, not 33x65"):
            build(name)(torch.zeros(1, 3, 33, 65))


def test_places_resolve_by_name_group_and_glob():
    entry = HOSTS.load("resnetsan01")
    resolve = lambda place: resolve_place(place, site_table(entry.sites), entry.placements, "h")  # noqa: E731
    assert resolve("encoder.layer3") == ["encoder.layer3"]
    assert resolve("decoder.fusion") == [f"decoder.upconv{i}" for i in (4, 3, 2, 1)]
    assert len(resolve("encoder.all")) == len(resolve("decoder.all")) == 5
    assert resolve("encoder.layer*") == [f"encoder.layer{i}" for i in (1, 2, 3, 4)]
    with pytest.raises(UnknownName, match="did you mean 'encoder.layer3'"):
        resolve("encoder.layr3")
    with pytest.raises(InputError, match="matches no site"):
        resolve("neck.*")


def test_a_site_assigned_twice_holds_both_in_order():
    entry = HOSTS.load("resnetsan01")
    variant = parse_variant("decoder.fusion=se,decoder.upconv2=eca")
    found = modules_by_site(variant, site_table(entry.sites), entry.placements, "h")
    assert [spec.name for spec in found["decoder.upconv2"]] == ["se", "eca"]
    assert [spec.name for spec in found["decoder.upconv4"]] == ["se"]


def test_foreign_hosts_get_sites_without_changing_what_they_compute():
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.Sequential(torch.nn.Conv2d(4, 4, 1), torch.nn.ReLU())
    ).eval()
    image = torch.randn(1, 3, 8, 8)
    before = net(image)
    sited = attach_sites(net, {"first": "0", "inner": "1.0"})
    assert torch.equal(sited(image), before)
    with marked(sited):
        assert list(planes(parse(to_onnx(sited, (1, 3, 8, 8), canonical=True)))) == ["first", "inner"]


def test_a_submodule_that_is_not_there_or_gives_no_map_is_named():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    with pytest.raises(InputError, match="unknown submodule of the host 'layer4'"):
        attach_sites(net, {"x": "layer4"})
    attach_sites(net, {"x": "1"})
    with pytest.raises(InputError, match=r"site 'x' must be a tensor \[N, C, H, W\], not 1x3"):
        net[1](torch.randn(1, 12))


def test_two_sites_of_one_name_are_an_error():
    with pytest.raises(InputError, match="two sites named 'a'"):
        sites_of(torch.nn.Sequential(Site("a"), Site("a")))
