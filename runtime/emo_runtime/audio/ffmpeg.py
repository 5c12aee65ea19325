"""Decode other formats (AAC, AMR, WebM, Speex, G.726) with PyAV, from the extra ``ffmpeg``.

The caller chooses the demultiplexer, so FFmpeg never detects the format itself. Formats that open
other files or network addresses (playlists) can therefore not be used.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.segments import Part, SegmentStream
from emo_runtime.errors import AudioError
from emo_runtime.notes import Note

Floats = NDArray[np.float32]

PREFIX = "ffmpeg:"  # in front of the name of a demultiplexer, in ``Part.kind``
_MAX_BAD_PACKETS = 1000
# PyAV reads invalid pointers of planar frames with more channels. Damaged AAC claims up to 64.
_MAX_CHANNELS = 8


def is_installed() -> bool:
    """True if PyAV can be imported."""
    return importlib.util.find_spec("av") is not None


class FfmpegDecoder:
    """The first audio stream of a file. ``notes`` are complete after all blocks were read."""

    def __init__(self, container: Any, notes: tuple[Note, ...]) -> None:
        self._container = container
        self._stream = container.streams.audio[0]
        context = self._stream.codec_context
        self.sample_rate: int = context.sample_rate
        self.channels: int = context.channels
        self.notes = notes

    def blocks(self, *, fill_gaps: bool = False) -> Iterator[Floats]:  # noqa: ARG002
        """The decoded sound in blocks [time, channels]. Damaged packets are skipped."""
        import av  # noqa: PLC0415  (an optional dependency)

        layout = self._stream.codec_context.layout
        resamplers: dict[tuple[str, str, int], Any] = {}
        bad_packets = 0
        for packet in self._container.demux(self._stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                bad_packets += 1
                if bad_packets > _MAX_BAD_PACKETS:
                    break
                continue
            for frame in frames:
                if frame.layout.nb_channels > _MAX_CHANNELS:
                    bad_packets += 1
                    continue
                # A resampler whose first frame needs no conversion passes all others unchanged.
                form = (frame.format.name, frame.layout.name, frame.sample_rate)
                if form not in resamplers:
                    resamplers[form] = av.AudioResampler("flt", layout, self.sample_rate)
                yield from self._converted(resamplers[form], frame)
        for resampler in resamplers.values():
            yield from self._converted(resampler, None)
        if bad_packets:
            text = f"{bad_packets} packets of the sound file are damaged; the rest was used"
            self.notes += (Note("damaged", text),)

    def _converted(self, resampler: Any, frame: Any) -> Iterator[Floats]:
        for converted in resampler.resample(frame):
            samples: Floats = converted.to_ndarray().reshape(-1, self.channels)
            yield samples


@contextmanager
def open_part(stream: BinaryIO, part: Part, name: str) -> Iterator[FfmpegDecoder]:
    """Open a part with the demultiplexer that its kind names. Raises AudioError."""
    import av  # noqa: PLC0415  (an optional dependency)

    source = SegmentStream(stream, part.segments)
    try:
        with av.open(source, format=part.kind.removeprefix(PREFIX)) as container:
            if not container.streams.audio:
                raise AudioError(f"{name}: has no audio stream. Check how it was recorded.")
            if container.streams.audio[0].codec_context is None:
                raise AudioError(f"{name}: not a supported sound file: unknown codec.")
            yield FfmpegDecoder(container, part.notes)
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(
            f"{name}: not a supported sound file (FFmpeg: {reason!s:.200}). Record or convert it "
            "again."
        ) from None
    if source.error is not None:
        raise OSError(f"{source.error!s:.300}")
