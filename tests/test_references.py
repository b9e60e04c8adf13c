"""Every module against an implementation of its own, written from the paper: in double precision, evaluated and trained."""

import pytest
import torch
from references import Weights
from references.gates import GATES
from references.plain import PLAIN
from references.tokens import TOKENS

from attnbench.core.grammar import Spec, parse_spec
from attnbench.modules import MODULES, Plane, build_module, module_options

REFERENCES = {**GATES, **TOKENS, **PLAIN}
PLANES = (Plane(64, 6, 10), Plane(128, 4, 6))
OPTIONS = (
    "psa[form=code]", "psa_sequential[form=code]", "ge[form=minus]", "ge[form=plus]", "lka[projected=true]", "gam[groups=4]",
    "lska[kernel=53]", "eca[kernel=9]", "non_local[pooled=false]", "linear_attention[heads=4]", "cbam_npu[spatial_limit=8]",
    "criss_cross[recurrence=1]", "triplet[kernel=3]", "se[pool=max]", "at[p=3]", "at[reduce=max]", "at_conv[p=4,reduce=mean]",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def stirred(spec: Spec, plane: Plane) -> torch.nn.Module:
    """The module with no weight at a round value, and statistics of norms as if it had seen data."""
    torch.manual_seed(0)
    module = build_module(spec, plane)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(0.1 * torch.randn_like(buffer))
            elif name.endswith("running_var"):
                buffer.add_(torch.rand_like(buffer))
    return module


def test_every_module_has_a_reference_of_its_own():
    assert sorted(REFERENCES) == MODULES.names()


@pytest.mark.parametrize("text", [*MODULES.names(), *OPTIONS])
def test_a_module_is_what_its_paper_says(text):
    spec = parse_spec(text)
    entry, options = MODULES.load(spec.name), module_options(spec)
    plane = next(p for p in PLANES if not (entry.refuses and entry.refuses(p, **options)))
    module, x = stirred(spec, plane), torch.randn(2, plane.channels, plane.height, plane.width)
    with torch.no_grad():
        for train, tolerance in ((False, 1e-12), (True, 1e-10)):
            expected = REFERENCES[spec.name](Weights(module, options, train), x)
            given = module.train(train)(x)
            for one, other in zip(given, expected, strict=True) if isinstance(given, tuple) else [(given, expected)]:
                assert one.shape == other.shape
                assert float((one - other).abs().max()) < tolerance * max(1.0, float(other.abs().max()))
