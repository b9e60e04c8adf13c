"""Counting without a clock: the same figures as a sweep's, by name, with their derivation, and claims on them."""

import io
import json
from functools import partial

import pandas as pd
import pytest
import torch

from attnbench.api import run_study
from attnbench.core.catalogue import load_object
from attnbench.core.grammar import Spec
from attnbench.graph.torch_counts import trace
from attnbench.hosts import HOSTS
from attnbench.measure.count import count_modules, count_plan
from attnbench.measure.tracing import by_shapes
from attnbench.modules import MODULES, Plane, build_module
from attnbench.report import counts
from attnbench.report.frame import to_frame
from attnbench.study.plan import plan

SMALL = ("--size", "64x96")


def study(variant: str, *claims: dict, **more) -> dict:
    return {"name": "t", "sizes": ["64x96"], "case": [{"variant": variant, "claim": list(claims), **more}]}


def test_a_count_equals_what_a_sweep_counts(tmp_path):
    data = {"sizes": ["64x96"], "case": [{"variant": "encoder.layer3=cbam,decoder.fusion=se_npu"}]}
    swept = run_study(data, out=tmp_path, quick=True, processes=1, max_processes=1, crosscheck=0, repeat=3, memory=False)
    counted = to_frame(count_plan(plan(data)).run)
    for column in ("params", "params_delta", "macs", "macs_delta", "flops", "macs_delta_pct"):
        assert counted[column].tolist() == swept.to_frame()[column].tolist()


def test_the_derivation_adds_up_to_the_count():
    counted = count_plan(plan(study("encoder.layer3=cbam")), per_op=True)
    rows = pd.DataFrame(list(map(dict, counted.derived)))
    for case, own in rows.groupby("variant"):
        total = own[own["part"] == "total"].iloc[0]
        parts = own[own["part"] != "total"]
        assert parts["params"].sum() == total["params"], case
        assert parts["macs"].sum() == total["macs"], case
    convolution = rows[(rows["layer"] == "spatial.0") & (rows["op"] == "convolution")].iloc[0]
    assert (convolution["inputs"], convolution["output"]) == ("1x2x4x6 1x2x7x7", "1x1x4x6")
    assert convolution["macs"] == 2 * 49 * 4 * 6


def test_what_no_memory_would_hold_is_counted_all_the_same():
    specs, plane = [Spec("self_attention"), Spec("transformer_block")], Plane(64, 1024, 2048)
    counted = count_modules(specs, plane)
    for spec, record in zip(specs, counted.run.records, strict=True):
        entry = MODULES.load(spec.name)
        assert record.value("macs") == entry.macs(plane, **entry.options)
        assert not record.notes
    assert count_plan(plan({"sizes": ["32768x65536"], "case": [{"variant": "baseline"}]})).run.records[0].status == "ok"


@pytest.mark.parametrize("name", MODULES.names())
def test_shapes_alone_count_what_a_run_on_numbers_counts(name):
    """Op by op, as the layers come; so do the hosts of ``test_a_host_is_counted_by_its_shapes``."""
    plane = Plane(128, 8, 8)
    with torch.device("meta"):
        shapes = trace(build_module(Spec(name), plane), (1, 128, 8, 8), "meta")
    assert shapes == trace(build_module(Spec(name), plane), (1, 128, 8, 8))


@pytest.mark.parametrize("name", ["resnet18", "mobilevit_xxs", "vovnet39", "yolov5s", "convnext_tiny", "van_b0"])
def test_a_host_is_counted_by_its_shapes(name):
    build = partial(HOSTS.load(name).build, **HOSTS.load(name).options)
    with torch.device("meta"):
        shapes = trace(build(), (1, 3, 64, 64), "meta")
    assert shapes == trace(build(), (1, 3, 64, 64))


def test_a_module_whose_code_asks_for_numbers_is_counted_on_zeros():
    class Asks(torch.nn.Conv2d):
        def forward(self, x):
            return super().forward(x) if float(x.sum()) == 0 else x

    assert by_shapes(lambda: Asks(4, 4, 3, padding=1, bias=False), (1, 4, 8, 8)).macs == 4 * 4 * 9 * 64


def test_many_modules_are_counted_in_forks_and_each_once(monkeypatch):
    monkeypatch.setenv("ATTNBENCH_CACHE", "off")
    names = ("se", "se[reduction=16]", "cbam", "eca", "coord", "scse")
    case = [
        {"variant": f"{place}={name}"} for name in names for place in ("layer1", "layer2", "residual-branch", "layer4.0.end")
    ]
    data = {"hosts": ["resnet18"], "sizes": ["64x64"], "case": case}
    forked = count_plan(plan(data)).run
    traced = []
    monkeypatch.setattr("attnbench.measure.forks.FEW", 10**6)
    monkeypatch.setattr("attnbench.measure.tracing.trace", lambda *asked: traced.append(1) or trace(*asked))
    assert count_plan(plan(data)).run.records == forked.records
    assert len(traced) == 1 + 5 * 4  # the host, and five modules on four planes: an option that is the usual says nothing


def test_batches_multiply_macs_and_not_parameters():
    one, two = (to_frame(count_plan(plan({**study("encoder.layer3=se"), "batch": n})).run) for n in (1, 2))
    assert (2 * one["macs"]).tolist() == two["macs"].tolist()
    assert one["params"].tolist() == two["params"].tolist()


@pytest.mark.parametrize(
    ("claim", "verdict", "why"),
    [
        ({"metric": "params", "value": "14.34", "unit": "M"}, "confirmed", ""),
        ({"metric": "params", "value": "14.33", "unit": "M"}, "refuted", "counted is +0.041 % off"),
        ({"metric": "params_delta", "value": "8464", "unit": "1"}, "confirmed", ""),
        ({"metric": "params", "value": "13.67", "unit": "M"}, "refuted", "fits in Mi"),
        ({"metric": "macs", "value": "0.802", "unit": "G"}, "refuted", "fits as FLOPs, two a MAC"),
        (
            {"metric": "macs", "value": "0.4016", "unit": "G"},
            "refuted",
            "fits with the norms and pooling that fvcore adds",
        ),
        ({"metric": "flops", "value": "0.4008", "unit": "G"}, "refuted", "fits as MACs"),
    ],
)
def test_claims_on_counts_are_held_to_their_printed_digits(claim, verdict, why):
    counted = count_plan(plan(study("encoder.layer3=se", {**claim, "source": "s", "relation": "rounds to"})))
    table = counts.claims(counted.run, counted.readings)
    assert table.column("verdict") == [verdict]
    assert why in table.column("why")[0]


def test_the_command_counts_in_three_formats_and_to_a_file(command, tmp_path):
    arguments = ("count", "--module", "se", "--module", "eca[kernel=5]", "--place", "encoder.layer3", *SMALL)
    code, shown, _ = command(*arguments)
    assert code == 0
    assert "14,335,826" in shown
    code, text, _ = command(*arguments, "--format", "csv")
    table = pd.read_csv(io.StringIO(text))
    assert table.columns.tolist() == list(counts.COLUMNS)
    assert table["params_delta"].tolist() == [0, 8464, 5]
    assert (table["flops"] == 2 * table["macs"]).all()
    code, text, _ = command(*arguments, "--format", "json")
    assert [row["macs_delta"] for row in json.loads(text)["cases"]] == table["macs_delta"].tolist()
    code, shown, _ = command(*arguments, "--per-op", "--output", tmp_path / "ops.md")
    assert shown == ""
    assert "1x256x1x1 16x256x1x1 16" in (tmp_path / "ops.md").read_text()


@pytest.mark.parametrize(
    ("host", "variant", "printed"),
    [
        ("resnet50", "baseline", "4.122"),
        ("resnet50", "residual-branch=cbam", "4.139"),
        ("resnet50", "residual-branch=se", "4.130"),
    ],
)
def test_shares_of_equal_ops_are_added_as_often_as_they_run(host, variant, printed):
    """PytorchInsight's figures; once 4.1207 was counted for the first, and all fitted nothing."""
    claim = {"metric": "macs", "value": printed, "unit": "G", "relation": "rounds to", "source": "s"}
    data = {"hosts": [host], "sizes": ["224x224"], "case": [{"variant": variant, "claim": claim}]}
    counted = count_plan(plan(data))
    assert (
        "fits with biases, norms, activations and pooling" in counts.claims(counted.run, counted.readings).column("why")[0]
    )


def test_thops_figures_are_explained():
    """ECA-Net's 3.43 for ResNet-34, in powers of 1024."""
    kernels = ",".join(f"layer{layer}.*.branch=eca[kernel={kernel}]" for layer, kernel in enumerate((3, 3, 5, 7), 1))
    claim = {"metric": "macs", "value": "3.43", "unit": "Gi", "relation": "rounds to", "source": "s"}
    data = {"hosts": ["resnet34"], "sizes": ["224x224"], "case": [{"variant": kernels, "claim": claim}]}
    counted = count_plan(plan(data))
    assert counts.claims(counted.run, counted.readings).column("why")[0].endswith("as thop does")


def test_modules_are_counted_without_a_host(command, refused):
    flags = ("--module", "cbam", "--module", "se[reduction=8]", "--channels", "256", "--plane", "56x56")
    code, text, _ = command("count", *flags, "-f", "csv")
    table = pd.read_csv(io.StringIO(text))
    assert code == 0
    assert table["variant"].tolist() == ["cbam", "se[reduction=8]"]
    assert table["params"].tolist() == [8564, 2 * 256 * 32 + 32 + 256]
    assert table["macs"].tolist() == [4 * 256 * 16 + 98 * 56 * 56, 2 * 256 * 32]
    assert "256x56x56" in command("count", *flags)[1]
    assert "7x7" in command("count", *flags, "--per-op")[1]
    assert "modules without a host are --module with --channels and --plane" in refused("count", *flags[:-2])
    assert "nothing of a host" in refused("count", *flags, "--host", "resnet18")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("se[reduction=0]", "option reduction of module 'se' is at least 1, not 0"),
        ("se[reduction=-4]", "is at least 1, not -4"), ("simam[regulariser=0]", "is above 0, not 0"),
        ("lska[kernel=8]", "is one of 7, 11, 23, 35, 41, 53, not '8'"), ("ge[form=full]", "is one of minus, theta, plus"),
        ("se_swish[ratio=1e999]", "is above 0, not inf"),
    ],
)  # fmt: skip
def test_an_option_out_of_its_range_is_one_line_in_every_command(refused, module, message):
    place = ("--place", "encoder.layer3", *SMALL)
    assert message in refused("count", "--module", module, *place)
    assert message in refused("count", "--module", module, "--channels", "64", "--plane", "4x4")
    assert message in refused("check", "--module", module, "--channels", "64", "--plane", "4x4")
    assert message in refused("sweep", "--module", module, *place)


def test_a_host_alone_is_its_baseline(command):
    code, text, _ = command("count", "--host", "resnetsan01", *SMALL, "--format", "csv")
    assert code == 0
    assert pd.read_csv(io.StringIO(text))["variant"].tolist() == ["baseline"]


def test_a_place_that_refuses_a_module_is_a_row_and_not_a_failure(command):
    code, text, _ = command("count", "--module", "shuffle", "--place", "encoder.layer1", *SMALL, "-f", "csv")
    row = pd.read_csv(io.StringIO(text)).iloc[1]
    assert (code, row["status"]) == (0, "refused")
    assert "shuffle" in row["reason"]


def test_users_modules_and_hosts_are_counted_and_their_errors_are_rows(command, user_file):
    code, text, _ = command("count", "--module", f"{user_file}:Gate", "--place", "encoder.layer3", *SMALL, "-f", "csv")
    assert code == 0
    assert pd.read_csv(io.StringIO(text))["params_delta"].tolist() == [0, 256]


USERS_HOSTS = """
from torch import nn

calls = []

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return self.body(x)

def good():
    return Net()

def raising():
    calls.append(1)
    raise RuntimeError("no weights here")

def number():
    return 3

class Missing(Net):
    def forward(self, x):
        return self.no_such(x)
"""


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("raising", "RuntimeError: no weights here"), ("number", "gave a int: it must give a torch.nn.Module"),
        ("Missing", "AttributeError"), ("nothing_of_this_name", "unknown host in"),
    ],
)  # fmt: skip
def test_a_host_that_fails_is_rows_with_the_reason_and_the_other_hosts_are_counted(command, tmp_path, broken, reason):
    path = tmp_path / "hosts_of_mine.py"
    path.write_text(USERS_HOSTS)
    hosts = ", ".join(f'{{ spec = "{path}:{name}", sites = {{ one = "body" }} }}' for name in (broken, "good"))
    (tmp_path / "s.toml").write_text(f'hosts = [{hosts}]\nsizes = ["16x16"]\n[[case]]\nvariant = "one=eca"\n')
    code, text, error = command("count", tmp_path / "s.toml", "-f", "csv")
    table = pd.read_csv(io.StringIO(text))
    assert code == 1
    assert table["status"].tolist() == ["failed", "failed", "ok", "ok"]
    assert all(reason in text for text in table["reason"][:2])
    assert table["params"].tolist()[2:] == [224, 227]
    assert not error
    code, shown, _ = command("count", tmp_path / "s.toml", "--per-op")
    assert code == 1
    assert "body" in shown


def test_a_host_that_fails_is_built_once_and_nothing_counted_is_no_error_of_its_own(command, tmp_path):
    path = tmp_path / "hosts_that_fail.py"
    path.write_text(USERS_HOSTS)
    flags = ("--host", f"{path}:raising", "--site", "body=one", "--module", "eca", "--place", "one", "--size", "16x16")
    for more in ((), ("--per-op",), ("-f", "json"), ("-f", "csv", "--per-op")):
        assert command("count", *flags, *more)[0] == 1
    assert len(load_object(f"{path}:calls", "list")) == 4


def test_a_module_that_fails_is_a_row(command, tmp_path):
    (tmp_path / "m.py").write_text("def bad(channels):\n    raise ValueError('too odd')\n")
    flags = ("--variant", f"layer1.0.branch={tmp_path}/m.py:bad", "--variant", "layer1.0.branch=eca")
    code, text, _ = command("count", "--host", "resnet18", *flags, "--size", "64x64", "-f", "csv")
    table = pd.read_csv(io.StringIO(text))
    assert (code, table["status"].tolist()) == (1, ["ok", "failed", "ok"])
    assert "ValueError: too odd" in table["reason"][1]


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"metric": "params", "value": "1", "unit": "k"}, "case 1: claim 'k': known: 1, G, Gi, M, Mi"),
        ({"metric": "overhead_pct", "value": 3, "unit": "M"}, "of params, params_delta"),
        ({"metric": "macs", "value": "lots"}, "must be a number, not 'lots'"),
    ],
)
def test_a_claim_on_counts_with_a_mistake_is_one_line(command, tmp_path, claim, message):
    fields = ", ".join(f"{key} = {json.dumps(value)}" for key, value in {**claim, "source": "s"}.items())
    (tmp_path / "s.toml").write_text(f'[[case]]\nvariant = "encoder.layer3=se"\nclaim = {{ {fields} }}\n')
    code, _, error = command("count", tmp_path / "s.toml")
    assert code == 2
    assert message in error


@pytest.mark.parametrize("module", ["transformer_block", "mobilevit"])
def test_modules_with_layer_norms_are_counted_inside_hosts(module):
    counted = count_plan(plan(study(f"encoder.layer1={module}")))
    record = counted.run.records[-1]
    assert (record.status, record.failure) == ("ok", None)
    base = counted.run.records[0]
    plane = Plane(64, 16, 24)
    entry = MODULES.load(module)
    assert record.value("macs") - base.value("macs") == entry.macs(plane, **entry.options)
