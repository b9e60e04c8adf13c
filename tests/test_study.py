"""From TOML and flags to cases, and every way of getting it wrong."""

import copy
import math
import random
import tomllib
from pathlib import Path

import pytest
from made import floats, model_of
from msgspec.structs import replace

from attnbench.api import run_study
from attnbench.core.errors import InputError
from attnbench.core.grammar import Spec
from attnbench.core.protocol import Effort, Protocol
from attnbench.graph.load import serialise
from attnbench.hosts import declared_places
from attnbench.modules import module_names
from attnbench.study.file import StudyHost, find_study, packaged_study, read_settings, read_study
from attnbench.study.flags import from_flags, host_from_flags
from attnbench.study.plan import plan

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
    assert len(found.cases) == 1 + len(module_names()) * len(declared_places(Spec("resnetsan01")).sites)
    assert all(planned.case.size == "384x640" for planned in found.cases)


def test_a_case_named_twice_runs_once_with_the_more_thorough_settings():
    data = {
        "case": [{"variant": "encoder.layer1 = se", "settings": {"processes": 7}}, {"variant": "encoder.layer1=se"}],
        "matrix": [{"modules": ["se"], "places": ["encoder.layer1"], "settings": {"processes": 2}}],
    }
    found = plan(data).cases
    assert [planned.case.variant for planned in found] == ["baseline", "encoder.layer1=se"]
    assert [planned.effort.processes for planned in found] == [7, 7]


def test_the_command_lines_settings_hold_for_every_case_and_quick_is_quicker():
    data = {"matrix": [{"modules": ["se"], "places": ["encoder.layer1"], "settings": {"processes": 5, "repeat": 9}}]}
    assert {p.effort.processes for p in plan(data, overrides={"processes": 4}).cases} == {4}
    quick = plan(data, quick=True).cases[1].effort
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
        ("sizes = 3", r"s\.toml: sizes must be a list, not 3$"),
        ("batch = true", "s.toml: batch must be a whole number, not True"),
        ("a = 1\nb = = 2", r"s\.toml: not valid TOML: .*line 2"),
        ("[[matrix]]\nmodule = ['se']", r"s\.toml: matrix 1 'module': did you mean 'modules'"),
        ("[[case]]\nstage = 'x'", r"s\.toml: case 1 lacks the key 'variant'"),
        ("matrix = [3]", r"s\.toml: matrix 1 must be a table, not 3"),
        ("[[case]]\nvariant = 'a=se'\nclaim = {metric = 'overhead_pct', value = 3}", "case 1: claim lacks the key 'source'"),
        (
            "[[case]]\nvariant = 'a=se'\nclaim = {metric = 'overhead', value = 3, source = ''}",
            "case 1: claim: unknown metric 'overhead': did you mean 'overhead_ms' or 'overhead_pct'",
        ),
        ("[[case]]\nvariant = 'a=se'\nclaim = [3]", "case 1: claim 1 must be a table, not 3"),
        (
            "[[case]]\nvariant = 'a=se'\nclaim = {metric = 'overhead_pct', value = 3, source = '', relation = 'abut'}",
            "unknown relation in .*case 1: claim 'abut': did you mean 'about'",
        ),
        (
            "[[case]]\nvariant = 'a=se'\nclaim = [{metric = 'params', value = 3, source = ''}, {metric = 'params', value = 3, sorce = ''}]",
            "case 1: claim 2 'sorce': did you mean 'source'",
        ),
        (
            "[[case]]\nvariant = 'a=se'\nclaim = {metric = 'params', value = nan, source = ''}",
            "claim: value of params must be a number, not 'nan'",
        ),
        (
            "[[case]]\nvariant = 'a=se'\nclaim = {metric = 'params', value = 3, source = '', tolerance = inf}",
            "claim: tolerance must be a finite number, not inf",
        ),
        ("[[case]]\nvariant = 'a=se'\nsettings = {reps = 3}", "case 1: unknown key in settings 'reps'"),
        (
            "[[case]]\nvariant = 'a=se'\nsettings = {seed = 3}",
            r"case 1: seed is the same for all cases, .* set it in \[settings\]",
        ),
        ("[[case]]\nvariant = 'a=se'\nhost = 'resnet5'", "unknown host in .*case 1 'resnet5': did you mean 'resnetsan01'"),
        (
            "sizes = ['64x96']\n[[case]]\nvariant = 'a=se'\nsizes = ['64x95']",
            "unknown size in .*case 1 '64x95': did you mean",
        ),
        ("[[case]]\nvariant = 'a=se'\nsizes = ['64']", "case 1: size '64' is not HEIGHTxWIDTH"),
        ('name = "a\\u001bb"', "name must be text matching"),
        ('name = "a\\n"', "name must be text matching"),
        ("sizes = []", "sizes must be a list of length >= 1"),
        ("[[matrix]]\nmodules = []\nplaces = []", "matrix 1: modules must be a list of length >= 1"),
        ("[settings]\nprocesses = 10000000000", "processes must be a whole number <= 65536"),
        ("[settings]\ntimeout_seconds = nan", "timeout_seconds must be a number >= 1.0, not nan"),
    ],
)
def test_a_mistake_in_a_study_names_file_and_key(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_study(written(tmp_path, text))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"hosts": ["resnetsan02"]}, "unknown host 'resnetsan02': did you mean 'resnetsan01'"),
        ({"hosts": []}, r"hosts must be a list of length >= 1, not \[\]"),
        ({"sizes": ["384*640"]}, "size '384\\*640' is not HEIGHTxWIDTH"),
        ({"sizes": ["0x0"]}, "has no pixels"),
        ({"sizes": ["33x65"]}, "multiples of 32, not 33x65"),
        ({"targets": ["aimotiv"]}, "did you mean 'aimotive'"),
        ({"matrix": [{"modules": ["sse"], "places": ["encoder.layer1"]}]}, "unknown module 'sse'"),
        ({"matrix": [{"modules": ["se"], "places": ["encoder.layer9"]}]}, "did you mean 'encoder.layer4'|did you mean"),
        ({"case": [{"variant": "encoder.layer1"}]}, "is not PLACE=MODULE"),
        ({"settings": {"repeats": 3}}, "did you mean 'repeat'"),
        ({"settings": {"repeat": 0}}, "settings: repeat must be a whole number >= 1, not 0"),
        ({"settings": {"repeat": "x"}}, "settings: repeat must be a whole number, not 'x'"),
        ({"settings": {"threads": [0]}}, "settings: threads 1 must be a whole number >= 1, not 0"),
        ({"settings": {"precision": "five"}}, "precision 'five' is not understood"),
        ({"settings": {"precision": "0.1,0.2"}}, "precision '0.1,0.2' is not understood"),
        ({"settings": {"precision": "-1"}}, "precision '-1' is not understood"),
        ({"settings": {"optimization": "al"}}, "did you mean 'all'"),
        (
            {"hosts": [f"{__file__}:build"], "case": [{"variant": "a=se"}, {"variant": "b*=se"}]},
            r"no sites for place 'b\*': name some",
        ),
        ({"hosts": [f"{__file__}:build"], "matrix": [{"modules": ["se"]}]}, "no sites for place 'each': name some"),
        ({"hosts": [{"spec": "resnetsan01", "sites": {"a": "b"}}]}, "has its own sites"),
        ({"hosts": [{"spec": "net.onnx", "sites": {"a": "b"}}]}, "has its tensors for sites"),
        ({"hosts": [{"spc": "resnetsan01"}]}, "did you mean 'spec'"),
    ],
)
def test_a_study_that_asks_for_what_does_not_exist(data, message):
    with pytest.raises(InputError, match=message):
        plan({"case": [{"variant": "encoder.layer1=se"}], **data})


def test_an_onnx_host_takes_its_size_from_the_file_and_answers_a_wrong_tensor(tmp_path):
    path = tmp_path / "h.onnx"
    model = model_of(
        [("Conv", ["x", "w"], ["y"], {})], {"x": (1, 3, 16, 24)}, {"y": (1, 8, 16, 24)}, {"w": floats(8, 3, 1, 1)}
    )
    path.write_bytes(serialise(model))
    data = {"hosts": [str(path)], "matrix": [{"modules": ["eca"], "places": ["y"]}]}
    assert [planned.case.size for planned in plan(data).cases] == ["16x24", "16x24"]
    with pytest.raises(InputError, match="unknown tensor"):
        plan({**data, "matrix": [{"modules": ["eca"], "places": ["z"]}]})
    each = plan({**data, "matrix": [{"modules": ["eca"], "places": "each"}]})
    assert [planned.case.variant for planned in each.cases] == ["baseline", "y=eca"]


def protocol(values):
    return read_settings(values)[0]


def effort(values):
    return read_settings(values)[1]


def test_the_budget_is_no_less_than_the_replicates_and_the_replicates_no_more_than_the_budget():
    assert effort({"processes": 12}).max_processes == 12
    assert effort({"max_processes": 2}).processes == 2
    assert effort({"processes": 4, "max_processes": 2}).max_processes == 4
    assert effort({"processes": 4, "max_processes": 20}).max_processes == 20


def test_a_provider_may_be_named_as_the_runtime_names_it():
    assert protocol({"provider": "XnnpackExecutionProvider"}).provider == "xnnpack"
    assert protocol({"provider": "OpenVINO"}).provider == "openvino"


def test_settings_keep_their_types():
    found = read_settings({"threads": 2, "step_seconds": 3, "rounds": 0})
    assert found == (replace(Protocol(), threads=(2,)), replace(Effort(), step_seconds=3, rounds=0))
    assert effort({"precision": 0.00001}).precision == "0.00001"
    assert effort({"precision": 2}).precision == "2"


def flags(study=None, hosts=(), modules=(), places=(), variants=(), sizes=(), targets=(), batch=None):
    return from_flags(study, list(hosts), list(modules), list(places), list(variants), list(sizes), list(targets), batch)


def test_flags_alone_are_a_study_and_none_is_the_reports():
    assert flags().name == "report"
    alone = flags(modules=["se"], places=["encoder.layer1"], variants=["encoder.layer2=eca"], sizes=["32x64"], batch=2)
    assert cases(alone) == ["baseline", "encoder.layer2=eca", "encoder.layer1=se"]
    assert plan(alone).cases[0].case.batch == 2
    assert flags("quick", sizes=["64x64"]).sizes == ("64x64",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"modules": ["se"]}, "--module needs --place"), ({"places": ["x"]}, "--place needs --module"),
        ({"study": "quick", "modules": ["se"], "places": ["x"]}, "not both"),
        ({"hosts": [StudyHost(spec="resnetsan01")]}, "--host needs --module"), ({"study": "qick"}, "did you mean 'quick'"),
        ({"study": "none.toml"}, "there is no file none.toml"),
    ],
)  # fmt: skip
def test_flags_that_do_not_fit_together_say_so(given, message):
    with pytest.raises(InputError, match=message):
        flags(**given)


def test_sites_come_as_path_and_name():
    host = host_from_flags("my.py:build", ["body.1=inner", "stem=stem"], 1)
    assert host == StudyHost(spec="my.py:build", sites={"inner": "body.1", "stem": "stem"}, input_channels=1)
    for bad in (["body"], ["=x"], ["x="], ["a=x", "b=x"]):
        with pytest.raises(InputError, match="--site"):
            host_from_flags("my.py:build", bad, 3)


# --- what cannot be, and what comes to nothing


def test_a_mapping_is_checked_as_a_file_is():
    """Each of these once measured the baseline alone, or ended in a traceback."""
    with pytest.raises(InputError, match="unknown key in study 'study' 'matrx': did you mean 'matrix'"):
        run_study({"matrx": [{"modules": ["se"], "places": ["encoder.layer1"]}]})
    with pytest.raises(InputError, match="study 'mine': case 1 lacks the key 'variant'"):
        run_study({"name": "mine", "case": [{"stage": "x"}]})


@pytest.mark.parametrize(
    "data",
    [
        {}, {"matrix": []}, {"sizes": ["64x96"], "hosts": ["resnet18"]},
        {"case": [{"variant": "encoder.layer1=se", "sizes": ["64x96"]}]},
    ],
)  # fmt: skip
def test_a_study_that_comes_to_nothing_says_so(data):
    with pytest.raises(InputError, match="plans no case"):
        plan(data)


def test_a_case_of_a_size_that_no_host_is_asked_at_is_named(tmp_path):
    data = {"case": [{"variant": "encoder.layer1=se"}, {"variant": "encoder.layer2=se", "sizes": ["32x64"]}]}
    with pytest.raises(InputError, match="size in study 'study': case 2 '32x64'"):
        plan(data)
    (tmp_path / "s.toml").write_text(
        "[[case]]\nvariant = 'encoder.layer1=se'\n[[case]]\nvariant = 'encoder.layer2=se'\nsizes = ['32x64']\n"
    )
    assert cases(flags(str(tmp_path / "s.toml"), sizes=["64x64"])) == ["baseline", "encoder.layer1=se"]


def test_a_host_is_planned_at_the_sizes_alone_that_something_is_asked_at():
    data = {"hosts": ["resnet18", "resnet34"], "sizes": ["32x32", "64x64"],
            "case": [{"variant": "baseline", "host": "resnet18", "sizes": ["32x32"]}]}  # fmt: skip
    assert [(p.case.host, p.case.size) for p in plan(data).cases] == [("resnet18", "32x32")]


def test_flags_that_leave_nothing_of_a_study_say_so_and_flags_that_leave_some_do_not():
    literature = read_study(find_study("literature"))
    assert {p.case.host for p in plan(replace(literature, hosts=("resnet18",))).cases} == {"resnet18"}
    with pytest.raises(InputError, match="plans no case"):
        plan(replace(literature, hosts=("yolov5s",), sizes=("64x96",)))


def test_the_baseline_alone_is_measured_where_it_is_asked_for():
    assert cases({"case": [{"variant": "baseline"}]}) == ["baseline"]
    assert cases(flags(variants=["baseline"])) == ["baseline"]


def test_a_case_of_one_host_or_size_is_planned_there_alone():
    data = {
        "hosts": ["resnetsan01", "resnetsan01[skip = attentive]"], "sizes": ["32x64", "64x64"],
        "case": [{"variant": "encoder.layer1=se", "host": "resnetsan01[skip=attentive]", "sizes": ["064x64"]}],
    }  # fmt: skip
    found = [p.case for p in plan(data).cases if not p.case.is_baseline]
    assert [(case.host, case.size) for case in found] == [("resnetsan01[skip=attentive]", "64x64")]


ODD = [
    None, True, False, 0, -1, 3, 10**30, -(10**400), 0.5, math.nan, math.inf, -math.inf, 1e308, "", " ", "x", "nan", "1e999",
    "a" * 3000, "'", "[", "a=b=c", "se", "encoder.layer1=se", "\0", "x\0.onnx", "none.onnx", "none.toml", "no.py:x", "/", ".", "ü\ud800",
    "9" * 5000, "9" * 5000 + "x1", "0x0", "64x96", "baseline", "each", "all", "all=se", "se[a=", [], {}, [[]], [None], [{}], [[[[[3]]]]], {"": 1},
    {3: 4}, {None: None}, {"a": {"b": {"c": []}}}, ["se"], ["se", 3], (1, 2), b"se", {"se"}, {"spec": "resnetsan01"},
    [{"spec": "no.py:x", "sites": {"a": "b"}}], {"metric": "params"}, {"modules": "se", "places": "encoder.layer1"}, object(), [float("nan")],
]  # fmt: skip


def paths_of(value, path=()):
    """Every place in nested data."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from paths_of(item, (*path, key))


def mutated(rng: random.Random, data: dict) -> dict:
    """The study with one to three places made otherwise: another value, none, an additional key or a misspelt one."""
    data = copy.deepcopy(data)
    for _ in range(rng.randrange(1, 4)):
        path = rng.choice([path for path in paths_of(data) if path])
        holder = data
        for key in path[:-1]:
            holder = holder[key]
        match rng.randrange(4):
            case 0 | 1:
                holder[path[-1]] = rng.choice(ODD)
            case 2:
                del holder[path[-1]]
            case 3 if isinstance(holder, dict):
                holder[rng.choice(["matrx", "settings", "hosts", "sizes", "host", "claim", "priority", 3, None, ""])] = (
                    rng.choice(ODD)
                )
    return data


@pytest.mark.parametrize("seed", range(3))
def test_whatever_a_study_holds_it_is_planned_or_refused_in_one_line(seed):
    rng = random.Random(seed)
    studies = [tomllib.loads(packaged_study(name).read_text()) for name in ("quick", "report", "literature")]
    refused = []
    for _ in range(150):
        data = mutated(rng, rng.choice(studies))
        try:
            plan(data)
        except InputError as error:
            refused.append(str(error))
    assert len(refused) > 75
    assert all(text and "\n" not in text and len(text) < 12000 for text in refused)
