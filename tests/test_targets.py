"""Profiles, their predicates, and what they say of nodes."""

from pathlib import Path

import pytest
from made import floats, model_of, said_of

from attnbench.core.errors import InputError
from attnbench.judge.verdicts import npu_verdict
from attnbench.npu.checklist import deployment_checklist
from attnbench.npu.judge import judge
from attnbench.npu.rules import PREDICATES, limit_text
from attnbench.npu.targets import load_target
from attnbench.targets import target_names, without_table

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def aimotive():
    return load_target("aimotive")


def judged(target, text):
    return said_of(text, target)[0]


WIDE = "ReduceMax 1x512x4x4 [1]"


@pytest.mark.parametrize("name", target_names())
def test_every_profile_loads_and_names_its_evidence(name):
    target = load_target(name)
    assert target.name == name
    for rule in target.rules:
        assert rule.evidence
        assert rule.section
        assert rule.reason
    assert len({rule.id for rule in target.rules}) == len(target.rules)


def test_every_predicates_docstring_is_its_message():
    assert [name for name, predicate in PREDICATES.items() if not (predicate.__doc__ or "").strip()] == []
    assert [name for name in PREDICATES if "{" in limit_text(name, 3)] == []


def test_a_refusal_carries_measured_limit_reason_and_section(aimotive):
    finding = judged(aimotive, WIDE)
    assert (finding.measured, finding.limit) == ("512 channels", "at most 256 channels")
    assert "section 2.3" in finding.source
    assert finding.evidence == "report"


def test_findings_add_up_to_the_worst(aimotive):
    good, odd = (f"Conv 1x4x20x20 ={outputs}x4x3x3 pads=[1,1,1,1]" for outputs in (8, 1))
    tight, strange = "ReduceMax 1x8x4x4 [1]", "Tanh 2x3"

    def levels(*texts):
        return [judged(aimotive, text) for text in texts]

    assert npu_verdict(levels(good)) == "ok"
    assert npu_verdict(levels(good, tight)) == npu_verdict(levels(good, odd)) == "ok with constraint"
    assert npu_verdict(levels(tight, strange)) == "unknown"
    assert npu_verdict(levels(strange, WIDE)) == "refused"


def test_the_deployment_checklist_names_what_breaks_it():
    model = model_of("Conv 1x2x4x4 =3x2x19x19 pads=[9,9,9,9]; Reshape $1 [1,48]")
    checks = {check.name: check for check in deployment_checklist(model)}
    assert [check.passed for check in checks.values()] == [True, False, False, False, None]
    assert checks["no Reshape"].detail == "n1"
    assert checks["every convolution kernel <= 17"].detail == "n0: kernel 19x19"
    assert checks["vendor compiler"].detail == "not run"


GOOD = """
[target]
name = "t"
title = "T"
vendor = "v"
chip = "c"
version = "1"
date = "2026-01-01"
document = "d"
source = "s"
unlisted = "{unlisted}"

[[rule]]
id = "r"
ops = ["Conv"]
level = "{level}"
evidence = "{evidence}"
section = "1"
reason = "because"
{more}
"""


def written(tmp_path, unlisted="unknown", level="supported", evidence="vendor-doc", more=""):
    path = tmp_path / "t.toml"
    path.write_text(GOOD.format(unlisted=unlisted, level=level, evidence=evidence, more=more))
    return str(path)


def test_a_users_target_is_loaded_and_its_policy_for_unlisted_ops_holds(tmp_path):
    target = load_target(written(tmp_path, unlisted="error", more="limits = { kernel_at_most = 3 }"))
    assert judged(target, "Conv 1x4x20x20 =8x4x5x5").level == "refused"
    assert judged(target, "Tanh 2x3").level == "refused"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"level": "suported"}, "rule 'r': level 'suported': did you mean 'supported'"),
        ({"evidence": "hearsay"}, "unknown evidence in target .*t.toml: rule 'r' 'hearsay': known: presumed, report, third-party, vendor-doc"),
        ({"unlisted": "maybe"}, "unlisted 'maybe': known: error, fallback:<where>, unknown"), ({"more": "limits = { kernel_atmost = 3 }"}, "did you mean 'kernel_at_most'"),
        ({"more": "limit = 3"}, "did you mean 'limits'"),
        ({"more": "limits = { kernel_at_most = '7' }"},
         "t.toml: rule 'r': limits: kernel_at_most must be a whole number or a list, not '7'$"),
        ({"more": "where = { kernel_at_most = [7, true] }"}, "rule 'r': where: kernel_at_most: item 2 must be a whole number, not True"),
        ({"more": "advice = { output_channels_multiple_of = 0 }"}, "output_channels_multiple_of must be a whole number >= 1, not 0"),
        ({"more": "limits = { kernel_and_stride_in = [[3, 3]] }"}, "item 1 must be a list of length >= 3"),
        ({"more": "limits = { group_kinds = ['depthwize'] }"}, "rule 'r': limits: group_kinds 'depthwize': did you mean 'depthwise'"),
        ({"more": "limits = { attributes = 3 }"}, "attributes must be a table, not 3"),
        ({"more": "limits = { square_kernel = false }"}, "square_kernel takes only true, not False"),
        ({"more": "limits = 7"}, "rule 'r': limits must be a table, not 7"), ({"more": "[[rule]]\nid = 'r'"}, "lacks the key"),
        ({"more": "where = {}\n[[rules]]"}, "unknown key in target .*t.toml 'rules': did you mean 'rule'"),
    ],
)  # fmt: skip
def test_a_profile_with_a_mistake_names_file_and_rule(tmp_path, values, message):
    with pytest.raises(InputError, match=message) as caught:
        load_target(written(tmp_path, **values))
    assert "t.toml" in str(caught.value)


def test_numbers_and_dates_of_a_head_stand_for_their_text(tmp_path):
    path = written(tmp_path)
    text = Path(path).read_text().replace('"2026-01-01"', "2026-01-01").replace('version = "1"', "version = 2.4")
    Path(path).write_text(text)
    target = load_target(path)
    assert (target.date, target.version) == ("2026-01-01", "2.4")


def test_a_target_is_loaded_once_a_process_and_again_when_its_file_changes(tmp_path):
    assert load_target("aimotive") is load_target("aimotive")
    before = load_target(written(tmp_path))
    assert before is load_target(str(tmp_path / "t.toml"))
    assert load_target(written(tmp_path, level="refused")).rules[0].level == "refused"


def test_unknown_targets_files_and_broken_toml_are_one_line(tmp_path):
    broken = tmp_path / "x.toml"
    broken.write_text("[target\n")
    deep, long = tmp_path / "deep.toml", tmp_path / "long.toml"
    deep.write_text("a = " + "[" * 5000)
    long.write_text("a = " + "9" * 5000)
    for name, message in [
        ("aimotiv", "did you mean 'aimotive'"),
        (str(tmp_path / "no.toml"), "there is no file"),
        (str(broken), "not valid TOML"),
        (str(deep), "not valid TOML"),
        (str(long), "not valid TOML"),
        (str(tmp_path / "x.toml" / "y.toml"), "cannot be read"),
    ]:
        with pytest.raises(InputError, match=message):
            load_target(name)


def test_the_pages_of_docs_are_those_that_the_files_make(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import target_pages

    made = target_pages.pages()
    assert set(made) == {path.name for path in (ROOT / "docs" / "targets").iterdir()}
    for name, text in made.items():
        assert (ROOT / "docs" / "targets" / name).read_text() == text, "run benchmarks/target_pages.py"
    for chip in without_table():
        assert chip.reason in made["README.md"]


def test_a_convolution_with_batch_norm_counts_as_one_by_the_document_or_by_an_assumption_that_the_page_states(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import target_pages

    for name in target_names():
        target = load_target(name)
        said = target_pages.page(target)
        assert (target.folding[1:] in said) if target.folding else (target_pages.ASSUMED in said)


def test_a_graph_may_be_deep_and_its_constants_shared():
    """A chain of 5,000 nodes, and constants that double in use at each of 60 levels."""
    chain = [("Relu", [f"x{i}"], [f"x{i + 1}"], {}) for i in range(5000)]
    deep = model_of([*chain, ("Relu", ["x5000"], ["y"], {})], {"x0": (1, 1, 2, 2)}, {"y": (1, 1, 2, 2)})
    assert len(judge(deep, load_target("aimotive"))) == 5001
    doubled = [("Add", [f"c{i}", f"c{i}"], [f"c{i + 1}"], {}) for i in range(60)]
    shared = model_of([*doubled, ("Mul", ["x", "c60"], ["y"], {})], {"x": (1,)}, {"y": (1,)}, {"c0": floats(1)})
    assert [finding.op for finding in judge(shared, load_target("aimotive"))] == ["Mul"]
