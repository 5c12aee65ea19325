"""The one hierarchy of errors. Every message says what was wrong, where, and what to do."""


class EmoError(Exception):
    """Base of everything that this software raises on purpose."""


class BundleError(EmoError):
    """A bundle is missing, damaged, malformed, or written for another version."""


class AudioError(EmoError):
    """Sound that can't be read, or that no answer can be given for."""


class TextError(EmoError):
    """A transcript that can't be read, or that no answer can be given for."""


class TaskError(EmoError):
    """The inputs don't fit a task, or the bundle doesn't know the task."""


class ProviderError(EmoError):
    """An ONNX Runtime execution provider that is unknown, absent, or did not attach."""


class SelfTestError(EmoError):
    """This machine computes something else than the machine that wrote the bundle."""


class MissingExtraError(EmoError):
    """A command was started without the packages of its extra."""


class ClosedError(EmoError):
    """A recognizer was used after it had been closed."""


class OverloadedError(EmoError):
    """More utterances are waiting than were allowed: try again later, or add workers."""
