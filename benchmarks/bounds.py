"""The lowest versions that ``pyproject.toml`` allows, tried: ``python benchmarks/bounds.py [--tests PATH ...]``.

Each direct dependency is installed alone, at its lowest version, into a folder that comes before what is installed here;
``--keep`` names those that stay as they are (torch is 200 MB and more). Then the tests run with that, and
``results/bounds.md`` says which versions those were. What has no wheel for this Python is named. The workflow tries the same
with uv on other Pythons.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "results" / "bounds.md"


def lowest() -> dict[str, str]:
    """Each dependency with its lowest version; those that have none are left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["html"]]
    found = (re.match(r"([\w-]+)>=([\w.]+)", one) for one in asked)
    return {match[1]: match[2] for match in found if match}


def main() -> None:
    """Install, test, and write what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", action="append", default=["torch"])
    parser.add_argument("--tests", nargs="*", default=["tests"])
    asked = parser.parse_args()
    rows, missing = [], []
    with tempfile.TemporaryDirectory(prefix="attnbench-bounds-") as folder:
        for name, version in lowest().items():
            if name in asked.keep:
                rows.append(f"| {name} | as installed |")
                continue
            words = ["-m", "pip", "install", "-q", "--target", folder, "--upgrade", "--only-binary", ":all:"]
            alone = [] if name == "typer" else ["--no-deps"]  # it needs a command line library that later versions hold
            done = subprocess.run(
                [sys.executable, *words, *alone, f"{name}=={version}"], check=False, capture_output=True, text=True
            )
            (missing if done.returncode else rows).append(f"| {name} | {version} |")
        path = os.pathsep.join([folder, str(ROOT)])
        tests = [sys.executable, "-m", "pytest", "-q", "-n0", *asked.tests]
        done = subprocess.run(
            tests, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, check=False, capture_output=True, text=True
        )
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-300:]
    lines = [
        f"# Lowest versions\n\nOn Python {sys.version.split()[0]}, with the lowest versions that `pyproject.toml` allows:\n",
        "| package | version |\n|:--|:--|",
        *rows,
        *(["\nNo wheel for this Python:\n\n| package | version |\n|:--|:--|", *missing] if missing else []),
        f"\n`pytest {' '.join(asked.tests)}`: {last}",
    ]
    print("\n".join(lines), done.stdout[-3000:])
    RESULT.write_text("\n".join(lines) + "\n")
    raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
