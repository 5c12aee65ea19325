"""ONNX Runtime: sessions, providers, loading, huge pages."""
