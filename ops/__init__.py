"""The command line and what stands behind it: local Kafka, training, evaluation, benchmarks.

Begin at `cli.py`, which says in which file each command lives.
"""
