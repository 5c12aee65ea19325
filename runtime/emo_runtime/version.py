"""The version of the distribution, written once, in pyproject.toml."""

import importlib.metadata

try:
    __version__ = importlib.metadata.version("emo-runtime")
except importlib.metadata.PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0+unknown"
