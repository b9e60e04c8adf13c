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


def test_the_counting_examples_run(workplace):
    for command in commands(next(block for block in blocks("sh") if "--per-op" in block))[:2]:
        done = paste(command, workplace)
        assert done.returncode == 0, done.stderr


def test_the_checking_examples_run_on_a_model_of_ones_own(workplace):
    """On the ONNX file of the other example, at its own size."""
    paste(["python", "export_net.py"], workplace)
    for command in commands(next(block for block in blocks("sh") if "attnbench check" in block)):
        own = ["my_net.onnx" if word == "model.onnx" else "64x96" if word == "384x640" else word for word in command]
        done = paste(own, workplace)
        assert done.returncode in (0, 1), done.stderr
        assert not done.stderr


def test_numbers_of_things_are_those_of_the_registries():
    from attnbench.modules import MODULES
    from attnbench.targets import target_names

    assert f"({len(MODULES.names())} of them" in README
    words = {11: "Eleven"}
    assert f"{words[len(target_names())]} targets come with it" in README


def test_the_entry_example_is_one(workplace):
    import runpy

    from attnbench.modules import Plane

    (entry,) = runpy.run_path(str(workplace / "entry.py"))["ENTRIES"]
    plane = Plane(8, 4, 4)
    assert sum(p.numel() for p in entry.build(8).parameters()) == entry.params(plane)


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
