"""What is kept across runs."""

import os
from dataclasses import dataclass

import pytest

from attnbench.measure import cache


@dataclass(frozen=True)
class Answer:
    text: str
    data: bytes = b""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "kept"))
    return tmp_path / "kept"


def ask(question, text, **more):
    return cache.kept(question, Answer, lambda: Answer(text, b"\x00\xff"), **more)


def test_a_question_is_answered_once(folder):
    assert ask({"a": [1, "x"]}, "first") == ask({"a": [1, "x"]}, "second") == Answer("first", b"\x00\xff")
    assert ask({"a": [2, "x"]}, "other").text == "other"
    assert len(cache.entries()) == 2


def test_other_code_asks_anew(folder, monkeypatch):
    ask("q", "old")
    monkeypatch.setattr(cache, "_code", lambda: "changed")
    assert ask("q", "new").text == "new"


def test_what_would_not_come_out_the_same_is_not_kept(folder):
    ask("q", "now", keep=lambda answer: False)
    assert ask("q", "later").text == "later"


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x93\x01\x02\x03"])
def test_a_damaged_entry_is_as_good_as_none(folder, damage):
    ask("q", "old")
    cache.entries()[0].write_bytes(damage)
    assert ask("q", "new").text == "new"
    assert ask("q", "newer").text == "new", "and it is mended"


def test_what_was_used_longest_ago_goes_first(folder):
    for number in range(4):
        ask(number, "x" * 1000)
    for age, path in enumerate(cache.entries()):
        os.utime(path, (age, age))
    ask(0, "used now")
    size = cache.entries()[0].stat().st_size
    assert cache.clear(limit=2 * size) == 2 * size
    assert ask(0, "anew").text == "x" * 1000
    assert len(cache.entries()) == 2


def test_a_cache_that_is_off_or_cannot_be_written_keeps_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv(cache.VARIABLE, "off")
    assert [ask("q", "one").text, ask("q", "two").text] == ["one", "two"]
    assert cache.entries() == []
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file" / "below"))
    assert [ask("q", "one").text, ask("q", "two").text] == ["one", "two"]


def test_the_commands_show_and_clear_it(folder, command):
    ask("q", "x")
    code, out, _ = command("cache", "show")
    assert (code, f"{folder}: 1 entries" in out) == (0, True)
    code, out, _ = command("cache", "clear")
    assert (code, out.startswith("freed ")) == (0, True)
    assert cache.entries() == []
