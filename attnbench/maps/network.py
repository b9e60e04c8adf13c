"""The attention maps of any host on an image: its graph with taps, as a sweep measures it, run by ONNX Runtime.

Torch hosts and ONNX files take one way. Nothing is timed, so nothing is pinned or locked.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from attnbench.core.errors import InputError
from attnbench.core.naming import inserted_site
from attnbench.core.protocol import Protocol
from attnbench.measure.build import CaseBuilder
from attnbench.study.file import Matrix, Study, StudyHost
from attnbench.study.plan import plan


class TappedNetwork:
    """A host with a tap at places, to be run on images; ``shape`` is that of its input, ``[1, C, H, W]``.

    Raises ``InputError`` for a name that does not exist and for a module that is no tap, ``CaseFailure`` where the graph
    cannot be made. ``folder`` holds the graph while it is in use.
    """

    def __init__(self, host: StudyHost, places: Sequence[str], tap: str, size: str | None, folder: Path) -> None:
        matrix = (Matrix(modules=(tap,), places=tuple(places)),)
        study = Study(name="maps", hosts=(host,), sizes=(size,) if size else (), targets=(), matrix=matrix)
        cases = [(one.case, one.host) for one in plan(study).cases if not one.case.is_baseline]
        graph = CaseBuilder(Protocol(), folder).write(cases, "tapped")
        options = ort.SessionOptions()
        options.log_severity_level = 3
        self.session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.sites = {one.name: inserted_site(one.name) for one in self.session.get_outputs() if inserted_site(one.name)}
        if not self.sites:
            raise InputError(f"module '{tap}' adds no output: it is no tap")
        self.shape: tuple[int, ...] = tuple(self.session.get_inputs()[0].shape)

    def maps(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """The map ``[H, W]`` at each site for an image ``[1, C, H, W]``, in the network's order."""
        found = self.session.run(list(self.sites), {self.session.get_inputs()[0].name: image})
        for site, one in zip(self.sites.values(), found, strict=True):
            if one.size != one.shape[-1] * one.shape[-2]:
                raise InputError(f"the tap at '{site}' gives {list(one.shape)}: a map is [1, H, W] or [1, 1, H, W]")
        return {site: one.reshape(one.shape[-2:]) for site, one in zip(self.sites.values(), found, strict=True)}
