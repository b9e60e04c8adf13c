"""ONNX graphs and nothing else: load, canonicalise, splice, count, judge, align. No torch here."""
