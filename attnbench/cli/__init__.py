"""The command line: parse, call, print. Nothing is decided here, and only ``main`` catches errors.

One file a command. Heavy imports stand inside the commands, so that ``--help`` and the reading commands stay quick.
"""

from attnbench.cli import (  # noqa: F401  a command joins the application when it is imported
    attribute,
    baseline,
    cache,
    check,
    claims,
    compare,
    count,
    doctor,
    explain,
    export,
    fleet,
    init,
    list_,
    maps,
    merge,
    plot,
    recommend,
    report,
    rewrite,
    sweep,
    track,
)
from attnbench.cli.app import app, main

__all__ = ["app", "main"]
