"""The worker: transport, state, decisions, outputs and metrics."""
