"""The house holds: imports point down, siblings do not meet, and the reading side loads none of the heavy libraries."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

from conftest import loaded_by

import attnbench

PACKAGE = Path(attnbench.__file__).parent

LAYERS = (
    "core", "modules", "hosts", "targets", "runtimes", "graph", "profiles", "npu", "study", "runs", "measure", "fleet", "maps",
    "judge", "report", "cli",
)  # fmt: skip
"""Lowest first. A name is a file or a folder of the package; a folder's files may import each other."""

LEVEL = {name: level for level, name in enumerate(LAYERS)} | {
    "api": len(LAYERS) - 1.5,
    "__init__": len(LAYERS),
    "__main__": len(LAYERS),
}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """The parts of the package that a file imports, wherever in it, for type checking too."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "attnbench":
            parts = node.module.split(".")[1:]
            found |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("attnbench.")}
    return found


def test_every_part_has_a_layer():
    parts = {part_of(path) for path in PACKAGE.rglob("*.py")}
    assert parts == set(LEVEL)


def test_imports_point_down():
    imports = [(path, other) for path in PACKAGE.rglob("*.py") for other in imports_of(path) - {part_of(path)}]
    assert [f"{path} imports {other}" for path, other in imports if LEVEL[other] >= LEVEL[part_of(path)]] == []


def loaded_after(code: str) -> set[str]:
    """The top-level modules in memory after running some code in a fresh interpreter."""
    script = (
        f"import sys; sys.argv = ['attnbench']\n{code}\nprint('\\n' + ' '.join({{m.split('.')[0] for m in sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


READING = """
import attnbench.cli
from attnbench import load_run, run_study
from attnbench.report import listing; listing.modules(); listing.hosts(); listing.placements('resnetsan01')
import attnbench.runs.store, attnbench.report.markdown, attnbench.report.csv, attnbench.report.trust
from attnbench.study.plan import *; from attnbench.study.file import *; plan(read_study(find_study('report')))
from attnbench.report import FORMATS; [FORMATS.load(name) for name in FORMATS.names()]
import attnbench.runs.merge, attnbench.cli.merge
"""


def test_the_reading_side_loads_no_torch_and_no_runtime():
    assert not loaded_after(READING) & {"torch", "onnxruntime", "fvcore", "distributed"}


def test_reading_commands_load_no_onnx_and_no_pandas():
    run = PACKAGE.parent / "results" / "report"
    lines = [
        ("report", run), ("report", run, "--format", "csv"), ("explain", run, "encoder.layer3=cbam_npu"), ("recommend", run),
        ("compare", run, run), ("track", run), ("list", "targets"),
    ]  # fmt: skip
    assert not loaded_by(*lines) & {"torch", "onnxruntime", "onnx", "onnx_ir", "pandas"}


def test_no_class_name_stands_twice():
    trees = [ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")]
    names = Counter(node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef))
    assert [name for name, times in names.items() if times > 1] == []


def test_help_loads_no_pandas_and_no_scipy():
    assert not loaded_after("import attnbench.cli") & {"pandas", "scipy", "numpy", "onnx"}


def test_the_timing_process_loads_no_torch():
    loaded = loaded_after(
        "import attnbench.measure.__main__; from attnbench.runtimes import RUNTIMES; RUNTIMES.load('onnxruntime')"
    )
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "fvcore", "pandas", "onnx", "scipy"}


def test_the_public_names_are_these():
    assert attnbench.__all__ == ["StoredRun", "load_run", "run_study"]
    assert all(hasattr(attnbench, name) for name in attnbench.__all__)


def test_files_and_functions_stay_small():
    for path in PACKAGE.rglob("*.py"):
        lines = path.read_text().splitlines()
        assert len(lines) <= 300, f"{path} has {len(lines)} lines"
