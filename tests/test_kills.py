"""A small version of ``benchmarks/kills.py``: a sweep loses a part of itself, and the same command takes it to its end."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import kills


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["timing step", "builder", "group"])
def test_a_sweep_that_loses_a_part_of_itself_goes_on_with_the_same_command(tmp_path, monkeypatch, victim):
    monkeypatch.setattr(kills, "VICTIMS", (victim,))
    monkeypatch.setattr(kills, "KILLS_A_RUN", 1)
    monkeypatch.setattr(kills, "shared", set)  # others use that here
    counts, wrong = kills.killed_run(tmp_path, tmp_path / "cache", random.Random(1), 3.0)
    assert wrong == []
    assert set(counts) <= {victim}


@pytest.mark.parametrize("befall", ["two sweeps at once, one folder", "Ctrl-C twice"])
def test_what_else_befalls_a_sweep_costs_no_figure(tmp_path, befall):
    place = kills.Place(tmp_path, tmp_path / "cache")
    assert kills.OTHERS[befall](place) + place.left() == []
