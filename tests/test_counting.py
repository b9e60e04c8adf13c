"""torch's side of the counting, and where other counters go wrong in silence."""

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torch.nn import functional

from attnbench.graph.cost import einsum_macs, graph_cost
from attnbench.graph.export import to_onnx
from attnbench.graph.load import parse
from attnbench.graph.torch_counts import count_torch, trace
from attnbench.measure.readings import readings


class Fused(nn.Module):
    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2).unsqueeze(1)
        return functional.scaled_dot_product_attention(tokens, tokens, tokens)


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


class Odd(nn.Module):
    def forward(self, x):
        return torch.sinc(x)


def test_fused_attention_is_counted_as_the_products_it_is():
    assert count_torch(Fused(), (1, 8, 3, 4)).macs == 2 * 12 * 12 * 8


def test_multi_head_attention_counts_projections_and_products_although_it_has_a_fast_path():
    assert count_torch(Heads(), (1, 8, 3, 4)).macs == 12 * 8 * 24 + 2 * 12 * 12 * 8 + 12 * 8 * 8


class Sampled(nn.Module):
    def forward(self, x):
        return functional.grid_sample(x, x[:, :2].permute(0, 2, 3, 1), align_corners=False)


def test_sampling_between_pixels_takes_four_steps_a_value():
    (step,) = trace(Sampled(), (1, 8, 3, 4)).steps
    assert (step.op, step.macs, step.elements) == ("grid_sampler", 0, 4 * 8 * 12)


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("bci,cij->bij", ((3, 5, 7), (5, 7, 11)), 3 * 5 * 7 * 11), ("ij,jk->ik", ((256, 13), (13, 19)), 256 * 13 * 19),
        ("bgci,cij->bgij", ((3, 2, 5, 7), (5, 7, 11)), 3 * 2 * 5 * 7 * 11), ("...ij,...jk->...ik", ((4, 2, 3), (4, 3, 5)), 4 * 2 * 3 * 5),
        ("ij,ij->ij", ((4, 5), (4, 5)), 0), ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 5)), 2 * 3 * 4 + 2 * 4 * 5), ("ij,k->ik", ((2, 3), (4,)), 0),
        ("ij,jk", ((2, 3), (3, 4)), 2 * 3 * 4), ("bij->bi", ((2, 3, 4),), 0),
    ],
)  # fmt: skip
def test_an_einsum_is_counted_to_the_last_digit(equation, shapes, macs):
    """By numpy's text, 79,798,784 once came out as 79,802,176."""
    assert einsum_macs(equation, shapes) == macs


class Summed(nn.Module):
    def forward(self, x):
        return torch.einsum("nchw,ndhw->ncd", x, x)


def test_an_einsum_of_a_module_is_counted_with_its_shapes():
    (step,) = trace(Summed(), (2, 256, 13, 19)).steps
    assert (step.macs, step.inputs) == (2 * 256 * 256 * 13 * 19, "2x256x13x19 2x256x13x19")


def test_equal_ops_of_a_layer_are_one_step_that_says_how_many():
    layer = nn.ReLU()
    (step,) = trace(nn.Sequential(nn.Sequential(layer, layer), layer), (1, 4, 5, 5)).steps
    assert (step.calls, step.elements) == (3, 300)


def test_other_counters_read_what_they_add():
    module = nn.Sequential(
        nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    fvcore, ptflops, thop, meanless = readings(trace(module, (1, 6, 8, 10)).steps).values()
    convolved, given = 6 * 4 * 80, 4 * 80
    assert fvcore == FlopCountAnalysis(module, torch.zeros(1, 6, 8, 10)).total()
    assert meanless == fvcore - given
    assert ptflops == convolved + given + 2 * given + given + given + 4 * 3 + 3
    assert thop == convolved + 4 * given + (given + 4) + 4 * 3


def test_an_op_without_a_handle_is_named():
    assert count_torch(Odd(), (1, 8, 3, 4)).uncounted == ("sinc",)


def test_a_shared_layer_has_its_weights_once_and_its_macs_twice():
    layer = nn.Conv2d(4, 4, 1, bias=False)
    counts = count_torch(nn.Sequential(layer, nn.ReLU(), layer), (1, 4, 5, 5))
    assert (counts.params, counts.macs) == (16, 2 * 16 * 25)


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(6, 4, 3, stride=2, padding=1, groups=2), nn.ConvTranspose2d(6, 4, 2, 2), nn.BatchNorm2d(6),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)), nn.Upsample(scale_factor=2), nn.Hardswish(),
        nn.Sequential(nn.Conv2d(6, 6, 1), nn.GELU(), nn.MaxPool2d(2)), Fused(), nn.PReLU(),
    ],
    ids=lambda m: type(m).__name__,
)  # fmt: skip
def test_both_counters_agree(module):
    shape = (1, 6, 8, 10)
    counts = count_torch(module, shape)
    cost = graph_cost(parse(to_onnx(module, shape, canonical=True)))
    assert counts.uncounted == cost.uncounted == ()
    assert counts.macs == cost.macs
