"""What a run becomes for other programs: each format read back, and held to its own definition and to the records."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from conftest import finding
from msgspec import structs

from attnbench.cli.report import FORMAT_HELP
from attnbench.core.metrics import METRICS, SERIES
from attnbench.core.records import Case, Failure, Finding, Measurement, Record, RunHeader
from attnbench.report import FORMATS, bmf, latex
from attnbench.report.frame import to_frame
from attnbench.report.series import figures
from attnbench.runs.store import load_run

DATA = Path(__file__).parent / "data"
NAMES = FORMATS.names()
ODD = "'x 中 & 100%_#{y}~^\\|<b>\"--`µ± [z]*/q-7'=eca"
GATE = "encoder.layer1+encoder.layer2=se[reduction=8]"


def overhead(value, low=None, high=None, samples=()):
    return Measurement("overhead", value, low=low, high=high, samples=samples, note="precision reached after 3 replicates")


def timed(record, **more):
    """A record with raw times, that the shared one does without."""
    found = (
        Measurement("latency", 0.103, "s", samples=(0.1025, 0.103, 0.1101), note="1 thread, unprofiled"),
        Measurement("latency@2", 0.07, "s", samples=(0.07,), note="2 threads, unprofiled"),
        Measurement("latency_p90@2", 0.071, "s"),
        Measurement("memory_peak", 9_500_000, "B"),
    )
    return replace(record, measurements=record.measured(found), **more)


def rich(run):
    """Two hosts, sizes and targets, odd names, raw samples, and every outcome, at each of them."""
    base, cbam, eca, skipped, failed = run.records
    unlisted = {"rule": "unlisted", "reason": "other does not list Erf", "evidence": "", "target": "other", "source": "here"}
    other = replace(finding("Erf", "unknown", "@s@0.x@/node_Erf"), **unlisted)
    hosts = Finding("aimotive", "refused", "r", "node_Loop", "Loop", "", "", "the host's own", "", "here")
    seen = "\x1b[31mred\x00 & <it> | broke\nin two"
    own = (
        timed(base),
        timed(replace(cbam, findings=(*cbam.findings, other, hosts))),
        timed(replace(eca, case=structs.replace(eca.case, variant=GATE), seconds={"total": 12.5})),
        replace(cbam, case=structs.replace(cbam.case, variant=ODD), measurements=cbam.measured((overhead(-0.0005, -0.001, 0.0, (-0.0005,)),))),
        replace(cbam, case=structs.replace(cbam.case, variant="decoder.fusion=se"), measurements=cbam.measured((overhead(None),)), pending=2),
        replace(eca, case=structs.replace(eca.case, variant="encoder.stem=cbam"), status="refused", measurements=(),
                findings=(), failure=Failure("build", "CaseRefused", "needs at least 32 channels")),
        replace(eca, case=structs.replace(eca.case, variant="encoder.stem=eca"), status="failed", failure=Failure("parity", "CaseFailure", "ONNX differs from torch by 1")),
        skipped,
        replace(failed, failure=Failure("export", "CaseFailure", seen)),
    )  # fmt: skip
    places = [("resnetsan01", "384x640"), ("resnetsan01", "192x320"), ("a folder/my net.py:build[width=32]", "192x320")]
    records = tuple(replace(r, case=structs.replace(r.case, host=host, size=size)) for host, size in places for r in own)
    study = {**run.header.study, "targets": ["aimotive", "other"]}
    study["cases"] = [*study["cases"], *study["cases"][:1], {"variant": GATE, "claims": [
        {"metric": "npu_verdict", "value": "refused", "relation": "about", "source": "2.1"},
        {"metric": "overhead_pct", "value": 0.1, "relation": "about", "source": "2.2"}]}]  # fmt: skip
    machine = {**run.header.machine, "system": "Linux 6.18", "architecture": "x86_64"}
    header = replace(run.header, study=study, machine=machine, cases=tuple(r.case for r in records))
    return replace(run, header=header, records=records)


RUNS = ("made", "rich", "empty", "first", "shards")


@pytest.fixture
def runs(run):
    """Runs by name: made by hand, with everything at once, with a header alone, and two that were written once."""
    return {
        "made": run,
        "rich": rich(run),
        "empty": replace(run, records=(), header=replace(run.header, cases=())),
        "first": load_run(DATA / "run-2026-11-21-first.jsonl"),
        "shards": load_run(DATA / "run-2026-11-21-shards.jsonl"),
    }


@pytest.fixture(params=RUNS)
def any_run(request, runs):
    return runs[request.param]


def text(name, run):
    return FORMATS.load(name).render(run)


def measured(run):
    """The cases that a series may have, with their figures."""
    return {record.case.label: list(figures(record)) for record in run.records if list(figures(record))}


# ---- what holds for every format


@pytest.mark.parametrize("name", NAMES)
def test_every_format_renders_every_run_the_same_way_twice(name, any_run):
    rendered = text(name, any_run)
    assert rendered == text(name, any_run)
    assert rendered.endswith("\n")
    assert not rendered.endswith("\n\n")
    figures_and_texts = rendered.partition('<script type="text/plain"')[0]  # what draws is no figure
    assert not re.search(r"\b(NaN|nan|Infinity|inf)\b", figures_and_texts)
    rendered.encode("utf-8")


HOSTILE = (
    "half \ud800 of \udcff one",
    "a | b \\| c",
    "two\nlines\r\n",
    "<script>x</script>",
    "`a`*b*[c](d)",
    "\x00\x1b[31m",
    "",
    "x" * 3000,
)


def with_every_name(run, name):
    """The run with this name for its study, host, module, nodes, ops, rules and reasons: measured, refused and failed cases."""

    def named(record, variant):
        return replace(
            record,
            case=Case(name, variant, "8x8"),
            notes=(name,),
            failure=record.failure and Failure(name, name, name),
            findings=tuple(replace(one, node=name, op=name, reason=name, rule=name) for one in record.findings),
        )

    baseline, measured, _, skipped, _ = run.records
    records = (named(baseline, "baseline"), *(named(record, f"'{name}'=eca") for record in (measured, skipped)))
    study = {**run.header.study, "title": name, "name": name}
    return replace(run, records=records, header=replace(run.header, study=study))


def assert_markdown_is_whole(text):
    """Each table has as many cells in every row as columns, there is one title, and nothing is taken for a script."""
    lines = text.splitlines()
    tables = [list(rows) for is_table, rows in groupby(lines, lambda line: line.startswith("|")) if is_table]
    for head, rule, *rows in tables:
        assert set(rule) <= set("|:-")
        for row in (head, *rows):
            assert len(re.findall(r"(?:\\.|[^|\\])*\|", row)) == rule.count("|"), row
    assert sum(line.startswith("# ") for line in lines) == 1
    assert "<script" not in text


READERS = {
    "md": assert_markdown_is_whole,
    "junit": ET.fromstring,
    **dict.fromkeys(("json", "bmf", "github-action-benchmark", "pytest-benchmark"), json.loads),
}
"""What fails where a file of a format is broken."""


@pytest.mark.parametrize("odd", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("name", NAMES)
def test_no_name_breaks_a_format(name, odd, run):
    rendered = text(name, with_every_name(run, odd))
    rendered.encode("utf-8")
    READERS.get(name, str)(rendered)


def test_names_and_files_are_unique_and_the_help_names_each():
    entries = [FORMATS.load(name) for name in NAMES]
    assert set(re.split(", | or ", FORMAT_HELP.rstrip("."))) == set(NAMES)
    assert len({entry.file for entry in entries}) == len(entries)
    assert all(entry.summary and "/" not in entry.file for entry in entries)


def test_the_command_writes_each_and_answers_a_wrong_name(command, refused, run, store, tmp_path):
    stored = store(run)
    for name in NAMES:
        code, out, _ = command("report", stored, "--format", name)
        assert (code, out) == (0, text(name, load_run(stored)))
        assert command("report", stored, "-f", name, "-o", tmp_path / "out")[0] == 0
        assert (tmp_path / "out").read_text(encoding="utf-8") == out
    assert "unknown format 'junt': did you mean 'junit'" in refused("report", stored, "--format", "junt")


def test_formats_load_nothing_heavy_and_do_not_hang_on_the_order_of_hashes():
    script = f"""
import hashlib, sys
from attnbench.report import FORMATS
from attnbench.report.charts import drawing
from attnbench.runs.store import load_run
drawing.bundle = lambda: ""
run = load_run({str(DATA / "run-2026-11-21-shards.jsonl")!r})
print({{n: hashlib.sha256(FORMATS.load(n).render(run).encode()).hexdigest() for n in FORMATS.names()}})
print([n for n in ("torch", "onnx", "onnxruntime", "fvcore") if n in sys.modules])
"""
    seen = [
        subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert seen[0] == seen[1]
    assert seen[0].splitlines()[1] == "[]"


def test_a_series_has_only_what_is_there(runs):
    found = {record.case.variant: list(figures(record)) for record in runs["rich"].records}
    for variant in ("encoder.stem=cbam", "encoder.stem=eca", "encoder.stem=self_attention", "encoder.layer3=bad"):
        assert not found[variant]
    assert "overhead" not in {figure.metric.name for figure in found["decoder.fusion=se"]}
    odd = (Measurement("latency", math.nan), Measurement("params", 3, samples=(math.inf,)))
    (figure,) = figures(Record(Case("h", "a=b", "1x1"), "ok", odd))
    assert (figure.metric.name, figure.value, figure.samples, figure.interval) == ("params", 3, (), None)


# ---- json


def test_json_holds_the_run_and_the_table(any_run):
    document = json.loads(text("json", any_run))
    assert document["schema"] == 1
    header = RunHeader.from_json({**document["header"], "machine": document["machine"], "software": document["software"]})
    assert json.dumps(header.to_json()) == json.dumps(any_run.header.to_json())
    for case, record in zip(document["cases"], any_run.records, strict=True):
        whole = {
            **case,
            "measurements": [{"value": None, **m} for m in case.get("measurements", [])],
            "checks": [{"passed": None, **c} for c in case.get("checks", [])],
        }
        assert Record.from_json(whole) == record
        assert case["label"] == record.case.label
    rows = [row for case in document["cases"] for row in case["rows"]]
    expected = to_frame(any_run)
    assert len(rows) == len(expected)
    for row, (_, wanted) in zip(rows, expected.iterrows(), strict=True):
        assert row == {k: v for k, v in wanted.items() if not pd.isna(v) and v != ""}
        assert set(row) <= set(document["columns"]) | {c for c in expected.columns if "_threads_" in c}
    assert "null" not in re.sub(r'"[^"\n]*"', "", text("json", any_run).partition('"columns"')[2])


def test_json_is_the_table_of_cases_with_one_line_of_pandas(runs):
    document = json.loads(text("json", runs["rich"]))
    table = pd.json_normalize(document["cases"], "rows")
    expected = to_frame(runs["rich"])
    assert list(table["variant"]) == list(expected["variant"])
    assert table["overhead_pct"].equals(expected["overhead_pct"].astype(float))


# ---- github-action-benchmark


def test_github_action_benchmark_entries(any_run):
    entries = json.loads(text("github-action-benchmark", any_run))
    assert len({entry["name"] for entry in entries}) == len(entries) == sum(map(len, measured(any_run).values()))
    wanted = {(label, f.metric.name, f.threads): f for label, own in measured(any_run).items() for f in own}
    kinds = {METRICS[name].label: name for name in SERIES}
    for entry in entries:
        assert set(entry) <= {"name", "unit", "value", "range", "extra"}
        assert all(isinstance(entry[key], str) for key in ("name", "unit", "extra"))
        label, _, told = entry["name"].rpartition(": ")
        kind, _, threads = told.partition(", ")
        figure = wanted.pop((label, kinds[kind], int(threads.split()[0]) if threads else 1))
        scale = {"overhead": 100.0, "latency": 1e3, "latency_p90": 1e3}.get(figure.metric.name, 1.0)
        assert entry["value"] == figure.value * scale
        assert ("range" in entry) == (figure.interval is not None)
        if figure.interval:
            found = re.fullmatch(r"± (\d.+)", entry["range"])  # as src/extractRangeInfo.ts reads it
            assert float(found[1]) == pytest.approx((figure.interval[1] - figure.interval[0]) / 2 * scale)
    assert not wanted


def test_a_series_keeps_its_name_when_its_figures_change(runs):
    run = runs["rich"]
    later = replace(run, records=tuple(replace(r, measurements=tuple(
        replace(m, value=m.value and m.value * 1.1, samples=(), low=None, high=None) for m in r.measurements)) for r in run.records))  # fmt: skip
    for name in ("github-action-benchmark", "bmf", "benchstat"):
        keys = [
            sorted(e["name"] for e in json.loads(text(name, r))) if name.startswith("git")
            else sorted(json.loads(text(name, r))) if name == "bmf"
            else sorted({line.split()[0] for line in text(name, r).splitlines() if line.startswith("Benchmark")})
            for r in (run, later)
        ]  # fmt: skip
        assert keys[0] == keys[1]
    entry = next(e for e in json.loads(text("github-action-benchmark", run)) if e["name"].endswith("cbam_npu: overhead"))
    assert entry["name"] == "resnetsan01 384x640 encoder.layer3=cbam_npu: overhead"
    assert (entry["unit"], entry["value"]) == ("%", 3.0)
    assert entry["extra"].startswith("3.00 [2.90, 3.10] %, 95 % interval\n")


# ---- Bencher


def test_bmf_is_as_benchers_schema_says(any_run):
    benchmarks = json.loads(text("bmf", any_run))
    assert set(benchmarks) == set(measured(any_run))
    for label, own in measured(any_run).items():
        assert set(benchmarks[label]) == {bmf.slug(figure) for figure in own}
        for figure in own:
            metric = benchmarks[label][bmf.slug(figure)]
            scale = {"overhead": 100.0, "latency": 1e9, "latency_p90": 1e9}.get(figure.metric.name, 1.0)
            assert set(metric) == ({"value", "lower_value", "upper_value"} if figure.interval else {"value"})
            assert all(isinstance(value, int | float) and math.isfinite(value) for value in metric.values())
            assert metric["value"] == figure.value * scale
            if figure.interval:
                assert [metric["lower_value"], metric["upper_value"]] == [end * scale for end in figure.interval]
                assert metric["lower_value"] <= metric["value"] <= metric["upper_value"]
            assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", bmf.slug(figure))
            assert len(bmf.slug(figure)) <= 64


def test_bmf_counts_latency_in_nanoseconds_and_cuts_long_names(runs):
    found = json.loads(text("bmf", runs["rich"]))["resnetsan01 384x640 encoder.layer3=cbam_npu"]
    assert found["latency"] == {"value": 0.103 * 1e9}
    assert found["latency-threads-2"] == {"value": 0.07 * 1e9}
    long = [Case("h", f"{'x' * 2000}{end}=se", "1x1") for end in "ab"]
    assert len({bmf.benchmark_name(case) for case in long}) == 2
    assert {len(bmf.benchmark_name(case)) for case in long} == {1024}


# ---- Go's benchmark format


def go_reader(written):
    """Configuration, units and results, as the format's definition and golang.org/x/perf/benchfmt read them."""
    config, units, results = {}, {}, []
    for line in written.splitlines():
        fields = line.split()
        if line.startswith("Benchmark"):
            name, iterations, *pairs = fields
            assert pairs
            assert len(pairs) % 2 == 0
            assert int(iterations) > 0
            results.append((name, {unit: float(value) for value, unit in zip(pairs[::2], pairs[1::2], strict=True)}))
        elif fields[:1] == ["Unit"]:
            assert fields[1] not in units
            units[fields[1]] = dict(pair.split("=") for pair in fields[2:])
        elif found := re.match(r"([a-z][^\sA-Z:]*):[ \t]+(.*)", line):
            config[found[1]] = found[2]
        else:
            assert line.startswith("#"), line
    return config, units, results


def go_name(name):
    """The parts of a name, split where benchfmt splits it: at slashes, and at the last hyphen before digits."""
    whole, threads = re.fullmatch(r"Benchmark(.+?)-(\d+)", name).groups()
    base, *parts = whole.split("/")
    assert base == "Case"
    return {key: unquote(value) for key, _, value in (part.partition("=") for part in parts)}, int(threads)


def test_benchstat_lines_are_the_raw_samples(any_run):
    config, units, results = go_reader(text("benchstat", any_run))
    assert config["pkg"] == f"attnbench/{any_run.header.study['name']}"
    assert config["goos"] == "linux"
    assert set(config) <= {"goos", "goarch", "pkg", "cpu"}
    assert all(own["better"] == "lower" for own in units.values())
    exact = {unit for unit, own in units.items() if own.get("assume") == "exact"}
    assert exact == {"params", "MACs", "activation-peak-B", "weights-B"}
    found = {}
    for name, values in results:
        parts, threads = go_name(name)
        for unit, value in values.items():
            assert unit in units
            found.setdefault((parts["host"], parts["size"], parts["variant"], threads, unit), []).append(value)
    wanted = {}
    names = {"overhead": ("overhead-%", 100), "latency": ("ns/op", 1e9), "params": ("params", 1), "macs": ("MACs", 1),
             "activation_peak": ("activation-peak-B", 1), "memory_peak": ("memory-peak-B", 1), "weights": ("weights-B", 1)}  # fmt: skip
    for record in any_run.records:
        for f in figures(record):
            if f.metric.name in names:
                unit, scale = names[f.metric.name]
                key = (record.case.host, record.case.size, record.case.variant, f.threads, unit)
                wanted[key] = [sample * scale for sample in f.samples or (f.value,)]
    assert found == wanted


def test_benchstat_says_the_machine_and_batches(runs):
    config, _, _ = go_reader(text("benchstat", runs["rich"]))
    assert (config["goarch"], config["cpu"]) == ("amd64", "a CPU")
    run = runs["made"]
    two = replace(run, records=(replace(run.records[0], case=structs.replace(run.records[0].case, batch=4)),))
    assert "/variant=baseline/batch=4-1 1 " in text("benchstat", two)


# ---- pytest-benchmark

STATS = {"min", "max", "mean", "stddev", "rounds", "median", "iqr", "q1", "q3", "iqr_outliers", "stddev_outliers",
         "outliers", "ld15iqr", "hd15iqr", "ops", "total", "data", "iterations"}  # fmt: skip


def test_pytest_benchmark_documents_hold_the_latencies(any_run):
    document = json.loads(text("pytest-benchmark", any_run))
    assert set(document) == {"machine_info", "commit_info", "benchmarks", "datetime", "version"}
    benchmarks = {b["fullname"]: b for b in document["benchmarks"]}
    assert len(benchmarks) == len(document["benchmarks"])
    wanted = {(label, f.threads): f for label, own in measured(any_run).items() for f in own if f.metric.name == "latency"}
    assert len(wanted) == len(benchmarks)
    for (label, threads), figure in wanted.items():
        found = benchmarks[label if threads == 1 else f"{label} ({threads} threads)"]
        assert set(found["stats"]) == STATS
        assert found["stats"]["data"] == list(figure.samples or (figure.value,))
        assert found["params"]["threads"] == threads
        assert label == f"{found['params']['host']} {found['params']['size']} {found['params']['variant']}"
        own = next((f for f in measured(any_run)[label] if f.metric.name == "overhead"), None)
        assert found["extra_info"].get("overhead_pct") == (None if own is None else own.value * 100)


@pytest.mark.parametrize("number", range(1, 13))
def test_statistics_are_those_of_pytest_benchmark(number):
    theirs = pytest.importorskip("pytest_benchmark.stats").Stats()
    from attnbench.report.pytest_benchmark import stats

    data = [0.1 + ((7 * i * i + 3) % 11) / 100 + (i == 4) for i in range(number)]
    for value in data:
        theirs.update(value)
    found = stats(data)
    for field in STATS - {"data", "iterations", "outliers"}:
        assert found[field] == pytest.approx(getattr(theirs, field)), field
    assert found["outliers"] == theirs.outliers
    assert stats([0.1] * number)["iqr"] == pytest.approx(0)


def test_pytest_benchmark_itself_prints_the_table(runs, tmp_path):
    pytest.importorskip("pytest_benchmark")
    file = tmp_path / "run.json"
    file.write_text(text("pytest-benchmark", runs["rich"]), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", file, "--group-by=group", "--name=long", "--csv=table.csv"],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "benchmark 'resnetsan01 384x640': 8 tests" in done.stdout
    assert f"resnetsan01 384x640 {GATE} (2 threads)" in done.stdout
    assert "Failed to load" not in done.stderr
    table = pd.read_csv(tmp_path / "table.csv")
    assert list(table["median"])[:1] == [0.07]


# ---- JUnit


def junit_tests(rendered):
    """The tests by case and name, after the document was held to the schema of Ant's JUnit task, element by element."""
    root = ET.fromstring(rendered)
    assert root.tag == "testsuites"
    assert not root.attrib
    found = {}
    for number, suite in enumerate(root):
        assert suite.tag == "testsuite"
        needed = {"name", "timestamp", "hostname", "tests", "failures", "errors", "time", "package", "id"}
        assert needed <= set(suite.attrib) <= needed | {"skipped"}
        assert all(suite.attrib.values())
        assert suite.get("id") == str(number)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp"))
        tags = [child.tag for child in suite]
        assert tags == ["properties", *["testcase"] * (len(tags) - 3), "system-out", "system-err"]
        assert all(set(p.attrib) == {"name", "value"} for p in suite[0])
        count = Counter()
        for test in suite.iter("testcase"):
            assert set(test.attrib) == {"name", "classname", "time"}
            assert float(test.get("time")) >= 0
            outcome = test[0].tag if len(test) else "passed"
            assert len(test) <= 1
            assert outcome in ("passed", "skipped", "failure", "error")
            if outcome != "passed":
                assert test[0].get("message")
                assert outcome == "skipped" or test[0].get("type")
            count[outcome] += 1
            key = (test.get("classname"), test.get("name"))
            assert key not in found
            found[key] = (outcome, test[0].get("message") if len(test) else "")
        assert [int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")] == [
            count.total(), count["failure"], count["error"], count["skipped"],
        ]  # fmt: skip
        assert float(suite.get("time")) == pytest.approx(sum(float(t.get("time")) for t in suite.iter("testcase")), abs=0.01)
    return found


def test_junit_has_a_test_for_each_case(any_run):
    found = junit_tests(text("junit", any_run))
    assert {name for name, _ in found} == {record.case.label for record in any_run.records}
    outcomes = {"ok": "passed", "refused": "skipped", "skipped": "skipped", "failed": "error"}
    for record in any_run.records:
        outcome, message = found[record.case.label, "measured"]
        assert outcome == outcomes[record.status]
        if record.failure:
            assert record.failure.stage in message


def test_junit_tells_what_is_refused_and_refuted(runs):
    found = junit_tests(text("junit", runs["rich"]))
    host = "resnetsan01 384x640"
    assert found[f"{host} {GATE}", "npu aimotive"] == ("failure", "refused: Transpose: Transpose reason (1 of its nodes)")
    assert found[f"{host} encoder.layer3=cbam_npu", "npu aimotive"] == ("passed", "")
    unlisted = ("skipped", "unknown: Erf: other does not list Erf (1 of its nodes)")
    assert found[f"{host} encoder.layer3=cbam_npu", "npu other"] == unlisted
    assert (f"{host} {GATE}", "npu other") not in found
    assert found[f"{host} encoder.stem=eca", "parity"] == ("failure", "ONNX differs from torch by 1")
    assert found[f"{host} encoder.stem=cbam", "measured"] == ("skipped", "refused: build: needs at least 32 channels")
    own = {name: told for (case, name), told in found.items() if case == f"{host} encoder.layer3=cbam_npu"}
    claims = {name: told for name, told in own.items() if name.startswith("claim")}
    assert set(claims) == {
        *(f"claim {told} (3.2){again}" for told in ("about 3.0 % time", "~3 % MACs") for again in ("", " (2)")),
        "claim below 5.0 ms (6.1)",
    }
    assert claims["claim about 3.0 % time (3.2)"] == ("passed", "")
    assert claims["claim ~3 % MACs (3.2)"][0] == "failure"
    assert claims["claim ~3 % MACs (3.2)"][1].startswith("refuted: measured 2.0 % MACs")
    assert claims["claim about 3.0 % time (3.2) (2)"] == ("passed", "")
    assert found[f"{host} {GATE}", "claim NPU refused on aimotive (2.1)"] == ("passed", "")
    assert found[f"{host} {GATE}", "claim NPU refused on other (2.1)"][0] == "skipped"
    assert found[f"{host} {GATE}", "claim about 0.10 % time (2.2)"][0] == "skipped"


def test_junit_holds_a_parity_that_was_measured_and_no_terminal_colours(run):
    base = run.records[0]
    for error, outcome in ((1e-5, "passed"), (1e-3, "failure")):
        found = (Measurement("parity_error", error), Measurement("parity_tolerance", 1e-4))
        one = replace(run, records=(replace(base, measurements=base.measured(found)),))
        assert junit_tests(text("junit", one))[base.case.label, "parity"][0] == outcome
    colours = replace(run.records[4], failure=Failure("export", "CaseFailure", "\x1b[31mred\x00\ufffe & <it>"))
    told = junit_tests(text("junit", replace(run, records=(colours,))))[colours.case.label, "measured"]
    assert told == ("error", "export: \ufffd[31mred\ufffd\ufffd & <it>")
    elsewhere = replace(run, header=replace(run.header, started="2026-01-01T01:30:00+02:00"))
    assert 'timestamp="2025-12-31T23:30:00"' in text("junit", elsewhere)


# ---- LaTeX

COMMANDS = {"usepackage", "begin", "end", "toprule", "midrule", "bottomrule", "textbackslash", "textasciitilde", "textasciicircum",
            "textless", "textgreater", "textbar", "char", "pm", "times", "mu", "ldots"}  # fmt: skip


def plain(cell):
    """What a cell prints."""
    for escaped, char in sorted(((e, c) for c, e in latex.ESCAPES.items()), key=lambda pair: -len(pair[0])):
        if char not in "—μ":
            cell = cell.replace(escaped, f"\0{ord(char)}\0")
    return re.sub("\0(\\d+)\0", lambda found: chr(int(found[1])), cell)


def test_latex_tables_are_sound(any_run):
    lines = text("latex", any_run).splitlines()
    assert lines[0] == r"% needs \usepackage{booktabs}"
    body = [line for line in lines if line and not line.startswith("%")]
    tables = "\n".join(body).split(r"\end{tabular}")[:-1]
    assert len(tables) == len(to_frame(any_run)[["host", "size", "target"]].drop_duplicates())
    seen = []
    for table in tables:
        begin, *rows = table.strip().splitlines()
        assert begin == r"\begin{tabular}{lrrrrrrl}"
        assert [rows[0], rows[2], rows[-1]] == [r"\toprule", r"\midrule", r"\bottomrule"]
        for row in [rows[1], *rows[3:-1]]:
            assert row.endswith(r" \\")
            cells = re.split(r"(?<!\\)&", row.removesuffix(r" \\"))
            assert len(cells) == 8
            for cell in cells:
                bare = re.sub(r"\\[&%$#_{}]", "", cell)
                assert not re.search(r"[%#~^\"`<>|\t]", bare)
                assert bare.count("$") % 2 == 0
                assert bare.count("{") == bare.count("}")
                assert "_" not in bare
                assert set(re.findall(r"\\([A-Za-z]+)", bare)) <= COMMANDS
                assert not re.match(r"\s*[\[*]", cell)
            seen.append(plain(cells[0].strip()))
    wanted = list(to_frame(any_run)["variant"])
    assert Counter(v for v in seen if v != "variant") == Counter(wanted)


def test_latex_escapes_what_it_would_read_otherwise():
    assert latex.escape("[x]*_a--b ~^\\") == r"{[}x{]}{*}\_a{-}{-}b \textasciitilde{}\textasciicircum{}\textbackslash{}"
    assert latex.escape("a\tb\nc −1 ±2 µs") == r"a b c $-$1 $\pm$2 $\mu$s"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
@pytest.mark.parametrize("name", RUNS)
def test_pdflatex_takes_it(runs, name, tmp_path):
    (tmp_path / "cases.tex").write_text(text("latex", runs[name]).replace("中", "Z"), encoding="utf-8")
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}x\n\\input{cases}\n\\end{document}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-1500:]
