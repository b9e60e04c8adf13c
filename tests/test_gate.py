"""A gate is not passed by silence: each way to lose a figure against each exit code, and what would resolve what is not told."""

import cProfile
import json
import math
import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pytest
from conftest import FIGURES, case, measurements
from msgspec import structs
from test_bench import Builder, Clockwork
from test_compare import failed, ours, row, variant

from attnbench.core.records import Failure, Measurement
from attnbench.core.variance import RunToRun
from attnbench.judge.compare import METRICS, compare, parse
from attnbench.judge.compare.noisy import BLUNT, ReplicateSeries, judged
from attnbench.judge.compare.rows import ComparisonRow, MoreReplicates
from attnbench.measure import executor, sweep
from attnbench.measure import header as headers
from attnbench.report import markdown
from attnbench.report.comparison import answer
from attnbench.runs import fold
from attnbench.runs.ledger import Ledger
from attnbench.runs.store import RUN_FILE, load_run, read_run_file

ALL = "overhead:1%,params:0,macs:0,memory:5%,npu:refused,nodes:0,latency:5%"
TIMES = [0.1] * 5
WAVE = (-1.0, 0.5, 1.0, -0.5, 0.0)


def whole(make, *others):
    """A run of three variants in which every figure of the gate is there, and no two runs of it differ."""
    run = make(*(variant(name, latency=TIMES) for name in "abc"), *others)
    base = run.records[0]
    timed = base.measured((Measurement("latency", 0.1, "s", samples=tuple(TIMES)),))
    return replace(run, records=(replace(base, measurements=timed), *run.records[1:]))


# --- the ways to lose a figure


def each(change, names="abc"):
    """Changes the records of these variants."""
    return lambda run: replace(run, records=tuple(change(r) if r.case.variant in names else r for r in run.records))


def as_if(metric, **values):
    """Changes a measurement of a record."""
    return lambda record: replace(
        record, measurements=tuple(replace(m, **values) if m.metric == metric else m for m in record.measurements)
    )


def without(metric):
    return lambda record: replace(record, measurements=tuple(m for m in record.measurements if m.metric != metric))


def ended(number):
    """A run that was killed after so many cases."""
    return lambda run: replace(run, records=run.records[:number])


def plans(*names):
    """A run whose study has no other cases."""
    return lambda run: replace(
        run,
        records=tuple(r for r in run.records if r.case.variant in names),
        header=replace(run.header, cases=tuple(c for c in run.header.cases if c.variant in names)),
    )


def skipped(record):
    why = Failure("memory", "CaseSkipped", "41 GB")
    return replace(record, status="skipped", measurements=measurements(**FIGURES), failure=why)


def header(**more):
    """A run of another kind."""
    return lambda run: replace(
        run, header=replace(run.header, **{key: {**getattr(run.header, key), **values} for key, values in more.items()})
    )


LOST = {
    "all but one overhead is not attributed": each(as_if("overhead", value=None), "ab"),
    "the run was killed": ended(2),
    "it was killed when all was built": each(without("overhead")),
    "it holds only its baseline": ended(1),
    "it lost its baseline": lambda run: replace(run, records=run.records[1:]),
    "a case was skipped": each(skipped, "b"),
    "findings vanished": each(lambda record: replace(record, findings=())),
    "another target was asked": each(lambda record: replace(record, findings=(replace(ours("Mul"), target="other"),))),
    "one replicate is left": each(as_if("overhead", samples=(0.01,)), "b"),
    "a replicate is no number": each(as_if("overhead", samples=(0.01, math.nan, 0.01)), "b"),
    "a figure is no number": each(as_if("macs", value=math.nan), "b"),
    "a figure is infinite": each(as_if("activation_peak", value=math.inf), "b"),
    "a figure was not counted": each(as_if("params", value=None), "b"),
    "a figure is gone": each(without("activation_peak"), "b"),
    "bytes are told in kB": each(as_if("activation_peak", unit="kB", value=8), "b"),
    "an overhead is told in %": each(as_if("overhead", unit="%"), "b"),
    "more is better": each(as_if("params", better="higher"), "b"),
    "neither is better": each(as_if("params", better="neither"), "b"),
    "it is exact no longer": each(as_if("macs", exact=False), "b"),
    "it was not timed": each(without("latency"), "b"),
    "another machine": header(machine={"id": "n"}),
    "no machine is named": header(machine={"id": None}),
    "another protocol": header(protocol={"seed": 3}),
    "an older protocol": header(software={"protocol": 0}),
    "it plans only its baseline": plans("baseline"),
    "a case is planned no longer": plans("baseline", "a", "c"),
}
"""What a run loses, by how that comes about."""

ONLY_NEW = ("it plans only its baseline", "a case is planned no longer")
"""What is no loss of BASE: a case that NEW alone plans is new."""


@pytest.mark.parametrize("side", ["BASE", "NEW"])
@pytest.mark.parametrize("way", LOST)
def test_a_lost_figure_is_missing_whatever_is_beside_it(make, way, side):
    if side == "BASE" and way in ONLY_NEW:
        side = "NEW"

    def code(before, after, gate=ALL):
        before, after = (LOST[way](run) if name == side else run for name, run in (("BASE", before), ("NEW", after)))
        found = compare(before, after, parse([gate]), allow_unresolved=9)
        assert bool(found.missing) is (gate == ALL)
        return found.exit_code

    good, heavy = whole(make), as_if("params", value=1001)
    worse = replace(good, records=tuple(map(heavy, good.records)))
    noisy = [whole(make, variant("noisy", pct, scatter=3.0, latency=TIMES)) for pct in (1.0, 1.1)]
    assert code(good, good) == 3
    assert code(good, worse) == 1
    assert code(*noisy) == 3
    assert code(good, good, "none") == 0


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (failed(), failed(), 3),
        (failed(), variant(), 3),
        (failed(status="refused"), variant(), 3),
        (failed(), failed(status="refused"), 3),
        (variant(), failed(), 1),
        (variant(), failed(status="refused"), 1),
        (failed(status="refused"), failed(status="refused"), 0),
        (skipped(variant()), skipped(variant()), 0),
        (skipped(variant()), as_if("params", value=None)(skipped(variant())), 3),
        (skipped(variant()), as_if("params", value=1001)(skipped(variant())), 1),
    ],
)
def test_a_case_without_figures_is_passed_only_where_both_runs_left_it_out_on_purpose(make, before, after, code):
    assert compare(make(before), make(after)).exit_code == code


def test_a_case_that_only_the_new_run_plans_asks_nothing(make):
    assert compare(make(variant("a")), make(variant("a"), variant("b"))).exit_code == 0


def test_the_missing_are_listed(make, store, command):
    base, new = make(*map(variant, "abc")), ended(2)(make(*map(variant, "abc")))
    code, out, _ = command("compare", store(base, "one"), store(new, "two"))
    assert code == 3
    assert "2 gated figures of 2 cases could not be compared, which is no pass" in out
    assert "No regression is seen by" in out
    listed = out.partition("Missing: what --fail-on asks for and could not be compared")[2]
    (line,) = (line for line in listed.partition("Incomparable")[0].splitlines() if "NEW ended before this case" in line)
    assert line.split()[:2] == ["case", "2"]
    assert line.endswith("b; c")
    document = json.loads(command("compare", store(base, "three"), store(new, "four"), "-f", "json")[1])
    assert [(gap["variant"], gap["metric"]) for gap in document["missing"]] == [("b", "case"), ("c", "case")]


# --- unresolved


def noisy(make, number):
    return [make(*(variant(f"v{i}", pct, scatter=3.0) for i in range(number))) for pct in (1.0, 1.1)]


def test_what_noise_does_not_tell_is_an_outcome_of_its_own(make, store, command):
    runs = noisy(make, 2)
    assert [compare(*runs, allow_unresolved=allowed).exit_code for allowed in (0, 1, 2)] == [4, 4, 0]
    assert compare(*runs, parse(["params:0"])).exit_code == 0
    assert not compare(*runs).missing
    code, out, _ = command("compare", *map(store, runs, ("one", "two")), "--allow-unresolved", 1)
    assert code == 4
    assert "2 gated figures not resolved, of which 1 may be" in out


def test_five_points_at_a_case_that_scatters_are_no_pass(make):
    """A change of 5 points with p 0.01 among 85 is not told by Holm's rule, and not excluded."""
    others = [variant(f"o{i}", pct=0.25 * (i + 1), scatter=0.03 * (i + 1)) for i in range(84)]
    before = make(*others, variant(pct=20.0, scatter=2.5))
    found = compare(before, make(*others, variant(pct=25.0, scatter=2.5)))
    assert 0.001 < row(found).p < 0.05
    assert row(found).low > 0
    assert (row(found).verdict, found.exit_code) == ("unresolved", 4)


def sample(number, mean, scatter, seed):
    """Replicates with exactly this mean and standard deviation, in points."""
    chance = random.Random(seed)
    raw = [chance.gauss(0, 1) for _ in range(number)]
    return [(mean + scatter * (x - fmean(raw)) / stdev(raw)) / 100 for x in raw]


def told(one, two, *, among=1, floor=0.0):
    rest = [ReplicateSeries(ComparisonRow(case("x"), "overhead", None, ""), (0.01, 0.02), (0.01, 0.02), 0.01)] * (among - 1)
    series = ReplicateSeries(ComparisonRow(case("a"), "overhead", None, ""), one, two, 0.01, floor)
    return judged([series, *rest])[0]


@pytest.mark.parametrize(
    ("among", "change", "scatter"),
    [
        (1, 0.0, 1.2),
        (1, 0.2, 0.8),
        (1, 1.3, 0.9),
        (85, 0.0, 1.2),
        (85, 0.2, 0.8),
        (85, 1.3, 0.5),
        (85, 0.7, 0.3),
        (85, 3.0, 2.0),
    ],
)
def test_so_many_more_replicates_resolve_it(among, change, scatter):
    found, numbers = None, [5, 5]
    for _ in range(3):  # a change that is told alone, and not among many, takes a second step
        one, two = numbers
        found = told(sample(one, 2.0, scatter, 1), sample(two, 2.0 + change, scatter, 2), among=among)
        if found.verdict != "unresolved":
            break
        numbers = [one + found.more.base, two + found.more.new]
    assert numbers != [5, 5]
    assert found.verdict == ("worse" if change > 1 else "same")


def test_new_alone_gets_more_where_that_is_enough_and_no_number_beats_the_noise_floor():
    one, two = sample(10, 2.0, 0.5, 1), sample(3, 2.3, 0.5, 2)
    assert (told(one, two).verdict, told(one, two).more.base) == ("unresolved", 0)
    assert told(sample(3, 2.0, 1.2, 1), sample(3, 2.1, 1.2, 2)).more.base > 0
    blunt = told(sample(5, 2.0, 1.2, 1), sample(5, 2.1, 1.2, 2), floor=0.006)
    assert (blunt.verdict, blunt.why, blunt.more) == ("unresolved", BLUNT, None)
    assert MoreReplicates(2, 3).text == "2 in BASE and 3 in NEW"


def test_with_the_replicates_that_it_lacks_less_is_unresolved_and_noise_hardly_passes_more_often_for_a_change():
    chance, alarms, unresolved = random.Random(5), [0, 0], [0, 0]

    def rows(pairs):
        return judged([ReplicateSeries(ComparisonRow(case("a"), "overhead", None, ""), *pair, 0.01) for pair in pairs])

    for _ in range(200):
        pairs = [([chance.gauss(2.0, 0.4) / 100 for _ in range(5)], [chance.gauss(2.0, 0.4) / 100 for _ in range(5)]) for _ in range(6)]  # fmt: skip
        first = rows(pairs)
        for pair, found in zip(pairs, first, strict=True):
            if found.more is not None and not found.more.base:
                pair[1].extend(chance.gauss(2.0, 0.4) / 100 for _ in range(found.more.new))
        for index, verdicts in enumerate([one.verdict for one in found] for found in (first, rows(pairs))):
            alarms[index] += any(one in ("worse", "better") for one in verdicts)
            unresolved[index] += verdicts.count("unresolved")
    assert alarms[1] <= 0.05 * 200
    assert unresolved[1] < 0.7 * unresolved[0]


@pytest.fixture
def swept(command, monkeypatch, tmp_path):
    """Sweeps one case whose replicates are 1, 2 and 3 % in turn, to a folder of this name."""
    clockwork = Clockwork()
    monkeypatch.setattr(executor, "time_in_process", clockwork.answer)
    monkeypatch.setattr(sweep, "Builder", Builder())
    monkeypatch.setattr(
        headers, "learned", lambda _: RunToRun(degrees=60.0)
    )  # what runs differ by shrinks with no replicate
    monkeypatch.setattr(fold, "_floors", lambda _: ())  # one case alone is its own A/A repeat, and as wide as that

    def call(name, *more):
        asked = ("--module", "se_npu", "--place", "encoder.layer3", "--size", "32x32", "--processes", 3, "--crosscheck", 0)
        return command("sweep", *asked, "--out", tmp_path / name, "--quiet", *more)

    return call


def test_sweep_takes_the_replicates_that_a_comparison_lacks_once(swept, command, tmp_path):
    base, new = tmp_path / "base", tmp_path / "new"
    gate, first = ("--fail-on", "overhead:0.53%"), ("--processes", 12)
    assert swept("base", *first, "--max-processes", 300, "--precision", "0.01")[0] == 0
    assert swept("new", *first, "--max-processes", 12)[0] == 0
    code, out, _ = command("compare", base, new, *gate)
    (lacks,) = re.findall(r"1 gated figure not resolved: about (\d+) more replicates of NEW would tell", out)
    assert code == 4
    code, out, _ = swept("new", *first, "--max-processes", 12, "--resolve", base, *gate)
    assert code == 0
    assert "0 figures not resolved beside" in out
    (record,) = (record for record in load_run(new).records if not record.case.is_baseline)
    assert len(record.get("overhead").samples) == 12 + int(lacks)
    assert command("compare", base, new, *gate)[0] == 0


def test_sweep_resolves_only_what_compares(swept, store, make, tmp_path):
    code, _, err = swept("new", "--fail-on", "overhead:1%")
    assert (code, err.count("\n")) == (2, 1)
    assert "name a run with --resolve, too" in err
    code, _, err = swept("new", "--resolve", store(make(variant(), machine="n")))
    assert (code, err.count("\n")) == (2, 1)
    assert "no overhead of it can be compared here: measured" in err
    assert not (tmp_path / "new").exists()


# --- thresholds and families


@pytest.mark.parametrize(
    ("gate", "before", "after", "scatter", "verdict"),
    [
        ("overhead:1%", 315, 316, 4, "unresolved"),
        ("overhead:1%:10%", 315, 316, 4, "same"),
        ("overhead:1%:10%", 315, 360, 4, "worse"),
        ("overhead:1%", 0.4, 0.9, 0.02, "same"),
        ("overhead:0.1%:10%", 0.4, 0.9, 0.02, "worse"),
        ("overhead:0.1%:10%", 0.4, 0.41, 0.02, "same"),
        ("overhead:0.1%:10%,overhead:1%", 20, 21.5, 0.2, "worse"),
    ],
)
def test_a_threshold_is_points_or_a_share_of_the_overhead_where_that_is_more(make, gate, before, after, scatter, verdict):
    found = compare(make(variant(pct=before, scatter=scatter)), make(variant(pct=after, scatter=scatter)), parse([gate]))
    assert row(found).verdict == verdict
    assert bool(found.regressions) is (verdict == "worse")


def test_overheads_and_latencies_are_one_family(make):
    def timed(slow, pct):
        return make(variant(pct=pct, latency=[0.1 * slow * (1 + 0.001 * wave) for wave in WAVE]))

    found = compare(timed(1.0, 1.0), timed(1.0005, 1.03), parse(["overhead:1%,latency:5%"]))
    chances = {r.metric: (r.p, r.adjusted) for r in found.rows if r.p is not None}
    assert set(chances) == {"overhead", "latency"}
    least = min(chances.values())
    assert least[1] == pytest.approx(2 * least[0])
    assert any("Holm's correction over 2 at most 5 %" in note for note in found.notes)


# --- files that hold no numbers, and crashes


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 400])
@pytest.mark.parametrize(("line", "old"), [(1, '"load":0.1'), (3, '"value":1000'), (3, '"value":0.01')])
def test_what_is_no_finite_number_is_refused_with_its_line(make, store, refused, number, line, old):
    good, bad = store(make(variant()), "one"), store(make(variant()), "two")
    lines = (bad / RUN_FILE).read_text().splitlines(keepends=True)
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, f"{old.partition(':')[0]}:{number}", 1)
    (bad / RUN_FILE).write_text("".join(lines))
    for pair in ((good, bad), (bad, good)):
        said = refused("compare", *pair)
        assert f"two/{RUN_FILE}: line {line} is not " in said
        assert "finite number" in said
    assert f"line {line}" in refused("report", bad)


FACT = (
    '{"fact":"profile","case":{"host":"resnetsan01","variant":"a","size":"384x640","batch":1},"number":0,"core_share":1.0,'
    '"overhead":0.01,"aligned":1.0}\n'
)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-1e999"])
def test_a_fact_that_holds_none_is_refused_with_its_line(make, store, refused, number):
    bad = store(make(), "two")
    with (bad / RUN_FILE).open("a") as file:
        file.write(FACT + FACT.replace("0.01", number))
    assert f"two/{RUN_FILE}: line 4 is not a fact" in refused("compare", bad, bad)


def test_a_name_that_is_no_text_is_refused_before_anything_is_measured(refused, user_file, tmp_path):
    odd = tmp_path / os.fsdecode(b"m\xff.py")
    odd.write_text(user_file.read_text())
    said = refused(
        "sweep", "--module", f"{odd}:Gate", "--place", "encoder.layer3", "--size", "32x32", "--out", tmp_path / "out"
    )
    assert "is no valid Unicode: rename the file that it names" in said
    assert not (tmp_path / "out").exists()


def test_a_stored_name_that_is_no_text_is_shown_by_its_escape(make, store, command):
    run = make(replace(variant(), case=case("half \ud800=se")))
    path = store(replace(run, header=replace(run.header, cases=tuple(r.case for r in run.records))))
    assert [r.case.variant for r in load_run(path).records] == ["baseline", "half \\ud800=se"]
    for arguments in (("report", path), ("compare", path, path, "--all"), ("explain", path, "half"), ("recommend", path)):
        code, out, err = command(*arguments)
        assert (code, err) == (0, "")
        out.encode()


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("by zero\nand more"), EOFError(), RecursionError("deep"), MemoryError()]
)
def test_a_crash_is_one_line_and_a_code_that_means_nothing_else(make, store, command, monkeypatch, error):
    def crash(*_, **__):
        raise error

    monkeypatch.setattr("attnbench.judge.compare.compare", crash)
    path = store(make(variant()))
    code, out, err = command("compare", path, path)
    assert (code, out, err.count("\n")) == (70, "", 1)
    assert err.startswith(
        f"attnbench: internal error: {'RuntimeError' if isinstance(error, EOFError) else type(error).__name__}"
    )
    kept = Path(err.split()[-1])
    assert "Traceback" in kept.read_text()
    kept.unlink()


def test_a_reader_that_went_away_is_no_regression(make, store):
    path = store(make(variant()))
    read, write = os.pipe()
    os.close(read)
    script = f"import sys; sys.argv = ['attnbench', 'compare', {str(path)!r}, {str(path)!r}]\nfrom attnbench.cli import main; main()"
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    done = subprocess.run([sys.executable, "-c", script], stdout=write, stderr=subprocess.PIPE, env=environment, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


# --- time


def calls(function, *arguments):
    """How many functions are called: time that no other process disturbs."""
    profile = cProfile.Profile()
    profile.runcall(function, *arguments)
    return sum(entry.callcount for entry in profile.getstats())


def test_reports_and_comparisons_take_time_in_proportion_to_the_cases(make):
    def of_hosts(number, pct):
        one = make(variant("encoder.stem=se", pct), variant("encoder.layer1=se", pct))
        records = tuple(
            replace(r, case=structs.replace(r.case, host=f"host{i}")) for i in range(number) for r in one.records
        )
        named = [
            {"variant": r.case.variant, "host": r.case.host, "claims": [], "priority": 1}
            for r in records
            if not r.case.is_baseline
        ]
        study = {**one.header.study, "cases": named}
        return replace(one, records=records, header=replace(one.header, study=study, cases=tuple(r.case for r in records)))

    small, large = ((of_hosts(number, 1.0), of_hosts(number, 1.1)) for number in (20, 80))
    calls(compare, *small)  # what is computed once
    for function in (lambda *runs: markdown.render(runs[0]), lambda *runs: answer(compare(*runs)).json()):
        assert calls(function, *large) < 4.4 * calls(function, *small)


def test_a_run_is_read_for_some_metrics_and_whole_to_the_same_figures(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    import reading_speed

    path = reading_speed.write_run(tmp_path / "made", 60, 0)
    whole, brief = load_run(path), load_run(path, METRICS)
    stored = read_run_file(path)
    assert whole == fold.fold(stored.header, Ledger(stored.facts)), "nodes that were summed up are those that were kept"
    assert any(record.nodes for record in whole.records)
    assert compare(whole, whole).rows == compare(brief, brief).rows
    assert [(r.sources, r.status, r.pending) for r in brief.records] == [
        (r.sources, r.status, r.pending) for r in whole.records
    ]
    for name in sorted({found.metric for record in whole.records for found in record.measurements}):
        asked = load_run(path, {name})
        assert [record.get(name) for record in asked.records] == [record.get(name) for record in whole.records]
        assert not any(record.nodes or record.checks or record.findings or record.seconds for record in asked.records)
