"""Bundles: manifest, reader, signature, golden answers, ONNX checks."""
