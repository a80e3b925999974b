"""What runs a model version: ONNX Runtime on a CPU, TensorRT on a GPU.

In: `ModelInputs`. Out: `Scores`, the best items and the logits. Begin at `engine.py`, the
protocol; `choice.py` opens the engine that works on this machine.
"""
