"""Version of the distribution, read from its metadata."""

import importlib.metadata

try:
    __version__ = importlib.metadata.version("emo-runtime")
except importlib.metadata.PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0+unknown"
