"""The command line: parse, call, print. Nothing is decided here, and only ``main`` catches errors.

One file a command. Heavy imports stand inside the commands, so that ``--help`` and the reading commands stay quick.
"""

from attnbench.cli import (
    baseline,
    cache,
    check,
    claims,
    compare,
    count,
    doctor,
    explain,
    export,
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

COMMANDS = (
    baseline,
    cache,
    check,
    claims,
    compare,
    count,
    doctor,
    explain,
    export,
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

__all__ = ["COMMANDS", "app", "main"]
