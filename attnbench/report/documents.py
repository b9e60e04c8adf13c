"""The claims of documents as tables: a section a document, a row a reading, with what was found and what that rests on."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attnbench.core.units import MISSING, bytes_text, count, counted, significant, with_interval
from attnbench.judge.claims import CONFIRMED, OPEN, REFUTED
from attnbench.judge.readings import UNDECIDED, UNMEASURED, JudgedDocumentClaim, JudgedReading
from attnbench.report.answer import Answer
from attnbench.report.claims import claim_text, judged_text
from attnbench.report.table import Table
from attnbench.study.claims import ClaimReading

VERDICTS = (CONFIRMED, REFUTED, OPEN, UNMEASURED, UNDECIDED)

COLUMNS = (
    "document", "section", "claim", "holds_for", "reading", "claimed", "relation", "found", "low", "high", "unit", "verdict",
    "decided_by", "rests_on",
)  # fmt: skip
"""Of the CSV and the JSON: numbers unrounded, in the unit of the claimed value."""


def answer(documents: Mapping[str, str], judged: Sequence[JudgedDocumentClaim]) -> Answer:
    """A table a document, and every reading as a row."""
    sections = ((title, _table(name, judged)) for name, title in documents.items())
    rows = [_row(claim, one) for claim in judged for one in claim.readings]
    document = {"documents": dict(documents), "readings": rows}
    shown = ((title, table) for title, table in sections if table)
    notes = tuple(_notes(judged))
    title = "What the documents claim, and what is true of it"
    return Answer(shown, COLUMNS, rows, document, title, notes, headline=notes[:1])


def _notes(judged: Sequence[JudgedDocumentClaim]) -> Iterator[str]:
    readings = [one for claim in judged for one in claim.readings]
    verdicts: Counter[str] = Counter(one.verdict for one in readings)
    said = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS if verdicts[verdict])
    yield f"{counted(len(judged), 'claim')} in {counted(len(readings), 'reading')}: {said}."
    yield (
        "A reading is confirmed where all of the found figure's interval lies in the claimed band, refuted where none of it "
        "does: about allows a quarter unless it says otherwise, and rounds to means the printed digits."
    )
    for study in dict.fromkeys(one.reading.study for one in readings if one.verdict == UNMEASURED):
        yield f"Not measured yet: run attnbench sweep {study}, or attnbench claims --measure."


def _table(document: str, judged: Sequence[JudgedDocumentClaim]) -> Table:
    return Table.of(
        {
            "section": claim.claim.section if first else "",
            "claim": claim.claim.says if first else "",
            "read as": one.reading.as_ or MISSING,
            "claimed": _claimed(one.reading),
            "found": _found(one) or MISSING,
            "verdict": one.verdict,
            "holds for": (claim.holds_for or MISSING) if first else "",
            "decided by": one.reading.decided_by,
            "rests on": one.rests_on,
        }
        for claim in judged
        if claim.claim.document == document
        for first, one in zip((True, *[False] * len(claim.readings)), claim.readings, strict=False)
    )


def _claimed(reading: ClaimReading) -> str:
    """What is claimed, in a few words."""
    if reading.sites:
        return counted(len(reading.sites), "site")
    if reading.check or reading.beyond:
        return reading.check or MISSING
    if reading.metric and not reading.over:
        return claim_text(reading.claim)
    relation = "" if reading.relation == "rounds to" else f"{reading.relation} "
    return f"{relation}{_with_unit(reading, float(reading.value), str(reading.value))}"


def _found(one: JudgedReading) -> str:
    """The figure in the claim's own unit."""
    judged, reading = one.judged, one.reading
    if one.figure or judged is None or judged.value is None:
        return one.figure
    if one.row and not reading.over:
        return judged_text(judged, one.row)
    value = float(judged.value)
    if judged.low != judged.high:
        return _with_unit(reading, value, with_interval(value, judged.low, judged.high))
    return _with_unit(reading, value, count(value) if value.is_integer() else significant(value, 4))


def _with_unit(reading: ClaimReading, value: float, shown: str) -> str:
    if reading.unit == "B":
        return bytes_text(value)
    unit = "points" if reading.published else "times" if reading.over else reading.unit
    return f"{shown} {unit}".rstrip()


def _row(claim: JudgedDocumentClaim, one: JudgedReading) -> dict[str, Any]:
    judged, reading = one.judged, one.reading
    found = one.figure or None if judged is None else judged.value
    values = (
        claim.claim.document, claim.claim.section, claim.claim.says, claim.holds_for, reading.as_, reading.value,
        reading.relation, found, judged and judged.low, judged and judged.high, reading.unit, one.verdict,
        reading.decided_by, one.rests_on,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))
