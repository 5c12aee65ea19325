"""Mix the channels of a sound to one, and find channels that are silent or cancel each other."""

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.arrays import Floats, to_mono
from emo_runtime.notes import Note

# Energy of the mean, as a share of what independent channels would give, below which they cancel.
_CANCEL_SHARE = 0.1
# Energy of a channel, as a share of the loudest channel's, below which it is silent.
_SILENT_SHARE = 1e-5


def mix_whole(frames: Floats) -> tuple[Floats, tuple[Note, ...]]:
    """Return mono samples of a complete sound [time, channels], and notes on its channels.

    They are the mean of the channels, or the loudest channel if the channels cancel each other.
    """
    mixer = ChannelMixer(frames.shape[1])
    mono = mixer.mix(frames)
    if (channel := mixer.cancelled_by) is not None:
        mono = np.ascontiguousarray(frames[:, channel])
    return mono, mixer.notes


class ChannelMixer:
    """Mean of the channels, block by block, with the energy of each channel."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._energies: NDArray[np.float64] = np.zeros(channels)
        self._mean_energy = 0.0

    def mix(self, frames: Floats) -> Floats:
        """Mono samples [time] of a block [time, channels]."""
        mono = to_mono(frames)
        if self._channels > 1:
            with np.errstate(over="ignore", invalid="ignore"):
                self._energies += np.einsum("tc,tc->c", frames, frames)
                self._mean_energy += float(np.dot(mono, mono))
        return mono

    def mix_live(self, frames: Floats) -> Floats:
        """Mono samples of a block: of the loudest channel if the channels cancel so far."""
        mono = self.mix(frames)
        channel = self.cancelled_by
        return mono if channel is None else np.ascontiguousarray(frames[:, channel])

    @property
    def cancelled_by(self) -> int | None:
        """The loudest channel if the mean of the channels cancels the sound, else None."""
        independent = float(self._energies.sum()) / self._channels**2
        if self._channels == 1 or not 0 < independent < np.inf:
            return None
        if self._mean_energy >= _CANCEL_SHARE * independent:
            return None
        return int(self._energies.argmax())

    @property
    def notes(self) -> tuple[Note, ...]:
        """Notes on silent channels and on channels that cancel each other."""
        loudest = float(self._energies.max())
        if self._channels == 1 or not 0 < loudest < np.inf:
            return ()
        if (used := self.cancelled_by) is not None:
            text = (
                "the channels cancel each other (opposite phase); only channel "
                f"{used} was used (counted from 0)"
            )
            return (Note("channels_cancel", text),)
        silent = np.flatnonzero(self._energies < _SILENT_SHARE * loudest).tolist()
        if not silent:
            return ()
        which = ", ".join(map(str, silent))
        text = f"silent channels among {self._channels}: {which} (counted from 0)"
        return (Note("silent_channel", text),)
