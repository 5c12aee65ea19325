"""Execution providers, with a fake onnxruntime in place of other builds and machines."""

import importlib.metadata
import importlib.util
import logging
import sys
from types import SimpleNamespace

import pytest

from emo_runtime import BundleError, EmotionRecognizer, ProviderError
from emo_runtime.ort import providers as providers_module
from emo_runtime.ort import session as session_module
from emo_runtime.ort.providers import CPU, choose_providers, precisions_for

CUDA, TENSORRT, OPENVINO = (f"{name}ExecutionProvider" for name in ("CUDA", "Tensorrt", "OpenVINO"))


class FakeRuntime:
    """The used part of the onnxruntime module, with given available and attaching providers."""

    __version__ = "9.9"

    def __init__(self, available, attaching=None, takes=None, error=None):
        self.available = available
        self.attaching = available if attaching is None else attaching
        self.takes = takes
        self.error = error
        self.devices = []
        self.created = []
        self.registered = []

    def get_available_providers(self):
        return self.available

    def get_ep_devices(self):
        return self.devices

    def register_execution_provider_library(self, name, path):
        self.registered.append((name, path))

    class SessionOptions:
        def __init__(self):
            self.entries = {}
            self.devices = []

        def add_session_config_entry(self, key, value):
            self.entries[key] = value

        def add_provider_for_devices(self, devices, options):
            self.devices += devices

    def InferenceSession(self, source, options, providers, enable_fallback):  # noqa: N802
        assert enable_fallback == 0
        given = providers or [device.ep_name for device in options.devices] + [CPU]
        named = [item if isinstance(item, str) else item[0] for item in given]
        if self.error and named[0] != CPU:
            raise RuntimeError(self.error)
        self.created.append((named, options))
        return FakeSession([name for name in named if name in self.attaching], self.takes)


class FakeSession:
    def __init__(self, providers, takes):
        self.providers = providers
        self.takes = takes or providers[0]

    def get_providers(self):
        return self.providers

    def disable_fallback(self):
        pass

    def get_provider_graph_assignment_info(self):
        return [SimpleNamespace(ep_name=self.takes, get_nodes=lambda: [1, 2, 3])]


@pytest.fixture
def fake(monkeypatch):
    def install(**options):
        runtime = FakeRuntime(**options)
        for module in ("ort.session", "ort.loading", "environment", "self_test"):
            monkeypatch.setattr(f"emo_runtime.{module}.load_onnxruntime", lambda: runtime)
        return runtime

    return install


@pytest.fixture
def bundle(tiny_bundle):
    return tiny_bundle(precisions=("int8", "fp16", "fp32"))


def opened(bundle, **options):
    return EmotionRecognizer.open(bundle, self_test=False, **options).describe()["graphs"]


def test_auto_takes_the_best_that_attaches(fake, bundle):
    fake(available=[TENSORRT, CUDA, CPU])
    graphs = opened(bundle)
    assert graphs["text"]["providers"] == [CUDA, CPU]
    assert graphs["text"]["precision"] == "fp16"
    assert graphs["fusion"]["precision"] == "fp32"


@pytest.mark.parametrize(
    "options",
    [
        {"attaching": [CPU]},
        {"error": "libcudnn.so.9: cannot open shared object file"},
        {"takes": CPU},
    ],
    ids=["not attached", "not created", "takes no node"],
)
def test_auto_continues_and_notes_it(fake, bundle, caplog, options):
    fake(available=[CUDA, CPU], **options)
    graphs = opened(bundle)
    assert graphs["text"]["providers"] == [CPU] or graphs["text"]["nodes"] == {CPU: 3}
    assert graphs["text"]["precision"] == "int8"
    assert "Trying the next provider" in caplog.text


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"attaching": [CPU]}, "its libraries did not load"),
        ({"error": "libcudnn.so.9: cannot open\nmore"}, "libcudnn.so.9: cannot open. Repair"),
        ({"takes": CPU}, "it accepts no node of this graph"),
    ],
)
def test_a_named_provider_that_does_not_attach_is_an_error(fake, bundle, options, why):
    fake(available=[CUDA, CPU], **options)
    with pytest.raises(ProviderError, match=f"^CUDAExecutionProvider did not attach: {why}"):
        opened(bundle, providers="cuda")


def test_unless_the_fallback_is_allowed(fake, bundle, caplog):
    fake(available=[CUDA, CPU], attaching=[CPU])
    with caplog.at_level(logging.WARNING):
        assert opened(bundle, providers="cuda", fallback=True)["text"]["providers"] == [CPU]
    assert "did not attach" in caplog.text


def test_a_build_without_the_provider(fake, bundle, caplog):
    fake(available=[CPU])
    with pytest.raises(ProviderError, match=r"not in this build .*it has: cpu"):
        opened(bundle, providers="cuda")
    assert opened(bundle, providers="cuda", fallback=True)["text"]["providers"] == [CPU]
    assert "Using the CPU" in caplog.text


@pytest.mark.parametrize("name", ["cuda", "CUDA", CUDA])
def test_names_of_providers(name):
    [provider] = choose_providers(name, FakeRuntime([CUDA, CPU]))
    assert provider.name == CUDA


@pytest.mark.parametrize("name", ["gpu", "", "auto ", "CUDAexecutionprovider"])
def test_unknown_names(name):
    with pytest.raises(ProviderError, match=r"is not known\..* Use one of: auto, cpu, cuda"):
        choose_providers(name, FakeRuntime([CUDA, CPU]))


@pytest.mark.parametrize(("name", "meant"), [("gpu", "cuda"), ("GPU", "cuda"), ("cudaa", "cuda")])
def test_a_wrong_name_gets_a_suggestion(name, meant):
    with pytest.raises(ProviderError, match=f"Did you mean '{meant}'"):
        choose_providers(name, FakeRuntime([CUDA, CPU]))


def test_int8_is_refused_on_a_gpu(fake, tiny_bundle, bundle):
    fake(available=[CUDA, CPU])
    with pytest.raises(ProviderError, match="int8 is not used on CUDAExecutionProvider"):
        opened(bundle, providers="cuda", variant="int8")
    with pytest.raises(ProviderError, match="graph 'text': int8 is not used"):
        opened(tiny_bundle(precisions=("int8",)), providers="cuda")
    assert precisions_for(CUDA) == ("fp16", "fp32")
    assert precisions_for(CPU) == ("int8", "fp32", "int8-qdq", "fp16")


def test_fixed_scales_are_for_openvino(fake, tiny_bundle):
    fake(available=[OPENVINO, CUDA, CPU])
    both = tiny_bundle(precisions=("int8", "int8-qdq"))
    assert opened(both, providers="openvino")["text"]["precision"] == "int8-qdq"
    assert opened(both, providers="cpu")["text"]["precision"] == "int8"
    assert opened(both, providers="cpu", variant="int8-qdq")["text"]["precision"] == "int8-qdq"
    older = tiny_bundle(precisions=("int8", "fp32"))
    assert opened(older, providers="openvino")["text"]["precision"] == "int8"
    alone = tiny_bundle(precisions=("int8-qdq",))
    assert opened(alone, providers="cpu")["text"]["precision"] == "int8-qdq"
    with pytest.raises(ProviderError, match="int8 is not used on CUDAExecutionProvider"):
        opened(alone, providers="cuda")


def test_threads_and_spinning_reach_the_session(fake, bundle):
    runtime = fake(available=[CPU])
    for arguments, threads, spin in [
        ({"threads": 3}, 3, "1"),
        ({"threads": 3, "spin": False}, 3, "0"),
        ({"threads": 3, "mode": "throughput"}, 1, "0"),
    ]:
        graphs = opened(bundle, **arguments)
        created = dict(zip(sorted(graphs), runtime.created[-len(graphs) :], strict=True))
        assert (graphs["text"]["threads"], graphs["fusion"]["threads"]) == (threads, 1)
        _, options = created["text"]
        assert options.intra_op_num_threads == threads
        _, tiny = created["fusion"]
        assert tiny.intra_op_num_threads == 1  # no idle threads that wait actively beside text's
        assert options.inter_op_num_threads == 1
        assert options.entries["session.intra_op.allow_spinning"] == spin


def plugin(monkeypatch, runtime, devices):
    module = SimpleNamespace(
        get_ep_names=lambda: [OPENVINO], get_library_path=lambda: "/lib/openvino.so"
    )
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: module if name == "onnxruntime_ep_openvino" else find(name),
    )
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_openvino", module)

    def register(name, path):
        runtime.registered.append((name, path))
        runtime.devices = devices

    monkeypatch.setattr(runtime, "register_execution_provider_library", register)


def test_a_plugin_is_registered_once(monkeypatch, fake, bundle):
    runtime = fake(available=[CPU], attaching=[OPENVINO, CPU])
    device = SimpleNamespace(ep_name=OPENVINO)
    plugin(monkeypatch, runtime, [SimpleNamespace(ep_name=CPU), device])
    for _ in range(2):
        assert opened(bundle, providers="openvino")["text"]["providers"] == [OPENVINO, CPU]
    assert runtime.registered == [("onnxruntime_ep_openvino", "/lib/openvino.so")]
    assert runtime.created[-1][1].devices == [device]


def test_a_plugin_without_a_device_here(monkeypatch, fake, bundle):
    plugin(monkeypatch, fake(available=[CPU]), [])
    with pytest.raises(ProviderError, match="has no device on this machine"):
        opened(bundle, providers="openvino")


def test_a_plugin_of_another_version(monkeypatch, fake, bundle):
    runtime = fake(available=[CPU])
    plugin(monkeypatch, runtime, [])

    def refuse(name, path):
        raise RuntimeError("API version 99 is not supported\nmore")

    monkeypatch.setattr(runtime, "register_execution_provider_library", refuse)
    with pytest.raises(ProviderError, match="can't be registered: API version 99"):
        opened(bundle, providers="openvino")


def test_two_distributions_of_one_module_are_explained(monkeypatch, fake, bundle):
    def version(name):
        if name in {"onnxruntime", "onnxruntime-gpu"}:
            return "1.0"
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    fake(available=[CPU])
    with pytest.raises(ProviderError, match=r"onnxruntime 1\.0, onnxruntime-gpu 1\.0.*Uninstall"):
        opened(bundle, providers="cuda")


def test_one_distribution_needs_no_explanation():
    assert providers_module.installed_distributions() == [
        f"onnxruntime {importlib.metadata.version('onnxruntime')}"
    ]
    assert providers_module.explain_distributions() == ""


def test_an_old_onnxruntime_that_does_not_report_providers_of_nodes(monkeypatch, fake, bundle):
    fake(available=[CPU])
    monkeypatch.delattr(FakeSession, "get_provider_graph_assignment_info")
    assert opened(bundle)["text"]["nodes"] == {}


def test_a_graph_that_the_cpu_refuses_is_the_bundles_fault(fake, bundle, monkeypatch):
    runtime = fake(available=[CPU])

    def refuse(*_, **__):
        raise RuntimeError("Unsupported model IR version: 99\nmore")

    monkeypatch.setattr(runtime, "InferenceSession", refuse)
    with pytest.raises(BundleError, match=r"ONNX Runtime 9\.9 can't load it: Unsupported model IR"):
        opened(bundle)


def test_onnxruntime_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ProviderError, match="can't be imported"):
        session_module.load_onnxruntime()


def test_the_real_one_reports_providers_of_nodes(bundle):
    nodes = EmotionRecognizer.open(bundle, providers="cpu").describe()["graphs"]["text"]["nodes"]
    session = session_module.load_onnxruntime().InferenceSession
    if hasattr(session, "get_provider_graph_assignment_info"):
        assert set(nodes) == {CPU}
        assert nodes[CPU] > 0
    else:
        assert nodes == {}
