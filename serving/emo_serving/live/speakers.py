"""Profiles of the speakers of one live call."""

from emo_runtime import EmotionRecognizer, Speaker, TaskError
from emo_serving.errors import RequestError

# The name that switches adaptation off.
NOBODY = "none"
_MAX_SPEAKERS = 16


class CallSpeakers:
    """The profiles of a call's speakers: created when they are first named, gone with the call."""

    def __init__(self, recognizer: EmotionRecognizer) -> None:
        self._recognizer = recognizer
        self._profiles: dict[str, Speaker] = {}

    def profile(self, name: str | None, track: str) -> Speaker | None:
        """Return the profile of a speaker, by default of the track's.

        None if the bundle does not adapt to speakers, or adaptation is switched off.

        Raises:
            TaskError: A speaker is named, and the bundle does not adapt to speakers.
            RequestError: The call has too many speakers.
        """
        if name == NOBODY:
            return None
        key = f"track {track}" if name is None else f"name {name}"
        if key not in self._profiles:
            if len(self._profiles) >= _MAX_SPEAKERS:
                raise RequestError(f"speaker: a call has at most {_MAX_SPEAKERS} of them.")
            try:
                self._profiles[key] = self._recognizer.speaker()
            except TaskError:
                if name is not None:
                    raise
                return None
        return self._profiles[key]
