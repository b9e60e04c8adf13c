"""Who may measure: a machine's software is held against that of the client, its machine against those it shares with.

Figures of two versions do not compare, and facts are read by the client's code.
"""

from collections.abc import Mapping
from typing import Any

from attnbench.core.records import Case
from attnbench.measure.machine import DISTRIBUTIONS
from attnbench.runs.merge import PASSING
from attnbench.runtimes import RUNTIMES


def unlike_software(own: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Why a machine's software is refused, and the line that mends it; empty where it is the client's."""
    if own["id"] == other.get("id"):
        return ""
    differing, told = _differences(own, other)
    packages = [f"{key}=={own[key]}" for key in differing if key in (*DISTRIBUTIONS, *RUNTIMES.names(), "attnbench")]
    if packages:
        mend = f"there: pip install {' '.join(packages)}"
    elif "python" in differing:
        mend = f"there: run the worker with Python {own['python']}"
    else:
        mend = "there: install attnbench from the same commit as here"
    return f"other software: {told}; {mend}"


def unlike_machine(first: Mapping[str, Any], other: Mapping[str, Any], name: str) -> str:
    """Why a machine cannot share cases with another one, by field; empty where they are alike."""
    if first["id"] == other.get("id"):
        return ""
    return f"unlike {name}: {_differences(first, other)[1]}; --dask-mode each measures all cases on every machine"


def _differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[list[str], str]:
    """The fields in which two differ, and the same in words."""
    differing = [key for key in own if key not in PASSING and own[key] != other.get(key)]
    return differing, ", ".join(f"{key} {other.get(key, 'missing')}, not {own[key]}" for key in differing) or "its id"


def unlike_code(own: Mapping[Case, Mapping[str, str]], other: Mapping[str, str]) -> str:
    """Why a machine would measure other code under a name; empty where it has the client's."""
    for hashes in own.values():
        for name, mark in hashes.items():
            if other.get(name) != mark:
                return f"'{name}' is other code there: install the same version, or give it as FILE.py:NAME, which travels"
    return ""
