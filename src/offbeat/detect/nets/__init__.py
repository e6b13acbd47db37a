"""Networks: trained with PyTorch, written as ONNX. The only place that imports torch or onnx."""
