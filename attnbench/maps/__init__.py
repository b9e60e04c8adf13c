"""Attention maps: of tensors, of a network on an image, and of a teacher beside a student.

>>> from attnbench.maps import attention_map, attention_transfer_loss
>>> attention_map(features)                                                # [N, C, H, W] to [N, H, W], of norm 1 each
>>> loss = task_loss + 1000 * attention_transfer_loss(student, teacher)    # channels and sizes of the two may differ
"""

from attnbench.maps.distance import MapDistances, attention_transfer_loss, map_distances, matched
from attnbench.modules.at import attention_map

__all__ = ["MapDistances", "attention_map", "attention_transfer_loss", "map_distances", "matched"]
