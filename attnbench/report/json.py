"""A run as one JSON document: who measured what where, and of each case every column of cases.csv and every measurement.

    schema      of this document; keys are only ever added
    header      what was asked and when; ``machine`` and ``software`` where and with what
    columns     what each column of ``rows`` holds, its unit in its name
    cases       label, status, ``rows`` (one a target, the columns of cases.csv), and all that the run file holds:
                measurements in base units with intervals and raw samples, findings, nodes, checks, failure, notes

What is missing is left out. With pandas, ``pandas.json_normalize(json.load(open("run.json"))["cases"], "rows")`` is the
table of cases.csv.
"""

import json
from collections.abc import Mapping
from typing import Any

from attnbench.core.records import Record, Run
from attnbench.report import Format
from attnbench.report.frame import COLUMNS, to_frame
from attnbench.report.tables import rows_of

DOCUMENT_SCHEMA = 1
"""Version of this document; a program that knows it can read every later document of the same number."""


def render(run: Run) -> str:
    """The run as a JSON document, numbers unrounded."""
    header = run.header.to_json()
    apart = {key: header.pop(key) for key in ("machine", "software")}
    rows = [present(row) for row in rows_of(to_frame(run))]
    each = len(rows) // len(run.records) if run.records else 0  # as many rows a case as there are targets
    document = {
        "schema": DOCUMENT_SCHEMA,
        "header": header,
        **apart,
        "columns": COLUMNS,
        "cases": [_case(record, rows[n * each : (n + 1) * each]) for n, record in enumerate(run.records)],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


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
    Format(name="json", file="run.json", render=render, summary="one document: everything, with intervals and samples"),
)
