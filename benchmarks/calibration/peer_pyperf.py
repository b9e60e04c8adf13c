"""One model under pyperf with its defaults: ``python peer_pyperf.py MODEL -o RESULT.json``."""

import sys
from functools import partial

import pyperf

from attnbench.measure.session import feed, opened


def _keep_model(command: list[str], arguments: object) -> None:  # noqa: ARG001  pyperf's signature
    command.append(MODEL)


if __name__ == "__main__":
    MODEL = next(argument for argument in sys.argv[1:] if argument.endswith(".onnx"))
    sys.argv.remove(MODEL)
    session = opened({}, MODEL)
    runner = pyperf.Runner(add_cmdline_args=_keep_model)
    runner.bench_func("run", partial(session.run, feed(session, 0)))
