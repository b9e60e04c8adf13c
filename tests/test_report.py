"""Tables and files from a run whose figures are known."""

import io
from copy import deepcopy
from dataclasses import replace

import pandas as pd
import pytest
from msgspec import structs

from attnbench.core.columns import COLUMNS
from attnbench.core.records import Measurement
from attnbench.judge.claims import CONFIRMED, OPEN, REFUTED, judge_claim
from attnbench.judge.rows import rows_of
from attnbench.judge.verdicts import systematic_error
from attnbench.report import FORMATS, claims, npu, tables, trust
from attnbench.report.frame import to_frame

FIRST_COLUMNS = (
    "host, variant, size, batch, status, reason, params, params_delta, params_delta_pct, macs, macs_delta, macs_delta_pct, "
    "flops, flops_delta, elementwise_ops_delta, bytes_moved_delta, uncounted_ops, activation_peak_bytes, "
    "activation_peak_delta_bytes, weight_bytes, latency_median_ms, latency_p90_ms, overhead_pct, overhead_pct_low, "
    "overhead_pct_high, overhead_ms, paired_pct, paired_pct_low, paired_pct_high, agreement, target, npu_verdict, "
    "npu_refused_added, claim_pct, claim_verdict, parity_max_abs_error"
).split(", ")


def row(run, variant):
    return to_frame(run).set_index("variant").loc[variant]


def test_the_columns_are_stable_and_each_is_explained():
    assert list(COLUMNS)[: len(FIRST_COLUMNS)] == FIRST_COLUMNS
    assert all(column.text for column in COLUMNS.values())


def test_differences_to_the_baseline(run):
    found = row(run, "encoder.layer3=cbam_npu")
    figures = {
        "params_delta": 10,
        "params_delta_pct": 1.0,
        "macs_delta_pct": 2.0,
        "activation_peak_delta_bytes": 1000,
        "activation_peak_delta_pct": 12.5,
        "weight_bytes_delta": 0,
        "overhead_pct": 3.0,
        "overhead_ms": 3.0,
    }
    assert {name: found[name] for name in figures} == pytest.approx(figures)
    assert (found["agreement"], found["claim_pct"], found["claim_verdict"]) == ("agree", 3, CONFIRMED)


def test_what_is_missing_stays_missing(run):
    failed = row(run, "encoder.layer3=bad")
    assert failed.isna()[["params", "overhead_pct", "latency_median_ms", "macs_delta"]].all()
    assert failed["reason"] == "export: it | broke"
    skipped = row(run, "encoder.stem=self_attention")
    assert skipped["params_delta"] == 0
    assert skipped.isna()["overhead_pct"]


def test_the_csv_reads_back_as_the_same_table(run):
    back = pd.read_csv(io.StringIO(FORMATS.load("csv").render(run)))
    assert list(back.columns) == list(COLUMNS)
    assert list(back["params"].astype("Int64")) == list(to_frame(run)["params"])


def test_two_clocks_that_disagree_are_shown(run):
    assert row(run, "encoder.layer3=eca")["agreement"] == "disagree"
    assert trust.disagreements(rows_of(run)).column("variant") == ["encoder.layer3=eca"]


def test_what_an_uncertainty_is_made_of_adds_up(run):
    (found,) = trust.uncertainties(rows_of(run)).records()
    assert found["variant"] == "encoder.layer3=cbam_npu"
    assert found["between runs"] == "–"
    columns = row(run, "encoder.layer3=cbam_npu")
    error, systematic = columns["overhead_error_pct"], systematic_error(3.0)
    assert error == pytest.approx(0.05 / 3**0.5)
    assert columns["overhead_expanded_pct"] == pytest.approx(2 * (error**2 + systematic**2) ** 0.5)
    assert columns["overhead_pct_high"] - 3 < columns["critical_value_pct"] < columns["detection_limit_pct"]
    assert systematic_error(3.0, 60.0) > systematic_error(3.0, 96.0) == systematic


def test_what_equal_runs_differ_by_is_in_every_uncertainty_and_is_named(run):
    machine = {**run.header.machine, "run_to_run": {"ratio": 1.0, "degrees": 30.0, "source": "9 equal runs of 3 days"}}
    known = replace(run, header=replace(run.header, machine=machine))
    (found,) = trust.uncertainties(rows_of(known)).records()
    assert found["between runs"] == "0.050"
    assert "between runs by 9 equal runs of 3 days" in FORMATS.load("md").render(known)
    assert "nothing was known of what equal runs differ by" in FORMATS.load("md").render(run)


def test_over_all_cases_attribution_is_held_against_the_pairs(run):
    base, cbam, *_ = run.records
    made = [
        replace(
            cbam,
            case=structs.replace(cbam.case, variant=f"{place}=m{number}"),
            measurements=(Measurement("overhead", 0.03 + (place == "a") * 0.01 + number / 1e4), Measurement("paired", 0.03)),
        )
        for place in "ab"
        for number in range(6)
    ]
    every, a, b = trust.pooled(rows_of(replace(run, records=(base, *made)))).records()
    assert [(one["place"], one["cases"]) for one in (every, a, b)] == [("all cases", "12"), ("a", "6"), ("b", "6")]
    assert a["attributed less paired (points)"].startswith("+1.0")
    assert (a["p"], b["p"]) == ("0.062", "0.062")


def test_a_claim_whose_source_a_file_does_not_say_is_judged_like_the_others(run):
    study = {**run.header.study, "cases": deepcopy(run.header.study["cases"])}
    sources = claims.claims(run).column("source")
    del study["cases"][0]["claims"][0]["source"]
    found = claims.claims(replace(run, header=replace(run.header, study=study)))
    assert found.column("source") == ["", *sources[1:]]
    assert found.column("verdict") == claims.claims(run).column("verdict")


def test_claims_stand_beside_their_figures_and_stages_beside_what_was_promised(run):
    (found,) = claims.priorities(run).records()
    wanted = {
        "place": "layer3",
        "claimed": "about 3.0 % time; ~3 % MACs",
        "time overhead (%)": "3.00 [2.90, 3.10]",
        "claim": "confirmed (% time); refuted (% MACs)",
        "NPU": "ok with constraint",
    }
    assert wanted.items() <= found.items()
    (found,) = claims.stages(run).records()
    assert (found["promised"], found["verdict"]) == ("below 5.0 ms", CONFIRMED)


def test_the_matrix_follows_the_studys_order_and_shows_every_outcome(run):
    table = tables.matrix(run, rows_of(run))
    assert list(table.columns)[:3] == ["place", "eca", "cbam_npu"]
    cells = {row["place"]: row for row in table.records()}
    assert cells["encoder.stem"]["self_attention"] == "skipped"
    assert cells["encoder.layer3"]["bad"] == "failed"
    assert cells["encoder.stem"]["eca"] == "–"


def test_refused_ops_are_listed_by_module_with_reason_and_source(run):
    (found,) = npu.refused_ops(run).records()
    wanted = {"module": "eca", "op": "Transpose", "level": "refused", "cases": "1", "reason": "Transpose reason"}
    assert {**wanted, "source": "report, section 1"}.items() <= found.items()


def test_the_markdown_report_holds_every_section_once(run):
    text = FORMATS.load("md").render(run)
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Priority and cost", "## Overhead in % of resnetsan01 at 384x640", "## Claims", "## Stages", "## Baseline",
        "## NPU verdicts of aimotive, resnetsan01 at 384x640", "## Cases without figures", "## Where the time goes",
        "## Ops that are refused or unknown, by module", "## Deployment checklist", "## Cases whose two clocks disagree",
        "## Uncertainty and limits, in points", "## Terms", "## How it was measured",
    ]  # fmt: skip
    assert text.startswith("# A made run\n")
    assert r"it \| broke" in text
    assert "no: eca/node_view at encoder.layer3" in text
    assert "nan" not in text.lower().replace("resonan", "")
    assert "5 of 5 cases" in text


def test_an_overhead_is_broken_down_by_op(run):
    (found,) = tables.ingredients(run).records()
    assert found["overhead in points of %, by op"] == "Mul 3.0"


def test_an_explanation_lists_nodes_and_findings(run):
    record = run.records[1]
    (node,) = tables.explanation(record).records()
    assert (node["module"], node["op"], node["overhead (%)"]) == ("cbam_npu", "Mul", "3.000")
    (verdict,) = tables.node_findings(record).records()
    assert verdict["verdict"] == "constrained"


def overhead(value, low, high):
    return {"overhead_pct": value, "overhead_pct_low": low, "overhead_pct_high": high, "overhead_ms": value * 2}


@pytest.mark.parametrize(
    ("claim", "figures", "verdict"),
    [
        ({"metric": "overhead_pct", "value": 3}, overhead(3.0, 2.95, 3.05), CONFIRMED),
        ({"metric": "overhead_pct", "value": 3}, overhead(0.5, 0.48, 0.52), REFUTED),
        ({"metric": "overhead_pct", "value": 3}, overhead(2.2, 2.1, 2.3), OPEN),
        ({"metric": "overhead_pct", "value": 3}, overhead(3.0, 1.0, 5.0), OPEN),
        ({"metric": "overhead_pct", "value": 3}, overhead(3.0, None, None), CONFIRMED),
        ({"metric": "overhead_pct", "value": 3, "tolerance": 0.9}, overhead(2.0, 1.9, 2.1), CONFIRMED),
        ({"metric": "overhead_pct", "value": 5, "relation": "below"}, overhead(3.0, 2.9, 3.1), CONFIRMED),
        ({"metric": "overhead_pct", "value": 5, "relation": "below"}, overhead(6.0, 5.9, 6.1), REFUTED),
        ({"metric": "overhead_ms", "value": 5, "relation": "below"}, overhead(2.3, 2.2, 2.4), OPEN),
        ({"metric": "overhead_ms", "value": 5, "relation": "below"}, overhead(1.0, 0.9, 1.1), CONFIRMED),
        ({"metric": "overhead_pct", "value": 3}, {}, OPEN),
        ({"metric": "overhead_pct", "value": 3}, {**overhead(3.0, 2.95, 3.05), "floor_difference_pct": 0.1}, CONFIRMED),
        ({"metric": "overhead_pct", "value": 3}, {**overhead(3.0, 2.95, 3.05), "floor_difference_pct": 0.5}, OPEN),
        ({"metric": "overhead_pct", "value": 3}, {**overhead(0.5, 0.48, 0.52), "floor_difference_pct": 2.5}, OPEN),
        ({"metric": "macs_delta_pct", "value": 1}, {"macs_delta_pct": 0.0003}, REFUTED),
        ({"metric": "macs_delta_pct", "value": 1}, {"macs_delta_pct": 1.2}, CONFIRMED),
        ({"metric": "npu_verdict", "value": "ok"}, {"npu_verdict": "ok with constraint"}, CONFIRMED),
        ({"metric": "npu_verdict", "value": "refused"}, {"npu_verdict": "unknown"}, REFUTED),
        ({"metric": "npu_verdict", "value": "refused"}, {}, OPEN),
    ],
)
def test_a_claim_is_confirmed_refuted_or_left_open(claim, figures, verdict):
    assert judge_claim({"source": "", **claim}, figures).verdict == verdict


def test_several_hosts_or_sizes_are_told_apart(run):
    other = tuple(replace(record, case=structs.replace(record.case, size="192x320")) for record in run.records)
    both = replace(run, records=(*run.records, *other))
    table = tables.cases_table(rows_of(both))
    assert list(dict.fromkeys(table.column("size"))) == ["384x640", "192x320"]
    assert "host" not in table.columns
    assert "size" in claims.priorities(both).columns
    assert "size" not in tables.cases_table(rows_of(run)).columns


def test_tables_of_an_empty_run_are_empty_and_the_report_still_renders(run):
    empty = replace(run, records=())
    assert not claims.priorities(empty)
    assert FORMATS.load("md").render(empty).startswith("# A made run")


@pytest.fixture
def measured_twice(run):
    """The run with the memory and the floors of a newer one."""
    base, cbam, eca, *rest = run.records
    floors = (
        Measurement("aa_repeat", 0.031, samples=(0.030, 0.031, 0.032), note=cbam.case.variant),
        Measurement("floor_overhead", 0.0007), Measurement("floor_difference", 0.001),
        Measurement("paired", 0.001, low=-0.005, high=0.007), Measurement("core_share", 0.99), Measurement("latency@2", 0.06),
        Measurement("memory_peak", 8_000_000), Measurement("memory_session_peak", 20_000_000),
    )  # fmt: skip
    overhead = replace(cbam.get("overhead"), note="precision reached after 3 replicates")
    memory = Measurement("memory_peak", 9_500_000, note="static 1 MB: unknown")
    newer = (overhead, memory, Measurement("core_share", 0.6), Measurement("latency@2", 0.07))
    wide = replace(eca.get("overhead"), note="budget ended after 10 replicates")
    records = (
        replace(base, measurements=base.measured(floors)),
        replace(cbam, measurements=cbam.measured(newer)),
        replace(eca, measurements=eca.measured((wide,))),
        *rest,
    )
    return replace(run, records=records)


def test_the_report_says_what_the_run_tells_apart_after_its_answer(measured_twice):
    (found,) = trust.floors(measured_twice).records()
    assert list(found.values())[2:] == ["0.070", "0.10", "encoder.layer3=cbam_npu", "3.000 and 3.100", "0.70"]
    text = FORMATS.load("md").render(measured_twice)
    assert text.index("## Baseline") < text.index("## What this run tells apart") < text.index("## Terms")
    assert row(measured_twice, "encoder.layer3=cbam_npu")["floor_difference_pct"] == pytest.approx(0.1)


def test_why_replicates_ended_is_told(measured_twice):
    found = row(measured_twice, "encoder.layer3=cbam_npu")
    assert (found["replicates"], found["stopped"]) == (3, "precision reached after 3 replicates")
    (wide,) = trust.imprecise(rows_of(measured_twice)).records()
    assert wide["variant"] == "encoder.layer3=eca"


def test_a_case_that_is_not_attributed_says_so_in_its_cell(run):
    none = Measurement("overhead", None, note="not attributed: 3% of the baseline's time has a counterpart")
    found = replace(run, records=(run.records[0], replace(run.records[1], measurements=run.records[1].measured((none,)))))
    table = tables.matrix(found, rows_of(found))
    assert table.column("cbam_npu") == ["not attributed"]
    assert len(trust.imprecise(rows_of(found)).rows) == 1
    assert row(found, "encoder.layer3=cbam_npu")["agreement"] == ""


def test_memory_is_told_with_the_reason_of_a_difference(measured_twice):
    found = trust.memory(measured_twice).records()
    assert [one["variant"] for one in found] == ["encoder.layer3=cbam_npu"]
    assert found[0]["measured peak (MB)"] == "9.5"
    assert found[0]["beyond the baseline (MB)"] == "+1.5"
    assert found[0]["measured is not static because of"] == "static 1 MB: unknown"


def test_latencies_stand_side_by_side_for_each_number_of_threads(measured_twice, run):
    table = trust.threads(rows_of(measured_twice))
    assert table.columns == ("variant", "1 thread (ms)", "2 threads (ms)")
    assert table.rows[0] == ("baseline", "100.0", "60.0")
    assert not trust.threads(rows_of(run))


def test_a_case_that_shared_its_core_is_named(measured_twice):
    (found,) = trust.crowded(rows_of(measured_twice)).records()
    assert (found["variant"], found["share of its core (%)"]) == ("encoder.layer3=cbam_npu", "60")
