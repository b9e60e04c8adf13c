"""A run as one JSON document: who measured what where, and of each case every column of cases.csv and every measurement.

    schema      of this document; keys are only ever added
    header      what was asked and when; ``machine`` and ``software`` where and with what
    columns     what each column of ``rows`` holds, its unit in its name
    cases       label, status, ``rows`` (one a target, the columns of cases.csv), and all that the run file holds:
                measurements in base units with intervals and raw samples, findings, nodes, checks, failure, notes

What is missing is left out. ``pandas.json_normalize(json.load(open("run.json"))["cases"], "rows")`` is the cases' table.
"""

from collections.abc import Mapping
from typing import Any

from attnbench.core.columns import COLUMNS
from attnbench.core.records import Case, Record, Run
from attnbench.judge.rows import column_names, rows_of
from attnbench.report import ReportFormat
from attnbench.report.answer import json_text

DOCUMENT_SCHEMA = 1
"""Version of this document; a program that knows it can read every later document of the same number."""


def render(run: Run) -> str:
    """The run as a JSON document, numbers unrounded."""
    header = {**run.header.to_json(), "settings": run.header.settings}
    apart = {key: header.pop(key) for key in ("machine", "software")}
    rows = rows_of(run)
    names = column_names(rows)
    by_case: dict[Case, list[dict[str, Any]]] = {}
    for row in rows:
        by_case.setdefault(row.case, []).append(present({name: row.get(name) for name in names}))
    document = {
        "schema": DOCUMENT_SCHEMA,
        "header": header,
        **apart,
        "columns": {name: column.text for name, column in COLUMNS.items()},
        "cases": [_case(record, by_case[record.case]) for record in run.records],
    }
    return json_text(document)


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping without what is missing: ``None``, NaN, empty texts and lists."""
    return {key: value for key, value in values.items() if value not in (None, "", (), []) and value == value}  # noqa: PLR0124


def _case(record: Record, rows: list[dict[str, Any]]) -> dict[str, Any]:
    values = record.to_json()
    for part in ("measurements", "checks"):
        if part in values:
            values[part] = [present(value) for value in values[part]]
    return {"label": record.case.label, **values, "rows": rows}


ENTRIES = (
    ReportFormat(
        name="json", file="run.json", render=render, summary="one document: everything, with intervals and samples"
    ),
)
