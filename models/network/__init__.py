"""The transformer in torch, and its export to ONNX.

In: `NetworkConfig`. Out: the network, its losses, and a trained network's graph for the engines.
Needs torch; a worker never imports it. Begin at `network.py`.
"""
