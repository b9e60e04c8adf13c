"""Sweeps over many machines: who measures what, whom is trusted, what travels, and a cluster whose processes are killed."""

import json
import os
import pickle
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from attnbench.core.errors import InputError
from attnbench.core.sources import files_of
from attnbench.fleet import worker
from attnbench.fleet.admission import unlike_code, unlike_machine, unlike_software
from attnbench.fleet.answers import checked, error_text
from attnbench.fleet.journal import Journal, key_of
from attnbench.fleet.parcel import pack_parcel
from attnbench.fleet.pool import GRACE_SECONDS, TRIES, Fleet
from attnbench.fleet.trust import check_address, check_listening, load_plain, plain_data_only
from attnbench.measure import lock, machine
from attnbench.measure.header import hashes_of, make_header, sources_of
from attnbench.report.machines import sections
from attnbench.runs.facts import FailedFact, encode
from attnbench.runs.fold import summarise
from attnbench.study.plan import plan

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "fleet.py"
dask = pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed: pip install 'attnbench[dask]'")


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT), run_name="fleet_script")


@pytest.fixture(scope="module")
def asked(script):
    """A plan of 24 variants with the hashes of its sources and a header."""
    planned = script["scripted_plan"](24)
    return planned, sources_of({one.case: hashes_of(one) for one in planned.cases}), make_header(planned)


class Hands:
    """A fleet whose machines take steps by the script when they are told to."""

    def __init__(self, script, asked, mode):
        self.plan, self.sources, self.header = asked
        self.scripted = script["scripted"]
        self.fleet = Fleet(self.plan, mode, self.sources)
        self.written = {}

    def come(self, name, facts=()):
        self.written.setdefault(name, [])
        return self.fleet.join(name, self.header, facts, lambda *found: self.written[name].extend(found))

    def go(self, name, steps=10_000):
        for _ in range(steps):
            step = self.fleet.next(name)
            if step is None:
                return
            self.fleet.took(name, self.scripted(step, self.sources, name))

    def all(self, *names):
        while not self.fleet.finished:
            for name in names:
                self.go(name, 1)


def test_each_machine_measures_all_and_a_late_one_joins(script, asked):
    hands = Hands(script, asked, "each")
    hands.come("a")
    hands.go("a")
    assert hands.fleet.finished
    late = hands.come("b")
    assert not hands.fleet.finished
    hands.go("b")
    assert hands.fleet.finished
    assert len(hands.written["a"]) == len(hands.written["b"]) > 24 * 4
    assert not any(summarise(hands.header, late.ledger, case).pending for case in hands.header.cases)


def test_like_machines_share_the_cases_each_in_one_place(script, asked):
    hands = Hands(script, asked, "split")
    members = [hands.come(name) for name in "abc"]
    hands.all(*"abc")
    own = [set(member.hand) for member in members]
    assert min(map(len, own)) >= 4, "nobody stands idle"
    assert sum(map(len, own)) == len(set.union(*own)) == 24
    for member in members:
        assert not any(summarise(hands.header, member.ledger, case).pending for case in member.hand)


def test_cases_of_a_lost_machine_wait_for_it_and_then_go_to_others(script, asked):
    hands = Hands(script, asked, "split")
    hands.come("a"), hands.come("b")
    hands.go("a", 3)
    taken = set(hands.fleet.members["a"].hand)
    hands.fleet.lost("a", 100.0)
    hands.fleet.tick(100.0 + GRACE_SECONDS / 2)
    hands.go("b")
    assert not hands.fleet.finished
    assert not taken & set(hands.fleet.members["b"].hand)
    hands.fleet.tick(101.0 + GRACE_SECONDS)
    hands.go("b")
    assert hands.fleet.finished
    assert taken <= set(hands.fleet.members["b"].hand)
    hands.come("a")
    hands.go("a")
    assert hands.fleet.finished
    assert not hands.fleet.members["a"].hand, "what others have finished is not measured again"


def test_a_machine_that_is_back_is_asked_for_the_same_step_and_one_that_dies_of_it_gives_a_failure(script, asked):
    hands = Hands(script, asked, "each")
    hands.come("a")
    hands.go("a", 4)
    step = hands.fleet.next("a")
    for _ in range(TRIES - 1):
        hands.fleet.lost("a", 0.0)
        hands.come("a")
        assert hands.fleet.next("a") == step
    hands.fleet.lost("a", 0.0, blame=False)
    hands.come("a")
    assert hands.fleet.next("a") == step, "the scheduler's end is not this step's fault"
    hands.fleet.lost("a", 0.0)
    hands.come("a")
    assert hands.fleet.next("a") != step
    assert {type(fact) for fact in hands.written["a"][-len(step.cases) :]} == {FailedFact}


def test_a_fleet_goes_on_from_what_is_written(script, asked):
    first = Hands(script, asked, "split")
    first.come("a"), first.come("b")
    first.go("a", 6), first.go("b", 9)
    again = Hands(script, asked, "split")
    for name in "ab":
        again.come(name, first.written[name])
    again.all(*"ab")
    for name in "ab":
        marks = [encode(fact) for fact in (*first.written[name], *again.written[name])]
        assert len(marks) == len(set(marks)), "nothing is asked for twice"


ADDRESSES = [
    ("127.0.0.1:8786", None, "tcp://127.0.0.1:8786"), ("localhost:1", None, "tcp://localhost:1"),
    ("tcp://[::1]:8786", None, "tcp://[::1]:8786"), ("far:8786", "here", "tls://far:8786"),
    ("10.0.0.1:8786", None, "give --dask-tls CA CERT KEY"), ("tls://127.0.0.1:1", None, "give --dask-tls CA CERT KEY"),
    ("tcp://far:8786", "here", "write tls://far:8786"), ("far", None, "no address of a Dask scheduler"),
    ("http://127.0.0.1:80", None, "no address of a Dask scheduler"), ("far:8786", "lacks", "there is no file"),
]  # fmt: skip


@pytest.mark.parametrize(("address", "tls", "meant"), ADDRESSES)
def test_loopback_or_tls(address, tls, meant, tmp_path):
    files = tuple(tmp_path / name for name in ("ca", "cert", "key"))
    for path in files if tls == "here" else ():
        path.touch()
    if meant.partition("://")[0] in ("tcp", "tls"):
        assert check_address(address, files if tls else None) == meant
    else:
        with pytest.raises(InputError, match=meant):
            check_address(address, files if tls else None)


def test_a_scheduler_that_the_network_reaches_without_tls_is_refused():
    check_listening("tls://10.0.0.1:8786")
    with pytest.raises(InputError, match="listens at tcp://10.0.0.1:8786 without TLS"):
        check_listening("tcp://10.0.0.1:8786")


class Evil(Exception):
    def __reduce__(self):
        return os.mkdir, (os.environ["EVIL"],)


@dask
def test_nothing_that_is_pickled_is_loaded_but_plain_data(tmp_path, monkeypatch):
    """By every way that a message of Dask's may hold a pickle."""
    from distributed import client, core, protocol
    from distributed.comm.tcp import read_bytes_rw
    from distributed.protocol import Serialize, ToPickle

    monkeypatch.setenv("EVIL", str(tmp_path / "ran"))
    assert load_plain(pickle.dumps({"a": [1, b"x", None, True, 2.5, ("b",)]})) == {"a": [1, b"x", None, True, 2.5, ("b",)]}
    frames = [list(map(bytes, protocol.dumps({"x": kind(Evil())}))) for kind in (ToPickle, Serialize)]
    plain = protocol.dumps({"x": Serialize(b"facts")})
    with plain_data_only():
        for message in frames:
            with pytest.raises(TypeError, match="is not loaded"):
                protocol.loads(message)
        _, error, trace = core.clean_exception(pickle.dumps(Evil()), pickle.dumps(Evil()))
        assert type(error) is Exception
        assert trace is None
        with pytest.raises(TypeError, match="is not loaded"):
            client._handle_warn((0, {"message": pickle.dumps(Evil())}))
        assert protocol.loads(plain) == {"x": b"facts"}
    assert not (tmp_path / "ran").exists()
    assert protocol.pickle.loads is not load_plain
    from distributed.comm import tcp

    assert tcp.read_bytes_rw is read_bytes_rw, "and afterwards Dask is as it was"


def test_other_software_is_refused_by_field_with_the_line_that_mends_it():
    own = machine.software()
    assert unlike_software(own, {**own, "commit": "another"}) == ""
    other = {**own, "id": "x", "onnxruntime": "1.0", "code": "y"}
    why = unlike_software(own, other)
    assert f"onnxruntime 1.0, not {own['onnxruntime']}" in why
    assert f"pip install onnxruntime=={own['onnxruntime']}" in why
    assert "from the same commit" in unlike_software(own, {**own, "id": "x", "code": "y"})
    assert "run the worker with Python" in unlike_software(own, {**own, "id": "x", "python": "3.0"})


def test_unlike_machines_are_refused_by_field_and_other_code_by_name():
    here = machine.machine()
    assert unlike_machine(here, {**here, "load": 9, "system": "x"}, "a") == ""
    assert "unlike a: cores 96, not" in unlike_machine(here, {**here, "id": "x", "cores": 96}, "a")
    assert unlike_code({0: {"se": "1"}}, {"se": "1", "eca": "2"}) == ""
    assert "'se' is other code there" in unlike_code({0: {"se": "1"}}, {"se": "2"})


def test_an_answer_holds_facts_of_the_step_and_of_its_sources_alone(script, asked):
    _, sources, _ = asked
    hands = Hands(script, asked, "each")
    hands.come("a")
    step = hands.fleet.next("a")
    lines = [encode(fact).decode() for fact in script["scripted"](step, sources, "a")]
    assert len(checked(step, lines, sources)) == len(step.cases)
    with pytest.raises(InputError, match="another case or of other sources"):
        checked(step._replace(cases=step.cases[1:2]), lines[3:4], sources)
    with pytest.raises(InputError, match="another case or of other sources"):
        checked(step, lines, {})
    with pytest.raises(InputError, match="no fact"):
        checked(step, [], sources)
    with pytest.raises(InputError, match="an answer that is no fact"):
        checked(step, ['{"fact":"built"}'], sources)
    assert "pip install 'attnbench[dask]" in error_text(Exception(b"...No module named 'attnbench.fleet'"))


def test_a_machine_keeps_its_last_answer(tmp_path, script, asked):
    _, sources, _ = asked
    hands = Hands(script, asked, "each")
    hands.come("a")
    step = hands.fleet.next("a")
    journal = Journal(tmp_path / "fleet" / "run.json")
    key = key_of(step, sources)
    assert journal.find(key) is None
    journal.keep(key, ["fact"])
    assert Journal(tmp_path / "fleet" / "run.json").find(key) == ["fact"]
    assert journal.find(key_of(step, {})) is None, "other sources are another step"
    assert key_of(step._replace(number=1), sources) != key


def test_a_machine_that_is_away_takes_no_step(script, asked):
    hands = Hands(script, asked, "each")
    hands.come("a")
    hands.fleet.lost("a", 0.0)
    assert hands.fleet.next("a") is None
    hands.come("a")
    assert hands.fleet.next("a") is not None


def test_a_worker_that_is_greeted_looks_at_itself_no_more(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTNBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv(lock.VARIABLE, str(tmp_path / "lock"))
    stopped = []
    watching = {
        name: SimpleNamespace(stop=lambda name=name: stopped.append(name)) for name in ("tick", "profile", "heartbeat")
    }
    dask_worker = SimpleNamespace(name="a", metrics={}, periodic_callbacks=watching)
    assert json.loads(worker.hello(dask_worker=dask_worker))["name"] == "a"
    assert sorted(stopped) == ["profile", "tick"]
    assert dask_worker.metrics[worker.METRIC](None)["called"] == "a"


def own_plan(host, module):
    return plan(
        {"hosts": [{"spec": host, "sites": {"a": "stem"}}], "sizes": ["32x32"], "case": [{"variant": f"a={module}"}]}
    )


def test_the_users_files_travel_with_what_they_import(tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "net.py").write_text("import beside\nfrom attnbench.modules import se\ndef build(): ...\n")
    (tmp_path / "own" / "beside.py").write_text("X = 1\n")
    (tmp_path / "own" / "other.py").write_text("Y = 1\n")
    monkeypatch.chdir(tmp_path)
    parcel = pack_parcel(own_plan("own/net.py:build", "se"))
    assert sorted(parcel.files) == ["own/beside.py", "own/net.py"]
    assert json.loads(parcel.plan)["cases"][0]["case"]["host"] == "own/net.py:build"
    with pytest.raises(InputError, match="cannot travel to other machines: give a path below this folder"):
        pack_parcel(own_plan(f"{tmp_path}/own/net.py:build", "se"))
    assert {"json/__init__.py", "json/decoder.py"} <= {str(where) for _, where in files_of("json.decoder:JSONDecoder")}


def test_a_timing_process_holds_the_lock_of_a_sweep_that_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv(lock.VARIABLE, str(tmp_path / "lock"))
    assert lock.held() == ()
    with lock.measuring("a", wait=False, waiting=print):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=lock.held())
    with pytest.raises(InputError, match="is being measured on"), lock.measuring("b", wait=False, waiting=print):
        pass
    child.communicate(b"\n")
    with lock.measuring("c", wait=False, waiting=print):
        assert len(lock.held()) == 1
    assert lock.held() == ()


def test_what_machines_differ_by_has_an_interval(run):
    machines, overheads, differences = sections({"a": run, "b": run})
    assert machines.table.column("machine") == ["a", "b"]
    assert "±" in "".join(overheads.table.column("b"))
    assert any(cell.startswith("0.00 ± ") for cell in differences.table.column("b"))


@dask
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--dask far:8786", "is not on this machine: give --dask-tls CA CERT KEY"),
        ("--dask 127.0.0.1:1 --shard 1/2", "leave out --shard"),
        ("--dask 127.0.0.1:1", "no Dask scheduler answers at tcp://127.0.0.1:1"),
    ],
)
def test_what_cannot_be_is_one_line(refused, tmp_path, monkeypatch, arguments, message):
    from attnbench.fleet import channel

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(channel, "CONNECT_SECONDS", 0.5)
    assert message in refused("sweep", "quick", *arguments.split())
    assert not list(tmp_path.iterdir())


@dask
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["each", "split"])
def test_a_cluster_whose_processes_are_killed_loses_and_doubles_nothing(script, mode):
    found = script["chaos"](2, 3, 4, mode, cases=6, sleep=0.3, most_seconds=120)
    assert found["finished"], found
    assert sum(found["killed"].values()) >= 1
    assert {name: found[name] for name in script["COUNTED"]} == dict.fromkeys(script["COUNTED"], 0)
    assert found["facts"] > 40


def test_a_fleet_goes_on_in_its_folder_whatever_signs_its_study_is_called_by(tmp_path):
    from attnbench.fleet.run import _mark, _unfinished
    from attnbench.measure.sweep import new_folder

    folder = new_folder(tmp_path, "my study [v2]: a/b")
    _mark(folder, "of this plan", "each", finished=False)
    assert _unfinished(tmp_path, "my study [v2]: a/b", "of this plan") == folder
    assert _unfinished(tmp_path, "my study [v2]: a/b", "of another") is None
