"""Versions of installed distributions, read from their metadata: nothing is imported for it."""

import importlib.metadata

NOT_INSTALLED = "not installed"


def version(distribution: str) -> str:
    """An installed distribution's version, or ``not installed``."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return NOT_INSTALLED
