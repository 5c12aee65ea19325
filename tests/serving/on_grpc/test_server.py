"""The Open Inference Protocol over gRPC, spoken by Triton's own client and by raw streams."""

import json
import signal
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx2 as httpx
import numpy as np
import pytest

from emo_serving.on_grpc.messages import SERVICE, TYPES
from helpers.certificates import write_certificate
from helpers.corpora import SMALL_BUNDLE
from helpers.processes import run_python, wait_until
from helpers.servers import running_server
from helpers.tiny import Tiny, write_bundle
from serving.workers.test_supervisor import workers_of

triton = pytest.importorskip("tritonclient.grpc")
NAME = SMALL_BUNDLE.name.replace("_", "-")
TEXTS = ["¡Esto es una vergüenza!", "Qué alegría verte."]
TOKENS = """
[[tokens]]
name = "one"
token = "s3creto"
model_control = true
max_calls = 3
[[tokens]]
name = "two"
token = "otro"
"""
ONE, TWO = ({"authorization": f"Bearer {secret}"} for secret in ("s3creto", "otro"))
METADATA = tuple(ONE.items())


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    write_bundle(folder / "tiny", Tiny(seed=1))
    (folder / "tokens.toml").write_text(TOKENS)
    options = ("--token-file", str(folder / "tokens.toml"), "--model-control")
    limits = ("--upload-timeout-s", "0.5", "--threads", "1", "--max-body-mib", "4")
    with running_server(
        "--grpc-port", "0", "--bundle-folder", str(folder), *options, *limits
    ) as server:
        yield server


@pytest.fixture
def client(running):
    with triton.InferenceServerClient(f"127.0.0.1:{running.grpc_port}") as opened:
        yield opened


@pytest.fixture
def channel(running):
    with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as opened:
        yield opened


def tensor(name, rows):
    made = triton.InferInput(name, [len(rows)], "BYTES")
    made.set_data_from_numpy(np.array(rows, dtype=object))
    return made


def code_of(function, *arguments, **options):
    with pytest.raises(triton.InferenceServerException) as caught:
        function(*arguments, **options)
    return caught.value.status().removeprefix("StatusCode.")


def raw(channel, method, requests, metadata=METADATA, **options):
    """Call a method with these bytes as messages; return the bytes of the response."""
    stream = channel.stream_stream(f"/{SERVICE}/{method}")
    return list(stream(iter(requests), metadata=metadata, **options))


def raw_code(channel, *arguments, **options):
    with pytest.raises(grpc.RpcError) as caught:
        raw(channel, *arguments, **options)
    return caught.value.code().name


def test_answers_are_the_librarys(client, recognizer, clip):
    expected = [recognizer.recognize(text, clip) for text in TEXTS]
    inputs = [tensor("text", TEXTS), tensor("audio", [clip, clip])]
    found = client.infer(NAME, inputs, request_id="9", headers=ONE)
    assert found.get_response().id == "9"
    assert found.get_response().model_version == recognizer.manifest.version
    labels = [label.decode() for label in found.as_numpy("label").tolist()]
    assert labels == [answer.label for answer in expected]
    scores = np.array([list(answer.scores.values()) for answer in expected], np.float32)
    np.testing.assert_array_equal(found.as_numpy("scores"), scores)
    best = [triton.InferRequestedOutput("scores", class_count=2)]
    found = client.infer(NAME, inputs, outputs=best, headers=ONE).as_numpy("scores")
    for row, answer in zip(found.tolist(), expected, strict=True):
        ranked = sorted(answer.scores, key=answer.scores.get, reverse=True)[:2]
        assert [value.decode().split(":")[2] for value in row] == ranked


def test_elements_in_contents_are_accepted_too(channel, recognizer):
    request = TYPES["ModelInferRequest"](model_name=NAME)
    given = request.inputs.add(name="text", datatype="BYTES", shape=[2, 1])
    given.contents.bytes_contents.extend(text.encode() for text in TEXTS)
    [content] = raw(channel, "ModelInfer", [request.SerializeToString()])
    response = TYPES["ModelInferResponse"].FromString(content)
    expected = [recognizer.recognize(text) for text in TEXTS]
    scores = np.frombuffer(response.raw_output_contents[1], "<f4").reshape(2, -1)
    np.testing.assert_array_equal(
        scores, np.array([list(each.scores.values()) for each in expected], np.float32)
    )


def test_probes_need_no_token_and_descriptions_do(client, running, recognizer):
    assert client.is_server_live()
    assert client.is_server_ready()
    for function in (client.get_server_metadata, client.get_model_repository_index):
        assert code_of(function) == "UNAUTHENTICATED"
    wrong = {"authorization": "Bearer wrong"}
    assert code_of(client.infer, NAME, [tensor("text", TEXTS)], headers=wrong) == "UNAUTHENTICATED"
    assert client.is_model_ready(NAME, headers=ONE)
    assert client.get_server_metadata(headers=ONE).name == "emo-runtime"
    metadata = client.get_model_metadata(NAME, headers=ONE)
    assert [each.name for each in metadata.inputs] == ["text", "audio"]
    config = client.get_model_config(NAME, headers=ONE).config
    assert config.max_batch_size == 64
    assert list(config.output[1].dims) == [len(recognizer.labels)]
    with httpx.Client(base_url=running.url, headers=ONE) as web:
        over_http = web.get(f"/v2/models/{NAME}/config").json()
        assert [each["name"] for each in over_http["output"]] == [
            each.name for each in config.output
        ]
        client.infer(NAME, [tensor("text", TEXTS)], headers=ONE)
        counted = client.get_inference_statistics(NAME, headers=ONE).model_stats[0]
        [same] = web.get("/v2/models/stats").json()["model_stats"]
        assert counted.inference_count == same["inference_count"] >= 2


def test_errors_are_status_codes(client):
    def infer(name=NAME, inputs=(), **options):
        return code_of(client.infer, name, list(inputs), headers=ONE, **options)

    text = tensor("text", TEXTS)
    assert infer("other", [text]) == "NOT_FOUND"
    assert infer(inputs=[text], model_version="99") == "NOT_FOUND"
    assert infer(inputs=[tensor("text", ["hola", " "])]) == "INVALID_ARGUMENT"
    assert infer(inputs=[tensor("other", TEXTS)]) == "INVALID_ARGUMENT"
    assert infer(inputs=[text, tensor("audio", ["x"])]) == "INVALID_ARGUMENT"
    assert infer(inputs=[tensor("text", ["a"] * 65)]) == "INVALID_ARGUMENT"
    numbers = triton.InferInput("text", [1], "FP32")
    numbers.set_data_from_numpy(np.zeros(1, np.float32))
    assert infer(inputs=[numbers]) == "INVALID_ARGUMENT"
    assert infer(inputs=[text], compression_algorithm="gzip") == "UNIMPLEMENTED"
    assert code_of(client.get_log_settings, headers=ONE) == "UNIMPLEMENTED"


def test_bundles_are_loaded_and_unloaded(client, running):
    def states():
        models = client.get_model_repository_index(headers=ONE).models
        return {each.name: each.state for each in models}

    assert states() == {NAME: "READY", "tiny": "UNAVAILABLE"}
    assert code_of(client.load_model, "tiny", headers=TWO) == "PERMISSION_DENIED"
    client.load_model("tiny", headers=ONE)
    assert states()["tiny"] == "READY"
    words = "hola estoy muy contenta con el resultado"
    answer = client.infer("tiny", [tensor("text", [words])], headers=TWO)
    with httpx.Client(base_url=running.url, headers=TWO) as web:
        over_http = web.post("/v1/recognize", json={"text": words, "bundle": "tiny"}).json()
    assert answer.as_numpy("label")[0].decode() == over_http["label"]
    client.unload_model("tiny", headers=ONE)
    assert states()["tiny"] == "UNAVAILABLE"
    assert code_of(client.load_model, "../tiny", headers=ONE) == "NOT_FOUND"


def test_request_ids_logs_and_metrics(channel, running):
    stream = channel.unary_unary(f"/{SERVICE}/ModelReady")
    request = TYPES["ModelReadyRequest"](name=NAME).SerializeToString()
    trace = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    _, call = stream.with_call(request, metadata=(*METADATA, ("x-request-id", "r-7"), trace))
    assert ("x-request-id", "r-7") in [tuple(each) for each in call.initial_metadata()]
    wait_until(lambda: any('"r-7"' in line for line in running.log))
    [line] = [json.loads(line) for line in running.log if '"r-7"' in line]
    assert (line["event"], line["method"], line["code"]) == ("grpc", "ModelReady", "OK")
    assert (line["client"], line["trace_id"]) == ("token:one", trace[1].split("-")[1])
    text = httpx.get(f"{running.url}metrics", headers=ONE).text
    assert 'emo_grpc_requests_total{code="OK",method="ModelReady"}' in text


def test_huge_compressed_and_malformed_messages_are_refused(channel, client):
    assert raw_code(channel, "ModelInfer", [b"a" * (5 << 20)]) == "RESOURCE_EXHAUSTED"
    assert raw_code(channel, "ModelInfer", [b"\xff"]) == "INVALID_ARGUMENT"
    assert raw_code(channel, "ModelInfer", []) == "INVALID_ARGUMENT"
    assert raw_code(channel, "ModelInfer", [b"\x2a\x00" * (2 << 20)]) == "INVALID_ARGUMENT"
    bomb = {"compression": grpc.Compression.Gzip}
    assert raw_code(channel, "ModelInfer", [bytes(4 << 20)], **bomb) == "UNIMPLEMENTED"
    long = (*METADATA, ("x-long", "a" * (1 << 20)))
    assert raw_code(channel, "ModelReady", [b""], long) == "RESOURCE_EXHAUSTED"
    assert client.is_server_live()


def test_slow_requests_are_ended_and_hold_no_slot(serving, recognizer):
    """Forty requests that never come, while others of the same client are answered."""
    started = serving(grpc=True, upload_timeout_s=3.0, max_calls_per_client=3)
    never, stop = threading.Event(), []

    def nothing():
        never.wait(600)
        yield from stop

    address = f"127.0.0.1:{started.grpc_port}"
    with grpc.insecure_channel(address) as channel, triton.InferenceServerClient(address) as client:
        stream = channel.stream_stream(f"/{SERVICE}/ModelInfer")
        slow = [stream(nothing()) for _ in range(40)]
        for _ in range(3):
            found = client.infer(NAME, [tensor("text", TEXTS)])
            assert found.as_numpy("label")[0].decode() == recognizer.recognize(TEXTS[0]).label
        codes = Counter()
        for call in slow:
            with pytest.raises(grpc.RpcError) as caught:
                next(call)
            codes[caught.value.code().name] += 1
        never.set()
    # 256 MiB for bodies of 16 MiB: 16 slow ones at once, and 4 of a client.
    assert codes == {"RESOURCE_EXHAUSTED": 36, "DEADLINE_EXCEEDED": 4}
    assert started.service.admission.refused["memory"] == 36


def test_the_limits_of_a_client_hold(serving, held):
    started = serving(held.open, grpc=True, max_calls_per_client=1, max_waiting=8)
    with triton.InferenceServerClient(f"127.0.0.1:{started.grpc_port}") as client:
        text = [tensor("text", TEXTS)]
        held.go.clear()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.infer, NAME, text)
            wait_until(lambda: started.service.admission.calls == 1)
            assert code_of(client.infer, NAME, text) == "RESOURCE_EXHAUSTED"
            held.go.set()
            assert waiting.result(300).as_numpy("label").shape == (2,)


def test_a_request_in_progress_is_answered_at_shutdown(serving, held):
    started = serving(held.open, grpc=True, drain_s=60.0)
    with triton.InferenceServerClient(f"127.0.0.1:{started.grpc_port}") as client:
        held.go.clear()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.infer, NAME, [tensor("text", TEXTS)])
            wait_until(lambda: started.service.admission.calls == 1)
            started.stop()
            wait_until(lambda: started.server._accepting is False)
            held.go.set()
            assert waiting.result(300).as_numpy("label").shape == (2,)
        started.join()
        assert code_of(client.is_server_live) == "UNAVAILABLE"


def test_connections_are_limited_and_must_begin_in_time(serving):
    started = serving(grpc=True, max_connections=4, head_timeout_s=0.5)
    address = ("127.0.0.1", started.grpc_port)
    idle = [socket.create_connection(address) for _ in range(12)]
    for each in idle:
        each.settimeout(300)
        while each.recv(4096):  # settings, then the end
            pass
        each.close()
    with triton.InferenceServerClient("{}:{}".format(*address)) as client:
        assert client.is_server_live()


def test_tls(tmp_path):
    certificate, key = write_certificate(tmp_path)
    options = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with running_server("--grpc-port", "0", *options) as server:
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        names = (("grpc.ssl_target_name_override", "localhost"),)
        address = f"127.0.0.1:{server.grpc_port}"
        with grpc.secure_channel(address, credentials, options=names) as channel:
            [content] = raw(channel, "ServerLive", [b""], ())
            assert TYPES["ServerLiveResponse"].FromString(content).live


def test_workers_share_the_port_and_are_replaced(recognizer):
    with running_server("--grpc-port", "0", "--workers", "2", "--drain-s", "5") as server:
        address = f"127.0.0.1:{server.grpc_port}"
        expected = recognizer.recognize(TEXTS[0]).label

        def ask():
            for _ in range(8):  # connections of their own
                with triton.InferenceServerClient(address) as client:
                    found = client.infer(NAME, [tensor("text", TEXTS)])
                    assert found.as_numpy("label")[0].decode() == expected

        ask()
        text = httpx.get(f"{server.url}metrics").text
        [line] = [
            line
            for line in text.splitlines()
            if line.startswith('emo_grpc_requests_total{code="OK",method="ModelInfer"}')
        ]
        assert float(line.split()[-1]) == 8
        before = workers_of(server)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not set(workers_of(server)) & set(before))
        ask()
        assert server.stop(300) == 0


def test_a_used_port_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = str(used.getsockname()[1])
        done = run_python("-m", "emo_serving.cli", "--port", "0", "--grpc-port", port)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
