"""ONNX graphs: load, canonicalise, splice, count, align; and the way there from torch: export, trace, parity."""

EXPORTER, OPSET = "torch.onnx dynamo", 18
"""The one exporter and opset in use, recorded in every run. A module with a newer op raises its variant, and says so."""

CANONICAL_PASS = 2
"""Version of the canonicalising pass; graphs of two versions are never compared."""
