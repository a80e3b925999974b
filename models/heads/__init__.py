"""From the logits of the network and the trees to calibrated probabilities.

In: logits and features (D, F). Out: probabilities (D,). Begin at `stack.py`.
"""
