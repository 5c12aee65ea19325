"""Exact rewrite: equal initializers -> one of them.

ALBERT's layers share their weights, but a rewrite that creates a new weight (fused attention, int8)
creates it once per layer.
"""

import hashlib

import onnx

# Smaller ones save nothing.
_SMALLEST_BYTES = 1 << 10


def share_constants(model: onnx.ModelProto) -> int:
    """Store equal initializers of 1 KiB or more once, in place; return the number removed."""
    first: dict[bytes, str] = {}
    renamed: dict[str, str] = {}
    kept = []
    for tensor in model.graph.initializer:
        if tensor.ByteSize() < _SMALLEST_BYTES:
            kept.append(tensor)
            continue
        name = tensor.name
        tensor.name = ""
        key = hashlib.sha256(tensor.SerializeToString(deterministic=True)).digest()
        tensor.name = name
        if key in first:
            renamed[name] = first[key]
        else:
            first[key] = name
            kept.append(tensor)
    if not renamed:
        return 0
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    tensors = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensors)
    return len(renamed)
