"""Quantities as users write them."""

import pytest

from attnbench.core.errors import InputError
from attnbench.core.quantities import Quantity, parse_precision, parse_quantity


def quantity(text, *kinds):
    return parse_quantity(text, *(kinds or ("number", "share", "time")), otherwise="write it like 5")


@pytest.mark.parametrize(
    ("text", "kind", "value", "shown"),
    [
        ("3", "number", 3.0, "3"), ("0", "number", 0.0, "0"), (" 0.05 ", "number", 0.05, "0.05"), (".5", "number", 0.5, ".5"),
        ("1%", "share", 0.01, "1 %"), ("0.5 %", "share", 0.005, "0.5 %"), ("250%", "share", 2.5, "250 %"),
        ("5ms", "time", 0.005, "5 ms"), ("2 ms", "time", 0.002, "2 ms"), ("300us", "time", 0.0003, "300 us"),
        ("300µs", "time", 0.0003, "300 µs"), ("300μs", "time", 0.0003, "300 μs"), ("0.5s", "time", 0.5, "0.5 s"),
    ],
)  # fmt: skip
def test_a_quantity_has_a_kind_and_a_value_in_base_units(text, kind, value, shown):
    found = quantity(text)
    assert (found.kind, found.value, str(found)) == (kind, value, shown)


@pytest.mark.parametrize(
    ("text", "unit", "value"), [("1.1%", "%", 1.1), ("300us", "ms", 0.3), ("0.5 s", "ms", 500.0), ("7", "", 7.0)]
)
def test_a_quantity_is_told_in_another_unit_without_a_second_rounding(text, unit, value):
    assert quantity(text).to(unit) == value


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "%", "ms", "-1", "+1", "-5ms", "1e3", "2e1%", "1e-3s", "nan", "inf", "inf%", "-inf", "two", "1,5%", "1_000", "5.",
        "5 ms 3", "5 min", "5m", "5MS", "2%%", "٢%", "２", "½", "1 000", "0x10", "9" * 400, "9" * 400 + "us", "5%\x00", "5\nms5",
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_the_callers_words(text):
    with pytest.raises(InputError, match="^write it like 5$"):
        quantity(text)


def test_a_quantity_of_another_kind_is_refused():
    assert quantity("5%", "number", "share") == Quantity("5", "%")
    for text, kind in [("5", "share"), ("5%", "number"), ("5ms", "share"), ("5%", "time"), ("5", "time")]:
        with pytest.raises(InputError):
            quantity(text, kind)


def test_precision_is_points_a_share_or_the_larger_of_both():
    assert parse_precision("0.05,5%").half_width(0.02) == pytest.approx(0.001)
    assert parse_precision("5%, 0.05").half_width(0.001) == pytest.approx(0.0005)
    assert parse_precision("0.2").half_width(0.5) == pytest.approx(0.002)
    assert parse_precision("10%").half_width(-0.02) == pytest.approx(0.002)
    for text in ("", "x", "0", "0%", "5%,5%", "0.1,nan", "inf", "0.1,0.2", "-1", "5%,", "1e-2", "2ms", "0.05,5%,5ms"):
        with pytest.raises(InputError, match="precision '.*' is not understood"):
            parse_precision(text)
