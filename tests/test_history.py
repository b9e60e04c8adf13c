"""Run files that were written once and must be read for ever: frozen, trimmed, never written anew.

run-2026-11-21-first.jsonl    three records of results/report, by the code at fc96b5d; what the first files look like
run-2026-11-21-shards.jsonl   two shards, merged: sources, a study's fingerprint, two targets, two numbers of threads
"""

import json
from pathlib import Path

import pandas as pd
import pytest

from attnbench.core.errors import InputError
from attnbench.core.records import Record
from attnbench.report import FORMATS
from attnbench.report.frame import COLUMNS, to_frame
from attnbench.runs.headers import SCHEMA
from attnbench.runs.store import load_run

DATA = Path(__file__).parent / "data"
FILES = sorted(DATA.glob("run-*.jsonl"))
FIRST, SHARDS = FILES


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_frozen_run_is_read_and_reported(path):
    run = load_run(path)
    assert run.header.schema <= SCHEMA
    assert [record.case for record in run.records] == list(run.header.cases)
    frame = to_frame(run)
    assert list(frame.columns)[: len(COLUMNS)] == list(COLUMNS)
    assert len(frame) == len(run.records) * len(run.header.study["targets"])
    for name in FORMATS.names():
        assert run.records[1].case.variant.partition("=")[0].partition("+")[0].replace("_", "") in FORMATS.load(name).render(
            run
        ).replace("_", "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_read_is_what_was_written(path):
    header, *records = lines(path)
    run = load_run(path)
    settings = header.pop("settings")
    assert {key: value for key, value in json.loads(json.dumps(run.header.to_json())).items() if key in header} == header
    assert json.loads(json.dumps(run.header.settings)) == settings
    for record, written in zip(run.records, records, strict=True):
        assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record
        own = json.loads(json.dumps(record.to_json()))
        assert {m["metric"]: m["value"] for m in own["measurements"]} == {
            m["metric"].replace("twin", "aa_repeat"): m["value"] for m in written["measurements"]
        }
        for part in ("findings", "nodes", "checks"):
            for had, has in zip(written.get(part, []), own.get(part, []), strict=True):
                renamed = {"substitute" if key == "cure" else key: value for key, value in had.items()}
                assert {key: has[key] for key in renamed} == renamed


def test_the_figures_of_the_first_files_are_what_they_were():
    row = to_frame(load_run(FIRST)).set_index("variant").loc["encoder.layer3=cbam_npu"]
    assert row["overhead_pct"] == pytest.approx(0.411525672647235)
    assert (row["overhead_pct_low"], row["overhead_pct_high"]) == pytest.approx((0.39327410456685055, 0.4297772407276194))
    assert (row["params"], row["macs"], row["params_delta"]) == (14335652, 16031526784, 8290)
    assert row["overhead_ms"] == pytest.approx(0.62229538)
    assert row["npu_verdict"] == "ok with constraint"
    assert row["claim_verdict"] == "refuted"
    skipped = to_frame(load_run(FIRST)).set_index("variant").loc["decoder.upconv0=self_attention"]
    assert skipped["status"] == "skipped"
    assert skipped["reason"].startswith("memory: needs 652 GB")


def test_the_figures_of_a_merged_run_are_what_they_were():
    run = load_run(SHARDS)
    assert [one["part"] for one in run.header.study["shards"]] == ["1/2", "2/2"]
    substitutes = [finding.substitute for record in run.records for finding in record.findings]
    assert substitutes.count("eca_banded") == 6, "the file calls it the cure"
    assert [record.case.variant for record in run.records] == [
        "baseline", "encoder.layer1+encoder.layer2=se[reduction=8]", "decoder.fusion=eca", "encoder.layer3=self_attention",
    ]  # fmt: skip
    assert run.records[2].sources["eca"]
    frame = to_frame(run).set_index(["variant", "target"])
    assert frame.loc[("decoder.fusion=eca", "aimotive"), "npu_verdict"] == "refused"
    assert frame.loc[("decoder.fusion=eca", "rockchip-rk3588-2.3.2"), "npu_verdict"] == "fallback"
    assert frame["latency_median_ms_threads_2"].notna().all()


def test_a_newer_schema_is_refused_in_one_line(tmp_path, command):
    header, *records = lines(SHARDS)
    for schema in (SCHEMA + 1, 99):
        path = tmp_path / "run.jsonl"
        path.write_text("\n".join(json.dumps(line) for line in [{**header, "schema": schema}, *records]) + "\n")
        with pytest.raises(
            InputError, match=f"written with schema {schema}; this attnbench reads up to {SCHEMA}: upgrade it"
        ):
            load_run(path)
        code, out, error = command("report", tmp_path, "--format", "json")
        assert (code, out, error.count("\n")) == (2, "", 1)


def test_keys_that_are_not_known_are_passed_over(tmp_path):
    def more(value):
        if isinstance(value, dict):
            return {**{key: more(inner) for key, inner in value.items()}, "from_the_future": {"a": [1]}}
        return [more(inner) for inner in value] if isinstance(value, list) else value

    header, *records = lines(SHARDS)
    new = {
        **header,
        "from_the_future": 1,
        "cases": more(header["cases"]),
        "study": {**header["study"], "from_the_future": [2]},
    }
    records = [
        more({key: value for key, value in record.items() if key not in ("sources", "seconds")}) for record in records
    ]
    (tmp_path / "run.jsonl").write_text("\n".join(map(json.dumps, [new, *records])) + "\n")
    assert to_frame(load_run(tmp_path)).equals(to_frame(load_run(SHARDS)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pandas_reads_a_run_in_one_line(path):
    raw = pd.read_json(path, lines=True)
    assert len(raw) == 1 + len(load_run(path).records)
    assert list(raw["status"].dropna()) == [record.status for record in load_run(path).records]
    table = pd.json_normalize(lines(path)[1:], "measurements", [["case", "variant"]])
    assert table[table["metric"] == "params"]["value"].tolist() == [
        record.value("params") for record in load_run(path).records
    ]
