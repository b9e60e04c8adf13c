"""What other distributions add: by entry point, through the same door as the user's own files."""

import sys

import pytest

from attnbench.core.catalogue import forget
from attnbench.core.errors import InputError
from attnbench.core.grammar import parse_spec
from attnbench.hosts import HOSTS, HostReference, check_host
from attnbench.modules import MODULES, Plane, build_module
from attnbench.npu.targets import load_target
from attnbench.report import listing
from attnbench.runtimes import RUNTIMES, SessionSettings, check_runtime, open_graph, runtime_version
from attnbench.targets import target_names

CODE = """
from pathlib import Path
from torch import nn
from attnbench.hosts import Host
from attnbench.hosts.site import Site
from attnbench.modules import AttentionModule
from attnbench.runtimes import Runtime

class Gate(nn.Module):
    def __init__(self, channels, power=1):
        super().__init__()
        self.scale = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
        self.power = power

    def forward(self, x):
        return x * self.scale(x).sigmoid()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.site = nn.Conv2d(3, 8, 3, 2, 1), Site("body")

    def forward(self, x):
        return self.site(self.body(x))

GATE = AttentionModule(
    name="plug_gate", build=Gate, summary="a gate", paper="none", year=2026, source="here", options={"power": 1},
    params=lambda p, power: p.channels, macs=lambda p, power: p.channels * p.positions,
)
NET = Host(name="plug_net", build=Net, summary="a net", source="here", sites={"body": (8, 2)}, placements={})
RUNTIME = Runtime(
    name="plug_runtime", summary="a runtime", build=lambda model, settings: settings, devices=lambda: ["cpu"],
    distributions=("plug",), rows="a row", options={"cores": 2},
)
TARGET = Path(__file__).with_name("npu.toml")
NUMBER = 3
"""

PROFILE = """
[target]
name = "plug_npu"
title = "T"
vendor = "v"
chip = "c"
version = "1"
date = "2026-01-01"
document = "d"
source = "s"
unlisted = "unknown"
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a distribution with these entry points, as a package manager would leave it on the path."""

    def install(**groups: dict[str, str]) -> None:
        (tmp_path / "plug_in.py").write_text(CODE)
        (tmp_path / "plug_broken.py").write_text("import no_such_library\n")
        (tmp_path / "npu.toml").write_text(PROFILE)
        info = tmp_path / "plug-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
        lines = [
            f"[attnbench.{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(tmp_path)
        forget()

    yield install
    forget()
    for name in ("plug_in", "plug_broken"):
        sys.modules.pop(name, None)


def test_a_module_a_host_and_a_target_of_another_distribution_are_used_by_name(installed, command):
    installed(
        modules={"plug_gate": "plug_in:GATE"}, hosts={"plug_net": "plug_in:NET"}, targets={"plug_npu": "plug_in:TARGET"}
    )
    assert "plug_gate" in MODULES.names()
    assert build_module(parse_spec("plug_gate[power=2]"), Plane(8, 4, 4)).power == 2
    with pytest.raises(InputError, match="no option|did you mean 'power'"):
        build_module(parse_spec("plug_gate[powr=2]"), Plane(8, 4, 4))
    check_host(HostReference("plug_net"))
    assert HOSTS.load("plug_net").sites == {"body": (8, 2)}
    assert "plug_npu" in target_names()
    assert load_target("plug_npu").title == "T"
    code, out, _ = command("list", "modules")
    assert code == 0
    assert "plug_gate" in out


def test_a_plugin_that_does_not_import_is_named_and_takes_nothing_else_down(installed, command):
    installed(
        modules={"plug_bad": "plug_broken:GATE", "plug_gate": "plug_in:GATE"}, targets={"plug_npu": "plug_broken:TARGET"}
    )
    for load, name in ((MODULES.load, "plug_bad"), (load_target, "plug_npu")):
        with pytest.raises(InputError, match=rf"'{name}' \(plug_broken:.*\) does not load: ModuleNotFoundError: .*no_such"):
            load(name)
    assert build_module(parse_spec("plug_gate"), Plane(8, 4, 4))
    assert command("list", "modules")[0] == 0
    code, _, error = command(
        "count", "--module", "plug_bad", "--module", "se", "--place", "encoder.layer3", "--size", "64x96"
    )
    assert code in (1, 2)
    assert "does not load" in error or code == 1


def test_an_entry_point_that_is_no_entry_is_named(installed):
    installed(modules={"plug_gate": "plug_in:NUMBER"})
    with pytest.raises(InputError, match="is a int: it must be an entry of that name"):
        MODULES.load("plug_gate")


def test_a_name_that_is_built_in_cannot_be_taken_and_takes_nothing_down(installed, command):
    installed(modules={"se": "plug_in:GATE"}, targets={"aimotive": "plug_in:TARGET"})
    code, _, error = command("list", "modules")
    assert code == 0
    assert error == ("attnbench: module 'se' is built in: entry point plug_in:GATE of that name is passed over; rename it\n")
    assert MODULES.find("se").origin == "attnbench.modules.se"
    code, _, error = command("list", "targets")
    assert code == 0
    assert "target 'aimotive' is built in: entry point plug_in:TARGET of that name is passed over" in error


def test_a_host_of_another_distribution_has_its_places(installed):
    from attnbench.study.plan import plan

    installed(hosts={"plug_net": "plug_in:NET"})
    found = plan({"hosts": ["plug_net"], "sizes": ["32x32"], "matrix": [{"modules": ["se"], "places": "each"}]})
    assert [planned.case.variant for planned in found.cases] == ["baseline", "body=se"]


def test_a_target_of_another_distribution_that_does_not_load_takes_no_other_down(installed, command):
    installed(targets={"plug_npu": "plug_broken:TARGET"})
    code, out, error = command("list", "targets")
    assert code == 0
    assert "aimotive" in out
    assert "attnbench: target 'plug_npu' (plug_broken:TARGET) does not load: ModuleNotFoundError" in error
    assert error.endswith("it is left out\n")


FACTORY = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.layer1 = nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.fc = nn.Linear(32, num_classes)

    def forward(self, x):
        return self.fc(self.layer1(self.stem(x)).mean((2, 3)))

def tiny(*, weights=None, progress=True, num_classes=10):  # as torchvision's builders are called
    return Tiny(num_classes)

def create_model(name, pretrained=False, num_classes=1000, **options):  # as timm's
    return {"tiny": tiny}[name](num_classes=num_classes)

def mine(classes: int = 7):
    return create_model("tiny", pretrained=False, num_classes=classes)
"""


def test_a_host_with_the_call_shape_of_torchvision_and_timm_is_measured_through_a_factory(tmp_path, command):
    from attnbench.api import run_study

    path = tmp_path / "zoo.py"
    path.write_text(FACTORY)
    host = f"{path}:mine[classes=5]"
    code, out, _ = command("list", "placements", "--host", host, "--size", "32x48")
    assert code == 0
    assert dict(line.split() for line in out.splitlines()[2:])["layer1"] == "1x32x8x12"
    data = {"hosts": [host], "sizes": ["32x48"], "matrix": [{"modules": ["se", "eca"], "places": ["layer1"]}]}
    quick = {"processes": 1, "max_processes": 1, "rounds": 0, "repeat": 3, "memory": False}
    run = run_study(data, out=tmp_path / "run", quick=True, **quick)
    assert {record.status for record in run.records} == {"ok"}
    assert run.to_frame()["params_delta"].tolist() == [0, 2 * 32 * 2 + 2 + 32, 3]


def test_a_runtime_comes_by_entry_point(installed):
    installed(runtimes={"plug_runtime": "plug_in:RUNTIME"})
    assert "plug_runtime" in RUNTIMES.names()
    assert runtime_version("plug_runtime") == "1.0"
    assert str(check_runtime("plug_runtime[cores=2]")) == "plug_runtime"
    assert open_graph("plug_runtime[cores=3]", "", SessionSettings()).options == {"cores": 3}
    assert "a row" in listing.runtimes().plain()
