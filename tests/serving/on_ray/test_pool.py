"""Remote recognizers that fail, are lost, or take too long."""

import asyncio

import pytest

from emo_runtime import Utterance
from emo_serving.errors import UnavailableError, status_of
from emo_serving.settings import Settings
from helpers.corpora import SMALL_BUNDLE

# Ray Serve's own, as it is imported.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Using extra keyword arguments on:DeprecationWarning"
)
ASKED = Utterance("hola")


class Response:
    """Awaitable that returns ``outcome``; with None it never completes."""

    def __init__(self, outcome):
        self.outcome = outcome
        self.cancelled = False

    def __await__(self):
        if self.outcome is None:
            yield from asyncio.Event().wait().__await__()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def cancel(self):
        self.cancelled = True


class Handle:
    """Answers calls with these outcomes, one after the other."""

    def __init__(self, *outcomes):
        self.responses = [Response(outcome) for outcome in outcomes]
        self.recognize = self
        self.asked = 0

    def remote(self, utterance):
        assert utterance is ASKED
        self.asked += 1
        return self.responses[self.asked - 1]


def ask(handle, timeout_s=30.0):
    """In a function: what it imports imports Ray, which reads the environment then."""
    from emo_serving.on_ray.pool import PooledService

    service = PooledService(Settings(bundle=str(SMALL_BUNDLE), timeout_s=timeout_s), handle)
    try:
        return asyncio.run(service.answer(ASKED))
    finally:
        service.close()


def lost():
    from ray.exceptions import NodeDiedError, RayActorError

    return [RayActorError(), NodeDiedError("gone"), RayActorError()]


def test_another_recognizer_is_asked_for_a_lost_one_and_three_at_most(recognizer):
    answer = recognizer.recognize("hola")
    assert ask(Handle(*lost()[:2], answer)) is answer
    handle = Handle(*lost(), answer)
    with pytest.raises(UnavailableError, match="3 recognizers"):
        ask(handle)
    assert handle.asked == 3


def test_a_request_that_times_out_is_cancelled():
    handle = Handle(None)
    with pytest.raises(UnavailableError, match=r"within 0\.05 s"):
        ask(handle, timeout_s=0.05)
    assert handle.responses[0].cancelled


def test_a_pool_that_could_not_be_deployed_is_unavailable():
    from ray.serve._private.common import DeploymentID
    from ray.serve.exceptions import DeploymentUnavailableError

    with pytest.raises(UnavailableError, match="no recognizer") as caught:
        ask(Handle(DeploymentUnavailableError(DeploymentID("recognizer", "emo"))))
    assert status_of(caught.value) == 503
