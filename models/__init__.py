"""Features, model versions and the engines that run them; no Kafka here.

In: windows of events. Out: candidates, scores and probabilities. Begin at `features/` (what a
model sees), `registry/` (versions), `engines/` (running them) or `training/`.
"""
