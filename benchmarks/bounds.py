"""The versions that ``pyproject.toml`` allows, tried: ``python benchmarks/bounds.py lowest-direct|highest [TEST ...]``.

A new environment gets each direct dependency at its lowest version, or at its newest, and then what the tests need beside
them at its newest: a tool's lowest version is nobody's business. The tests run there; ``results/bounds.md`` has a column for
each Python and end: the versions, and what came of it. The workflow runs it on the Pythons that torch has wheels for.
torch comes with CUDA from PyPI: 7 GB for as long as this runs.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINES, RESULT = ROOT / "results" / "bounds.jsonl", ROOT / "results" / "bounds.md"
PARTS = "html,openvino,dask"
"""The extras that a user may install."""


def direct() -> list[str]:
    """The names of what attnbench itself asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + [one for part in PARTS.split(",") for one in project["optional-dependencies"][part]]
    return [re.match(r"[\w-]+", one)[0] for one in asked]  # type: ignore[index]


def install(folder: Path, resolution: str) -> tuple[Path, dict[str, str]]:
    """An environment with one end of the allowed versions: its Python, and those versions by name."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python, uv = folder / "bin" / "python", folder / "bin" / "uv"
    subprocess.run([python, "-m", "pip", "install", "-q", "uv"], check=True)
    pip = [uv, "pip", "install", "-q", "--python", python, "-e"]
    subprocess.run([*pip, f"{ROOT}[{PARTS}]", "--resolution", resolution], check=True)
    subprocess.run([*pip, f"{ROOT}[test]"], check=True)
    listed = subprocess.run(
        [uv, "pip", "list", "-q", "--python", python, "--format", "json"], check=True, capture_output=True
    )
    found = {one["name"]: one["version"] for one in json.loads(listed.stdout)}
    return python, {name: found[name] for name in direct()}


def page(lines: list[dict[str, object]]) -> str:
    """The table of what was tried: a column each, the versions below each other."""
    rows = [["", *(f"{one['resolution']}, Python {one['python']}" for one in lines)], [":--"] * (1 + len(lines))]
    rows += [[name, *(one["versions"].get(name, "–") for one in lines)] for name in lines[0]["versions"]]  # type: ignore[attr-defined]
    rows += [["tests", *(str(one["tests"]) for one in lines)], ["came to", *(str(one["came_to"]) for one in lines)]]
    table = "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)
    told = "What was tested at either end of them, by `benchmarks/bounds.py`, on these Pythons and no other:"
    return f"# Versions that `pyproject.toml` allows\n\n{told}\n\n{table}\n"


def main() -> None:
    """Install, test, and write what came of it in the place of what was known of this Python and this end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("resolution", choices=["lowest-direct", "highest"])
    parser.add_argument("tests", nargs="*", default=["tests"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="attnbench-bounds-") as folder:
        python, versions = install(Path(folder), asked.resolution)
        last = ""
        with subprocess.Popen([python, "-m", "pytest", *asked.tests], cwd=ROOT, stdout=subprocess.PIPE, text=True) as tests:
            for line in tests.stdout or ():
                print(line, end="", flush=True)
                last = line.strip("= \n") or last
    own = {"resolution": asked.resolution, "python": sys.version.split()[0]}
    known = [json.loads(line) for line in LINES.read_text().splitlines()] if LINES.exists() else []
    kept = [one for one in known if any(one[key] != value for key, value in own.items())]
    lines = [
        *kept,
        {**own, "versions": versions, "tests": " ".join(asked.tests), "came_to": last or f"exit code {tests.returncode}"},
    ]
    LINES.write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    RESULT.write_text(page(lines))
    raise SystemExit(tests.returncode)


if __name__ == "__main__":
    main()
