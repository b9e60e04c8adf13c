"""Sharding a study and joining the shards: what is dealt out, what fits together, and which of two records holds."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from attnbench.core.errors import InputError
from attnbench.core.records import Measurement
from attnbench.measure import machine as environment
from attnbench.measure.header import make_header
from attnbench.measure.sweep import recorded
from attnbench.report.frame import to_frame
from attnbench.runs.facts import BuiltFact, FailedFact, LatencyFact, ProfileFact
from attnbench.runs.merge import keep, merge
from attnbench.runs.store import finished, load_run, open_run
from attnbench.study.plan import plan, shard

MACHINE, SOFTWARE = environment.machine(), environment.software()

STUDY = {
    "name": "cut",
    "sizes": ["32x64", "64x96"],
    "matrix": [{"modules": ["se", "eca", "cbam"], "places": ["encoder.layer1", "encoder.layer3"]}],
    "case": [{"variant": "decoder.fusion=se"}],
}


def facts_of(case, replicates=5, *, notes=(), sources=None, floor=None, failed=False):
    """The facts that a sweep would leave of a case, its figures following from the case alone."""
    seed = sum(map(ord, case.label)) % 97 / 1e4
    params = Measurement("params", 1000 + (not case.is_baseline), exact=True)
    facts = [BuiltFact(case=case, measurements=(params,), notes=notes, hashes=sources or {})]
    overhead = {} if case.is_baseline else {"overhead": seed, "aligned": 1.0}
    for number in range(replicates):
        facts.append(ProfileFact(case=case, number=number, core_share=1.0, **overhead))
        facts.append(LatencyFact(case=case, number=number, threads=1, wall=(0.1,)))
    if floor is not None:
        repeated = {"overhead": seed + floor, "aligned": 1.0, "repeat": True}
        facts += [ProfileFact(case=case, number=number, core_share=1.0, **repeated) for number in range(replicates)]
    if failed:
        facts.append(FailedFact(case=case, step="build", stage="build", kind="CaseFailure", message="no"))
    return facts


@pytest.fixture(autouse=True)
def _machine(monkeypatch):
    """Machine and software are looked at once, not for every header."""
    monkeypatch.setattr(environment, "machine", lambda: dict(MACHINE))
    monkeypatch.setattr(environment, "software", lambda _runtimes: dict(SOFTWARE))


@pytest.fixture
def write(tmp_path):
    """Writes a run as a sweep would and returns its folder."""

    def at(name, planned, facts=facts_of, **header) -> Path:
        made = replace(make_header(planned), **header)
        repeated = {p.case.baseline: p.case for p in reversed(planned.cases) if not p.case.is_baseline}.values()
        with open_run(tmp_path / name, made) as writer:
            for case in [p.case for p in planned.cases]:
                for fact in facts_of(case, floor=0.001) if facts is facts_of and case in repeated else facts(case):
                    writer.append(fact)
        return tmp_path / name

    return at


@pytest.fixture
def whole():
    return plan(STUDY)


@pytest.fixture
def shards(write, whole):
    return [write(f"s{i}", shard(whole, f"{i}/3")) for i in (1, 2, 3)]


# ---- dealing out


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 14])
def test_every_variant_is_in_one_shard_with_its_baseline(whole, parts):
    dealt = [shard(whole, f"{i}/{parts}") for i in range(1, parts + 1)]
    variants = [p.case for one in dealt for p in one.cases if not p.case.is_baseline]
    assert sorted(variants) == sorted(p.case for p in whole.cases if not p.case.is_baseline)
    assert max(len(one.cases) for one in dealt) - min(len(one.cases) for one in dealt) <= 2
    for number, one in enumerate(dealt, start=1):
        cases = [p.case for p in one.cases]
        assert {case.baseline for case in cases} == {case for case in cases if case.is_baseline}
        assert cases == [p.case for p in whole.cases if p.case in cases]
        assert one == shard(whole, f"{number}/{parts}")


def test_a_host_alone_is_dealt_out_too():
    alone = plan({"sizes": ["32x64", "64x96", "96x96"], "case": [{"variant": "baseline"}]})
    assert [[p.case.size for p in shard(alone, f"{i}/2").cases] for i in (1, 2)] == [["32x64", "96x96"], ["64x96"]]


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "1/", "/2", "a/b", "1/0", "-1/3", "1/3/3", "", "²/3", "1.0/3"])
def test_what_is_no_shard_is_one_line(whole, part):
    with pytest.raises(InputError, match=r"--shard '.*' is not PART/PARTS: write it like 1/4"):
        shard(whole, part)


def test_more_shards_than_cases_are_refused(whole):
    with pytest.raises(InputError, match="--shard 15/15 holds no case: there are 14 to deal out"):
        shard(whole, "15/15")


def test_sweep_takes_a_shard_and_says_what_is_none(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, error = command("sweep", "--module", "se", "--place", "encoder.layer1", "--shard", "5/4")
    assert (code, error.count("\n")) == (2, 1)
    assert error.startswith("attnbench: --shard '5/4' is not")
    assert not list(tmp_path.iterdir())


def test_a_shard_is_continued_as_itself_and_knows_its_study(whole):
    headers = [make_header(one) for one in (whole, shard(whole, "1/3"), shard(whole, "2/3"))]
    assert len({header.study["fingerprint"] for header in headers}) == 3
    assert {header.study["study_fingerprint"] for header in headers} == {headers[0].study["fingerprint"]}
    assert "shard" not in headers[0].study
    assert headers[1].study["shard"] == {"part": "1/3", "positions": [0, 1, 4, 7, 8, 11, 14], "total": 16}


# ---- joining


def test_shards_make_the_whole_run(shards, whole, write):
    merged = merge(shards).run
    unsharded = load_run(write("all", whole))
    assert [r for r in merged.records if not r.case.is_baseline] == [r for r in unsharded.records if not r.case.is_baseline]
    assert merged.header.cases == unsharded.header.cases
    assert finished(merged)
    study = dict(merged.header.study)
    told = study.pop("shards")
    assert study == unsharded.header.study
    assert [one["part"] for one in told] == ["1/3", "2/3", "3/3"]
    assert [one["cases"] for one in told] == [7, 7, 6]
    assert all(len(one["sha256"]) == 64 and one["started"] for one in told)
    same = [column for column in to_frame(merged).columns if not column.startswith("floor")]
    assert to_frame(merged)[same].equals(to_frame(unsharded)[same])


def test_the_order_in_which_shards_are_named_does_not_matter(shards):
    one, two = merge(shards).run, merge(shards[::-1]).run
    assert one.records == two.records
    assert one.header.cases == two.header.cases
    assert one.header.study["fingerprint"] == two.header.study["fingerprint"]


def test_the_start_is_the_earliest(write, whole):
    late = write("late", shard(whole, "1/2"), started="2026-03-01T00:00:00+00:00")
    early = write("early", shard(whole, "2/2"), started="2026-02-01T00:00:00+00:00")
    assert merge([late, early]).header.started == "2026-02-01T00:00:00+00:00"


def test_a_part_of_the_shards_is_a_part_of_the_study_and_takes_the_rest_later(shards, tmp_path):
    part = merge(shards[:2])
    assert part.header.study["shard"]["part"] == "1/3+2/3"
    assert part.header.study["shard"]["total"] == 16
    assert len(part.header.cases) == 11 + 1
    assert part.header.study["fingerprint"] != part.header.study["study_fingerprint"]
    keep(part, tmp_path / "part")
    assert load_run(tmp_path / "part") == part.run
    rest = merge([tmp_path / "part", shards[2]])
    whole = merge(shards)
    assert rest.run.records == whole.run.records
    assert rest.header.study == whole.header.study


def test_a_sweep_goes_on_from_a_merged_run(shards, whole, tmp_path):
    keep(merge(shards), tmp_path / "whole")
    assert {f.case for f in recorded(tmp_path / "whole", make_header(whole)).facts} == {p.case for p in whole.cases}
    with pytest.raises(InputError, match="holds a run of another study"):
        recorded(shards[0], make_header(whole))


def test_the_command_writes_what_a_sweep_writes(command, shards, tmp_path):
    code, out, _ = command("merge", *shards, "-o", tmp_path / "whole")
    assert code == 0
    assert "16 of 16 cases" in out
    assert sorted(path.name for path in (tmp_path / "whole").iterdir()) == ["cases.csv", "report.md", "run.jsonl"]
    code, _, error = command("merge", *shards, "-o", tmp_path / "whole")
    assert (code, error.count("\n")) == (2, 1)
    assert "holds a run already: choose another folder" in error
    code, out, _ = command("merge", *shards[:2], "-o", tmp_path / "part")
    assert "12 of 16 cases" in out
    code, out, _ = command("report", tmp_path / "part")
    assert "12 of 12 cases" in out


# ---- what does not fit


def other_study(study, **settings):
    return shard(plan({**STUDY, **study}, overrides=settings), "2/3")


@pytest.mark.parametrize(
    ("study", "settings", "field"),
    [
        ({"name": "mine"}, {}, "study: name differs: mine, not cut"),
        ({"title": "Other"}, {}, "study: title differs: Other, not "),
        (
            {"targets": ["rockchip-rk3588-2.3.2"]},
            {},
            r"study: targets differs: \['rockchip-rk3588-2.3.2'\], not \['aimotive'\]",
        ),
        ({"matrix": []}, {}, "study: matrix differs"),
        ({"sizes": ["32x64"]}, {}, r"study: what it plans \(hosts, sizes, or a case's own settings\) differs"),
        ({}, {"repeat": 7}, "effort: repeat differs: 7, not 10"),
        ({}, {"seed": 7}, "protocol: seed differs: 7, not 0"),
    ],
)
def test_another_study_or_other_settings_are_refused_by_field(shards, write, study, settings, field):
    with pytest.raises(InputError, match=rf"other cannot be merged with .*s1: {field}") as caught:
        merge([shards[0], write("other", other_study(study, **settings))])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "facts", "field"),
    [
        ("machine", {"id": "zzz", "cpu": "Another CPU"}, "machine: cpu differs: Another CPU, not "),
        ("machine", {"id": "zzz"}, "machine: id differs: zzz, not "),
        ("software", {"id": "zzz", "onnxruntime": "0.1"}, "software: onnxruntime differs: 0.1, not "),
    ],
)
def test_another_machine_or_other_software_is_refused_by_field(shards, write, whole, part, facts, field):
    two = shard(whole, "2/3")
    changed = {**getattr(make_header(two), part), **facts}
    with pytest.raises(InputError, match=f"s1: {field}"):
        merge([shards[0], write("other", two, **{part: changed})])


def test_what_an_id_leaves_out_may_differ(shards, write, whole):
    two = shard(whole, "2/3")
    header = make_header(two)
    other = write("other", two, machine={**header.machine, "load": 9.0}, software={**header.software, "commit": "abc"})
    assert [told["commit"] for told in merge([shards[0], other]).header.study["shards"]][1] == "abc"


def test_other_code_under_the_same_name_is_refused(write, whole):
    runs = [
        write(f"c{i}", shard(whole, f"{i}/2"), lambda c, i=i: facts_of(c, sources={"resnetsan01": "a", "se": f"x{i}"}))
        for i in (1, 2)
    ]
    with pytest.raises(InputError, match="code: se differs: x2, not x1"):
        merge(runs)


def test_one_run_and_the_same_run_twice_are_refused(shards, tmp_path):
    with pytest.raises(InputError, match="merge needs two runs at least"):
        merge(shards[:1])
    with pytest.raises(InputError, match="is the same run as"):
        merge([shards[0], shards[1], shards[0] / "run.jsonl"])
    with pytest.raises(InputError, match="there is no run file"):
        merge([shards[0], tmp_path / "none"])


# ---- a case in two shards


def variant_of(planned):
    return next(p.case for p in planned.cases if not p.case.is_baseline)


def test_a_case_that_two_shards_have_finished_is_an_error(write, whole):
    one, two = write("one", shard(whole, "1/2")), write("two", shard(whole, "1/2"), lambda c: facts_of(c, notes=("again",)))
    with pytest.raises(
        InputError, match=r"case 'resnetsan01 32x64 .*' is finished in .*one and in .*two: each case may stand in one"
    ):
        merge([one, two])


@pytest.mark.parametrize(
    "worse",
    [lambda c: facts_of(c, 3), lambda c: facts_of(c, 0, failed=True), lambda c: []],
    ids=["pending", "failed", "absent"],
)
def test_an_unfinished_case_gives_way(write, whole, worse):
    part = shard(whole, "1/2")
    good = write("good", part)
    bad = write("bad", part, lambda c: facts_of(c) if c.is_baseline else worse(c))
    for runs in ((good, bad), (bad, good)):
        assert merge(runs).run.records == load_run(good).records


def test_of_two_unfinished_the_one_with_more_replicates_holds(write, whole):
    part = shard(whole, "1/2")
    case = variant_of(part)
    runs = [
        write(f"u{n}", part, lambda c, n=n: facts_of(c, n) if c == case else facts_of(c) if c.is_baseline else [])
        for n in (2, 4, 3)
    ]
    assert merge(runs).run.record(case).pending == 1
    failed = write("f", part, lambda c: facts_of(c, 0, failed=True) if c == case else [])
    assert merge([failed, runs[0]]).run.record(case).status == "ok"


def test_of_baselines_the_most_replicates_hold_and_then_the_larger_floor(write, whole):
    def kept(*baselines):
        runs = []
        for i, (n, floor) in enumerate(baselines, 1):
            part = shard(whole, f"{i}/{len(baselines)}")
            effort = {**make_header(part).effort, "processes": 3}
            repeated = variant_of(part)
            facts = lambda c, n=n, r=repeated, f=floor: facts_of(c, n, floor=f if c == r else None)  # noqa: E731
            runs.append(write(f"b{len(baselines)}{n}{i}{floor}", part, facts, effort=effort))
        base = next(r for r in merge(runs).run.records if r.case.is_baseline)
        return len(base.get("core_share").samples), base.value("floor_difference")

    assert kept((3, 0.001), (5, 0.0005)) == (5, pytest.approx(0.0005))
    assert kept((3, 0.001), (3, 0.002), (3, 0.0015)) == (3, pytest.approx(0.002))


def test_files_of_records_join_as_well(write, whole, tmp_path):
    """Runs of schema 1 hold records; those of two shards still make one run."""
    for i in (1, 2):
        folder = write(f"facts{i}", shard(whole, f"{i}/2"))
        stored = load_run(folder)
        with open_run(tmp_path / f"old{i}", replace(stored.header, schema=1)) as writer:
            for record in stored.records:
                writer.append(record)
    merged = merge([tmp_path / "old1", tmp_path / "old2"])
    keep(merged, tmp_path / "joined")
    assert merged.facts == ()
    assert load_run(tmp_path / "joined") == merged.run
    assert len(merged.run.records) == len(whole.cases)


def test_runs_of_before_shards_join_by_their_fingerprint(write, whole):
    def old(name, facts):
        folder = write(name, whole, facts)
        lines = (folder / "run.jsonl").read_text().splitlines()
        header = json.loads(lines[0])
        del header["study"]["study_fingerprint"]
        (folder / "run.jsonl").write_text("\n".join([json.dumps(header), *lines[1:]]) + "\n")
        return folder

    half = {p.case for p in whole.cases[:9]}
    one = old("one", lambda c: facts_of(c) if c in half else [])
    two = old("two", lambda c: [] if c in half and not c.is_baseline else facts_of(c))
    merged = merge([one, two]).run
    assert len(merged.records) == len(whole.cases)
    assert merged.header.study["fingerprint"] == make_header(whole).study["fingerprint"]
    assert [told["part"] for told in merged.header.study["shards"]] == ["all", "all"]


def test_a_merged_run_is_written_whole_or_not_at_all(shards, tmp_path):
    merged = merge(shards)
    keep(merged, tmp_path / "out")
    assert load_run(tmp_path / "out") == merged.run
    with pytest.raises(InputError, match="holds a run already"):
        keep(merged, tmp_path / "out")
