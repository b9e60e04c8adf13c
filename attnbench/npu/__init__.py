"""What an NPU would run: rules, judging, checks of whole models, substitutes, and rewriting for a target."""
