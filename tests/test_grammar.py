import random

import pytest

from attnbench.core.errors import InputError
from attnbench.core.grammar import Assignment, Spec, Variant, parse_size, parse_spec, parse_variant, quote, split


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


@pytest.mark.parametrize(
    "text", ["", "se[", "se[reduction]", "se[=8]", "[reduction=8]", "se[a=1]x", "se[a=1,a=2]", "se[a='x]", "se[a b=1]"]
)
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


def test_the_empty_variant_is_the_baseline():
    assert str(parse_variant("baseline ")) == str(Variant()) == "baseline"


@pytest.mark.parametrize("text", ["", " ", ",", "se", "a=b=c", "=se", "a=", "a+=se", "a=se,,b=se"])
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


@pytest.mark.parametrize(
    ("text", "value", "written"),
    [
        ("'a,b'", "a,b", "'a,b'"), ("'true'", "true", "'true'"), ("'3'", "3", "'3'"), ("'1e5'", "1e5", "'1e5'"),
        ("''", "", "''"), ("' a '", " a ", "' a '"), ("'it''s'", "it's", "'it''s'"), ("''''", "'", "''''"),
        ("'a]b'", "a]b", "'a]b'"), ("a=b", "a=b", "a=b"), ("a+b", "a+b", "a+b"), ("'NaN'", "NaN", "NaN"), ("nan", "nan", "nan"),
        ("TRUE", True, "true"), ("1e3", 1000.0, "1000.0"), ("-7", -7, "-7"), ("ünï", "ünï", "ünï"), ("1e16", 1e16, "1e+16"),
    ],
)  # fmt: skip
def test_an_options_value_keeps_its_type_and_is_quoted_where_it_would_read_as_something_else(text, value, written):
    spec = parse_spec(f"x[a={text}]")
    assert (spec.options["a"], type(spec.options["a"])) == (value, type(value))
    assert str(spec) == f"x[a={written}]"


@pytest.mark.parametrize(
    "text",
    [
        "encoder.layer3=se[reduction=8]", "a=x[mode=b=c]", "'/a[0]/b, c'=se+eca[kernel=3]", "a.*=m.py:G[p=a'b'c,q=0.5]",
        "layer1.*.branch=eca[kernel=3],layer2.*.branch=eca[kernel=5]", "a=x[word='a b',on=false]",
    ],
)  # fmt: skip
def test_a_variant_of_an_old_run_file_reads_as_it_did(text):
    """What was written before quotes could stand within quotes."""
    options = {"reduction": 8, "kernel": 3, "mode": "b=c", "p": "a'b'c", "q": 0.5, "word": "a b", "on": False}
    for assignment in parse_variant(text).assignments[:1]:
        for spec in assignment.modules:
            assert dict(spec.options) == {key: options[key] for key in spec.options}
    assert parse_variant(str(parse_variant(text))) == parse_variant(text)


SIGNS = "ab.:/-_ 017eE'+,=[]{}*?\"\n\t\x1cüß٣µ😀"
WORDS = ["", "true", "False", "nan", "inf", "-3", "1_0", "0x1", "1e5", " ", "''", "baseline", ".5", "'", "]["]


def any_text(rng: random.Random) -> str:
    return rng.choice(WORDS) if rng.random() < 0.2 else "".join(rng.choice(SIGNS) for _ in range(rng.randrange(8)))


def any_value(rng: random.Random) -> int | float | bool | str:
    return rng.choice(
        [
            any_text(rng),
            any_text(rng),
            rng.randrange(-(10**20), 10**20),
            rng.random() < 0.5,
            rng.uniform(-1, 1) * 10.0 ** rng.randrange(-30, 30),
        ]
    )


def any_spec(rng: random.Random) -> Spec:
    keys = rng.sample(["a", "b", "_c", "größe", "D1", "true"], rng.randrange(4))
    return Spec(any_text(rng), {key: any_value(rng) for key in keys})


def typed(spec: Spec) -> tuple[str, dict]:
    return spec.name, {key: (type(value), value) for key, value in spec.options.items()}


def test_any_spec_and_any_variant_are_read_back_as_they_were_written():
    rng = random.Random(7)
    for _ in range(3000):
        spec = any_spec(rng)
        again = parse_spec(str(spec))
        assert again == spec
        assert typed(again) == typed(spec)
    for _ in range(2000):
        variant = Variant(
            tuple(
                Assignment(
                    tuple(any_text(rng) for _ in range(rng.randrange(1, 4))),
                    tuple(any_spec(rng) for _ in range(rng.randrange(1, 4))),
                )
                for _ in range(rng.randrange(1, 4))
            )
        )
        again = parse_variant(str(variant))
        assert again == variant
        assert [a.places for a in again.assignments] == [a.places for a in variant.assignments]
        for one, two in zip(again.assignments, variant.assignments, strict=True):
            assert list(map(typed, one.modules)) == list(map(typed, two.modules))


def test_any_text_is_read_or_refused_in_one_line_and_at_once():
    rng = random.Random(8)
    texts = ["'" * 2001, "[" * 2000, "a[" + "''" * 2000, "'" + "''" * 2000 + "x"]
    for text in [*texts, *("".join(rng.choice(SIGNS) for _ in range(rng.randrange(30))) for _ in range(5000))]:
        for parse in (parse_spec, parse_variant):
            try:
                found = parse(text)
            except InputError:
                continue
            assert parse(str(found)) == found
