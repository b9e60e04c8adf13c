"""What the networks for image classification end in."""

import torch
from torch import nn

from attnbench.hosts.initialise import initialise

CLASSES = 1000


class Classifier(nn.Module):
    """Feature maps, their means, and a linear classifier of 1000 classes; the features' names are torchvision's."""

    def __init__(self, features: nn.Module, channels: int) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(channels, CLASSES))
        initialise(self)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``[N, 3, H, W]`` to ``[N, 1000]`` scores before the softmax."""
        return self.classifier(torch.flatten(self.avgpool(self.features(image)), 1))


class MeanClassifier(nn.Module):
    """Feature maps, and a classifier on their means over the plane."""

    def __init__(self, features: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.features, self.classifier = features, classifier
        initialise(self)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``[N, 3, H, W]`` to ``[N, 1000]`` scores before the softmax."""
        return self.classifier(self.features(image).mean((2, 3)))
