"""The messages have the names, numbers and types of Triton's generated modules."""

import pytest

from emo_serving.on_grpc.handlers import METHODS
from emo_serving.on_grpc.messages import SERVICE, TYPES

model_config_pb2 = pytest.importorskip("tritonclient.grpc.model_config_pb2")
service_pb2 = pytest.importorskip("tritonclient.grpc.service_pb2")


def theirs_of(name):
    outer, *inner = name.split(".")
    found = getattr(service_pb2, outer, None) or getattr(model_config_pb2, outer)
    for each in inner:
        found = getattr(found, each)
    return found.DESCRIPTOR


def described(field):
    choice, message = field.containing_oneof, field.message_type
    return (
        *(field.number, field.type, field.is_repeated),
        choice.name if choice else None,
        message.full_name if message else None,
    )


@pytest.mark.parametrize("name", TYPES)
def test_fields_are_those_of_triton(name):
    ours, theirs = TYPES[name].DESCRIPTOR, theirs_of(name)
    assert ours.full_name == theirs.full_name
    for field in ours.fields:
        assert described(field) == described(theirs.fields_by_name[field.name])


def test_enumerations_are_those_of_triton():
    ours = TYPES["ModelInput"].DESCRIPTOR.fields_by_name["data_type"].enum_type
    theirs = model_config_pb2.DataType.DESCRIPTOR
    for value in ours.values:
        assert theirs.values_by_name[value.name].number == value.number


def test_methods_are_those_of_triton():
    theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert theirs.full_name == SERVICE
    for name in METHODS:
        method = theirs.methods_by_name[name]
        assert (method.input_type.name, method.output_type.name) == (
            f"{name}Request",
            f"{name}Response",
        )


def test_triton_reads_our_bytes_and_we_read_tritons():
    request = service_pb2.ModelInferRequest(model_name="m", id="ñ", raw_input_contents=[b"\0x"])
    request.inputs.add(name="text", datatype="BYTES", shape=[2, 1]).contents.bytes_contents.append(
        b"hola"
    )
    output = request.outputs.add(name="scores")
    output.parameters["classification"].int64_param = 3
    ours = TYPES["ModelInferRequest"].FromString(request.SerializeToString())
    assert service_pb2.ModelInferRequest.FromString(ours.SerializeToString()) == request
    assert ours.outputs[0].parameters["classification"].int64_param == 3
