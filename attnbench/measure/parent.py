"""A child that measures ends with its parent, however that ends: nothing measures on beside the sweep that goes on."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Of ``prctl(2)``, on Linux."""


def end_with(parent: int) -> None:
    """Have the kernel kill this process as soon as that parent is gone; at once where it is gone already.

    Nothing runs for it meanwhile, no thread either. Elsewhere than on Linux nothing is done. It is the parent's *thread*
    that counts: one that starts a child must wait for its end.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
