"""Nothing that is typed or written into a file ends in a traceback, a hang or a wrong code: 300 inputs, and those that once did.

``python benchmarks/fuzz.py`` is the same with thousands. The seed is printed; ``FUZZ_SEED`` repeats it.
"""

import json
import os
import random
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "benchmarks")]

from fuzz_harness import FuzzInput, Sandbox, mistakes, prepare
from fuzz_inputs import KINDS, sound_files
from hypothesis import HealthCheck, Phase, given, seed, settings

SEED = int(os.environ.get("FUZZ_SEED", random.randrange(2**31)))
CORPUS = json.loads(Path(__file__).with_name("corpus.json").read_text())
SHARE = {"command lines": 90, "study files": 50, "target files": 40, "run files": 70, "baseline files": 10, "accuracy tables": 10,
         "ONNX files": 30}  # fmt: skip


@pytest.fixture(scope="module")
def sandbox():
    from attnbench.measure import machine

    with pytest.MonkeyPatch.context() as patch:
        for name in ("machine", "software"):
            patch.setattr(machine, name, getattr(machine, name))  # which prepare sets, and this sets back
        prepare()
        with Sandbox(sound_files()) as found:
            yield found


def test_the_shares_are_of_every_kind():
    assert SHARE.keys() == KINDS.keys()
    assert sum(SHARE.values()) == 300


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_asked_or_read_ends_as_documented(sandbox, kind):
    print(f"FUZZ_SEED={SEED}")

    @seed(SEED)
    @settings(
        max_examples=SHARE[kind],
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(KINDS[kind])
    def holds(asked):
        assert not mistakes(asked, sandbox.run(asked)), asked

    holds()


@pytest.mark.parametrize("entry", CORPUS, ids=[entry["name"] for entry in CORPUS])
def test_what_went_wrong_once_does_not_again(sandbox, entry):
    files = {name: data.encode("latin-1") for name, data in entry.get("files", {}).items()}
    asked = FuzzInput(tuple(entry["arguments"]), files)
    seen = sandbox.run(asked)
    assert not mistakes(asked, seen), seen
    assert seen.code == entry["code"], seen
    assert entry.get("says", "") in seen.err, seen
