"""Container files agree with the server's options and limits."""

import importlib
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from starlette.testclient import TestClient

from emo_serving.app import create_app
from emo_serving.cli import main
from emo_serving.settings import Settings
from helpers.corpora import ROOT

DEPLOY = ROOT / "serving" / "deploy"


def strings(value):
    if isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("name", ["compose.yaml", "kubernetes.yaml", "kserve.yaml"])
def test_paths_and_options_exist(name):
    documents = list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))
    words = set(strings(documents))
    options = {word for word in words if word.startswith("--")}
    paths = {word for word in words if re.fullmatch(r"/(\w+z|v2/\S+)", word)}
    known = CliRunner().invoke(main, ["--help"]).output
    assert all(option in known for option in options)
    with TestClient(create_app(Settings(threads=1))) as client:
        assert all(client.get(path).status_code == 200 for path in paths)
    assert options or paths


def ray_configs():
    plain = yaml.safe_load((ROOT / "serving" / "ray_serve.yaml").read_text(encoding="utf-8"))
    kuberay = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text(encoding="utf-8"))
    return [plain, yaml.safe_load(kuberay["spec"]["serveConfigV2"])]


@pytest.mark.filterwarnings("ignore:Using extra keyword arguments on:DeprecationWarning")
@pytest.mark.parametrize("config", ray_configs())
def test_ray_knows_the_application_and_its_deployments(config):
    from ray.serve.schema import ServeDeploySchema

    [application] = ServeDeploySchema.model_validate(config).applications
    module, _, name = application.import_path.partition(":")
    built = getattr(importlib.import_module(module), name)(application.args)
    named = {deployment.name for deployment in application.deployments}
    assert named == {"front", "recognizer"}
    assert built._bound_deployment.name == "front"


def test_rays_version_is_the_one_that_is_tested():
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    [version] = re.findall(r"^ray==(\S+)$", pins, re.MULTILINE)
    kuberay = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text(encoding="utf-8"))
    assert kuberay["spec"]["rayClusterConfig"]["rayVersion"] == version
    assert f"rayproject/ray:{version}-" in (DEPLOY / "Dockerfile.ray").read_text(encoding="utf-8")


def test_rays_ports_ask_for_a_token():
    kuberay = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text(encoding="utf-8"))
    assert kuberay["spec"]["rayClusterConfig"]["authOptions"] == {"mode": "token"}


def test_there_is_time_for_a_graceful_shutdown():
    settings = Settings()
    [deployment, *_] = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    given = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    waits = int(
        deployment["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"][
            "command"
        ][1]
    )
    assert given - waits > settings.drain_s + 5
    assert int(compose["services"]["emo"]["stop_grace_period"][:-1]) > settings.drain_s + 5


def test_the_autoscaler_counts_live_calls_below_their_limit():
    documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    [scaler] = [each for each in documents if each["kind"] == "HorizontalPodAutoscaler"]
    [pods] = [each["pods"] for each in scaler["spec"]["metrics"] if each["type"] == "Pods"]
    with TestClient(create_app(Settings(threads=1, allowed_hosts=("*",)))) as client:
        assert f"\n{pods['metric']['name']} 0" in client.get("/metrics").text
    assert int(pods["target"]["averageValue"]) < Settings().max_streams


def arguments_and_memory():
    """Of each file: the server's arguments, and how many MiB it may take."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    yield compose["services"]["emo"]["command"], compose["services"]["emo"]["mem_limit"]
    [deployment, *_] = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    kserve = yaml.safe_load((DEPLOY / "kserve.yaml").read_text(encoding="utf-8"))
    for spec in (deployment["spec"]["template"]["spec"], kserve["spec"]["predictor"]):
        [container] = spec["containers"]
        yield container["args"], container["resources"]["limits"]["memory"]


@pytest.mark.parametrize(("arguments", "memory"), [*arguments_and_memory()])
def test_a_full_queue_of_the_largest_bodies_fits_into_the_memory(arguments, memory):
    body_mib = int(arguments[arguments.index("--max-body-mib") + 1])
    given_mib = 1024 * int(re.fullmatch(r"(\d+)(g|Gi)", memory)[1])
    calls = 2 + Settings().max_waiting
    # As it came, joined, and decoded; beside a process with a large bundle.
    assert calls * 3 * body_mib + 512 <= given_mib


@pytest.mark.parametrize("image", ["Dockerfile", "Dockerfile.ray"])
def test_the_image_has_all_that_the_build_needs(image):
    kept = (DEPLOY / f"{image}.dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {Path(line[1:]).parts[0] for line in kept if line.startswith("!")}
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [where] = re.findall(r"^where = (\[.*\])$", pyproject, re.MULTILINE)
    assert set(re.findall(r'"(\w+)"', where)) <= allowed
    assert {"pyproject.toml", "README.md", "LICENSE", "constraints.txt"} <= allowed
