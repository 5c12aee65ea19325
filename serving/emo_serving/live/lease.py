"""The place of a live call in admission control, before and after its token is known."""

import contextlib
from typing import Self

from emo_runtime import OverloadedError
from emo_serving.api.access import client_with_token
from emo_serving.context import RequestContext
from emo_serving.live.idle import CloseConnection
from emo_serving.live.transport import POLICY, TRY_AGAIN_LATER
from emo_serving.service import Service
from emo_serving.tokens import find_token


class CallLease:
    """Counts a live call while it is open.

    A platform that can't send a token with the handshake sends it with the start of the call. Until
    then the connection counts as an unauthenticated one, of which there are few.
    """

    def __init__(self, service: Service, context: RequestContext) -> None:
        self._service = service
        self._context = context
        self._counted = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Count the call. Raises OverloadedError, UnavailableError."""
        admission, client = self._service.admission, self._context.client
        count = admission.stream if client.is_authenticated else admission.unauthenticated
        self._counted.enter_context(count(client))
        return self

    def __exit__(self, *_: object) -> None:
        self._counted.close()

    @property
    def is_authenticated(self) -> bool:
        """False until the call has sent the token that it needs."""
        return self._context.client.is_authenticated

    def authenticate(self, token: str) -> None:
        """Take the token of the call's start. Raises CloseConnection if it is not valid."""
        if self.is_authenticated:
            return
        settings = self._service.settings
        found = find_token(settings.tokens, token)
        if found is None:
            raise unauthorized()
        client = client_with_token(found, settings)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._service.admission.stream(client))
            except OverloadedError:
                raise CloseConnection(TRY_AGAIN_LATER, "too many live calls") from None
            self._counted.close()
            self._counted = stack.pop_all()
        self._context.client = client


def unauthorized() -> CloseConnection:
    """Return what ends a call without a valid token."""
    return CloseConnection(POLICY, "unauthorized")
