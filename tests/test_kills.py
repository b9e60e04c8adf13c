"""A small version of ``benchmarks/kills.py``: a sweep loses a part of itself, and the same command takes it to its end."""

import random
import sys
from pathlib import Path

import pytest
from conftest import SHORT, keep_exports

from attnbench.measure.cache import cache_folder
from attnbench.study.plan import plan

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import kills

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cache(monkeypatch):
    """Sweeps without a page and without pairs, of graphs that are in the tests' cache; shared memory is other tests', too."""
    command = kills.Place.command
    monkeypatch.setattr(kills.Place, "command", lambda place, **how: command(place, "--rounds", "0", **how))
    monkeypatch.setattr(kills, "ENTRY", SHORT)
    monkeypatch.setattr(kills, "shared", set)
    keep_exports(plan({"hosts": ["resnet_cifar"], "sizes": ["32x32"], "case": [{"variant": "stage-ends=se_npu"}]}))
    return cache_folder()


@pytest.mark.parametrize("victim", ["timing step", "builder", "group"])
def test_a_sweep_that_loses_a_part_of_itself_goes_on_with_the_same_command(tmp_path, monkeypatch, cache, victim):
    monkeypatch.setattr(kills, "VICTIMS", (victim,))
    monkeypatch.setattr(kills, "KILLS_A_RUN", 1)
    counts, wrong = kills.killed_run(tmp_path, cache, random.Random(2), 1.0)
    assert wrong == []
    assert set(counts) <= {victim}


@pytest.mark.parametrize("befall", ["two sweeps at once, one folder", "Ctrl-C twice"])
def test_what_else_befalls_a_sweep_costs_no_figure(tmp_path, cache, befall):
    place = kills.Place(tmp_path, cache)
    assert kills.OTHERS[befall](place) + place.left() == []
