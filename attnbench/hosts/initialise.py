"""Random weights for hosts, so that an untrained network behaves like a trained one."""

import torch
from torch import nn


def initialise(network: nn.Module, size: int = 256) -> None:
    """Random weights that behave like trained ones: activations keep their scale, and nothing saturates or vanishes.

    He's normal initialisation of every convolution, then one pass over two images of seeded noise with sides of ``size``,
    which sets the batch norms' running statistics. Without it the residual sums of an untrained ResNet double their
    variance from block to block, and outputs saturate, which makes any comparison of two graphs needlessly blunt. At small
    sizes the deepest maps are mostly padding: at 64 the outputs of YOLOv5s at 640x640 reach thousands, at 256 they stay
    below ten. Linear layers keep torch's own initialisation.
    """
    if any(parameter.is_meta for parameter in network.parameters()):
        network.eval()  # shapes alone have nothing to initialise
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # a cumulative average: one pass gives its own statistics
    with torch.no_grad():
        network.train()(torch.randn(2, 3, size, size))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
