"""Batches: many utterances on several threads, with the answers in input order."""

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from emo_runtime.engine import EncodedUtterance, Engine
from emo_runtime.errors import ArgumentError, EmoError
from emo_runtime.hooks import Hooks
from emo_runtime.result import Answer, Utterance
from emo_runtime.speaker import Speaker


def check_utterances(utterances: Any) -> Iterator[Utterance]:
    """Return an iterator. Raises ArgumentError for strings, mappings and objects without one."""
    if not isinstance(utterances, str | bytes | Mapping):
        with contextlib.suppress(TypeError):
            return iter(utterances)
    raise ArgumentError(
        f"utterances is of type {type(utterances).__name__:.40}. Give an iterable of Utterance."
    )


def answer_each(
    engine: Engine, utterances: Iterable[Utterance], workers: int, hooks: Hooks
) -> Iterator[Answer | EmoError]:
    """Yield answers in the order of the utterances, and the error of an utterance that failed.

    Utterances are encoded on ``workers`` threads. The last step, in which a speaker's profile is
    used and updated, runs in the order of the utterances.
    """
    profiles: dict[str, Speaker] = {}
    waiting: deque[tuple[Utterance, Future[EncodedUtterance]]] = deque()

    def oldest() -> Answer | EmoError:
        utterance, future = waiting.popleft()
        try:
            with hooks.errors():
                encoded = future.result()
                speaker = _profile(engine, utterance, profiles)
                answer = engine.answer(encoded, speaker)
                engine.add_to_profile(speaker, encoded.task, encoded.audio)
        except EmoError as error:
            return error
        hooks.answer(answer)
        return answer

    with ThreadPoolExecutor(workers, thread_name_prefix="emo-batch") as pool:
        for utterance in utterances:
            waiting.append((utterance, pool.submit(_encode, engine, utterance)))
            if len(waiting) > 2 * workers:
                yield oldest()
        while waiting:
            yield oldest()


def _encode(engine: Engine, utterance: Utterance) -> EncodedUtterance:
    if not isinstance(utterance, Utterance):
        raise ArgumentError(
            f"an utterance is of type {type(utterance).__name__:.40}. Give "
            "Utterance(text=..., audio=...)."
        )
    return engine.encode(utterance.text, utterance.audio, utterance.task)


def _profile(engine: Engine, utterance: Utterance, profiles: dict[str, Speaker]) -> Speaker | None:
    """Return the profile of an utterance; a name has none if the bundle does not adapt."""
    speaker = utterance.speaker
    if isinstance(speaker, str):
        if not engine.adapts_to_speakers:
            return None
        return profiles.setdefault(speaker, engine.speaker())
    engine.check_speaker(speaker)
    return speaker
