"""From TOML and flags to cases, and every way of getting it wrong."""

from dataclasses import replace
from pathlib import Path

import pytest

from attnbench.core.errors import InputError
from attnbench.core.records import Settings
from attnbench.hosts import HostReference, declared_planes
from attnbench.modules import MODULES
from attnbench.study.file import find_study, packaged_study, read_study
from attnbench.study.plan import from_flags, host_from_flags, make_settings, plan

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def written(tmp_path, text: str) -> Path:
    path = tmp_path / "s.toml"
    path.write_text(text)
    return path


def cases(data, **options) -> list[str]:
    return [planned.case.variant for planned in plan(data, **options).cases]


def test_a_matrix_is_every_module_at_every_place_after_the_baseline():
    data = {"matrix": [{"modules": ["se", "eca"], "places": ["encoder.layer1", "decoder.fusion"]}]}
    assert cases(data) == [
        "baseline", "encoder.layer1=se", "encoder.layer1=eca", "decoder.fusion=se", "decoder.fusion=eca",
    ]  # fmt: skip


def test_each_is_every_site_and_all_every_module():
    found = plan({"matrix": [{"modules": "all", "places": "each"}]})
    assert len(found.cases) == 1 + len(MODULES.names()) * len(declared_planes("resnetsan01"))
    assert all(planned.case.size == "384x640" for planned in found.cases)


def test_a_case_named_twice_runs_once_with_the_more_thorough_settings():
    data = {
        "case": [{"variant": "encoder.layer1 = se", "settings": {"processes": 7}}, {"variant": "encoder.layer1=se"}],
        "matrix": [{"modules": ["se"], "places": ["encoder.layer1"], "settings": {"processes": 2}}],
    }
    found = plan(data).cases
    assert [planned.case.variant for planned in found] == ["baseline", "encoder.layer1=se"]
    assert [planned.settings.processes for planned in found] == [7, 7]


def test_the_command_lines_settings_hold_for_every_case_and_quick_is_quicker():
    data = {"matrix": [{"modules": ["se"], "places": ["encoder.layer1"], "settings": {"processes": 5, "repeat": 9}}]}
    assert {p.settings.processes for p in plan(data, overrides={"processes": 4}).cases} == {4}
    quick = plan(data, quick=True).cases[1].settings
    assert quick.processes < 5
    assert quick.repeat < 9


def test_groups_run_baseline_first_for_each_host_and_size():
    data = {"hosts": ["resnetsan01", "resnetsan01[skip=attentive]"], "sizes": ["32x64", "64x64"],
            "matrix": [{"modules": ["se"], "places": ["encoder.layer1"]}]}  # fmt: skip
    found = [planned.case for planned in plan(data).cases]
    assert len(found) == 8
    assert all(case.is_baseline for case in found[::2])


@pytest.mark.parametrize("name", ["report", "quick"])
def test_the_projects_own_studies_plan(name):
    found = plan(read_study(BENCHMARKS / f"{name}.toml"))
    assert found.cases[0].case.is_baseline
    assert packaged_study(name).read_text() == (BENCHMARKS / f"{name}.toml").read_text()
    claims = [claim for case in found.document["cases"] for claim in case["claims"]]
    assert claims
    assert all(claim["source"] for claim in claims)


def test_the_report_study_asks_what_the_report_claims():
    found = plan(read_study(find_study("report")))
    by_priority = {(c["priority"], c["variant"]) for c in found.document["cases"] if "priority" in c}
    assert by_priority == {
        (1, "encoder.layer3=cbam_npu"), (1, "decoder.fusion=se_npu"), (2, "encoder.layer4=se_npu"),
        (2, "decoder.upconv2=axial_conv"), (3, "encoder.layer1+encoder.layer2=se_npu"),
    }  # fmt: skip
    assert [c["stage"].partition(":")[0] for c in found.document["cases"] if "stage" in c] == [
        "Baseline", "Stage 1", "Stage 2", "Stage 3",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names = 3", r"unknown key in study .*s\.toml 'names': did you mean 'name'"),
        ("sizes = 3", r"s\.toml: key 'sizes' must be list, not int \(3\)"),
        ("batch = true", "key 'batch' must be int, not bool"),
        ("a = 1\nb = = 2", r"s\.toml: not valid TOML: .*line 2"),
        ("[[matrix]]\nmodule = ['se']", r"\[\[matrix\]\] 1 'module': did you mean 'modules'"),
        ("[[case]]\nstage = 'x'", r"\[\[case\]\] 1 lacks the key 'variant'"),
        ("matrix = [3]", r"\[\[matrix\]\] 1 must be a table, not int"),
        ("[[case]]\nvariant = 'a=se'\nclaim = {metric = 'overhead_pct', value = 3}", "claim lacks source"),
        (
            "[[case]]\nvariant = 'a=se'\nclaim = {metric = 'overhead', value = 3, source = ''}",
            "did you mean 'overhead_ms' or 'overhead_pct'",
        ),
        ("[[case]]\nvariant = 'a=se'\nclaim = [3]", "claim must be a table"),
        (
            "[[case]]\nvariant = 'a=se'\nclaim = {metric = 'overhead_pct', value = 3, source = '', relation = 'abut'}",
            "did you mean 'about'",
        ),
    ],
)
def test_a_mistake_in_a_study_names_file_and_key(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_study(written(tmp_path, text))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"hosts": ["resnetsan02"]}, "unknown host 'resnetsan02': did you mean 'resnetsan01'"),
        ({"hosts": []}, "names no host"),
        ({"sizes": ["384*640"]}, "size '384\\*640' is not HEIGHTxWIDTH"),
        ({"sizes": ["0x0"]}, "has no pixels"),
        ({"sizes": ["33x65"]}, "multiples of 32, not 33x65"),
        ({"targets": ["aimotiv"]}, "did you mean 'aimotive'"),
        ({"matrix": [{"modules": ["sse"], "places": ["encoder.layer1"]}]}, "unknown module 'sse'"),
        ({"matrix": [{"modules": ["se"], "places": ["encoder.layer9"]}]}, "did you mean 'encoder.layer4'|did you mean"),
        ({"case": [{"variant": "encoder.layer1"}]}, "is not PLACE=MODULE"),
        ({"settings": {"repeats": 3}}, "did you mean 'repeat'"),
        ({"settings": {"repeat": 0}}, "repeat must be at least 1"),
        ({"settings": {"repeat": "x"}}, "repeat must be a int"),
        ({"settings": {"threads": [0]}}, "threads are whole numbers"),
        ({"settings": {"precision": "five"}}, "precision 'five' is not understood"),
        ({"settings": {"precision": "0.1,0.2"}}, "precision '0.1,0.2' is not understood"),
        ({"settings": {"precision": "-1"}}, "precision '-1' is not understood"),
        ({"settings": {"optimization": "al"}}, "did you mean 'all'"),
        ({"hosts": ["mine.py:build"]}, "has no sites"),
        ({"hosts": [{"spec": "resnetsan01", "sites": {"a": "b"}}]}, "has its own sites"),
        ({"hosts": [{"spec": "net.onnx", "sites": {"a": "b"}}]}, "has its tensors for sites"),
        ({"hosts": [{"spc": "resnetsan01"}]}, "did you mean 'spec'"),
    ],
)
def test_a_study_that_asks_for_what_does_not_exist(data, message):
    with pytest.raises(InputError, match=message):
        plan({"case": [{"variant": "encoder.layer1=se"}], **data})


def test_an_onnx_host_takes_its_size_from_the_file_and_answers_a_wrong_tensor(tmp_path):
    from test_graph import floats, model_of

    from attnbench.graph.load import serialise

    path = tmp_path / "h.onnx"
    model = model_of(
        [("Conv", ["x", "w"], ["y"], {})], {"x": (1, 3, 16, 24)}, {"y": (1, 8, 16, 24)}, {"w": floats(8, 3, 1, 1)}
    )
    path.write_bytes(serialise(model))
    data = {"hosts": [str(path)], "matrix": [{"modules": ["eca"], "places": ["y"]}]}
    assert [planned.case.size for planned in plan(data).cases] == ["16x24", "16x24"]
    with pytest.raises(InputError, match="unknown tensor"):
        plan({**data, "matrix": [{"modules": ["eca"], "places": ["z"]}]})
    with pytest.raises(InputError, match="name the tensors"):
        plan({**data, "matrix": [{"modules": ["eca"], "places": "each"}]})


def test_the_budget_is_no_less_than_the_replicates_and_the_replicates_no_more_than_the_budget():
    assert make_settings({"processes": 12}, "here").max_processes == 12
    assert make_settings({"max_processes": 2}, "here").processes == 2
    assert make_settings({"processes": 4, "max_processes": 2}, "here").max_processes == 4
    assert make_settings({"processes": 4, "max_processes": 20}, "here").max_processes == 20


def test_a_provider_may_be_named_as_the_runtime_names_it():
    assert make_settings({"provider": "XnnpackExecutionProvider"}, "here").provider == "xnnpack"
    assert make_settings({"provider": "OpenVINO"}, "here").provider == "openvino"


def test_settings_keep_their_types():
    settings = make_settings({"threads": 2, "step_seconds": 3, "rounds": 0}, "here")
    assert settings == replace(Settings(), threads=(2,), step_seconds=3, rounds=0)


def flags(study=None, hosts=(), modules=(), places=(), variants=(), sizes=(), targets=(), batch=None):
    return from_flags(study, list(hosts), list(modules), list(places), list(variants), list(sizes), list(targets), batch)


def test_flags_alone_are_a_study_and_none_is_the_reports():
    assert flags()["name"] == "report"
    alone = flags(modules=["se"], places=["encoder.layer1"], variants=["encoder.layer2=eca"], sizes=["32x64"], batch=2)
    assert cases(alone) == ["baseline", "encoder.layer2=eca", "encoder.layer1=se"]
    assert plan(alone).cases[0].case.batch == 2
    assert flags("quick", sizes=["64x64"])["sizes"] == ["64x64"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"modules": ["se"]}, "--module needs --place"), ({"places": ["x"]}, "--place needs --module"),
        ({"study": "quick", "modules": ["se"], "places": ["x"]}, "not both"),
        ({"hosts": [HostReference("resnetsan01")]}, "--host needs --module"), ({"study": "qick"}, "did you mean 'quick'"),
        ({"study": "none.toml"}, "there is no file none.toml"),
    ],
)  # fmt: skip
def test_flags_that_do_not_fit_together_say_so(given, message):
    with pytest.raises(InputError, match=message):
        flags(**given)


def test_sites_come_as_path_and_name():
    host = host_from_flags("my.py:build", ["body.1=inner", "stem=stem"], 1)
    assert host == HostReference("my.py:build", {"inner": "body.1", "stem": "stem"}, 1)
    for bad in (["body"], ["=x"], ["x="], ["a=x", "b=x"]):
        with pytest.raises(InputError, match="--site"):
            host_from_flags("my.py:build", bad, 3)
