"""Dialects: one adapter for each platform, from its messages to those of ``live.messages``."""

from collections.abc import Callable

from emo_serving.live.dialects.base import Dialect
from emo_serving.live.dialects.generic import Generic

DIALECTS: dict[str, Callable[[], Dialect]] = {"generic": Generic}
