"""Who is told what happens while a sweep runs: a progress bar, a log, or nobody."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from attnbench.core.records import Case, Record


class Observer:
    """Told what happens, for a progress bar or a log; this one shows nothing of it."""

    def started(self, folder: Path, total: int, kept: int, work: float) -> None:
        """The run is open; so many cases in all, so many of them finished earlier, and so much work to do."""

    def waiting(self, holder: str) -> None:
        """Another sweep measures on this machine, and this one waits for its end."""

    def at(self, cases: Sequence[Case], replicate: int, kind: str) -> None:
        """A step of this kind begins, for these cases, of a replicate counted from 1."""

    def described(self, number: int, total: int) -> None:
        """So many of the cases that were not known yet are described, of so many."""

    def replicates(self, number: int, wanted: int) -> None:
        """So many replicates are had, of so many that are wanted as far as is known."""

    def recorded(self, record: Record, left: float) -> None:
        """A record was stored; so much work is left as far as is known: a wide interval may add to it."""

    def note(self, text: str) -> None:
        """Something to know, in a line."""

    def fleet(self, at: Mapping[str, str], had: int, wanted: int) -> None:
        """What each machine of a fleet is at, and how many replicates all of them have, of so many wanted so far."""


class Silent(Observer):
    """Shows nothing."""


def nobody(label: str) -> None:
    """Is told of a label, and does nothing with it."""
