"""Decode other formats (AAC, AMR, WebM, Speex, G.726) with PyAV, from the extra ``ffmpeg``.

The caller chooses the demultiplexer, so FFmpeg never detects the format itself. Formats that open
other files or network addresses (playlists) can therefore not be used.
"""

import importlib.util
import io
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
_MAX_ATOMS = 1000
# PyAV reads invalid pointers of planar frames with more channels. Damaged AAC claims up to 64.
_MAX_CHANNELS = 8
_STATED_LENGTHS = {"mov", "matroska"}  # demultiplexers that do not estimate the length
_MIN_GAP_S, _MAX_GAP_S = 0.05, 60.0
# Encoders add up to some 0.1 s at the start and the end, which containers may count.
_MAX_PADDING_S = 0.3


def is_installed() -> bool:
    """True if PyAV can be imported."""
    return importlib.util.find_spec("av") is not None


class FfmpegDecoder:
    """The first audio stream of a file. ``notes`` are complete after all blocks were read."""

    def __init__(self, container: Any, notes: tuple[Note, ...]) -> None:
        self._container = container
        self._produced = 0
        self._stream = container.streams.audio[0]
        context = self._stream.codec_context
        self.sample_rate: int = context.sample_rate
        self.channels: int = context.channels
        self.notes = notes

    def blocks(self, *, fill_gaps: bool = False) -> Iterator[Floats]:
        """The decoded sound in blocks [time, channels]. Damaged packets are skipped.

        ``fill_gaps`` puts silence between frames whose times are apart.
        """
        import av  # noqa: PLC0415  (an optional dependency)

        layout = self._stream.codec_context.layout
        resamplers: dict[tuple[str, str, int], Any] = {}
        bad_packets = 0
        first_s: float | None = None
        for packet in self._packets():
            frames = _decoded(packet)
            bad_packets += frames is None
            if bad_packets > _MAX_BAD_PACKETS:
                break
            for frame in frames or ():
                if frame.layout.nb_channels > _MAX_CHANNELS:
                    bad_packets += 1
                    continue
                if frame.time is not None and fill_gaps:
                    first_s = frame.time if first_s is None else first_s
                    yield from self._silence(frame.time - first_s)
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
        self.notes += self._cut_off()

    def _packets(self) -> Iterator[Any]:
        """Yield the packets, and None for an error of the demultiplexer, which is the last."""
        import av  # noqa: PLC0415  (an optional dependency)

        try:
            yield from self._container.demux(self._stream)
        except av.FFmpegError:
            if not self._produced:
                raise
            yield None

    def _silence(self, time_s: float) -> Iterator[Floats]:
        """Yield silence up to the time of the next frame, if sound is missing before it."""
        gap_s = time_s - self._produced / self.sample_rate
        if _MIN_GAP_S < gap_s <= _MAX_GAP_S:
            count = round(gap_s * self.sample_rate)
            self._produced += count
            yield np.zeros((count, self.channels), np.float32)

    def _cut_off(self) -> tuple[Note, ...]:
        """Return a note if the container states a clearly longer sound."""
        stated = self._container.duration
        if self._container.format.name.split(",")[0] not in _STATED_LENGTHS or not stated:
            return ()
        stated_s, decoded_s = stated / 1e6, self._produced / self.sample_rate
        if decoded_s >= 0.98 * stated_s - _MAX_PADDING_S:
            return ()
        text = f"the sound file ends early: {decoded_s:.1f} of {stated_s:.1f} s are present"
        return (Note("cut_off", text),)

    def _converted(self, resampler: Any, frame: Any) -> Iterator[Floats]:
        for converted in resampler.resample(frame):
            samples: Floats = converted.to_ndarray().reshape(-1, self.channels)
            self._produced += len(samples)
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
        if part.kind == f"{PREFIX}mov" and not _has_index(source):
            raise AudioError(
                f"{name}: the recording is incomplete: its index (moov) is missing. Copy or "
                "record it again."
            ) from None
        raise AudioError(
            f"{name}: not a supported sound file (FFmpeg: {reason!s:.200}). Record or convert it "
            "again."
        ) from None
    if source.error is not None:
        raise OSError(f"{source.error!s:.300}")


def _decoded(packet: Any) -> list[Any] | None:
    """Return the frames of a packet; None if it is damaged."""
    import av  # noqa: PLC0415  (an optional dependency)

    try:
        return None if packet is None else list(packet.decode())
    except av.FFmpegError:
        return None


def _has_index(source: SegmentStream) -> bool:
    """True if an MP4 file has its index, which writers add when the recording ends."""
    position, end = 0, source.seek(0, io.SEEK_END)
    for _ in range(_MAX_ATOMS):
        source.seek(position)
        head = source.read(16)
        size = int.from_bytes(head[:4])
        if size == 1:
            size = int.from_bytes(head[8:16])
        if head[4:8] == b"moov":
            return position + size <= end
        if len(head) < 8 or size < 8:
            break
        position += size
    return False
