"""Sample encodings of live sound: packets of bytes to float32 samples."""

from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.arrays import as_floats
from emo_runtime.audio.channels import ChannelMixer
from emo_runtime.audio.first_packets import FirstPackets
from emo_runtime.audio.g711 import ALAW, MULAW
from emo_runtime.errors import AudioError
from emo_runtime.notes import Note

Floats = NDArray[np.float32]
Encoding: TypeAlias = Literal["pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_f32le", "mulaw", "alaw"]

#: Other names of encodings, as telephone platforms and FFmpeg write them (case does not matter).
ALIASES: Final[dict[str, Encoding]] = {
    **dict.fromkeys(
        ("s16le", "pcm16", "pcm_16", "linear16", "lin16", "slin", "slin16"), "pcm_s16le"
    ),
    **dict.fromkeys(("pcm", "int16", "raw", "signed_linear"), "pcm_s16le"),
    # RFC 3551 and RFC 2586: L16 is big-endian.
    **dict.fromkeys(("s16be", "l16", "audio/l16", "audio/x-l16"), "pcm_s16be"),
    **dict.fromkeys(("s24le", "pcm24", "pcm_24", "linear24", "int24"), "pcm_s24le"),
    **dict.fromkeys(("f32le", "float32", "pcm_f32", "float", "float32le"), "pcm_f32le"),
    **dict.fromkeys(("ulaw", "u-law", "mu-law", "mu_law", "µlaw", "pcmu", "pcm_mulaw"), "mulaw"),
    **dict.fromkeys(("g711_ulaw", "g711u", "g.711u", "audio/pcmu", "audio/basic"), "mulaw"),
    **dict.fromkeys(("audio/x-mulaw", "audio/mulaw", "audio/x-ulaw", "audio/ulaw"), "mulaw"),
    **dict.fromkeys(("a-law", "a_law", "pcma", "pcm_alaw", "g711_alaw", "g711a"), "alaw"),
    **dict.fromkeys(("g.711a", "audio/pcma", "audio/x-alaw", "audio/alaw"), "alaw"),
}


def resolve_encoding(name: Any) -> Encoding:
    """Return the encoding of a name or alias, without MIME parameters. Raises AudioError."""
    if isinstance(name, str):
        plain = name.split(";")[0].strip().lower()
        for encoding in get_args(Encoding):
            if plain == encoding:
                return encoding  # type: ignore[no-any-return]  # get_args has no types
        if plain in ALIASES:
            return ALIASES[plain]
    given = repr(name) if isinstance(name, str) else type(name).__name__
    raise AudioError(
        f"encoding {given:.50} is not known. Give one of: {', '.join(get_args(Encoding))} (or a "
        "common alias, such as PCMU, ulaw, L16)."
    )


_TABLES = {"mulaw": MULAW, "alaw": ALAW}
_TYPES: dict[Encoding, np.dtype[Any]] = {
    "pcm_s16le": np.dtype("<i2"),
    "pcm_s16be": np.dtype(">i2"),
    "pcm_s24le": np.dtype("V3"),
    "pcm_f32le": np.dtype("<f4"),
    "mulaw": np.dtype(np.uint8),
    "alaw": np.dtype(np.uint8),
}


def sample_bytes(encoding: Encoding) -> int:
    """Return the size of one encoded sample in bytes."""
    return _TYPES[encoding].itemsize


class PacketDecoder:
    """Bytes of interleaved samples to mono float32 samples.

    Args:
        encoding: The encoding, or one of ``ALIASES``.
        channels: Number of interleaved channels; their mean is taken.
        channel: The channel to take instead of the mean, counted from 0.
    """

    def __init__(self, encoding: str, channels: int, channel: int | None = None) -> None:
        self.encoding = resolve_encoding(encoding)
        if channel is not None and not 0 <= channel < channels:
            raise AudioError(
                f"channel={channel}: the stream has {channels} channels (counted from 0)."
            )
        self._table = _TABLES.get(self.encoding)
        self._type = _TYPES[self.encoding]
        self._channels = channels
        self._channel = channel
        self._mixer = ChannelMixer(channels)
        self._first = FirstPackets(self.encoding)

    @property
    def notes(self) -> tuple[Note, ...]:
        """Notes on the byte order and on the channels."""
        return self._first.notes + (self._mixer.notes if self._channel is None else ())

    def __call__(self, data: bytes) -> tuple[Floats, bytes]:
        """Return mono samples [time] of all complete frames, and the bytes of an incomplete one.

        Raises AudioError if the first packets contain a sound file or text instead of samples.
        """
        whole = len(data) - len(data) % (self._type.itemsize * self._channels)
        self._first.check(data[:whole])
        return self.mix(self._samples(data, whole).reshape(-1, self._channels)), data[whole:]

    def mix(self, frames: Floats) -> Floats:
        """Mono samples [time] of frames [time, channels]."""
        if self._channels == 1:
            return frames[:, 0]
        if self._channel is not None:
            return np.ascontiguousarray(frames[:, self._channel])
        return self._mixer.mix_live(frames)

    def _samples(self, data: bytes, whole: int) -> Floats:
        if self.encoding == "pcm_s24le":
            # The three bytes become the upper ones of a 32-bit sample.
            parts = np.frombuffer(data, np.uint8, whole).reshape(-1, 3)
            wide = np.zeros((len(parts), 4), np.uint8)
            wide[:, 1:] = parts
            return as_floats(wide.view("<i4")[:, 0])
        codes = np.frombuffer(data, self._type, whole // self._type.itemsize)
        samples: Floats = as_floats(codes) if self._table is None else self._table[codes]
        return samples
