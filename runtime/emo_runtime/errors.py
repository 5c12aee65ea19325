"""The exceptions of this package.

Every message names the object, what is wrong with it, and a remedy::

    EmoError
    +-- BundleError          a bundle is missing, damaged or malformed
    +-- AudioError           sound that can't be used
    +-- TextError            a transcript that can't be used
    +-- TaskError            the inputs don't fit a task
    +-- ArgumentError        an argument has a wrong type or value
    +-- ProviderError        an execution provider is not available
    +-- SelfTestError        answers differ from the reference's
    +-- MissingExtraError    an optional dependency is not installed
    +-- ClosedError          a recognizer or stream was closed
    +-- OverloadedError      too many calls are waiting
"""

MAX_MESSAGE = 500


class EmoError(Exception):
    """Base class of all exceptions that this package raises on purpose.

    The message is cut to 500 characters.
    """

    def __init__(self, message: str = "") -> None:
        if len(message) > MAX_MESSAGE:
            message = f"{message[: MAX_MESSAGE - 150]} [...] {message[-140:]}"
        super().__init__(message)


class BundleError(EmoError):
    """A bundle is missing, damaged, malformed, or written for another version."""


class AudioError(EmoError):
    """Sound that can't be read, or that can't be answered."""


class TextError(EmoError):
    """A transcript that can't be read, or that can't be answered."""


class TaskError(EmoError):
    """The inputs don't fit a task, or the bundle has no such task."""


class ArgumentError(EmoError):
    """An argument has a type or a value that is not accepted."""


class ProviderError(EmoError):
    """An ONNX Runtime execution provider that is unknown, not installed, or did not attach."""


class SelfTestError(EmoError):
    """The answers on this machine differ from those of the machine that wrote the bundle."""


class MissingExtraError(EmoError):
    """An optional dependency (an extra of the package) is not installed."""


class ClosedError(EmoError):
    """A recognizer or stream was used after it had been closed or finished."""


class OverloadedError(EmoError):
    """Too many calls are waiting. Try again later, or add workers."""
