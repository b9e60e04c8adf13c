"""Timing, in processes of its own.

The parent's side starts fresh processes and does arithmetic; the child's side (``python -m attnbench.measure``) imports
onnxruntime and numpy, and never torch.
"""
