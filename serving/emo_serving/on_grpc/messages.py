"""Messages of the Open Inference Protocol over gRPC, as Triton's ``grpc_service.proto`` has them.

The messages are built from the table below when this module is imported. Packages with generated
modules do not fit: that of Triton's client needs old versions of grpcio and protobuf, and KServe's
many other packages. Only what this server uses is listed; protobuf skips unknown fields of a
request. A test compares names, numbers and types with those of Triton.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

_PARAMETER = "oneof bool:1:bool_param int64:2:int64_param string:3:string_param "
# Message: its fields as type:number:name. "*" means repeated, "map" from string to a message, and
# what follows "oneof" is a choice.
_MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "bool:1:live",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "bool:1:ready",
    "ModelReadyRequest": "string:1:name string:2:version",
    "ModelReadyResponse": "bool:1:ready",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "string:1:name string:2:version *string:3:extensions",
    "ModelMetadataRequest": "string:1:name string:2:version",
    "ModelMetadataResponse": "string:1:name *string:2:versions string:3:platform "
    "*ModelMetadataResponse.TensorMetadata:4:inputs "
    "*ModelMetadataResponse.TensorMetadata:5:outputs",
    "ModelMetadataResponse.TensorMetadata": "string:1:name string:2:datatype *int64:3:shape",
    "InferParameter": f"{_PARAMETER} double:4:double_param uint64:5:uint64_param",
    "InferTensorContents": "*bool:1:bool_contents *int32:2:int_contents *int64:3:int64_contents "
    "*uint32:4:uint_contents *uint64:5:uint64_contents *float:6:fp32_contents "
    "*double:7:fp64_contents *bytes:8:bytes_contents",
    "ModelInferRequest": "string:1:model_name string:2:model_version string:3:id "
    "map.InferParameter:4:parameters *ModelInferRequest.InferInputTensor:5:inputs "
    "*ModelInferRequest.InferRequestedOutputTensor:6:outputs *bytes:7:raw_input_contents",
    "ModelInferRequest.InferInputTensor": "string:1:name string:2:datatype *int64:3:shape "
    "map.InferParameter:4:parameters InferTensorContents:5:contents",
    "ModelInferRequest.InferRequestedOutputTensor": "string:1:name map.InferParameter:2:parameters",
    "ModelInferResponse": "string:1:model_name string:2:model_version string:3:id "
    "map.InferParameter:4:parameters *ModelInferResponse.InferOutputTensor:5:outputs "
    "*bytes:6:raw_output_contents",
    "ModelInferResponse.InferOutputTensor": "string:1:name string:2:datatype *int64:3:shape "
    "map.InferParameter:4:parameters InferTensorContents:5:contents",
    "ModelConfigRequest": "string:1:name string:2:version",
    "ModelConfigResponse": "ModelConfig:1:config",
    "ModelConfig": "string:1:name string:2:platform string:17:backend int32:4:max_batch_size "
    "*ModelInput:5:input *ModelOutput:6:output",
    "ModelInput": "string:1:name DataType:2:data_type *int64:4:dims",
    "ModelOutput": "string:1:name DataType:2:data_type *int64:3:dims",
    "ModelStatisticsRequest": "string:1:name string:2:version",
    "ModelStatisticsResponse": "*ModelStatistics:1:model_stats",
    "ModelStatistics": "string:1:name string:2:version uint64:3:last_inference "
    "uint64:4:inference_count uint64:5:execution_count InferStatistics:6:inference_stats",
    "InferStatistics": "StatisticDuration:1:success StatisticDuration:2:fail "
    "StatisticDuration:3:queue StatisticDuration:5:compute_infer",
    "StatisticDuration": "uint64:1:count uint64:2:ns",
    "ModelRepositoryParameter": f"{_PARAMETER} bytes:4:bytes_param",
    "RepositoryIndexRequest": "string:1:repository_name bool:2:ready",
    "RepositoryIndexResponse": "*RepositoryIndexResponse.ModelIndex:1:models",
    "RepositoryIndexResponse.ModelIndex": "string:1:name string:2:version string:3:state "
    "string:4:reason",
    "RepositoryModelLoadRequest": "string:1:repository_name string:2:model_name "
    "map.ModelRepositoryParameter:3:parameters",
    "RepositoryModelLoadResponse": "",
    "RepositoryModelUnloadRequest": "string:1:repository_name string:2:model_name "
    "map.ModelRepositoryParameter:3:parameters",
    "RepositoryModelUnloadResponse": "",
}
_ENUMS = {"DataType": {"TYPE_INVALID": 0, "TYPE_FP32": 11, "TYPE_STRING": 13}}
_Field = descriptor_pb2.FieldDescriptorProto


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="emo_open_inference.proto", package=PACKAGE, syntax="proto3"
    )
    for name, values in _ENUMS.items():
        enum = file.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    messages: dict[str, descriptor_pb2.DescriptorProto] = {}
    for path, fields in _MESSAGES.items():
        outer, _, name = path.rpartition(".")
        siblings = messages[outer].nested_type if outer else file.message_type
        messages[path] = siblings.add(name=name)
        _add_fields(messages[path], path, fields)
    return file


def _add_fields(message: descriptor_pb2.DescriptorProto, path: str, fields: str) -> None:
    in_choice = False
    for each in fields.split():
        if each == "oneof":
            message.oneof_decl.add(name="parameter_choice")
            in_choice = True
            continue
        kind, number, name = each.split(":")
        field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
        if kind.startswith(("*", "map.")):
            field.label = _Field.LABEL_REPEATED
        if in_choice:
            field.oneof_index = 0
        if kind.startswith("map."):
            _add_map(message, path, field, kind.removeprefix("map."))
        else:
            _set_type(field, kind.removeprefix("*"))


def _add_map(message: descriptor_pb2.DescriptorProto, path: str, field: Any, value: str) -> None:
    """Add a map as protobuf does: a repeated message of a key and a value."""
    entry = message.nested_type.add(name=f"{field.name.title()}Entry")
    entry.options.map_entry = True
    _set_type(entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL), "string")
    _set_type(entry.field.add(name="value", number=2, label=_Field.LABEL_OPTIONAL), value)
    _set_type(field, f"{path}.{entry.name}")


def _set_type(field: Any, kind: str) -> None:
    if kind in _ENUMS:
        field.type = _Field.TYPE_ENUM
        field.type_name = f".{PACKAGE}.{kind}"
    elif kind[0].isupper():
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"
    else:
        field.type = getattr(_Field, f"TYPE_{kind.upper()}")


# A pool of its own: the names are those of other packages that may be installed.
_pool = descriptor_pool.DescriptorPool()
_pool.Add(_file())
TYPES: dict[str, Any] = {
    name: message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
    for name in _MESSAGES
}
