"""What a sweep ends with, in sentences: what it found, and what to beware of."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attnbench.core.grammar import parse_spec
from attnbench.core.records import DEFAULT_RUNTIME, Case, Run
from attnbench.core.units import MISSING, counted, fixed, significant
from attnbench.judge.claims import CONFIRMED, OPEN, REFUTED, judge_claim
from attnbench.judge.rows import Row, asked_claims, rows_of
from attnbench.judge.verdicts import CROWDED, VERDICTS
from attnbench.report import trust
from attnbench.report.parts import runtimes_of

TITLES = {DEFAULT_RUNTIME: "ONNX Runtime", "openvino": "OpenVINO"}


def setting(run: Run) -> str:
    """How much was measured, on what and when."""
    machine, software = run.header.machine, run.header.software
    names = list(dict.fromkeys(parse_spec(runtime).name for runtime in runtimes_of(run))) or [DEFAULT_RUNTIME]
    runtimes = ", ".join(f"{TITLES.get(name, name)} {software.get(name, MISSING)}" for name in names)
    where = f"{machine.get('cpu', 'an unknown CPU')}, one thread, {runtimes}"
    return f"{counted(len(run.records), 'case')} of {len(run.header.cases)} on {where}; {run.header.started[:10]}."


def found(run: Run) -> Iterator[str]:
    """What each host costs and its modules add, and what became of the claims and of the targets' say."""
    rows, parts = rows_of(run), dict[Case, dict[Case, Row]]()
    for row in rows:
        parts.setdefault(row.case.baseline, {})[row.case] = row
    for baseline, own in parts.items():
        yield _overheads(baseline, own.pop(baseline, None), list(own.values()))
    judged = Counter(judge_claim(claim, row).verdict for _, row, claim in asked_claims(run))
    if judged:
        yield f"Claims: {_listed(judged, (CONFIRMED, REFUTED, OPEN))}."
    for target in run.header.study.get("targets", ()):
        said = Counter(row.npu_verdict for row in rows if row.target == target and not row.case.is_baseline)
        if any(said[verdict] for verdict in VERDICTS):
            yield f"What variants add, on {target}: {_listed(said, reversed(VERDICTS))}."


def _overheads(baseline: Case, host: Row | None, variants: Sequence[Row]) -> str:
    latency = host.number("latency_median_ms") if host else None
    text = baseline.where + (f" takes {fixed(latency, 1)} ms" if latency is not None else "")
    told = sorted((value, row.case.variant) for row in variants if (value := row.number("overhead_pct")) is not None)
    if told:
        cheapest, dearest = (f"{significant(value, 2)} % ({variant})" for value, variant in (told[0], told[-1]))
        text += f"; modules add {cheapest}" + (f" to {dearest}" if len(told) > 1 else "")
    floor = host.number("floor_difference_pct") if host else None
    if floor is not None:
        text += f"; overheads that differ by {significant(floor, 2)} points are told apart"
    return f"{text}."


def _listed(numbers: Mapping[Any, int], words: Iterable[str]) -> str:
    return ", ".join(f"{numbers[word]} {word}" for word in words if numbers.get(word))


def warnings(run: Run) -> Iterator[str]:
    """What lessens the figures: intervals wider than asked, a shared core, clocks that disagree."""
    rows = list({row.case: row for row in rows_of(run)}.values())
    yield from _wide(run, [row for row in rows if row.text("stopped").startswith("budget")])
    lost = [row.case.variant for row in rows if row.text("stopped").startswith("not attributed")]
    if lost:
        yield f"{counted(len(lost), 'case')} could not be attributed ({lost[0]}{', ...' if len(lost) > 1 else ''})."
    shares = {row.case.variant: share for row in rows if (share := row.number("core_share_pct")) is not None}
    crowded = {variant: share for variant, share in shares.items() if share < 100 * CROWDED}
    if crowded:
        least = min(crowded, key=crowded.__getitem__)
        yield (
            f"{counted(len(crowded), 'case')} shared a core with other processes ({least} had {fixed(crowded[least], 0)} % "
            "of it): measure again when the machine is idle."
        )
    unlike = [row.case.variant for row in rows if row.agreement == "disagree"]
    unlike += ["the graph of many cases" for check in trust.crosschecks(run).records() if check["agreement"] == "disagree"]
    if unlike:
        yield f"Attribution and the clock disagree on {len(unlike)} ({unlike[0]}{', ...' if len(unlike) > 1 else ''})."


def _wide(run: Run, rows: Sequence[Row]) -> Iterator[str]:
    halves = [
        ((high - low) / 2, row.case.variant)
        for row in rows
        if (low := row.number("overhead_pct_low")) is not None and (high := row.number("overhead_pct_high")) is not None
    ]
    if halves:
        widest, variant = max(halves)
        yield (
            f"{counted(len(halves), 'interval')} wider than asked ({run.header.effort.get('precision')}): "
            f"±{fixed(widest, 2)} points for {variant}; --max-processes allows more replicates."
        )


def next_command(run: Run, where: str) -> str:
    """What to ask of the run now: which of several variants to take, or what the only one is made of; empty for neither."""
    costs = [r.case.variant for r in run.records if r.value("overhead") is not None]
    if len(costs) == 1:
        return shlex.join(["attnbench", "explain", where, *costs])
    targets = run.header.study.get("targets", ())
    asked = [word for target in targets[:1] for word in ("--target", target)]
    return shlex.join(["attnbench", "recommend", where, *asked]) if costs else ""
