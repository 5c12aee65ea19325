"""Decode the intact parts of a sound file with libsndfile."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray
from soundfile import LibsndfileError

from emo_runtime.audio.flac import FlacInfo, Frame, next_frame, read_info, resume_at
from emo_runtime.audio.segments import Gap, Part, SegmentStream, open_part
from emo_runtime.notes import Note

Floats = NDArray[np.float32]

BLOCK_FRAMES = 1 << 14
_MAX_HOLES = 1000
_MAX_GAP_S = 60
_DAMAGED = Note("damaged", "parts of the sound file are damaged; the rest was used")


class SequentialFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A sound file that is read from its start to its end.

    soundfile seeks after each read. For files without a length, or with damage, that fails and
    loses the samples just read. This file therefore reports that it is not seekable.
    """

    def seekable(self) -> bool:
        """Return False, so that soundfile does not seek."""
        return False

    def read_block(self, block: Floats) -> tuple[Floats, LibsndfileError | None]:
        """Read the next samples into ``block``; return those read, and the error that followed."""
        block.fill(np.nan)
        try:
            return self.read(out=block), None
        except LibsndfileError as error:
            # An error hides the number of samples read; values that were not written are NaN.
            missing = np.isnan(block).all(axis=1)
            return block[: int(missing.argmax()) if missing.any() else len(block)], error


class PartDecoder:
    """Decodes one recording. ``notes`` are complete after all blocks were read.

    Raises LibsndfileError if nothing can be decoded.
    """

    def __init__(self, stream: BinaryIO, part: Part) -> None:
        self._stream = stream
        self._part = part
        self.notes: tuple[Note, ...] = part.notes
        source = open_part(stream, part)
        try:
            with SequentialFile(source) as file:
                self.sample_rate: int = file.samplerate
                self.channels: int = file.channels
        finally:
            raise_read_error(source)

    def blocks(self, *, fill_gaps: bool = False) -> Iterator[Floats]:
        """The decoded sound in blocks [time, channels], each valid until the next one.

        ``fill_gaps`` puts silence in place of lost sound, so that times stay correct.
        """
        if fill_gaps and self._part.gaps:
            yield from self._with_silence(self._scaled_gaps())
            return
        info = None
        if self._part.kind == "FLAC":
            info = read_info(SegmentStream(self._stream, self._part.segments))
        if info is not None:
            yield from self._flac_blocks(info, fill_gaps=fill_gaps)
            return
        done = 0
        for block, error in self._read(self._part):
            done += len(block)
            if len(block):
                yield block
            if error is not None:
                if not done:
                    raise error
                self.notes += (_DAMAGED,)

    def _scaled_gaps(self) -> tuple[Gap, ...]:
        """Return the gaps, scaled so that the length is the one that the file states."""
        gaps, length_s = self._part.gaps, self._part.length_s
        if length_s is None:
            return gaps
        notes = self.notes
        decoded_s = sum(len(block) for block in self.blocks()) / self.sample_rate
        self.notes = notes
        estimated_s = sum(gap.length_s for gap in gaps)
        scale = max(0.0, length_s - decoded_s) / estimated_s if estimated_s else 0.0
        return tuple(Gap(gap.at_s, scale * gap.length_s) for gap in gaps)

    def _with_silence(self, gaps: tuple[Gap, ...]) -> Iterator[Floats]:
        """Yield blocks with silence in the gaps that are not too long."""
        rest = [
            (round(gap.at_s * self.sample_rate), round(gap.length_s * self.sample_rate))
            for gap in gaps
            if 0 < gap.length_s <= _MAX_GAP_S
        ]
        done = 0
        for block in self.blocks():
            used = 0
            while rest and rest[0][0] <= done + len(block):
                at, length = rest.pop(0)
                cut = max(used, at - done)
                yield block[used:cut]
                yield np.zeros((length, self.channels), np.float32)
                used = cut
            yield block[used:]
            done += len(block)

    def _flac_blocks(self, info: FlacInfo, *, fill_gaps: bool) -> Iterator[Floats]:
        """Yield blocks; continue with the next intact frame after damage."""
        source = SegmentStream(self._stream, self._part.segments)
        part, frame, done = self._part, Frame(info.header_bytes, 0), 0
        is_damaged = False
        error: LibsndfileError | None = None
        for _ in range(_MAX_HOLES):
            run = 0
            for block, failure in self._read(part):
                run += len(block)
                error = failure
                if len(block):
                    yield block
            is_damaged = is_damaged or (run > 0 and frame.position > info.header_bytes)
            done += run
            found = None if error is None else next_frame(source, info, frame, run)
            if found is None:
                break
            gap = found.first_sample - frame.first_sample - run
            if fill_gaps and 0 < gap <= _MAX_GAP_S * self.sample_rate:
                yield np.zeros((gap, self.channels), np.float32)
            part, frame = resume_at(source, self._part, found), found
        raise_read_error(source)
        if error is not None and not done:
            raise error
        if is_damaged:
            self.notes += (_DAMAGED,)
        elif info.samples > done:
            text = f"the sound file ends early: {done:,} of {info.samples:,} samples are present"
            self.notes += (Note("cut_off", text),)

    def _read(self, part: Part) -> Iterator[tuple[Floats, LibsndfileError | None]]:
        source = open_part(self._stream, part)
        try:
            with SequentialFile(source) as file:
                buffer = np.empty((BLOCK_FRAMES, file.channels), np.float32)
                while True:
                    block, error = file.read_block(buffer)
                    if len(block) or error is not None:
                        yield block, error
                    if error is not None or not len(block):
                        break
        except LibsndfileError as error:
            yield np.empty((0, self.channels), np.float32), error
        raise_read_error(source)


def raise_read_error(source: SegmentStream) -> None:
    """Raise the exception of the underlying stream, if it failed while libsndfile read it."""
    if source.error is not None:
        raise OSError(f"{source.error!s:.300}") from None
