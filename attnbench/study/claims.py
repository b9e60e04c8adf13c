"""The claims of documents as typed structs: what each says, how it may be read, and what decides each reading.

    [documents]   a short name for each document, with its title
    [[claim]]     document, section, says: one sentence of it, in our own words
                  reading: a list of tables, the ways to understand it, each with

    as                                 which way, in words; a claim with one reading needs none
    value, relation, tolerance         what is claimed, as in a study's claims (``study.file``)
    figure, unit                       arithmetic that gives the figure; it may call ``params`` and ``macs``, the tool's
                                       own counters, with a module, channels, height and width
    variant, host, size, metric        or a case and a column of cases.csv: counted, or asked of a ``target``
    study                              the study that measures that case; ``over`` is another variant of it, by whose figure
                                       the first one's is divided
    check                              or a line of the deployment checklist that the case passes
    sites                              or channels and stride of each of a host's sites
    published                          or a module whose published gains on ImageNet are the figure
    beyond                             or why nothing here decides it

A mistake is one line that names the file, the claim and the reading.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from attnbench.core.errors import InputError, UnknownName
from attnbench.core.quantities import is_number
from attnbench.core.validation import Strict, validate
from attnbench.study.file import StudyClaim, packaged_study, read_toml
from attnbench.study.plan import DEFAULT_SIZE, Plan, plan

DecidedBy = Literal["arithmetic", "count", "target rule", "measurement", "published figures", "nothing here"]
"""What decides a reading."""

WAYS = ("figure", "metric", "check", "sites", "published", "beyond")
"""The keys of which a reading has exactly one."""


class ClaimReading(Strict, frozen=True):
    """One way to understand a claim, and what decides it."""

    as_: str = field(default="", name="as")
    value: int | float | str = ""
    relation: Literal["about", "below", "rounds to"] = "about"
    tolerance: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    figure: str = ""
    unit: str = ""
    metric: str = ""
    check: str = ""
    sites: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    published: str = ""
    beyond: str = ""
    host: str = "resnetsan01"
    variant: str = ""
    size: str = DEFAULT_SIZE
    target: str = "aimotive"
    study: str = ""
    over: str = ""

    def __post_init__(self) -> None:
        if len(ways := [name for name in WAYS if getattr(self, name)]) != 1:
            raise InputError(f"a reading has one of {', '.join(WAYS)}, not {' and '.join(ways) or 'none of them'}")
        if bool(self.variant) != bool(self.metric or self.check):
            raise InputError("a variant goes with a metric or a check")
        if (self.study or self.over) and not (self.study and self.metric):
            raise InputError("over needs a study, and a study a metric")
        if self.metric:
            StudyClaim(metric=self.metric, value=self.value, source="-")
        elif (self.figure or self.published) and not is_number(self.value):
            raise InputError(f"value must be a number, not '{self.value}'" if self.value else "lacks the key 'value'")

    @property
    def decided_by(self) -> DecidedBy:
        """What decides it."""
        if self.study:
            return "measurement"
        if self.metric == "npu_verdict":
            return "target rule"
        if self.figure:
            return "count" if "'" in self.figure or '"' in self.figure else "arithmetic"
        if self.published:
            return "published figures"
        return "nothing here" if self.beyond else "count"

    @property
    def claim(self) -> dict[str, Any]:
        """What is claimed, as ``judge.claims`` takes it."""
        tolerance = {} if self.tolerance is UNSET else {"tolerance": self.tolerance}
        return {"metric": self.metric or "figure", "value": self.value, "relation": self.relation, "source": "", **tolerance}

    @property
    def asked(self) -> tuple[str, str, str]:
        """The case as it is written: host, variant and size."""
        return self.host, self.variant, self.size

    def plan(self, targets: Iterable[str] = ()) -> Plan:
        """The case with its baseline, for its target and others. Raises ``InputError`` for a name that means nothing."""
        asked = {"name": "claims", "hosts": [self.host], "sizes": [self.size], "case": [{"variant": self.variant}]}
        return plan({**asked, "targets": sorted({self.target, *targets})})


class DocumentClaim(Strict, frozen=True):
    """A sentence of a document, in our own words, and its readings."""

    document: str
    section: str
    says: str
    reading: Annotated[tuple[ClaimReading, ...], Meta(min_length=1)]


class ClaimsFile(Strict, frozen=True):
    """The claims of some documents, these by their short names."""

    documents: Mapping[str, str]
    claim: tuple[DocumentClaim, ...] = ()


def read_claims(path: Path | None = None) -> ClaimsFile:
    """The claims of a file, of the packaged one by default. Raises ``InputError``."""
    path = packaged_study("claims") if path is None else path
    where = f"claims {path}"
    found = validate(read_toml(path, "claims"), ClaimsFile, where)
    for number, claim in enumerate(found.claim, 1):
        if claim.document not in found.documents:
            raise UnknownName(f"document in {where}: claim {number}", claim.document, found.documents)
        if len(claim.reading) > 1 and not all(reading.as_ for reading in claim.reading):
            raise InputError(f"{where}: claim {number}: several readings need a name each: as = '...'")
    return found
