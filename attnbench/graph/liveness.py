"""The largest sum of tensors alive at one node, for any row of nodes in the order they run."""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

VIEWS = frozenset(("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Dropout"))
"""Ops whose output is the same buffer as their first input."""

IN_PLACE = frozenset(
    "Abs Add BatchNormalization Cast Ceil Clip Div Elu Erf Exp Floor Gelu HardSigmoid HardSwish LeakyRelu Log Max Min Mish "
    "Mul Neg Pow QuickGelu Reciprocal Relu Selu Sigmoid Sign Softmax Softplus Sqrt Sub Sum Tanh".split()
)
"""Ops that ONNX Runtime's CPU kernels may run in the buffer of an input that is not needed any more."""

Tensor = TypeVar("Tensor", bound=Hashable)


@dataclass(frozen=True)
class Step(Generic[Tensor]):
    """One node: what it does, the tensors it reads (weights left out) and those it writes."""

    op: str
    reads: Sequence[Tensor]
    writes: Sequence[Tensor]


def peak(
    steps: Sequence[Step[Tensor]],
    inputs: Iterable[Tensor],
    outputs: Iterable[Tensor],
    size: Mapping[Tensor, int],
    in_place: Collection[str] = (),
) -> int:
    """Bytes of the largest sum of live tensors. A tensor lives from its node to its last reader; outputs live to the end.

    An op of ``in_place`` writes over an input of its output's size that nothing reads after it.
    """
    live = list(dict.fromkeys(inputs))
    buffer: dict[Tensor, Tensor] = {value: value for value in live}
    for step in steps:
        for value in step.writes:
            buffer[value] = buffer[step.reads[0]] if step.op in VIEWS and step.reads else value
    last_use: dict[Tensor, int] = {buffer[value]: -1 for value in buffer}
    last_use |= {buffer[value]: index for index, step in enumerate(steps) for value in step.reads}
    last_use |= {buffer[value]: len(steps) for value in outputs}
    largest = sum(size[value] for value in live)
    for index, step in enumerate(steps):
        born = list(dict.fromkeys(buffer[value] for value in step.writes if buffer[value] not in live))
        if step.op in in_place and len(born) == 1:
            dying = [buffer[value] for value in step.reads if last_use[buffer[value]] == index]
            over = next((value for value in dying if size[value] == size[born[0]]), None)
            if over is not None:
                live.remove(over)
        live += born
        largest = max(largest, sum(size[value] for value in live))
        live = [value for value in live if last_use[value] > index]
    return largest
