"""The command line: parse, call, print. Nothing is decided here, and only ``main`` catches errors.

Heavy imports stand inside the commands, so that ``--help`` and the reading commands stay quick.
"""

from attnbench.cli import checking, comparing, counting, deciding, keeping, measuring, reading, rewriting, tracking
from attnbench.cli.app import app, main

__all__ = [
    "app",
    "checking",
    "comparing",
    "counting",
    "deciding",
    "keeping",
    "main",
    "measuring",
    "reading",
    "rewriting",
    "tracking",
]
