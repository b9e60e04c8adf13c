"""Records to text: tables and files. One file a format, ending in ``ENTRIES``. No torch, no onnx here."""

from collections.abc import Callable
from dataclasses import dataclass

from attnbench.core.catalogue import Catalogue
from attnbench.core.records import Run

FORMATS = Catalogue("format", "attnbench.report", "attnbench.formats")


@dataclass(frozen=True)
class ReportFormat:
    """A way of writing a run down: its name, its file in a run's folder, and the function that makes the text.

    Half of a character in a name is written as its escape: no file could hold it.
    """

    name: str
    file: str
    render: Callable[[Run], str]
    summary: str

    def __post_init__(self) -> None:
        made = self.render
        object.__setattr__(self, "render", lambda run: made(run).encode(errors="backslashreplace").decode())
