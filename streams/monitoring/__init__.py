"""How the worker reports on itself: metrics, health, logs.

In: counts per batch. Out: `/metrics`, `/healthz`, `/readyz` and log lines. Begin at `metrics.py`.
"""
