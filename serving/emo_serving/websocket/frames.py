"""Frames of the WebSocket protocol (RFC 6455, section 5): what a client sends, what a server sends.

Per message and per byte this costs a fraction of a general library, whose parser is a generator. It
accepts the frames of clients only: masked, and without extensions.
"""

import numpy as np

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA

# Close codes (RFC 6455, 7.4.1).
PROTOCOL_ERROR, NO_CODE, INVALID_DATA, TOO_BIG = 1002, 1005, 1007, 1009

_CONTINUATION = 0x0
_FINAL = 0x80
_RESERVED_BITS = 0x70
_MASKED = 0x80
_LENGTH_16, _LENGTH_64 = 126, 127
_MAX_CONTROL_BYTES = 125
# Codes that may be sent: those of RFC 6455 and its registry, of libraries, and private ones.
_VALID_CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
_WHOLE_MESSAGES = (_FINAL | TEXT, _FINAL | BINARY)
# Below this size one operation on long integers is faster than one of numpy.
_SMALL_BYTES = 512

Frame = tuple[int, str | bytes]


class FrameError(Exception):
    """A client violated the protocol or a limit; the connection must be closed with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class FrameParser:
    """Splits the bytes of a client into messages and control frames.

    Fragments are joined. Lengths are checked before anything is stored: it holds at most one
    message and what was fed at last.

    Args:
        max_message_bytes: Largest message; its fragments count together.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._data: bytes | bytearray = b""
        self._at = 0
        # The message whose fragments are arriving.
        self._opcode = 0
        self._fragments = bytearray()

    @property
    def has_more(self) -> bool:
        """True if there are bytes that ``next_frame`` has not examined or that wait for others."""
        return self._at < len(self._data)

    @property
    def is_between_messages(self) -> bool:
        """True if no part of a message has arrived yet."""
        return self._at == len(self._data) and not self._opcode

    def feed(self, data: bytes) -> None:
        """Add bytes."""
        if self._at == len(self._data):
            self._data, self._at = data, 0
            return
        if isinstance(self._data, bytes):
            self._data, self._at = bytearray(memoryview(self._data)[self._at :]), 0
        elif self._at:
            del self._data[: self._at]
            self._at = 0
        self._data += data  # amortized: a client may send byte by byte

    def next_frame(self) -> Frame | None:
        """Return the next message (TEXT, BINARY) or control frame; None if more bytes are needed.

        Raises:
            FrameError: The client violated the protocol. There is no next frame then.
        """
        while True:
            data, at = self._data, self._at
            available = len(data) - at
            if available < 2:
                return None
            first, length = data[at], data[at + 1]
            if not length & _MASKED:
                raise FrameError(PROTOCOL_ERROR, "unmasked frame")
            length &= 0x7F
            self._check_head(first, length)
            start = at + 6
            if length >= _LENGTH_16:
                size = 2 if length == _LENGTH_16 else 8
                if available < 2 + size:
                    return None
                length = int.from_bytes(data[at + 2 : at + 2 + size], "big")
                start += size
            if length > self._max_message_bytes - len(self._fragments) and first & 0xF < CLOSE:
                raise FrameError(TOO_BIG, "message too large")
            end = start + length
            if end > at + available:
                return None
            payload = unmask(data[start:end], data[start - 4 : start])
            self._at = end
            found = self._complete(first, payload)
            if found is not None:
                return found

    def _check_head(self, first: int, length: int) -> None:
        opcode = first & 0xF
        if first & _RESERVED_BITS:
            raise FrameError(PROTOCOL_ERROR, "reserved bits without an extension")
        if opcode >= CLOSE:
            if opcode > PONG:
                raise FrameError(PROTOCOL_ERROR, "unknown opcode")
            if length > _MAX_CONTROL_BYTES or not first & _FINAL:
                raise FrameError(PROTOCOL_ERROR, "a control frame that is long or fragmented")
        elif opcode > BINARY:
            raise FrameError(PROTOCOL_ERROR, "unknown opcode")
        elif (opcode == _CONTINUATION) != bool(self._opcode):
            raise FrameError(PROTOCOL_ERROR, "fragments are out of order")

    def _complete(self, first: int, payload: bytes) -> Frame | None:
        """Return a control frame or a message that is complete with this payload."""
        opcode = first & 0xF
        if opcode >= CLOSE:
            return opcode, payload
        if not first & _FINAL or not opcode:
            self._opcode = self._opcode or opcode
            self._fragments += payload  # joined at once: a list of empty ones would have no limit
            if not first & _FINAL:
                return None
            opcode, payload = self._opcode, bytes(self._fragments)
            self._opcode, self._fragments = 0, bytearray()
        if opcode == BINARY:
            return BINARY, payload
        try:
            return TEXT, payload.decode()
        except UnicodeDecodeError:
            raise FrameError(INVALID_DATA, "text that is not UTF-8") from None


def whole_message(data: bytes) -> str | bytes | None:
    """Return the message if ``data`` is exactly one frame with one; else None.

    Most packets of live calls arrive like this. It accepts less than ``FrameParser``, to which the
    rest is left, errors included.
    """
    size = len(data)
    if size < 6 or data[0] not in _WHOLE_MESSAGES:
        return None
    length, start = data[1] - _MASKED, 6
    if length == _LENGTH_16 and size > 8:
        length, start = data[2] << 8 | data[3], 8
    elif not 0 <= length < _LENGTH_16:
        return None
    if size != start + length:
        return None
    payload = unmask(data[start:], data[start - 4 : start])
    if data[0] == _FINAL | BINARY:
        return payload
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


def unmask(payload: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """Return ``payload`` XOR the repeated mask of four bytes."""
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    if size < _SMALL_BYTES:
        number = int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")
        return number.to_bytes(size, "little")
    return (np.frombuffer(payload, np.uint8) ^ np.frombuffer(repeated, np.uint8)).tobytes()


def build_frame(opcode: int, payload: bytes) -> bytes:
    """Return a frame of a server: final and not masked."""
    size = len(payload)
    if size < _LENGTH_16:
        return bytes((_FINAL | opcode, size)) + payload
    if size < 1 << 16:
        return bytes((_FINAL | opcode, _LENGTH_16)) + size.to_bytes(2, "big") + payload
    return bytes((_FINAL | opcode, _LENGTH_64)) + size.to_bytes(8, "big") + payload


def build_close(code: int, reason: str = "") -> bytes:
    """Return a close frame; NO_CODE gives an empty one. A reason that is too long is cut."""
    if code == NO_CODE:
        return build_frame(CLOSE, b"")
    text = reason.encode()[: _MAX_CONTROL_BYTES - 2].decode(errors="ignore")
    return build_frame(CLOSE, code.to_bytes(2, "big") + text.encode())


def parse_close(payload: bytes) -> tuple[int, str]:
    """Return code and reason of a close frame. Raises FrameError for those that are not allowed."""
    if not payload:
        return NO_CODE, ""
    try:
        reason = payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError(INVALID_DATA, "close reason that is not UTF-8") from None
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or code not in _VALID_CODES:
        raise FrameError(PROTOCOL_ERROR, "close code that is not allowed")
    return code, reason
