"""What the README says is true when pasted."""

import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands(text: str) -> list[list[str]]:
    return [shlex.split(line) for line in text.splitlines() if line.startswith(("attnbench ", "python "))]


def paste(command: list[str], folder: Path) -> subprocess.CompletedProcess:
    tool = {"attnbench": [sys.executable, "-c", "from attnbench.cli import main; main()"], "python": [sys.executable]}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    return subprocess.run(
        [*tool[command[0]], *command[1:]], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with every file the README shows."""
    folder = tmp_path_factory.mktemp("readme")
    for block in blocks("python"):
        name = re.match(r"# (\w+\.py)\n", block)
        assert name, block
        (folder / name[1]).write_text(block)
    return folder


OWN = [block for block in blocks("sh") if "results/own-" in block]


@pytest.mark.parametrize("block", OWN, ids=["module", "host", "onnx"])
def test_each_worked_example_runs(workplace, block):
    for command in commands(block):
        done = paste(command, workplace)
        assert done.returncode == 0, done.stderr
        if "--out" in command:
            out = workplace / command[command.index("--out") + 1]
            assert {"report.md", "cases.csv", "run.jsonl"} <= {path.name for path in out.iterdir()}
            assert "failed" not in (out / "cases.csv").read_text()


def test_the_notebook_example_runs(workplace):
    done = paste(["python", "notebook.py"], workplace)
    assert done.returncode == 0, done.stderr
    assert "encoder.layer3=eca" in done.stdout


def test_the_other_commands_parse():
    """Every command of the tour names options, modules, places and sizes that exist."""
    from attnbench.study import from_flags, plan

    tour = next(block for block in blocks("sh") if "attnbench explain" in block)
    for command in commands(tour):
        if command[1] == "sweep":
            taken = {
                flag: [b for a, b in pairwise(command) if a == flag]
                for flag in ("--module", "--place", "--variant", "--size")
            }
            plan(from_flags(None, [], *taken.values(), [], None))


def test_the_test_command_is_the_one_ci_runs():
    command = next(block for block in blocks("sh") if "pytest" in block).strip()
    assert command in (ROOT / ".ci" / "run").read_text()


def test_the_matrix_is_the_committed_runs():
    from attnbench import load_run
    from attnbench.report.claims import priorities
    from attnbench.report.markdown import table_text

    stored = load_run(ROOT / "results" / "report")
    assert table_text(priorities(stored.run, stored.to_frame())) in README
