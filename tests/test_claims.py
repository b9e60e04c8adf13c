"""The claims of documents: what decides each, what is said of it, and that the packaged ones and the studies agree."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import case

from attnbench.core.arithmetic import evaluate
from attnbench.core.errors import InputError
from attnbench.core.grammar import normal_size, parse_variant
from attnbench.core.records import Case, Measurement
from attnbench.judge.published import PUBLISHED, gains_by_pair, gains_of_module, published_gains
from attnbench.judge.readings import StudyRun, judge_documents, judge_reading
from attnbench.study.claims import ClaimReading, read_claims
from attnbench.study.file import packaged_study, read_study
from attnbench.study.plan import plan

RESULTS = Path(__file__).parent.parent / "results"
READINGS = [reading for claim in read_claims().claim for reading in claim.reading]
ARITHMETIC = [one for one in READINGS if one.decided_by in ("arithmetic", "published figures", "nothing here") or one.sites]


# --- arithmetic


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("640 * 384", 245760), ("(1 + 2) ** 3 / -2", -13.5), ("sqrt(2500) - log2(8)", 47), ("floor(17 / 2)", 8),
        ("twice('a', 3) + 1", 7),
    ],
)  # fmt: skip
def test_arithmetic_is_evaluated(text, value):
    assert evaluate(text, {"twice": lambda _word, number: 2 * number}) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", "comes to no number"), ("", "comes to no number"), ("1 +", "comes to no number"),
        ("__import__('os')", "unknown function in arithmetic '__import__'"), ("sqrt", "comes to no number"),
        ("sqrt(-1)", "comes to no number"), ("sqrt.real", "comes to no number"), ("9.0 ** 9999", "comes to no number"),
        ("'a'", "comes to no number"), ("sqr(4)", "did you mean 'sqrt'"), ("[1][0]", "comes to no number"),
        ("sqrt(1, 2)", "comes to no number"), ("-" * 5000 + "1", "comes to no number"),
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_what_is_no_arithmetic_is_one_line(text, message):
    with pytest.raises(InputError, match=message):
        evaluate(text)


# --- readings, each by what decides it


class Known:
    """Evidence that is given."""

    functions = {}  # noqa: RUF012

    def __init__(self, run=None):
        self.run = run

    def described(self, reading):
        return {record.case: record for record in self.run.records}

    def runs(self, study):
        return [StudyRun("results/made", self.run)] if self.run and study == "made" else []


def judged(run=None, **values):
    return judge_reading(ClaimReading(**values), Known(run))


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({"figure": "640 * 384", "value": 245760, "relation": "rounds to"}, "confirmed"),
        ({"figure": "1 / 6400", "value": "0.0156", "relation": "rounds to"}, "refuted"),
        ({"figure": "7.9", "value": 8.5, "tolerance": 0.05}, "refuted"),
        ({"figure": "7.9", "value": 8.5, "tolerance": 0.1}, "confirmed"),
        ({"sites": {"encoder.layer3": (256, 16)}}, "confirmed"),
        ({"sites": {"encoder.layer3": (256, 8)}}, "refuted"),
        ({"sites": {"encoder.layer9": (256, 8)}}, "refuted"),
        ({"published": "SE", "value": 2, "tolerance": 0.5}, "not resolvable"),
        ({"published": "SE", "value": 9}, "refuted"),
        ({"beyond": "needs training"}, "not decided"),
        ({"study": "other", "variant": "encoder.layer3=eca", "metric": "overhead_pct", "value": 1}, "not measured"),
    ],
)
def test_a_reading_is_judged_by_what_decides_it(values, verdict):
    assert judged(**values).verdict == verdict


def test_a_measured_reading_rests_on_its_run(run):
    asked = {"study": "made", "variant": "encoder.layer3=cbam_npu", "metric": "overhead_pct"}
    found = judged(run, **asked, value=3)
    assert (found.verdict, found.judged.value) == ("confirmed", pytest.approx(3))
    assert found.rests_on == "results/made, 2026-01-01, a CPU"
    assert judged(run, **asked, value=9).verdict == "refuted"
    assert judged(run, **{**asked, "variant": "encoder.stem=eca"}, value=9).verdict == "not measured"
    assert judged(run, **{**asked, "variant": "encoder.layer3=bad"}, value=9).verdict == "not measured"
    skipped = judged(run, **{**asked, "variant": "encoder.stem=self_attention", "metric": "macs"}, value=1e6)
    assert skipped.verdict == "confirmed", "what a case counts is known though it was not run"


def test_one_variants_figure_over_anothers_has_the_widest_interval(run):
    two = Measurement("overhead", 0.01, low=0.0095, high=0.0105)
    records = tuple(replace(r, measurements=(two,)) if r.case == case("encoder.layer3=eca") else r for r in run.records)
    asked = {"study": "made", "variant": "encoder.layer3=cbam_npu", "over": "encoder.layer3=eca", "metric": "overhead_pct"}
    found = judged(replace(run, records=records), **asked, value=3)
    assert found.judged.value == pytest.approx(3)
    assert found.judged.low < 2.9 / 1.05
    assert found.judged.high > 3.1 / 0.95
    nothing = replace(two, value=0.0, low=-0.001, high=0.001)
    records = tuple(replace(r, measurements=(nothing,)) if r.case == case("encoder.layer3=eca") else r for r in run.records)
    assert judged(replace(run, records=records), **asked, value=3).verdict == "not measured"


def test_counts_targets_and_checks_are_asked_of_the_case(run):
    asked = {"variant": "encoder.layer3=eca", "value": "refused"}
    found = judged(run, **asked, metric="npu_verdict")
    assert (found.verdict, found.rests_on) == ("confirmed", "aimotive: Transpose (report)")
    assert judged(run, variant="encoder.layer3=cbam_npu", metric="macs_delta_pct", value=2).verdict == "confirmed"
    assert judged(run, variant="encoder.layer3=eca", check="no Reshape").verdict == "refuted"
    assert judged(run, variant="encoder.layer3=bad", metric="macs", value=2).rests_on == "export: it | broke"
    with pytest.raises(InputError, match="there is no check 'no Shape': there are no Reshape"):
        judged(run, variant="encoder.layer3=eca", check="no Shape")


def test_a_claim_holds_for_the_readings_that_are_confirmed(tmp_path):
    file = {"a": ("1", "2"), "b": ("1", "1"), "c": ("2", "2"), "d": ("1",)}
    text = "[documents]\nd = 'D'\n" + "".join(
        f"[[claim]]\ndocument = 'd'\nsection = '1'\nsays = '{name}'\nreading = ["
        + ",".join(f"{{as = 'reading {i}', figure = '1', value = {value}}}" for i, value in enumerate(values))
        + "]\n"
        for name, values in file.items()
    )
    path = tmp_path / "c.toml"
    path.write_text(text)
    found = judge_documents(read_claims(path).claim, Known())
    assert [one.holds_for for one in found] == ["reading 0", "every reading", "none", ""]


# --- the packaged claims


def test_every_reading_names_what_exists():
    for reading in READINGS:
        if reading.variant and (not reading.study or reading.study in PACKAGED):
            assert Case(reading.host, str(parse_variant(reading.variant)), normal_size(reading.size)) in {
                planned.case for planned in reading.plan().cases
            }


PACKAGED = [name for name in ("report", "imagenet", "separable", "detection") if packaged_study(name).exists()]


@pytest.mark.parametrize("study", PACKAGED)
def test_a_study_that_a_reading_names_measures_its_cases(study):
    cases = {planned.case for planned in plan(read_study(packaged_study(study))).cases}
    own = [reading for reading in READINGS if reading.study == study]
    for reading in own:
        for variant in filter(None, (reading.variant, reading.over)):
            assert Case(reading.host, str(parse_variant(variant)), normal_size(reading.size)) in cases
    assert own


def test_the_report_studys_claims_are_all_among_the_documents():
    told = {(r.variant, r.metric, str(r.value).removesuffix(".0"), r.relation) for r in READINGS}
    for asked in read_study(packaged_study()).case:
        for claim in asked.claims:
            variant = asked.variant
            if claim.text == "CBAM at 512 ch: refused":  # asked of the form that the report has
                variant = "encoder.layer4=cbam_npu[spatial_limit=512]"
            assert (variant, claim.metric, str(claim.value).removesuffix(".0"), claim.relation) in told, claim


@pytest.mark.parametrize("reading", ARITHMETIC, ids=lambda one: one.as_ or one.figure or one.beyond)
def test_what_needs_no_build_is_answered(reading):
    assert judge_reading(reading, Known()).rests_on


def test_known_answers():
    found = {claim.says: claim for claim in read_claims().claim}

    def verdicts(start: str) -> dict[str, str]:
        (claim,) = (claim for says, claim in found.items() if says.startswith(start))
        return {one.as_: judge_reading(one, Known()).verdict for one in claim.reading if one in ARITHMETIC}

    assert verdicts("The attention map of full") == {"int8": "confirmed", "float16": "refuted"}
    assert list(verdicts("Kernels of 17x1").values()) == ["refuted", "confirmed", "confirmed"]
    assert list(verdicts("The two differ by 0.0356").values()) == ["confirmed"]
    assert set(verdicts("The mean of an 80x80 map").values()) == {"refuted"}
    assert set(verdicts("Steps 1 and 2 take 1.31").values()) == {"refuted"}
    assert list(verdicts("A(c F) equals").values()) == ["confirmed", "refuted"]
    assert verdicts("Steps 1 and 2 take 10.49")["the sum of the table's rows"] == "confirmed"


def test_the_committed_answer_is_of_these_claims():
    text = (RESULTS / "claims.md").read_text()
    for claim in read_claims().claim:
        assert claim.says.replace("|", "\\|") in text


# --- published figures


def test_the_published_gains_are_those_of_50_rows():
    gains = published_gains()
    tables = {id(gain.table): gain.table for gain in gains}
    alone = [t for t in tables.values() if (t.source, len(t.row)) not in (("mmpretrain", 1), ("timm", 3), ("timm", 1),
             ("imgclsmob", 2)) and t.network != "MobileNeXt"]  # fmt: skip
    assert len(gains) + len(alone) == 50
    points = {(g.table.source, g.table.recipe[:2], g.table.network, g.row.module): g.points for g in gains}
    assert points["PytorchInsight", "10", "ResNet-50", "CBAM"] == pytest.approx(1.242)
    assert points["DCANet", "tr", "ResNet-50", "GC"] == pytest.approx(-1.0)
    assert points["DCANet", "tr", "MnasNet 1.0", "CBAM"] == pytest.approx(-2.59)
    assert points["timm", "a3", "ResNet-50", "SE"] == pytest.approx(-1.016)
    assert points["imgclsmob", "on", "ResNet-50b", "CBAM"] == pytest.approx(2.12)


def test_se_in_resnet50_spans_what_six_sources_say():
    bar = gains_by_pair(published_gains())["resnet50", "residual-branch=se"]
    assert (bar.low, bar.high, len(bar.gains), len(bar.sources)) == (pytest.approx(-1.016), pytest.approx(1.48), 8, 6)
    assert len(gains_of_module(published_gains(), "SE").gains) == 15
    with pytest.raises(InputError, match="nothing is published of the module 'XE': there are SE, SK"):
        gains_of_module(published_gains(), "XE")


def test_the_imagenet_study_is_every_pair_that_a_host_has():
    cases = [one for one in plan(read_study(packaged_study("imagenet"))).cases if not one.case.is_baseline]
    assert {(one.case.host, one.case.variant) for one in cases} == set(gains_by_pair(published_gains()))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('host = "resnet50"\nbaseline = 76.384', "baseline = 76.384", "a table names its host, or what is lacking"),
        ("top1 = 77.184, ", "top1 = 177.184, ", "must be a number < 100.0, not 177.184"),
        (
            ', variant = "residual-branch=se" },\n    { module = "SK"',
            ' },\n    { module = "SK"',
            "SE: a row names its variant",
        ),
    ],
)
def test_a_broken_table_of_gains_is_one_line(tmp_path, old, new, message):
    text = PUBLISHED.read_text()
    assert old in text
    (tmp_path / "p.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        published_gains(tmp_path / "p.toml")


# --- the command

SMALL = """
[documents]
one = "Document one"
two = "Document two"

[[claim]]
document = "one"
section = "1"
says = "An SE has 8,464 parameters | and no more"
reading = [
    { as = "in the network", size = "64x96", variant = "encoder.layer3=se", metric = "params_delta", value = 8464, relation = "rounds to" },
    { as = "alone", figure = "params('se', 256, 4, 6)", value = 8464, relation = "rounds to", unit = "parameters" },
    { as = "without biases", figure = "macs('se', 256, 4, 6)", value = 8464, relation = "rounds to", unit = "parameters" },
]

[[claim]]
document = "two"
section = "2"
says = "The NPU refuses ECA, and a map needs 60 GB"
reading = [
    { as = "ECA", size = "64x96", variant = "encoder.layer3=eca", metric = "npu_verdict", value = "refused" },
    { as = "60 GB", figure = "2.0 ** 35", value = 60e9, unit = "B" },
    { as = "time", study = "made", variant = "encoder.layer3=cbam_npu", metric = "overhead_pct", value = 3 },
    { as = "more time", study = "unheard-of", variant = "encoder.layer3=cbam_npu", metric = "overhead_pct", value = 3 },
]
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def test_the_command_answers_in_every_form(command, small, store, run):
    arguments = ("claims", small, "--results", store(run).parent)
    code, out, err = command(*arguments)
    assert (code, err) == (0, "")
    assert "2 claims in 7 readings: 4 confirmed, 2 refuted, 1 not measured." in out
    assert "run attnbench sweep unheard-of, or attnbench claims --measure" in out
    assert "34.4 GB" in out
    assert "8,192 parameters" in out
    assert out.index("Document one") < out.index("in the network; alone") < out.index("Document two")
    _, text, _ = command(*arguments, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["verdict"] for row in rows] == [
        "confirmed", "confirmed", "refuted", "confirmed", "refuted", "confirmed", "not measured",
    ]  # fmt: skip
    assert [row["decided_by"] for row in rows] == [
        "count", "count", "count", "target rule", "arithmetic", "measurement", "measurement",
    ]  # fmt: skip
    assert (rows[0]["found"], rows[2]["found"], rows[4]["found"]) == ("8464.0", "8192.0", "34359738368.0")
    _, text, _ = command(*arguments, "--format", "json")
    answer = json.loads(text)
    assert answer["documents"] == {"one": "Document one", "two": "Document two"}
    assert answer["readings"][5]["rests_on"].endswith("results/one, 2026-01-01, a CPU")
    command(*arguments, "--output", small.with_suffix(".md"))
    assert "8,464 parameters \\| and no more" in small.with_suffix(".md").read_text()


def test_measure_runs_the_missing_studies_once_and_answers_again(command, small, store, run, monkeypatch):
    asked = []

    def swept(study, out):
        asked.append((study, out.name))
        store(replace(run, header=replace(run.header, study={**run.header.study, "name": study})), study)

    monkeypatch.setattr("attnbench.cli.sweep.sweep", swept)
    code, out, _ = command("claims", small, "--results", store(run).parent, "--measure")
    assert (code, asked) == (0, [("unheard-of", "unheard-of")])
    assert "5 confirmed, 2 refuted." in out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('document = "one"', 'document = "on"', "claim 1 'on': did you mean 'one'"),
        ('as = "alone", ', "", "claim 1: several readings need a name each"),
        ('figure = "2.0 ** 35", ', "", "claim 2: reading 2: a reading has one of figure, metric, check"),
        ('figure = "2.0 ** 35", ', 'figure = "2", beyond = "x", ', "not figure and beyond"),
        ('figure = "2.0 ** 35", value = 60e9', 'figure = "2.0 ** 35"', "lacks the key 'value'"),
        ('metric = "params_delta"', 'metric = "param_delta"', "unknown metric 'param_delta': did you mean"),
        ("value = 60e9", 'value = "much"', "must be a number, not 'much'"),
        ('encoder.layer3=se"', 'encoder.layer3=sse"', "unknown module 'sse'"),
        ('study = "made", variant = "encoder.layer3=cbam_npu", ', 'study = "made", ', "a variant goes with a metric"),
        ("[documents]", "[document]", "unknown key in claims"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_of_claims_is_one_line(refused, small, old, new, message):
    text = small.read_text()
    assert old in text
    small.write_text(text.replace(old, new, 1))
    assert message in refused("claims", small, "--results", small.parent)
    assert "there is no file nowhere.toml" in refused("claims", "nowhere.toml")
    assert "judges those of a run" in refused("claims", small.parent)
