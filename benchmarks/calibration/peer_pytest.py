"""One model under pytest-benchmark with its defaults; the model's path stands in ``PEER_MODEL``."""

import os
from typing import Any

from attnbench.measure.session import feed, open_session, session_options


def test_run(benchmark: Any) -> None:
    """Plain runs of the model."""
    job = {"provider": "cpu"}
    session = open_session(job, os.environ["PEER_MODEL"], session_options(job))
    inputs = feed(session, 0)
    benchmark(lambda: session.run(None, inputs))
