"""Recognizers elsewhere that answer whole utterances, and the service that passes them on."""

import asyncio
from dataclasses import replace

from ray.exceptions import NodeDiedError, RayActorError
from ray.serve.exceptions import DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from emo_runtime import Answer, EmoError, EmotionRecognizer, Utterance
from emo_serving.admission import Gate
from emo_serving.errors import UnavailableError, log_unexpected
from emo_serving.on_ray.bundle_uri import local_bundle
from emo_serving.service import Service
from emo_serving.settings import Settings

# One that kills whoever recognizes it must not go through all of them.
_ATTEMPTS = 3


class PooledRecognizer:
    """One of the pool: one thread, one utterance at a time."""

    def __init__(self, settings: Settings) -> None:
        with local_bundle(settings.bundle) as bundle:
            self._recognizer = EmotionRecognizer.open(
                bundle,
                providers=settings.provider,
                fallback=settings.fallback,
                threads=1,
                variant=settings.variant,
                mode="throughput",
                max_duration_s=settings.max_duration_s,
                warm=True,
            )

    async def recognize(self, utterance: Utterance) -> Answer | EmoError:
        """The answer, or in its place the error: Ray would log one that is raised."""
        try:
            return await self._recognizer.arecognize(
                utterance.text, utterance.audio, task=utterance.task
            )
        except EmoError as error:
            return error
        except Exception as error:  # noqa: BLE001  (whatever it is, its message stays here)
            log_unexpected(error, "recognize")
            return EmoError("the server made a mistake, which is in its log.")


class PooledService(Service):
    """Passes whole utterances on to the pool. Live calls stay: they have a state.

    Recognizing has no effect but its answer, so what was with a recognizer that died is asked of
    another one: Ray Serve itself fails a call that had begun.
    """

    def __init__(self, settings: Settings, pool: DeploymentHandle) -> None:
        # How many threads the pool has at the moment nobody here knows: only the count bounds.
        gate = Gate(1 + settings.max_waiting, 0, settings.max_streams)
        with local_bundle(settings.bundle) as bundle:
            super().__init__(replace(settings, bundle=bundle, threads=1), gate=gate)
        self._pool = pool

    async def _recognize(self, utterance: Utterance) -> Answer:
        for _ in range(_ATTEMPTS):
            try:
                found = await self._ask(utterance)
            except (RayActorError, NodeDiedError):
                continue
            except DeploymentUnavailableError:
                raise UnavailableError(
                    "no recognizer could be deployed: see the logs of Ray Serve."
                ) from None
            if isinstance(found, EmoError):
                raise found
            self._count_answer(found)
            return found
        raise UnavailableError(
            f"{_ATTEMPTS} recognizers ended while they had this utterance: see their logs."
        )

    async def _ask(self, utterance: Utterance) -> Answer | EmoError:
        response = self._pool.recognize.remote(utterance)
        try:
            found: Answer | EmoError = await response
        except asyncio.CancelledError:
            response.cancel()  # nobody waits any more: the recognizer is free for others
            raise
        return found
