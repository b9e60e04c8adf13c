import importlib.metadata
import sys
from pathlib import Path

import pytest

from attnbench.core.catalogue import Catalogue, accepted, forget, load_object, merge_options
from attnbench.core.errors import AttnbenchError, InputError, UnknownName
from attnbench.core.grammar import parse_spec
from attnbench.hosts import HOSTS
from attnbench.modules import MODULES
from attnbench.profiles import PROFILES
from attnbench.report import FORMATS
from attnbench.study.plan import plan

ENTRY = "from types import SimpleNamespace as E\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes a package of the given files and returns its registry."""

    def make(**files: str) -> Catalogue:
        name = f"registry_of_{tmp_path.name}".replace("-", "_")
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for stem, text in files.items():
            (folder / f"{stem}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return Catalogue("thing", name, "attnbench.none")

    return make


@pytest.mark.parametrize("registry", [MODULES, HOSTS, FORMATS, PROFILES], ids=lambda r: r.kind)
def test_what_is_read_from_the_source_is_what_is_loaded(registry):
    for name, description in registry.describe().items():
        entry = registry.load(name)
        for key, value in description.fields.items():
            assert getattr(entry, key) == value


def test_describing_runs_no_file(package):
    registry = package(a=f"{ENTRY}raise RuntimeError\nENTRIES = (E(name='a', paper='p', build=len),)")
    assert registry.describe()["a"].get("paper") == "p"
    assert "build" not in registry.describe()["a"].fields


def test_a_name_registered_twice_names_both_files(package):
    registry = package(a=f"{ENTRY}ENTRIES = (E(name='x'),)", b=f"{ENTRY}ENTRIES = (E(name='x'),)")
    with pytest.raises(InputError, match=r"'x' is registered twice: in .*\.a and .*b\.py"):
        registry.describe()


def test_a_name_that_is_no_literal_names_file_and_line(package):
    registry = package(a=f"{ENTRY}N = 'x'\nENTRIES = (E(name=N),)")
    with pytest.raises(InputError, match=r"a\.py:3"):
        registry.describe()


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'cbam_npu' or 'cbam'"):
        MODULES.load("cbam_np")


def test_options_are_held_to_names_and_types():
    known = {"reduction": 16, "scale": 1.0, "on": True, "mode": "a"}
    assert merge_options("module", parse_spec("x[scale=2,on=false]"), known)["scale"] == 2
    for text, message in [
        ("x[reductoin=8]", "did you mean 'reduction'"),
        ("x[reduction=0.5]", "takes a whole number"),
        ("x[on=1]", "takes true or false"),
        ("x[mode=3]", "takes a word"),
        ("x[reduction=true]", "takes a whole number"),
    ]:
        with pytest.raises(InputError, match=message):
            merge_options("module", parse_spec(text), known)


def test_a_users_object_is_found_and_a_wrong_name_is_answered(user_file):
    assert load_object(f"{user_file}:Gate", "module").__name__ == "Gate"
    with pytest.raises(UnknownName, match="did you mean 'Gate'"):
        load_object(f"{user_file}:Gat", "module")


def test_a_users_file_may_import_its_neighbours(tmp_path):
    (tmp_path / "neighbour_of_mine.py").write_text("VALUE = 7")
    (tmp_path / "mine_too.py").write_text("from neighbour_of_mine import VALUE")
    assert load_object(f"{tmp_path / 'mine_too.py'}:VALUE", "module") == 7
    assert str(tmp_path) not in sys.path


def test_what_cannot_be_imported_is_one_line(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_library")
    for reference, message in [
        (f"{broken}:x", "importing .* failed: ModuleNotFoundError"),
        (f"{tmp_path / 'none.py'}:x", "there is no file"),
        ("no_such_package.module:x", "failed: No module named"),
        ("justaname.py", "is not FILE.py:NAME"),
    ]:
        with pytest.raises(AttnbenchError, match=message):
            load_object(reference, "module")
    assert not [name for name in sys.modules if name.endswith("broken")]


def test_only_the_arguments_a_function_takes_are_given():
    offered = {"channels": 1, "height": 2, "width": 3}
    assert accepted(lambda channels, width: None, offered) == {"channels": 1, "width": 3}
    assert accepted(lambda **anything: None, offered) == offered


def test_every_python_file_of_a_registry_parses_without_its_libraries():
    for registry in (MODULES, HOSTS):
        folder = Path(sys.modules[registry.package].__file__).parent
        assert {d.origin.rsplit(".")[-1] for d in registry.describe().values()} <= {p.stem for p in folder.glob("*.py")}


def test_a_plan_looks_through_the_distributions_once_for_each_catalogue(monkeypatch):
    asked = []
    plain = importlib.metadata.entry_points
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: asked.append(group) or plain(group=group))
    forget()
    study = {"matrix": [{"modules": ["se", "eca", "cbam"], "places": "each"}], "targets": []}
    assert len(plan(study).cases) > 20
    plan(study)
    assert sorted(asked) == ["attnbench.hosts", "attnbench.modules", "attnbench.runtimes"]
    assert MODULES.describe() is MODULES.describe()
