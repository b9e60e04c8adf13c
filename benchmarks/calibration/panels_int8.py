"""int8 cases in panels beside the same cases alone, measured and judged as ``panels`` does those in floats.

A Q/DQ graph has conversions around each place, which the runtime moves and removes. A case is sent apart where a panel has
not the nodes for it that it has alone.
"""

from typing import Any

import panels
from lab import experiment

STUDIES = (
    {**panels.STUDIES[0], "name": "resnetsan01, int8", "sizes": ["96x160"], "dtypes": ["int8"]},
    {**panels.STUDIES[2], "name": "resnet18, inside blocks, int8", "sizes": ["96x160"], "dtypes": ["int8"]},
)
AMOUNTS = (12, 4, 6), (12, 5, 6)
"""Cases of a study, drawn with a fixed seed, replicates of each, and profiled runs of each of these."""


def run(quick: bool) -> dict[str, Any]:
    """The overheads of each case, in panels and alone, by study."""
    return {
        study["name"]: panels.measured(study, *((4, 2, 6) if quick else amounts))
        for study, amounts in zip(STUDIES, AMOUNTS, strict=True)
    }


page = panels.page


if __name__ == "__main__":
    experiment("int8 cases in panels and alone", run, page)
