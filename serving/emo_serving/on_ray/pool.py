"""Recognizers in other processes, and the service that sends whole utterances to them."""

import asyncio
from dataclasses import replace

from ray.exceptions import NodeDiedError, RayActorError
from ray.serve.exceptions import DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from emo_runtime import Answer, EmoError, EmotionRecognizer, Utterance
from emo_serving.admission import Admission
from emo_serving.errors import INTERNAL_ERROR, UnavailableError, log_unexpected
from emo_serving.models import Model
from emo_serving.on_ray.bundle_uri import local_bundle
from emo_serving.service import Service
from emo_serving.settings import Settings

# An utterance that crashes its recognizer must not crash all of them.
_ATTEMPTS = 3


class PooledRecognizer:
    """A recognizer of the pool: one thread, one utterance at a time."""

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
        """Return the answer, or the error: Ray would log one that is raised."""
        try:
            return await self._recognizer.arecognize(
                utterance.text, utterance.audio, task=utterance.task
            )
        except EmoError as error:
            return error
        except Exception as error:  # noqa: BLE001  (its message may quote a client's data)
            log_unexpected(error, "recognize")
            return EmoError(INTERNAL_ERROR)


class PooledService(Service):
    """Sends whole utterances to the pool; live calls, which have a state, stay in this process.

    Recognizing has no side effects, so an utterance whose recognizer died is sent to another one.
    Ray Serve itself fails a request that had begun.
    """

    def __init__(self, settings: Settings, pool: "DeploymentHandle[PooledRecognizer]") -> None:
        # The number of threads in the pool is not known here, so the queue is never held short.
        admission = Admission(
            1 + settings.max_waiting, 0, settings.max_streams, settings.max_buffered_bytes
        )
        with local_bundle(settings.bundle) as bundle:
            super().__init__(replace(settings, bundle=bundle, threads=1), admission=admission)
        self._pool = pool

    async def _recognize(self, utterance: Utterance, model: Model) -> Answer:
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
            self.count_answer(found, model)
            return found
        raise UnavailableError(
            f"{_ATTEMPTS} recognizers ended while they had this utterance: see their logs."
        )

    async def _ask(self, utterance: Utterance) -> Answer | EmoError:
        response = self._pool.recognize.remote(utterance)
        try:
            found: Answer | EmoError = await response
        except asyncio.CancelledError:
            # The client is gone: free the recognizer for others.
            response.cancel()  # type: ignore[no-untyped-call]
            raise
        return found
