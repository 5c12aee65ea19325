"""The methods of GRPCInferenceService: requests in, responses out, errors as EmoError."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from emo_runtime import __version__
from emo_serving.admission import Client
from emo_serving.api import repository
from emo_serving.api.open_inference import (
    EXTENSIONS,
    config_of,
    find_model,
    infer,
    metadata_of,
)
from emo_serving.on_grpc.messages import TYPES
from emo_serving.on_grpc.tensors import inference_of, response_of
from emo_serving.service import Service
from emo_serving.statistics import Duration, ModelStatistics

Handler = Callable[[Service, Client, Any], Awaitable[Any]]


@dataclass(frozen=True)
class Method:
    """A method of the service.

    ``is_probe``: it needs no token, and its empty request is not read.
    """

    handler: Handler
    is_probe: bool = False
    is_inference: bool = False


async def server_live(service: Service, client: Client, request: Any) -> Any:  # noqa: ARG001
    """Return that the process responds."""
    return TYPES["ServerLiveResponse"](live=True)


async def server_ready(service: Service, client: Client, request: Any) -> Any:  # noqa: ARG001
    """Return False under overload, and once the server is stopping."""
    return TYPES["ServerReadyResponse"](ready=service.status == "ready")


async def server_metadata(service: Service, client: Client, request: Any) -> Any:  # noqa: ARG001
    """Return name, version and extensions of the server."""
    return TYPES["ServerMetadataResponse"](
        name="emo-runtime", version=__version__, extensions=EXTENSIONS
    )


async def model_ready(service: Service, client: Client, request: Any) -> Any:  # noqa: ARG001
    """Return the readiness of a model."""
    find_model(service, request.name, request.version)
    return TYPES["ModelReadyResponse"](ready=service.status == "ready")


async def model_metadata(service: Service, client: Client, request: Any) -> Any:  # noqa: ARG001
    """Return the tensors of a model."""
    found = metadata_of(find_model(service, request.name, request.version))
    response = TYPES["ModelMetadataResponse"](
        name=found.name, versions=found.versions, platform=found.platform
    )
    for tensors, given in ((response.inputs, found.inputs), (response.outputs, found.outputs)):
        for each in given:
            tensors.add(name=each.name, datatype=each.datatype, shape=each.shape)
    return response


async def model_config(service: Service, client: Client, request: Any) -> Any:  # noqa: ARG001
    """Return the configuration of a model."""
    model = find_model(service, request.name, request.version)
    found = config_of(model, service.settings.max_batch)
    config = TYPES["ModelConfig"](
        name=found.name, backend=found.backend, max_batch_size=found.max_batch_size
    )
    for tensors, given in ((config.input, found.input), (config.output, found.output)):
        for each in given:
            tensors.add(name=each.name, data_type=each.data_type, dims=each.dims)
    return TYPES["ModelConfigResponse"](config=config)


async def model_statistics(service: Service, client: Client, request: Any) -> Any:  # noqa: ARG001
    """Return the statistics of a model; of all without a name."""
    if request.name:
        models = [find_model(service, request.name, request.version)]
    else:
        models = service.models.loaded()
    response = TYPES["ModelStatisticsResponse"]()
    for model in models:
        _add_statistics(response.model_stats.add(), model.statistics)
    return response


async def model_infer(service: Service, client: Client, request: Any) -> Any:
    """Return the answers of all rows; if one row fails, the request fails."""
    model = find_model(service, request.model_name, request.model_version)
    inference = inference_of(request, service.settings.max_batch)
    answers = await infer(service, model, inference, client)
    return response_of(inference, answers, model)


async def repository_index(service: Service, client: Client, request: Any) -> Any:  # noqa: ARG001
    """Return the models that are or can be loaded."""
    response = TYPES["RepositoryIndexResponse"]()
    for each in service.models.index(ready_only=request.ready):
        response.models.add(
            name=each.name, version=each.version, state=each.state, reason=each.reason
        )
    return response


async def model_load(service: Service, client: Client, request: Any) -> Any:
    """Load a bundle, or load it again."""
    await repository.load(service, client, request.model_name, list(request.parameters))
    return TYPES["RepositoryModelLoadResponse"]()


async def model_unload(service: Service, client: Client, request: Any) -> Any:
    """Unload a bundle."""
    await repository.unload(service, client, request.model_name)
    return TYPES["RepositoryModelUnloadResponse"]()


def _add_statistics(message: Any, found: ModelStatistics) -> None:
    message.name, message.version = found.name, found.version
    message.last_inference = found.last_inference
    message.inference_count = found.inference_count
    message.execution_count = found.execution_count
    for name in ("success", "fail", "queue", "compute_infer"):
        duration: Duration = getattr(found.inference_stats, name)
        getattr(message.inference_stats, name).count = duration.count
        getattr(message.inference_stats, name).ns = duration.ns


METHODS = {
    "ServerLive": Method(server_live, is_probe=True),
    "ServerReady": Method(server_ready, is_probe=True),
    "ServerMetadata": Method(server_metadata),
    "ModelReady": Method(model_ready),
    "ModelMetadata": Method(model_metadata),
    "ModelConfig": Method(model_config),
    "ModelStatistics": Method(model_statistics),
    "ModelInfer": Method(model_infer, is_inference=True),
    "RepositoryIndex": Method(repository_index),
    "RepositoryModelLoad": Method(model_load),
    "RepositoryModelUnload": Method(model_unload),
}
