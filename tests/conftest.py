"""Fixtures for all tests: tiny bundles, made once per session, and copies to damage."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Set before anything imports onnxruntime. No test may leave a device id or a thread behind.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
# Several workers share the cores: one thread for each BLAS and OpenMP pool.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_name, "1")
# Temporary files of the tests and of the processes that they start are in one folder, which is
# removed at the end. Workers of pytest-xdist share their parent's.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if _WORKER is None:
    # pytest keeps the folders of failed tests in the usual place.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    # A short name: the path of a socket (Ray's are below) has at most 107 characters.
    os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="emo-")
    tempfile.tempdir = None
_FOLDER = os.environ["TMPDIR"]
# No test reads or writes the self-test results in the user's cache.
os.environ["XDG_CACHE_HOME"] = os.path.join(_FOLDER, f"cache-{_WORKER or 'all'}")  # noqa: PTH118

# No deadlines: machines are busy. Failing examples become tests and are not kept in a database.
settings.register_profile(
    "emo",
    deadline=None,
    database=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("emo")


def pytest_unconfigure() -> None:
    """Remove the temporary files of this run."""
    if _WORKER is None:
        shutil.rmtree(_FOLDER, ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Distribute groups of tests; another ``--dist`` than that of ``-n`` has its own scheduler."""
    from helpers.scheduling import GroupScheduling

    return GroupScheduling(config, log) if config.getvalue("dist") == "load" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start slow files first on several workers, and leave out `endurance` unless asked for."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        from helpers.scheduling import start_order

        items.sort(key=lambda item: start_order(item.nodeid))
    if config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("endurance")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``tiny_bundle(**options of Tiny)``: the directory of such a bundle; never change it."""
    from helpers.tiny import Tiny, write_bundle

    made: dict[Tiny, Path] = {}

    def make(**options: object) -> Path:
        tiny = Tiny(**options)  # type: ignore[arg-type]
        if tiny not in made:
            made[tiny] = write_bundle(tmp_path_factory.mktemp("tiny") / "bundle", tiny)
        return made[tiny]

    return make


@pytest.fixture
def own_bundle(tiny_bundle: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Return a function like ``tiny_bundle`` that makes a copy which the test may damage."""

    def copy(**options: object) -> Path:
        target = tmp_path / f"copy{len(list(tmp_path.glob('copy*')))}"
        return Path(shutil.copytree(tiny_bundle(**options), target))

    return copy
