"""The claims of documents judged, a reading at a time, by what is calculated, counted, asked of a target or measured.

Where the figures come from is the caller's business (``Evidence``): here they are compared, and it is said what a verdict
rests on. A reading that needs a run which is not there is *not measured*; one that nothing here decides, *not decided*.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

from attnbench.core.arithmetic import Functions, evaluate
from attnbench.core.errors import InputError
from attnbench.core.grammar import normal_size, parse_spec, parse_variant
from attnbench.core.records import Case, Record, Run
from attnbench.hosts import declared_places
from attnbench.judge.claims import CONFIRMED, OPEN, REFUTED, ClaimVerdict, JudgedClaim, judge_claim, judge_interval
from attnbench.judge.published import gains_of_module, published_gains
from attnbench.judge.rows import Row
from attnbench.judge.verdicts import own_findings
from attnbench.study.claims import ClaimReading, DocumentClaim

Verdict = Literal[ClaimVerdict, "not measured", "not decided"]

UNMEASURED: Verdict = "not measured"
UNDECIDED: Verdict = "not decided"
GOOD = ("supported", "constrained", "efficiency")


class StudyRun(NamedTuple):
    """A stored run of a study: what it is called in an answer, and the run."""

    name: str
    run: Run


class Evidence(Protocol):
    """Where figures come from."""

    functions: Functions
    """What arithmetic may call."""

    def described(self, reading: ClaimReading) -> dict[Case, Record]:
        """The counted cases of a reading: its baseline and its variants."""

    def runs(self, study: str) -> Sequence[StudyRun]:
        """The stored runs of a study, the newest first."""


class JudgedReading(NamedTuple):
    """A reading with its figure, its verdict, and what that rests on; ``row`` is the case's, where it is of one."""

    reading: ClaimReading
    judged: JudgedClaim | None
    verdict: Verdict
    figure: str = ""
    rests_on: str = ""
    row: Row | None = None


class JudgedDocumentClaim(NamedTuple):
    """A claim with its readings judged."""

    claim: DocumentClaim
    readings: tuple[JudgedReading, ...]

    @property
    def holds_for(self) -> str:
        """Of several readings, which it holds for: every one, none, or those that are named. Empty where there is one."""
        holding = [one.reading.as_ for one in self.readings if one.verdict == CONFIRMED]
        if len(self.readings) == 1:
            return ""
        if len(holding) == len(self.readings):
            return "every reading"
        return "; ".join(holding) or ("none" if {one.verdict for one in self.readings} == {REFUTED} else "none so far")


def judge_documents(claims: Iterable[DocumentClaim], evidence: Evidence) -> list[JudgedDocumentClaim]:
    """Every claim with every reading judged. Raises ``InputError`` for a reading that cannot be followed."""
    return [
        JudgedDocumentClaim(claim, tuple(judge_reading(reading, evidence) for reading in claim.reading)) for claim in claims
    ]


def judge_reading(reading: ClaimReading, evidence: Evidence) -> JudgedReading:
    """One reading by what decides it."""
    if reading.beyond:
        return JudgedReading(reading, None, UNDECIDED, rests_on=reading.beyond)
    if reading.study:
        return _measured(reading, evidence)
    if reading.figure:
        value = evaluate(reading.figure, evidence.functions)
        return _judged(reading, judge_claim(reading.claim, {"figure": value}), reading.figure)
    if reading.sites:
        return _sites(reading)
    if reading.published:
        return _published(reading)
    return _described(reading, evidence)


def _judged(reading: ClaimReading, judged: JudgedClaim, rests_on: str, figure: str = "") -> JudgedReading:
    return JudgedReading(reading, judged, judged.verdict, figure, rests_on)


def _sites(reading: ClaimReading) -> JudgedReading:
    planes = declared_places(parse_spec(reading.host)).sites
    wrong = []
    for name, said in reading.sites.items():
        plane = planes.get(name)
        if plane is None:
            wrong.append(f"{name} is none")
        elif (plane.channels, plane.stride) != tuple(said):
            wrong.append(f"{name} has {plane.channels} channels at 1/{plane.stride}")
    figure = ", ".join(wrong) or "as said"
    return JudgedReading(reading, None, REFUTED if wrong else CONFIRMED, figure, f"sites of {reading.host}")


def _published(reading: ClaimReading) -> JudgedReading:
    bar = gains_of_module(published_gains(), reading.published)
    judged = judge_interval(reading.claim, bar.mean, bar.low, bar.high)
    rests_on = f"{len(bar.gains)} figures of {', '.join(bar.sources)}: ImageNet, not the document's task"
    return _judged(reading, judged, rests_on)


def _described(reading: ClaimReading, evidence: Evidence) -> JudgedReading:
    records = evidence.described(reading)
    case = _case(reading, reading.variant)
    record, where = records[case], f"{reading.host} at {case.size}"
    if record.status != "ok":
        return JudgedReading(reading, None, OPEN, rests_on=str(record.failure))
    if reading.check:
        check = next((one for one in record.checks if one.name == reading.check), None)
        if check is None:
            raise InputError(f"there is no check '{reading.check}': there are {', '.join(c.name for c in record.checks)}")
        verdict: ClaimVerdict = OPEN if check.passed is None else CONFIRMED if check.passed else REFUTED
        return JudgedReading(reading, None, verdict, check.detail or "passed", f"{reading.variant} in {where}")
    row = Row(record, records.get(case.baseline), reading.target, ())
    judged = judge_claim(reading.claim, row)
    if reading.metric == "npu_verdict":
        return _judged(reading, judged, f"{reading.target}{_because(record, reading.target)}", str(judged.value))
    return _judged(reading, judged, f"{reading.variant} in {where}")._replace(row=row)


def _because(record: Record, target: str) -> str:
    """Which ops made a target say what it says, and on whose word; nothing where all are fine."""
    bad = [finding for finding in own_findings(record).get(target, ()) if finding.level not in GOOD]
    ops = Counter(f"{finding.composite or finding.op} ({finding.evidence or 'not listed'})" for finding in bad)
    return f": {', '.join(ops)}" if ops else ""


def _measured(reading: ClaimReading, evidence: Evidence) -> JudgedReading:
    """By the newest run of the study that has the figure."""
    case = _case(reading, reading.variant)
    for name, run in evidence.runs(reading.study):
        row = _row(run, case)
        over = _row(run, _case(reading, reading.over)) if reading.over else None
        if row is None or row.get(reading.metric) is None or (reading.over and over is None):
            continue
        judged = judge_claim(reading.claim, row) if over is None else _ratio(reading, row, over)
        if judged.value is not None:
            cpu = run.header.machine.get("cpu", "an unknown CPU")
            return _judged(reading, judged, f"{name}, {run.header.started[:10]}, {cpu}")._replace(row=row)
    return JudgedReading(reading, None, UNMEASURED, rests_on=f"run attnbench sweep {reading.study}")


def _row(run: Run, case: Case) -> Row | None:
    record = run.record(case)
    if record is None:
        return None
    baseline = run.record(case.baseline)
    target = next(iter(run.header.study.get("targets", ())), "")
    return Row(record, baseline, target, ())


def _ratio(reading: ClaimReading, row: Row, over: Row) -> JudgedClaim:
    """The quotient of two figures; the ends of its interval are those that the ends of theirs allow."""
    one, other = (judge_claim({**reading.claim, "value": 0}, each) for each in (row, over))
    ends = (one.value, one.low, one.high, other.value, other.low, other.high)
    numbers = [float(end) for end in ends if end is not None]
    if len(numbers) < len(ends) or numbers[4] <= 0:
        return JudgedClaim(reading.claim, None, None, None, OPEN)
    value, low, high, base, base_low, base_high = numbers
    return judge_interval(reading.claim, value / base, low / base_high, high / base_low)


def _case(reading: ClaimReading, variant: str) -> Case:
    return Case(str(parse_spec(reading.host)), str(parse_variant(variant)), normal_size(reading.size))
