"""What the profile of each NPU says of nodes, held to the document that it restates.

`tests/nodes/` has a file a target: the facts of its document, and by rule the level that a node must come to, how the
measured text must begin, and the node as ``made.graph`` reads it.
"""

import tomllib

import pytest
from made import NODES, model_of, said_of

from attnbench.npu.rules import PREDICATES
from attnbench.npu.targets import load_target
from attnbench.targets import target_names

SAID = {path.stem: tomllib.loads(path.read_text()) for path in sorted(NODES.glob("*.toml"))}
OPS = """
    Conv ConvTranspose Gemm MatMul Softmax Reshape Transpose Flatten Squeeze Unsqueeze Split Slice Gather Concat Expand Resize
    GlobalAveragePool GlobalMaxPool AveragePool MaxPool ReduceMean ReduceMax ReduceSum ReduceL2 Add Sub Mul Div Max Min Sum
    Pow Sqrt Exp Log Erf Abs Neg Relu LeakyRelu PRelu Clip Sigmoid Tanh HardSigmoid HardSwish Elu Gelu Softplus Mish
    LayerNormalization InstanceNormalization BatchNormalization GroupNormalization Pad Cast Where Einsum DeformConv
""".split()
"""The ops of attention blocks: a profile answers for each, or its document is silent on it."""


@pytest.mark.parametrize("name", SAID)
def test_what_the_document_says_of_each_node(name):
    target = load_target(name)
    for rule, cases in SAID[name]["cases"].items():
        for level, measured, text in cases:
            assert_said(target, rule, level, measured, text)


def assert_said(target, rule, level, measured, text):
    findings = said_of(text, target)
    finding = next((one for one in findings if one.rule == rule), findings[0])
    assert (finding.rule, finding.level, finding.measured[: len(measured)]) == (rule, level, measured), finding
    assert finding.source
    assert finding.reason
    assert finding.device == (target.beyond.partition(":")[2] if level == "fallback" else "")
    if finding.composite:
        assert {(other.rule, other.level) for other in findings} == {(rule, level)}


def test_every_target_has_its_nodes():
    assert set(SAID) == set(target_names())


@pytest.mark.parametrize("name", SAID)
class TestProfile:
    def test_its_head_says_what_was_read_and_of_when(self, name):
        target, said = load_target(name), SAID[name]
        assert (target.date, target.unlisted) == (said["date"], said["unlisted"])
        assert said["source"] in target.source
        assert sorted({rule.evidence for rule in target.rules}) == said["evidence"]

    def test_every_rule_has_a_case_or_is_named_as_one_without(self, name):
        target, said = load_target(name), SAID[name]
        reached, without = set(said["cases"]) - {"unlisted"}, set(said.get("without_case", "").split())
        assert reached | without == {rule.id for rule in target.rules}
        assert not reached & without

    def test_cases_are_of_every_kind(self, name):
        levels = [level for cases in SAID[name]["cases"].values() for level, *_ in cases]
        assert len(levels) >= 12
        assert {"supported", "fallback" if load_target(name).beyond.startswith("fallback") else "refused"} <= set(levels)

    def test_no_rule_stands_behind_one_that_takes_every_node(self, name):
        target = load_target(name)
        for rule in target.rules:
            for op in rule.ops:
                before = target.rules_for(op)[: target.rules_for(op).index(rule)]
                assert all(earlier.where for earlier in before), (rule.id, op)

    def test_every_reason_is_one_sentence(self, name):
        reasons = [rule.reason for rule in load_target(name).rules]
        assert all(10 < len(reason) < 240 and not reason.endswith(".") and "\n" not in reason for reason in reasons)
        assert len(set(reasons)) == len(reasons) or name in ("deepx-2.4.1", "rockchip-rk3588-2.3.2")

    def test_it_answers_for_every_op_that_its_document_names(self, name):
        assert [op for op in OPS if not load_target(name).rules_for(op)] == SAID[name]["silent"].split()


@pytest.mark.parametrize(("name", "alone"), [("deepx-2.4.1", "refused"), ("ti-tidl-11.02", "fallback")])
def test_a_part_is_not_taken_alone_and_is_inside_the_whole(name, alone):
    target = load_target(name)
    assert [finding.level for finding in said_of("Erf 1x8x4x6", target)] == [alone]
    whole = said_of("Div x:1x8x4x6 1.4142135; Erf $1; Add $2 1.0; Mul x $3; Mul $4 0.5", target)
    assert {(finding.level, finding.composite) for finding in whole} == {("supported", "Gelu")}


def test_the_limit_that_is_broken_is_told():
    (finding,) = said_of("GlobalAveragePool 1x8x8x8", load_target("rockchip-rk3588-2.3.2"))
    assert (finding.level, finding.limit) == ("fallback", "height and width at most 7")


@pytest.mark.parametrize(
    ("text", "rule", "level", "measured"),
    [
        ("Pad 1x8x14x14 [0,0,1,1,0,0,1,1]; Conv $1 =8x8x3x3", "pad-before-window", "supported", "read by Conv"),
        ("Pad 1x8x14x14 [0,0,1,1,0,0,1,1]; Conv $1 =8x8x3x3 pads=[1,1,1,1]",
         "pad-before-window", "refused", "read by Conv with padding"),
        ("Pad 1x8x14x14 [0,0,1,1,0,0,1,1]; Relu $1", "pad-before-window", "refused", "read by Relu"),
        ("Pad 1x8x16x16 [0,4,0,0,0,4,0,0]; Relu $1", "pad-channels", "supported", ""),
    ],
)  # fmt: skip
def test_padding_on_apache6_is_for_channels_or_for_windows(text, rule, level, measured):
    finding = said_of(text, load_target("aimotive-apache6"))[0]
    assert (finding.rule, finding.level, finding.measured) == (rule, level, measured)


@pytest.mark.parametrize(
    ("first", "second", "met"),
    [
        ("4x5x2x3", "4x1x3x2", True), ("4x1x2x3", "1x5x3x2", False), ("1x1x2x3", "4x5x3x2", True),
        ("4x1x2x3", "4x5x3x2", False), ("6x4x5x2x3", "6x1x1x3x2", True), ("6x4x5x2x3", "6x1x5x3x2", False),
        ("1x4x2x3", "1x4x3x2", True),
    ],
)  # fmt: skip
def test_stacks_of_matrices_meet_as_ultras_examples_do(first, second, met):
    (node,) = model_of(f"MatMul {first} {second}").graph
    assert PREDICATES["stacks_meet"](node, True).within == met
