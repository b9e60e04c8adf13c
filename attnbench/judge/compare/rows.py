"""What a comparison consists of: a row for each figure of each case, as plain data in base units."""

from typing import Final, Literal, NamedTuple

from msgspec import Struct

from attnbench.core.records import Case

Verdict = Literal["same", "better", "worse", "added", "removed", "incomparable", "unresolved"]

COMPARED: Final = ("same", "better", "worse", "unresolved")
"""The verdicts of what could be compared; what is unresolved was compared and not told."""

CASE: Final = "case"
"""The metric of the row on a case as a whole: added, removed, or with another status than before."""


class ChangeCause(NamedTuple):
    """What a change may come from: a kind to group by (``code``, ``exporter``, ``machine``...), and which, in words."""

    kind: str
    detail: str = ""

    @property
    def text(self) -> str:
        """The cause in words."""
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


class MoreReplicates(NamedTuple):
    """How many more replicates of each run would resolve a row, if its means and its scatter stay what they are."""

    base: int
    new: int

    @property
    def text(self) -> str:
        """The same in words."""
        asked = (f"{number} in {run}" for number, run in ((self.base, "BASE"), (self.new, "NEW")) if number)
        return " and ".join(asked)


class ComparisonRow(Struct, frozen=True):
    """What became of one figure of one case.

    ``before`` and ``after`` are in ``unit`` (``1``, ``B``, ``s``); of a status or an NPU verdict they are words. ``low`` and
    ``high`` bound ``delta`` with 95 % confidence where it is noisy, ``p`` is the chance of one as large where nothing
    changed, and ``adjusted`` the same after Holm's correction; ``threshold`` is the change that counts. ``verdict`` is
    ``None`` where the figure is shown but not judged. ``more`` replicates would resolve it, where it is unresolved and any
    number would. ``fails`` are the entries of ``--fail-on`` that the row is a regression by.
    """

    case: Case
    metric: str
    verdict: Verdict | None
    why: str
    before: float | str | None = None
    after: float | str | None = None
    unit: str = "1"
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    adjusted: float | None = None
    causes: tuple[ChangeCause, ...] = ()
    fails: tuple[str, ...] = ()
    threshold: float | None = None
    more: MoreReplicates | None = None

    @property
    def family(self) -> str:
        """The metric without its target or thread count, as ``--fail-on`` names it."""
        return self.metric.partition("@")[0]
