"""Decode messages in a bounded time: their fields are counted before protobuf allocates objects.

16 MiB of empty submessages would occupy the event loop for a second, and a gigabyte of memory.
"""

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from emo_serving.errors import RequestError

# A field counts 1; so do 8 bytes of a packed list of numbers.
_MAX_FIELDS = 2_000
_MAX_DEPTH = 8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}
_MALFORMED = "the message is not a protobuf message of this method."


def decode_message(kind: Any, data: bytes) -> Any:
    """Decode a message. Raises RequestError if it is malformed or has too many fields."""
    _count_fields(memoryview(data), kind.DESCRIPTOR, _MAX_FIELDS, _MAX_DEPTH)
    try:
        return kind.FromString(data)
    except (DecodeError, ValueError):
        raise RequestError(_MALFORMED) from None


def _count_fields(data: memoryview, descriptor: Descriptor | None, budget: int, depth: int) -> int:
    """Return what is left of the budget. Raises RequestError."""
    at, end = 0, len(data)
    while at < end:
        budget -= 1
        key, at = _varint(data, at)
        if not 8 <= key < 1 << 32:  # some implementations of protobuf keep 32 bits of a key
            raise RequestError(_MALFORMED)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            _, at = _varint(data, at)
        elif wire_type in _SIZES:
            at += _SIZES[wire_type]
        elif wire_type == _BYTES:
            length, at = _varint(data, at)
            field = None if descriptor is None else descriptor.fields_by_number.get(number)
            content = data[at : at + length]
            at += length
            if field is None or at > end:
                pass
            elif field.type == FieldDescriptor.TYPE_MESSAGE:
                if not depth:
                    raise RequestError(_MALFORMED)
                budget = _count_fields(content, field.message_type, budget, depth - 1)
            elif field.type not in {FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_STRING}:
                budget -= length // 8
        else:  # groups, which these messages do not have
            raise RequestError(_MALFORMED)
        if at > end:
            raise RequestError(_MALFORMED)
        if budget < 0:
            raise RequestError(f"the message has more than {_MAX_FIELDS:,} fields.")
    return budget


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise RequestError(_MALFORMED)
