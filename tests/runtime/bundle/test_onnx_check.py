"""The check of ONNX files: against the onnx package, and every refusal."""

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from emo_runtime import BundleError, EmotionRecognizer
from emo_runtime.bundle.onnx_check import FLOAT, INT64, TensorInfo, check_graph
from helpers.mutate import replace_file
from helpers.tiny import Tiny
from helpers.tiny_graphs import fusion_graph, text_graph

TINY = Tiny()
TEXT = text_graph(TINY.text_weights)
FUSION = fusion_graph(TINY.fusion_weights)


def check(data):
    return check_graph(memoryview(data), "text.fp32.onnx")


def parsed(data=TEXT):
    return onnx.load_from_string(data)


def test_inputs_outputs_and_nodes_are_those_of_the_onnx_package():
    info = check(TEXT)
    model = parsed()
    assert info.nodes == len(model.graph.node)
    assert info.inputs == {
        "input_ids": TensorInfo(INT64, (None, None)),
        "attention_mask": TensorInfo(INT64, (None, None)),
    }
    assert info.outputs == {
        "logits": TensorInfo(FLOAT, (None, 6)),
        "embedding": TensorInfo(FLOAT, (None, 12)),
    }
    assert list(info.outputs) == [output.name for output in model.graph.output]


def test_bytes_in_any_order_of_fields_mean_the_same():
    # protobuf allows a graph before the header; onnxruntime reads it too.
    model = parsed()
    graph = onnx.ModelProto(graph=model.graph).SerializeToString()
    model.ClearField("graph")
    assert check(graph + model.SerializeToString()).nodes == len(parsed().graph.node)


def changed(change):
    model = parsed()
    change(model)
    return model.SerializeToString()


def external_weight(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"


def only_named_external(model):
    entry = model.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def external_in_attribute(model):
    tensor = numpy_helper.from_array(numpy_helper.to_array(model.graph.initializer[0]), "c")
    tensor.data_location = TensorProto.EXTERNAL
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def external_in_attribute_list(model):
    node = helper.make_node("Relu", ["x"], ["y"])
    attribute = node.attribute.add()
    attribute.name, attribute.type = "values", onnx.AttributeProto.TENSORS
    attribute.tensors.add().external_data.add().key = "location"
    model.graph.node.append(node)


def foreign_domain(model):
    model.graph.node.append(helper.make_node("Evil", ["x"], ["y"], domain="com.example"))


def subgraph(model):
    branch = helper.make_graph([], "branch", [], [])
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    model.graph.node.append(node)


def subgraph_list(model):
    node = helper.make_node("Relu", ["x"], ["y"])
    attribute = node.attribute.add()
    attribute.name, attribute.type = "graphs", onnx.AttributeProto.GRAPHS
    attribute.graphs.add()
    model.graph.node.append(node)


def local_function(model):
    model.functions.add().name = "F"


def training(model):
    model.training_info.add()


def sparse(model):
    model.graph.sparse_initializer.add()


def sparse_attribute(model):
    node = helper.make_node("Constant", [], ["c"])
    attribute = node.attribute.add()
    attribute.name, attribute.type = "sparse_value", onnx.AttributeProto.SPARSE_TENSOR
    attribute.sparse_tensor.SetInParent()
    model.graph.node.append(node)


def too_many_nodes(model):
    model.graph.node.extend([helper.make_node("Relu", ["x"], ["y"])] * 20_001)


def no_graph(model):
    model.ClearField("graph")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (external_weight, "external data"),
        (only_named_external, "external data"),
        (external_in_attribute, "external data"),
        (external_in_attribute_list, "external data"),
        (foreign_domain, "domain b'com.example'"),
        (subgraph, "subgraphs"),
        (subgraph_list, "subgraphs"),
        (local_function, "local functions"),
        (training, "training information"),
        (sparse, "sparse tensors"),
        (sparse_attribute, "sparse tensors"),
        (too_many_nodes, "more than 20,000 nodes"),
        (no_graph, "holds no graph"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_refused(change, why):
    with pytest.raises(BundleError, match=rf"^text\.fp32\.onnx: refused: .*{why}"):
        check(changed(change))


def test_microsofts_operators_are_allowed():
    def microsoft(model):
        model.graph.node.append(helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft"))

    assert check(changed(microsoft)).nodes == len(parsed().graph.node) + 1


def test_two_graphs_are_refused():
    with pytest.raises(BundleError, match="holds two graphs"):
        check(TEXT + TEXT)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x3a",  # a graph's key, then nothing
        b"\x3a\xff\xff\xff\xff\x0f",  # of 4 GB
        b"\x38\x01",  # a graph that is a number
        b"\x3b\x3c",  # groups, which ONNX does not use
        b"\xff" * 11,  # a number without end
        b"Esto no es un grafo.",
    ],
)
def test_bytes_that_are_no_onnx(data):
    with pytest.raises(BundleError):
        check(data)


def test_every_truncation_is_refused_or_has_lost_a_whole_field():
    whole = check(FUSION)
    assert len(FUSION) < 20_000
    for length in range(len(FUSION)):
        try:
            info = check(FUSION[:length])
        except BundleError:
            continue
        assert info == whole  # only what follows the graph is missing


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes(data):
    try:
        check(data)
    except BundleError as error:
        assert str(error).startswith("text.fp32.onnx: refused")  # noqa: PT017


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_damaged_graphs(data):
    damaged = bytearray(FUSION)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        check(bytes(damaged))
    except BundleError as error:
        assert str(error).startswith("text.fp32.onnx: refused")  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("text.fp32.onnx", FUSION, r"its inputs are \['audio', 'text'\], expected"),
        ("fusion.fp32.onnx", TEXT, "its inputs are"),
        ("text.fp32.onnx", text_graph(TINY.text_weights, ["logits"]), "its outputs are"),
        (
            "text.fp32.onnx",
            text_graph(Tiny(hidden=13).text_weights),
            "its output 'embedding' is .*expected",
        ),
        (
            "fusion.fp32.onnx",
            fusion_graph(Tiny(n_mfcc=56).fusion_weights),
            "its input 'audio' is .*expected",
        ),
        (
            "fusion.fp32.onnx",
            fusion_graph(TINY.fusion_weights, present_input=True),
            "its inputs are",
        ),
    ],
)
def test_a_graph_of_another_bundle_is_refused(own_bundle, name, data, message):
    path = replace_file(own_bundle(), name, data)
    with pytest.raises(BundleError, match=rf"^{name}: {message}"):
        EmotionRecognizer.open(path)


def test_a_graph_that_only_onnxruntime_can_refuse(own_bundle):
    def unknown_operator(model):
        model.graph.node[0].op_type = "NoSuchOperator"

    path = replace_file(own_bundle(), "text.fp32.onnx", changed(unknown_operator))
    with pytest.raises(BundleError, match=r"^text\.fp32\.onnx: ONNX Runtime .* can't load it"):
        EmotionRecognizer.open(path)
