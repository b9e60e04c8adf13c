import pytest

from attnbench.core import units


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.651234, 0.6173, 0.6852, "0.651 [0.617, 0.685]"),
        (1.876, 1.48, 2.27, "1.88 [1.48, 2.27]"),
        (123.4, 80.0, 170.0, "123 [80, 170]"),
        (-0.0312, -0.2, 0.14, "−0.03 [−0.20, 0.14]"),
        (1.5, None, None, "1.50"),
        (None, None, None, "–"),
    ],
)
def test_digits_follow_the_interval(value, low, high, text):
    assert units.with_interval(value, low, high) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.000353, "0.000353"), (12345.6, "12,346"), (0, "0"), (None, "–"), (-1.25, "−1.25")]
)
def test_significant_digits_never_use_exponents(value, text):
    assert units.significant(value) == text


def test_nothing_is_printed_as_minus_zero():
    assert units.fixed(-0.0001, 2) == "0.00"
    assert units.fixed(-0.0, 1) == "0.0"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.83, "0.8 s"), (42.2, "42 s"), (185, "3 min 05 s"), (7800, "2 h 10 min"), (None, "–")]
)
def test_durations(seconds, text):
    assert units.seconds_text(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(15.1e9, "15.1 GB"), (45.75e6, "45.8 MB"), (512, "512 B"), (2048, "2.05 kB")])
def test_sizes(size, text):
    assert units.bytes_text(size) == text


def test_scaled_and_counted():
    assert units.scaled(16_031_416_320, 1e9, 3) == "16.031"
    assert units.count(1234567, sign=True) == "+1,234,567"
    assert units.fixed(float("nan")) == "–"
