"""Prometheus and Grafana: the dashboard's queries name metrics and labels that the server has."""

import asyncio
import json
import re

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

import emo_serving.cli
from emo_runtime import Answer, AudioError, Note, Timings
from emo_runtime.metrics import PrometheusMetrics
from emo_serving.admission import Admission
from emo_serving.metrics import ServerMetrics
from emo_serving.models import Models
from emo_serving.service import open_recognizer
from emo_serving.settings import Settings
from helpers.corpora import ROOT
from helpers.tiny import Tiny, write_bundle

DEPLOY = ROOT / "serving" / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/emo-serve.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
METRIC = re.compile(r"\bemo_\w+")
GROUPED = re.compile(r"by \(([^)]*)\)")
# Words of PromQL that the queries use; everything else must be a metric, a label or a number.
WORDS = {"sum", "max", "rate", "increase", "by", "histogram_quantile", "__rate_interval"}


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> dict[str, set[str]]:
    """The labels of each sample that Prometheus would read from /metrics."""
    bundle = write_bundle(tmp_path_factory.mktemp("bundle") / "tiny", Tiny())
    settings = Settings(bundle=str(bundle), threads=1)
    registry = CollectorRegistry()
    metrics = PrometheusMetrics(registry)
    notes = (Note("narrow_band", "narrow"),)
    timings = Timings(total_ms=5.0, text_ms=2.0)
    metrics(Answer("text", "joy", 0.9, {"joy": 0.9}, 3, 1.0, "CPU", timings, notes, True))
    metrics.count_error(AudioError("too short"))
    server = ServerMetrics(registry, Admission(1, max_waiting=8, max_streams=8))
    server.requests.labels("/v1/recognize", "200").inc()
    server.seconds.labels("/v1/recognize").observe(0.01)
    server.stream_ends.labels("finished").inc()
    server.grpc_requests.labels("ModelInfer", "OK").inc()
    server.grpc_seconds.labels("ModelInfer").observe(0.01)

    def opened(source, on_answer, self_test):
        return open_recognizer(settings, source, on_answer, self_test=self_test)

    models = Models(settings, opened, lambda _: lambda _: None, registry)
    asyncio.run(models.load("tiny"))
    models.close()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(server.text().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    # Counted by limit once a limit has refused something.
    found.setdefault("emo_refused_total", {"limit"})
    return found


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_names_metrics_and_labels_of_the_server(query: str, samples) -> None:
    named = METRIC.findall(query)
    assert named
    for name in named:
        assert name in samples, f"{name} is not a metric of the server"
    for group in GROUPED.findall(query):
        for label in group.replace(" ", "").split(","):
            assert all(label in samples[name] for name in named), f"{named} lack {label}"


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_well_formed(query: str) -> None:
    assert query.count("(") == query.count(")")
    rest = GROUPED.sub("by", METRIC.sub("", query))
    assert set(re.findall(r"[a-z_]{2,}", rest)) <= WORDS


def test_every_metric_has_a_panel(samples) -> None:
    """Nothing that the server counts is left out, apart from webhooks, which are optional."""
    shown = " ".join(QUERIES)
    families = {re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in samples}
    assert not {name for name in families if name not in shown}


def test_panels_are_in_a_grid_without_overlap() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert len({(place["x"], place["y"]) for place in places}) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_the_compose_file_fits_the_server_and_its_files_exist() -> None:
    composed = yaml.safe_load((DEPLOY / "compose.monitoring.yaml").read_text())
    command = emo_serving.cli.main
    context = command.context_class(command, info_name="emo-serve", **command.context_settings)
    _, rest, _ = command.make_parser(context).parse_args(
        args=list(composed["services"]["emo"]["command"])
    )
    assert not rest
    for service in composed["services"].values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in composed["volumes"] or (DEPLOY / source).exists(), source
    scrape = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"][0]
    host, _, port = scrape["static_configs"][0]["targets"][0].partition(":")
    assert host in composed["services"]
    assert port == "8000"
    uid = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())[
        "datasources"
    ][0]["uid"]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {uid}
