import pytest

from attnbench.core.errors import InputError
from attnbench.core.grammar import Spec, parse_size, parse_spec, parse_variant, quote, split


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("se", Spec("se")),
        ("se[reduction=8]", Spec("se", {"reduction": 8})),
        ("x[a=1, b=0.5,c=true,d=word]", Spec("x", {"a": 1, "b": 0.5, "c": True, "d": "word"})),
        ("dir/my.py:Gate[scale=2]", Spec("dir/my.py:Gate", {"scale": 2})),
        ("'a+b'", Spec("a+b")),
    ],
)
def test_specs_are_read_and_written_back(text, spec):
    assert parse_spec(text) == spec
    assert parse_spec(str(spec)) == spec
    assert hash(parse_spec(str(spec))) == hash(spec)


@pytest.mark.parametrize("text", ["", "se[", "se[reduction]", "se[=8]", "[reduction=8]", "se[a=1]x"])
def test_broken_specs_say_how_to_write_one(text):
    with pytest.raises(InputError, match="write it like"):
        parse_spec(text)


def test_options_in_any_order_are_one_spec():
    assert str(parse_spec("x[b=2,a=1]")) == str(parse_spec("x[a=1,b=2]")) == "x[a=1,b=2]"


@pytest.mark.parametrize("text", ["384*640", "384", "384x", "x640", "-1x5", "1.5x2", "0x0", "384x0", ""])
def test_broken_sizes_are_one_clear_line(text):
    with pytest.raises(InputError, match="size"):
        parse_size(text)


def test_a_size_is_height_then_width():
    assert parse_size(" 384x640 ") == (384, 640)


def test_a_variant_keeps_places_rows_and_options():
    variant = parse_variant("encoder.layer1+encoder.layer2=se[reduction=8,x=1], decoder.upconv2=se+axial_conv")
    first, second = variant.assignments
    assert first.places == ("encoder.layer1", "encoder.layer2")
    assert first.modules == (Spec("se", {"reduction": 8, "x": 1}),)
    assert [module.name for module in second.modules] == ["se", "axial_conv"]
    assert parse_variant(str(variant)) == variant


@pytest.mark.parametrize("text", ["", "baseline", " "])
def test_the_empty_variant_is_the_baseline(text):
    assert str(parse_variant(text)) == "baseline"


@pytest.mark.parametrize("text", ["se", "a=b=c", "=se", "a=", "a+=se", "a=se,,b=se"])
def test_broken_variants_are_refused(text):
    with pytest.raises(InputError):
        parse_variant(text)


def test_names_with_signs_of_the_grammar_are_quoted():
    assert quote("/layer1/Relu_output_0") == "/layer1/Relu_output_0"
    assert parse_variant("'a=b,c'=se").assignments[0].places == ("a=b,c",)
    assert str(parse_variant("'a=b,c'=se")) == "'a=b,c'=se"


@pytest.mark.parametrize("text", ["a[b", "'a"])
def test_an_unclosed_bracket_or_quote_is_named(text):
    with pytest.raises(InputError, match="unclosed"):
        split(text, ",")
