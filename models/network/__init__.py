"""The transformer in torch, and its export to ONNX.

In: the shape of the inputs. Out: a trained network as a graph that the engines run. Needs torch; a
worker never imports it. Begin at `network.py`.
"""
