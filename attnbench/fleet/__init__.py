"""A sweep over many machines: who measures what (``pool``), on Dask (``engine``), each machine alone with its clock.

``pool`` is a pure function of plan and facts. ``worker`` and ``bench`` run on the machines, the others where the command is
given.
"""
