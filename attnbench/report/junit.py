"""A run as JUnit XML for gates: a suite a host and size, and in it of each case one test for each of its checks.

    measured        the case has figures; refused and skipped cases are skipped, a failed one is an error, with the reason
    parity          the exported graph agrees with torch within the tolerance
    npu TARGET      nothing that the case adds is refused or falls back (for the baseline: nothing at all); what the target
                    does not list is skipped, for unknown is not supported
    claim ...       what the study claims of the case; *refuted* fails, *not resolvable* is skipped

A test that no record tells anything of is left out. Its time is the case's own, on ``measured``; judging takes none.
Valid against https://github.com/windyroad/JUnit-Schema (Ant's), and against Jenkins' schema but for the messages of
skipped tests, which Jenkins reads all the same.
"""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from msgspec import structs

from attnbench.core.naming import display_name
from attnbench.core.records import Case, Finding, Record, Run
from attnbench.core.units import significant
from attnbench.judge.claims import CONFIRMED, REFUTED, Claim, judge_claim
from attnbench.judge.rows import Row, asked_claims
from attnbench.judge.verdicts import npu_verdict, own_findings
from attnbench.report import ReportFormat
from attnbench.report.claims import claim_text, judged_text

Outcome = Literal["passed", "skipped", "failure", "error"]

BAD = ("refused", "fallback")


class Test(NamedTuple):
    """One check of one case: its name, how it came out, why in one line, and more of it for who looks closer."""

    name: str
    outcome: Outcome
    message: str = ""
    details: str = ""
    seconds: float = 0.0


def render(run: Run) -> str:
    """The run as an XML document."""
    suites: dict[str, dict[Case, list[Test]]] = {}
    claims = _claims(run)
    for record in run.records:
        case = record.case
        suite = suites.setdefault(structs.replace(case, variant="").label.strip(), {})
        suite[case] = list(_numbered([*_tests(record, run.header.study.get("targets", [])), *claims.get(case, [])]))
    root = ET.Element("testsuites")
    for number, (name, cases) in enumerate(suites.items()):
        root.append(_suite(run, number, name, cases))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _tests(record: Record, targets: Iterable[str]) -> Iterator[Test]:
    yield _measured(record)
    yield from _parity(record)
    findings = own_findings(record)
    for target in targets:
        if target in findings:
            yield _npu(target, findings[target])


def _measured(record: Record) -> Test:
    seconds = record.seconds.get("total", 0.0)
    if record.status == "ok":
        return Test("measured", "passed", seconds=seconds)
    reason = str(record.failure or record.status)
    if record.status == "failed":
        return Test("measured", "error", reason, record.failure.kind if record.failure else "", seconds)
    return Test("measured", "skipped", f"{record.status}: {reason}", seconds=seconds)


def _parity(record: Record) -> Iterator[Test]:
    if record.failure is not None and record.failure.stage == "parity":
        yield Test("parity", "failure", record.failure.message)
        return
    error, tolerance = record.value("parity_error"), record.value("parity_tolerance")
    if error is not None and tolerance is not None:
        told = f"ONNX differs from torch by {significant(error, 2)}, tolerance {significant(tolerance, 2)}"
        yield Test("parity", "passed") if error <= tolerance else Test("parity", "failure", told)


def _npu(target: str, findings: list[Finding]) -> Test:
    verdict = npu_verdict(findings)
    told = [finding for finding in findings if finding.level == verdict]
    if not told:
        return Test(f"npu {target}", "passed")
    causes = Counter(f"{finding.op}: {finding.reason}" for finding in told)
    message = f"{verdict}: " + "; ".join(f"{cause} ({count} of its nodes)" for cause, count in causes.most_common(3))
    lines = (f"{finding.op} {display_name(finding.node)}: {finding.reason} [{finding.source}]" for finding in told)
    return Test(f"npu {target}", "failure" if verdict in BAD else "skipped", message, "\n".join(lines))


def _claims(run: Run) -> dict[Case, list[Test]]:
    """The tests of the study's claims; one that is not about an NPU is the same for every target and stands once."""
    tests: dict[Case, list[Test]] = {}
    for _, row, claim in asked_claims(run):
        tests.setdefault(row.case, []).append(_claim(claim, row))
    return tests


def _claim(claim: Claim, row: Row) -> Test:
    judged = judge_claim(claim, row)
    where = f" on {row.target}" if claim["metric"] == "npu_verdict" and row.target else ""
    name = f"claim {claim_text(claim)}{where} ({claim.get('source', 'no source')})"
    if judged.verdict == CONFIRMED:
        return Test(name, "passed")
    message = f"{judged.verdict}: measured {judged_text(judged, row)}"
    return Test(name, "failure" if judged.verdict == REFUTED else "skipped", message)


def _numbered(tests: Iterable[Test]) -> Iterator[Test]:
    """The tests with names that are unique in their case: a claim may stand in a study twice."""
    seen: Counter[str] = Counter()
    for test in tests:
        seen[test.name] += 1
        yield test if seen[test.name] == 1 else test._replace(name=f"{test.name} ({seen[test.name]})")


def _suite(run: Run, number: int, name: str, cases: Mapping[Case, list[Test]]) -> ET.Element:
    tests = [test for found in cases.values() for test in found]
    count = Counter(test.outcome for test in tests)
    attributes = {
        "name": name,
        "package": f"attnbench.{run.header.study.get('name', 'study')}",
        "id": str(number),
        "timestamp": _timestamp(run.header.started),
        "hostname": str(run.header.machine.get("id") or "localhost"),
        "tests": str(len(tests)),
        "failures": str(count["failure"]),
        "errors": str(count["error"]),
        "skipped": str(count["skipped"]),
        "time": f"{sum(test.seconds for test in tests):.3f}",
    }
    suite = ET.Element("testsuite", {key: _legal(value) for key, value in attributes.items()})
    properties = ET.SubElement(suite, "properties")
    facts = {"attnbench": run.header.attnbench, "started": run.header.started, "cpu": run.header.machine.get("cpu")}
    facts |= {name: run.header.software.get(name) for name in ("onnxruntime", "commit")}
    for key, value in facts.items():
        if value:
            ET.SubElement(properties, "property", name=key, value=_legal(str(value)))
    suite.extend(_element(case, test) for case, found in cases.items() for test in found)
    ET.SubElement(suite, "system-out")
    ET.SubElement(suite, "system-err")
    return suite


def _element(case: Case, test: Test) -> ET.Element:
    attributes = {"name": _legal(test.name), "classname": _legal(case.label), "time": f"{test.seconds:.3f}"}
    element = ET.Element("testcase", attributes)
    if test.outcome != "passed":
        why = ET.SubElement(element, test.outcome, message=_legal(test.message))
        if test.outcome != "skipped":
            why.set("type", test.name.partition(" ")[0])
        why.text = _legal(test.details or test.message)
    return element


def _timestamp(started: str) -> str:
    """The moment in UTC; the schema allows no zone beside it."""
    moment = datetime.fromisoformat(started)
    return (moment.astimezone(UTC) if moment.tzinfo else moment).strftime("%Y-%m-%dT%H:%M:%S")


def _legal(text: str) -> str:
    """Text without the characters that XML 1.0 cannot hold, such as a terminal's colours."""
    return re.sub("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "�", text)


ENTRIES = (
    ReportFormat(
        name="junit", file="junit.xml", render=render, summary="parity, NPU verdicts and claims as tests, for gates"
    ),
)
