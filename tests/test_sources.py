"""The hash of what a name stands for: its file and all that it imports of the same work."""

import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.core import sources
from attnbench.core.catalogue import Catalogue
from attnbench.core.sources import hash_of_files, source_hash
from attnbench.hosts import HOSTS
from attnbench.modules import MODULES


@pytest.fixture
def tree(tmp_path):
    """Writes files below a folder, which it returns."""

    def write(files: dict[str, str] = {}) -> Path:  # noqa: B006
        for name, text in files.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def changed_by(write, start: str, name: str, ask=hash_of_files) -> bool:
    """Whether one more line in a file changes the hash of another."""
    folder = write()
    path = folder / f"{name}.py"
    before = ask(folder / start)
    path.write_text(path.read_text() + "\n# one more line\n")
    after = ask(folder / start)
    assert before
    assert after
    return before != after


def test_a_hash_follows_the_file_and_is_the_same_for_the_same(tmp_path):
    own = tmp_path / "mine.py"
    own.write_text("class A: pass\n")
    before = source_hash(MODULES, f"{own}:A")
    assert source_hash(MODULES, f"{own}:A") == before
    assert before
    own.write_text("class A: x = 1\n")
    assert source_hash(MODULES, f"{own}:A") not in ("", before)
    assert source_hash(MODULES, "se") == source_hash(MODULES, "se_linear") != source_hash(MODULES, "eca")
    assert source_hash(HOSTS, "resnet18") == source_hash(HOSTS, "resnet50")
    assert source_hash(MODULES, "no_such") == source_hash(MODULES, str(tmp_path / "no.py:A")) == ""
    assert source_hash(MODULES, "no_such_package.module:A") == source_hash(MODULES, str(tmp_path)) == ""


@pytest.mark.parametrize(
    ("text", "neighbour"),
    [
        ("import near", "near"), ("from near import x as y", "near"), ("def late():\n    import near", "near"),
        ("try:\n    import near\nexcept ImportError:\n    near = None", "near"), ("from . import near", "near"),
        ("from .near import x", "near"), ("import box.part", "box/part"), ("import box.part", "box/__init__"),
        ("from box import part", "box/part"), ("from box import thing", "box/part"), ("import other", "near"),
        ("from box.part import *", "box/deep"),
    ],
)  # fmt: skip
def test_what_a_users_file_imports_from_beside_it_counts(tree, text, neighbour):
    tree({"mine": text, "near": "x = 1", "box/__init__": "from .part import thing", "box/part": "from box import deep\nthing = 1",
        "box/deep": "", "other": "import near", "unrelated": ""})  # fmt: skip
    assert changed_by(tree, "mine.py", neighbour)
    assert not changed_by(tree, "mine.py", "unrelated")


def test_a_cycle_of_imports_ends_and_what_is_not_there_is_passed_over(tree):
    folder = tree(
        {"mine": "import near, no_such, torch\nfrom . import nothing\nfrom .... import above", "near": "import mine"}
    )
    assert changed_by(tree, "mine.py", "near")
    (folder / "near.py").write_text("import (")
    broken = hash_of_files(folder / "mine.py")
    (folder / "near.py").write_text("import [")
    assert hash_of_files(folder / "mine.py") not in ("", broken)


def test_the_same_files_in_another_folder_have_the_same_hash(tree, tmp_path):
    tree({"one/mine": "import near", "one/near": "", "two/mine": "import near", "two/near": ""})
    assert hash_of_files(tmp_path / "one" / "mine.py") == hash_of_files(tmp_path / "two" / "mine.py")


def test_of_an_installed_module_its_own_package_counts_and_not_what_lies_beside(tree, tmp_path, monkeypatch):
    tree({"plugged/__init__": "", "plugged/sub/__init__": "", "plugged/sub/net": "from plugged.tools import x\nimport library",
        "plugged/tools": "raise RuntimeError('this is not run')", "plugged/unused": "", "library": ""})  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    ask = lambda _: source_hash(MODULES, "plugged.sub.net:Net")  # noqa: E731
    for counted in ("plugged/sub/net", "plugged/tools", "plugged/__init__", "plugged/sub/__init__"):
        assert changed_by(tree, "", counted, ask)
    for not_counted in ("library", "plugged/unused"):
        assert not changed_by(tree, "", not_counted, ask)
    assert source_hash(MODULES, "plugged.sub.none:Net") == source_hash(MODULES, "library.none:x") == ""
    assert source_hash(MODULES, "library:x")
    assert "plugged" not in sys.modules


def test_of_this_projects_files_only_modules_and_hosts_count(monkeypatch):
    read: list[str] = []
    plain = sources._read
    monkeypatch.setattr(sources, "_read", lambda path, *state: read.append(path) or plain(path, *state))

    def files_of(catalogue: Catalogue, name: str) -> set[str]:
        read.clear()
        assert source_hash(catalogue, name)
        return {str(path.relative_to(sources.PACKAGE)) for path in read}

    assert files_of(MODULES, "se") == {"modules/__init__.py", "modules/se.py", "modules/_rewrite.py"}
    assert files_of(MODULES, "gam") == {"modules/__init__.py", "modules/gam.py"}
    assert files_of(HOSTS, "resnet18") == {
        "hosts/__init__.py", "modules/__init__.py",
        *(f"hosts/{n}.py" for n in ("_layouts", "classifier", "resnet", "resnet_blocks", "site", "initialise")),
    }  # fmt: skip
    assert "modules/se.py" in files_of(HOSTS, "resnetsan01")


def test_hashing_loads_no_torch():
    code = (
        "import sys\nfrom attnbench.core.sources import source_hash\nfrom attnbench.hosts import HOSTS\n"
        "assert source_hash(HOSTS, 'resnetsan01')\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
