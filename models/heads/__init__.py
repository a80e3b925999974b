"""From the network's and the trees' logits to calibrated probabilities.

In: logits and features (D, F). Out: probabilities (D,). Begin at `stack.py`.
"""
