"""One model under pytest-benchmark with its defaults; the model's path stands in ``PEER_MODEL``."""

import os
from typing import Any

from attnbench.measure.session import feed, opened


def test_run(benchmark: Any) -> None:
    """Plain runs of the model."""
    session = opened({}, os.environ["PEER_MODEL"])
    inputs = feed(session, 0)
    benchmark(lambda: session.run(inputs))
