"""Attention maps: the definition, the taps that add them to a network, and the pictures and comparisons made of them."""

import math
from base64 import b64encode
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch
from made import ran
from PIL import Image
from torch.nn import functional

from attnbench.core.errors import CaseRefused, InputError
from attnbench.core.grammar import parse_spec
from attnbench.core.naming import inserted_site, is_inserted
from attnbench.core.protocol import Protocol
from attnbench.core.records import Case
from attnbench.graph.export import to_onnx
from attnbench.graph.load import parse
from attnbench.graph.splice import stage_ends
from attnbench.hosts import HostReference
from attnbench.hosts.site import occupy, sites_of
from attnbench.maps import attention_map, attention_transfer_loss, map_distances, matched
from attnbench.maps.pictures import network_input, overlay
from attnbench.measure.build import CaseBuilder
from attnbench.measure.parts import torch_host
from attnbench.modules import Plane, build_module
from attnbench.report.maps import ComparedMaps, chart, comparison

FORMS = {
    "at": "Abs Add Div Pow ReduceL2 ReduceSum",
    "at[p=3]": "Abs Add Div Pow ReduceL2 ReduceSum",
    "at[p=1,reduce=max]": "Abs Add Div Pow ReduceL2 ReduceMax",
    "at_reduce": "LpNormalization ReduceSumSquare Reshape Reshape",
    "at_reduce[p=1]": "LpNormalization ReduceL1 Reshape Reshape",
    "at_reduce[p=4]": "LpNormalization Mul ReduceSumSquare Reshape Reshape",
    "at_conv": "Add Conv Div GlobalAveragePool Mul Mul Mul Sqrt",
    "at_conv[p=1]": "Abs Add Conv Div GlobalAveragePool Mul Mul Sqrt",
    "at_conv[p=4,reduce=mean]": "Add Conv Div GlobalAveragePool Mul Mul Mul Mul Sqrt",
}
"""The ops of a tap's graph, by its spec."""


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def authors(features: torch.Tensor, p: int = 2, reduce: str = "sum") -> torch.Tensor:
    """``F.normalize(x.pow(2).mean(1).view(x.size(0), -1))`` of szagoruyko/attention-transfer, for any p and reduction."""
    powers = getattr(features.abs() ** p, {"sum": "sum", "mean": "mean", "max": "amax"}[reduce])(1)
    return functional.normalize(powers.view(len(features), -1)).view(powers.shape)


class TestDefinition:
    @pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
    @pytest.mark.parametrize("p", [1, 2, 3, 4])
    def test_a_map_is_the_authors_on_signed_features_of_a_plane_that_is_no_square(self, p, reduce):
        features = noise(3, 16, 5, 9)
        maps = attention_map(features, p, reduce)
        assert maps.shape == (3, 5, 9)
        assert torch.allclose(maps, authors(features, p, reduce), atol=1e-6)
        assert torch.allclose(maps.flatten(1).norm(dim=1), torch.ones(3), atol=1e-6)

    @pytest.mark.parametrize("factor", [0.1, 7.0, 1e4, -1.0])
    def test_a_scale_does_not_change_it(self, factor):
        features = noise(2, 8, 6, 4)
        assert torch.allclose(attention_map(factor * features), attention_map(features), rtol=0, atol=1e-6)

    def test_a_scale_so_small_that_the_norm_nears_epsilon_does(self):
        features = 1e-3 * noise(1, 8, 6, 4)
        norm = features.square().sum(1).norm()
        assert float(1 - attention_map(features).norm()) == pytest.approx(1e-8 / float(norm), rel=0.01)
        assert 1e-4 < 1e-8 / float(norm) < 1e-3

    @pytest.mark.parametrize("p", [1, 3])
    def test_an_odd_power_does_not_let_signs_cancel(self, p):
        features = torch.ones(1, 2, 2, 2)
        features[:, 1] = -1
        assert torch.allclose(attention_map(features, p), torch.full((1, 2, 2), 0.5))

    def test_nothing_active_is_a_map_of_zeros_with_gradients_of_zeros(self):
        features = torch.zeros(2, 4, 3, 5, requires_grad=True)
        maps = attention_map(features)
        assert torch.equal(maps, torch.zeros(2, 3, 5))
        attention_transfer_loss(features, noise(2, 4, 3, 5)).backward()
        map_distances(attention_map(features), maps).l2.sum().backward()
        assert torch.equal(features.grad, torch.zeros_like(features))

    @pytest.mark.parametrize(("p", "reduce", "message"), [(0, "sum", "at least 1"), (2, "men", "sum, mean, max")])
    def test_what_is_no_map_is_refused(self, p, reduce, message):
        with pytest.raises(ValueError, match=message):
            attention_map(noise(1, 2, 3, 3), p, reduce)
        with pytest.raises((CaseRefused, InputError), match=message):
            build_module(parse_spec(f"at[p={p},reduce={reduce}]"), Plane(2, 3, 3))

    def test_the_reports_worked_example(self):
        """Section 2.2.2: 2500 of a norm of 8000 in the teacher's 256 channels, 1800 of 6500 in the student's 128."""
        maps = []
        for channels, peak, norm in ((256, 2500.0, 8000.0), (128, 1800.0, 6500.0)):
            features = torch.zeros(1, channels, 80, 80)
            features[0, :, 40, 40] = math.sqrt(peak / channels)
            features[0, :, 0, 0] = math.sqrt(math.sqrt(norm**2 - peak**2) / channels)
            maps.append(attention_map(features)[0, 40, 40])
        assert [round(float(one), 4) for one in maps] == [0.3125, 0.2769]
        assert round(float(maps[0] - maps[1]), 4) == 0.0356


class TestDistance:
    def test_the_three_scales_are_of_one_thing(self):
        one, other = (attention_map(noise(4, 8, 5, 7, seed=seed)) for seed in (1, 2))
        found = map_distances(one, other)
        assert torch.allclose(found.l2, (one - other).flatten(1).norm(dim=1), atol=1e-6)
        assert torch.allclose(found.cosine, functional.cosine_similarity(one.flatten(1), other.flatten(1)), atol=1e-6)
        assert torch.allclose(found.cosine, 1 - found.l2**2 / 2, atol=1e-6)
        assert torch.allclose(found.at_loss, found.l2**2 / 35, atol=1e-7)

    def test_it_is_at_most_the_root_of_two_where_no_position_is_shared(self):
        one, other = torch.zeros(1, 4, 4, 6), torch.zeros(1, 4, 4, 6)
        one[..., :3], other[..., 3:] = 1, 1
        assert float(map_distances(attention_map(one), attention_map(other)).l2) == pytest.approx(math.sqrt(2), abs=1e-6)
        drawn = map_distances(*(attention_map(noise(50, 2, 3, 3, seed=seed) ** 5) for seed in (3, 4)))
        assert float(drawn.l2.max()) <= math.sqrt(2) + 1e-6

    def test_the_larger_map_is_pooled_to_the_smaller_side_by_side(self):
        large, small = attention_map(noise(1, 4, 8, 12)), attention_map(noise(1, 9, 4, 6))
        pooled, same = matched(large, small)
        assert same is small
        assert torch.allclose(pooled, authors(functional.avg_pool2d(large, 2)[:, None], 1), atol=1e-6)
        both = matched(attention_map(noise(1, 4, 5, 8)), attention_map(noise(1, 4, 7, 3)))
        assert [tuple(one.shape) for one in both] == [(1, 5, 3)] * 2
        assert all(float(one.norm()) == pytest.approx(1, abs=1e-6) for one in both)

    @pytest.mark.parametrize(("p", "reduce"), [(1, "sum"), (2, "mean"), (3, "max")])
    def test_the_gradients_of_the_loss_are_right(self, p, reduce):
        student = noise(2, 3, 4, 5).double().requires_grad_()
        teacher = noise(2, 6, 8, 7, seed=1).double()
        assert torch.autograd.gradcheck(lambda x: 1e3 * attention_transfer_loss(x, teacher, p, reduce), student)

    def test_the_loss_trains_a_student_to_look_where_its_teacher_does(self):
        torch.manual_seed(0)
        student, image = torch.nn.Conv2d(3, 4, 3, padding=1), noise(4, 3, 8, 8)
        with torch.no_grad():
            teacher = torch.nn.Conv2d(3, 16, 3, padding=1)(image)
        optimiser = torch.optim.Adam(student.parameters(), 0.05)
        losses = []
        for _ in range(60):
            optimiser.zero_grad()
            loss = 1e3 * attention_transfer_loss(student(image), teacher)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0] / 4


class TestTap:
    @pytest.mark.parametrize(("spec", "ops"), FORMS.items())
    def test_every_form_gives_its_input_and_the_map_in_torch_and_as_a_graph(self, spec, ops):
        options = parse_spec(spec).options
        x = noise(2, 24, 5, 8)
        tap = build_module(parse_spec(spec), Plane(24, 5, 8)).eval()
        expected = attention_map(x, **options)[:, None]
        with torch.no_grad():
            same, maps = tap(x)
        assert same is x
        assert torch.allclose(maps, expected, atol=1e-6)
        graph = to_onnx(tap, tuple(x.shape), canonical=True)
        assert " ".join(sorted(node.op_type for node in parse(graph).graph)) == ops
        same, maps = ran(graph, x)
        assert np.array_equal(same, x.numpy())
        assert np.abs(maps - expected.numpy()).max() < 1e-6
        dark, none = ran(graph, torch.zeros_like(x))
        assert not dark.any()
        assert not none.any(), "a map of zeros, without a NaN"

    @pytest.mark.parametrize("spec", ["at_reduce[p=3]", "at_reduce[reduce=mean]", "at_conv[p=3]", "at_conv[reduce=max]"])
    def test_what_a_form_cannot_compute_it_refuses(self, spec):
        with pytest.raises(CaseRefused, match="needs p of 1, 2 or 4"):
            build_module(parse_spec(spec), Plane(8, 4, 4))

    def test_a_tapped_network_is_the_same_with_outputs_beside_its_own(self, tmp_path, user_file):
        paths = [spliced(tmp_path, user_file, variant) for variant in ("baseline", "stem=at,body=at_conv")]
        plain, tapped = (parse(path.read_bytes()) for path in paths)
        own = [(node.name, [one.name for one in node.inputs]) for node in tapped.graph if not is_inserted(node.name)]
        assert own == [(node.name, [one.name for one in node.inputs]) for node in plain.graph]
        assert [inserted_site(one.name) for one in tapped.graph.outputs] == ["", "stem", "body"]
        image = noise(1, 3, 24, 40)
        network, _ = torch_host(case(user_file, "baseline"), reference(user_file), 0)
        occupy(network, {site: build_module(parse_spec("at"), Plane(16, 12, 20)) for site in ("stem", "body")})
        with torch.no_grad():
            expected = network.eval()(image)
        stem, body = (site.tapped[0] for site in sites_of(network).values())
        before, *nothing = ran(paths[0], image)
        after, *maps = ran(paths[1], image)
        assert not nothing
        assert np.array_equal(before, after)
        for given, wanted in zip((after, *maps), (expected, stem, body), strict=True):
            assert np.abs(given - wanted.numpy()).max() < 1e-5

    def test_two_taps_and_a_module_at_one_place_stand_in_a_row(self, tmp_path, user_file):
        _, before, after = ran(spliced(tmp_path, user_file, "body=at+se_npu+at"), noise(1, 3, 24, 40))
        assert np.abs(before - after).max() > 1e-4, "the second sees what the module made of the map"

    def test_what_is_known_without_a_clock_is_known_of_a_tap(self, tmp_path, user_file):
        builder = CaseBuilder(Protocol(), tmp_path)
        base, tap, strict = (
            builder.describe(case(user_file, variant), reference(user_file), ("aimotive-apache6",))
            for variant in ("baseline", "body=at_conv", "body=at")
        )
        more = {one.metric: one.value - other.value for one, other in zip(tap.measurements, base.measurements, strict=True)}
        assert (more["params"], more["macs"], more["macs_fvcore"]) == (0, 16 * 12 * 20, 16 * 12 * 20)
        assert more["activation_peak"] > 0
        assert not tap.uncounted
        assert {one.level for one in tap.findings} <= {"supported", "efficiency", "constrained"}
        refused = {one.op: one.substitute for one in strict.findings if one.level == "refused"}
        assert refused == {"ReduceSum": "at_conv", "ReduceL2": "at_conv"}


def reference(user_file) -> HostReference:
    return HostReference(f"{user_file}:build", {"stem": "stem", "body": "body"})


def case(user_file, variant: str) -> Case:
    return Case(f"{user_file}:build", variant, "24x40")


def spliced(tmp_path, user_file, variant: str):
    name = variant.replace("=", "-")
    return CaseBuilder(Protocol(), tmp_path).write([(case(user_file, variant), reference(user_file))], name)


def test_each_of_an_onnx_file_is_the_last_tensor_before_each_change_of_resolution():
    shapes = {"a": (1, 4, 8, 8), "b": (1, 4, 8, 8), "gate": (1, 4, 1, 1), "c": (1, 4, 8, 8), "d": (1, 8, 4, 4),
              "row": (1, 8, 1, 4), "up": (1, 4, 8, 8)}  # fmt: skip
    assert stage_ends(shapes) == ["c", "d", "up"]


@pytest.fixture
def photo(tmp_path):
    """A black image, twice as wide as high, with a bright square to the lower right."""
    pixels = np.zeros((60, 120, 3), np.uint8)
    pixels[30:50, 80:110] = 255
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


class TestPictures:
    def test_an_image_is_stretched_and_normalised_as_asked(self, photo):
        image = Image.open(photo)
        plain = network_input(image, (1, 3, 12, 24), "unit")
        assert plain.shape == (1, 3, 12, 24)
        assert (plain.min(), plain.max()) == (0, 1)
        usual = network_input(image, (1, 3, 12, 24), "imagenet")
        assert usual[0, :, 0, 0] == pytest.approx(-np.array([0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], abs=1e-6)
        assert network_input(image, (1, 1, 12, 24), "unit").shape == (1, 1, 12, 24)

    def test_an_overlay_is_brightest_where_the_map_peaks(self):
        values = np.zeros((3, 6), np.float32)
        values[2, 5] = 0.9
        pixels = np.asarray(overlay(Image.new("RGB", (120, 60)), values), np.int64).sum(2)
        row, column = np.unravel_index(pixels.argmax(), pixels.shape)
        assert row > 40
        assert column > 100

    def test_an_even_map_divides_by_no_zero(self):
        assert overlay(Image.new("RGB", (8, 8)), np.zeros((2, 2), np.float32)).size == (8, 8)


SITES = ("--site", "stem=stem", "--site", "body=body", "--size", "24x48")


def test_maps_of_ones_own_network_are_pictures_of_the_images_size(command, user_file, photo, tmp_path):
    code, out, err = command("maps", f"{user_file}:build", "--image", photo, *SITES, "-o", tmp_path / "maps")
    assert (code, err) == (0, "")
    assert "random weights" not in out
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {"photo", "photo.png", "maps.html"}
    sheet = b64encode((tmp_path / "maps" / "photo.png").read_bytes()).decode()
    assert f'src="data:image/png;base64,{sheet}"' in (tmp_path / "maps" / "maps.html").read_text()
    assert {path.name: Image.open(path).size for path in (tmp_path / "maps" / "photo").iterdir()} == {
        "stem.png": (120, 60), "body.png": (120, 60),
    }  # fmt: skip
    assert "12x24" in out


def test_maps_of_an_onnx_file_are_those_of_the_network_that_it_came_from(command, user_file, photo, tmp_path):
    network, shape = torch_host(Case(f"{user_file}:build", "baseline", "24x48"), reference(user_file), 0)
    file = tmp_path / "net.onnx"
    file.write_bytes(to_onnx(network, shape, canonical=True))
    out = tmp_path / "both"
    code, shown, err = command(
        "maps", f"{user_file}:build", file, "--image", photo, *SITES, "--pair", "body=relu_1", "-o", out
    )
    assert (code, err) == (0, "")
    figures = (out / "maps.csv").read_text().splitlines()
    assert figures[0] == "image,teacher,student,height,width,l2,cosine,at_loss"
    assert figures[1].startswith("photo.png,body,relu_1,12,24,")
    assert float(figures[1].split(",")[5]) < 1e-5, "one network with the same seeded weights"
    assert "1 image: no interval" in shown
    assert (out / "maps.svg").read_text().startswith("<svg")
    page = (out / "maps.html").read_text()
    assert page.count("<img src=") == 1
    assert "relu_1" in page
    code, shown, err = command("maps", file, "--image", photo, "-o", tmp_path / "each")
    assert (code, err) == (0, "")
    assert "12x24" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet18",), "give --image FILE, or --images FOLDER"),
        (("resnet18", "--image", "none.png"), "there is no file none.png"),
        (("resnet18", "--images", "none"), "none is no folder with an image in it"),
        (("resnet18", "--image", "net.py"), "no format that Pillow reads"),
        (("resnet18", "--image", "photo.png", "--tap", "se"), "'se' is no tap: give it by --module"),
        (("resnet18", "--image", "photo.png", "--tap", "att"), "unknown tap 'att': did you mean 'at'"),
        (("resnet18", "--image", "photo.png", "--place", "layer9"), "unknown place of host 'resnet18' 'layer9'"),
        (("resnet18", "--image", "photo.png", "--pair", "a=b"), "--pair needs two hosts"),
        (("resnet18", "resnet18", "--image", "photo.png", "--pair", "stem"), "is not TEACHER'S=STUDENT'S"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(refused, photo, monkeypatch, arguments, message):
    monkeypatch.chdir(photo.parent)
    (photo.parent / "net.py").write_text("no image")
    small = ("--size", "32x32") if len(arguments) > 1 else ()
    assert message in refused("maps", *arguments, *small)
    assert not (photo.parent / "maps").exists()


def made(l2: float, image: str, teacher: str = "a|b") -> ComparedMaps:
    return ComparedMaps(image, teacher, "c", 80, 80, l2, 1 - l2**2 / 2, l2**2 / 6400)


def test_a_comparison_says_the_mean_over_images_with_its_interval_on_three_scales():
    found = comparison([made(0.42, "1"), made(0.40, "2"), made(0.44, "3"), made(0.9, "1", "d")])
    (first, second) = found.sections[0][1].records()
    assert first["L2 distance"] == "0.420 [0.370, 0.470]"
    assert first["cosine"].startswith("0.912 [")
    assert first["AT loss (1e-6)"].startswith("27.6 [")
    assert second["L2 distance"] == "0.900"
    assert "a\\|b" in found.markdown()


def test_the_chart_names_every_pair_and_stays_within_its_page():
    root = ET.fromstring(chart([made(1.41, "1"), made(1.2, "2"), made(0.02, "1", "<d>"), made(0.9, "2", "<d>")], "T"))
    words = [one.text for one in root.iter() if one.tag.endswith("text")]
    assert {"a|b = c", "<d> = c"} <= set(words)
    width = float(root.get("viewBox").split()[2])
    assert all(0 < float(one.get("cx")) < width for one in root.iter() if one.tag.endswith("circle"))
