"""A typed client of ``emo-serve``: whole utterances, live calls, and the events of calls.

``Client`` and ``AsyncClient`` have the same methods.
"""

from emo_serving.client.asynchronous import AsyncClient, AsyncLiveCall
from emo_serving.client.protocol import CallEvent, ConnectionFailedError, ServerError
from emo_serving.client.synchronous import Client, LiveCall

__all__ = [
    "AsyncClient",
    "AsyncLiveCall",
    "CallEvent",
    "Client",
    "ConnectionFailedError",
    "LiveCall",
    "ServerError",
]
