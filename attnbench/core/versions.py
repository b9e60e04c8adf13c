"""Versions of installed distributions, read from their metadata: nothing is imported for it."""

import importlib.metadata


def version(distribution: str) -> str:
    """An installed distribution's version, or ``not installed``."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
