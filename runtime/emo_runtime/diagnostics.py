"""Diagnosis of an installation: packages, machine, execution providers, bundles, extras."""

import contextlib
import getpass
import importlib.metadata
import platform
import re
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from emo_runtime.bundle.reader import DEFAULT, installed_bundle, installed_names, open_bundle
from emo_runtime.errors import EmoError, SelfTestError
from emo_runtime.machine import describe_machine
from emo_runtime.ort.providers import PROVIDERS, explain_distributions, installed_distributions
from emo_runtime.provider_trial import Trial, graphs_of, try_in_process
from emo_runtime.recognizer import EmotionRecognizer
from emo_runtime.requirements import DISTRIBUTION, extras, requirements_of
from emo_runtime.version import __version__

# Memory that the default bundle and Python need, with some reserve.
_MEMORY_BYTES = 400 << 20

Severity = Literal["error", "gate", "warning"]
Step = Callable[[str], object]


@dataclass(frozen=True)
class Problem:
    """Something that is wrong, and its remedy.

    ``error``: the package can't be used as installed. ``gate``: answers differ from the golden
    answers. ``warning``: it can be used, but not as well or not with everything.
    """

    severity: Severity
    message: str


@dataclass(frozen=True)
class BundleCheck:
    """Result of hashing a bundle and of its self-test; ``differs``: the self-test failed."""

    name: str
    version: str | None = None
    path: str | None = None
    default: bool = False
    ok: bool = False
    difference: float | None = None
    graphs: dict[str, str] | None = None
    differs: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Extra:
    """An extra, and what it lacks (empty: usable)."""

    name: str
    missing: list[str]

    @property
    def usable(self) -> bool:
        """True if nothing is missing."""
        return not self.missing


@dataclass(frozen=True)
class Diagnosis:
    """All findings; ``as_dict`` gives plain values."""

    package: dict[str, Any]
    distributions: dict[str, str]
    machine: dict[str, Any]
    bundles: list[BundleCheck]
    providers: list[Trial]
    extras: list[Extra]
    problems: list[Problem] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0: usable (warnings are allowed). 1: an error. 3: a self-test differs."""
        severities = {problem.severity for problem in self.problems}
        return 1 if "error" in severities else 3 if "gate" in severities else 0

    def as_dict(self) -> dict[str, Any]:
        """Return the findings as plain values, without the name of host, user or home folder."""
        values = asdict(self) | {"ok": self.exit_code == 0}
        for item, extra in zip(values["extras"], self.extras, strict=True):
            item["usable"] = extra.usable
        redacted: dict[str, Any] = _redact_all(values, _personal())
        return redacted


def diagnose(bundles: Iterable[str] = (), on_step: Step = lambda _: None) -> Diagnosis:
    """Examine the installation.

    Args:
        bundles: Directories to test besides the installed bundles.
        on_step: Called with the name of what is examined next.
    """
    on_step("packages")
    base = requirements_of(None)
    found_extras = [Extra(name, _missing(name)) for name in extras()]
    machine = describe_machine()
    checks = []
    for name in (*installed_names(), *bundles):
        on_step(f"bundle {Path(name).name}")
        checks.append(check_bundle(name))
    trials = _try_providers(checks, on_step)
    return Diagnosis(
        package={
            "emo_runtime": __version__,
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "virtual_environment": sys.prefix != sys.base_prefix,
            "onnxruntime_distributions": installed_distributions(),
        },
        distributions=_distributions(),
        machine=machine,
        bundles=checks,
        providers=trials,
        extras=found_extras,
        problems=[
            *(Problem("error", f"{item}.") for item in _unsuitable(base)),
            *_distribution_problems(),
            *_bundle_problems(checks),
            *_provider_problems(trials),
            *_extra_problems(found_extras),
            *_machine_problems(machine),
        ],
    )


def check_bundle(name: str) -> BundleCheck:
    """Hash the files of a bundle and run its self-test on the CPU."""
    default = name == DEFAULT
    version = path = None
    try:
        bundle = open_bundle(name)
        version, path = bundle.manifest.version, str(bundle.path)
        bundle.verify()
        with EmotionRecognizer.open(path, providers="cpu", self_test=False) as recognizer:
            graphs = graphs_of(recognizer)
            difference = recognizer.self_test()
    except EmoError as error:
        differs = isinstance(error, SelfTestError)
        message = f"self-test: {error}" if differs else str(error)
        return BundleCheck(name, version, path, default, differs=differs, error=message)
    return BundleCheck(name, version, path, default, True, difference, graphs)


def redact(text: str) -> str:
    """Replace the home folder, the user's name and the host's name in a text."""
    result: str = _redact_all(text, _personal())
    return result


def _try_providers(checks: list[BundleCheck], on_step: Step) -> list[Trial]:
    """Try each provider on the default bundle, or the first one that works on the CPU."""
    usable = sorted((check for check in checks if check.ok), key=lambda check: not check.default)
    if not usable:
        return []
    tested = usable[0]
    trials = []
    for name in PROVIDERS:
        if name == "cpu":  # the check of the bundle was on the CPU
            trials.append(Trial(name, True, True, tested.difference, tested.graphs))
            continue
        on_step(f"provider {name}")
        trials.append(try_in_process(name, str(tested.path)))
    return trials


def _missing(extra: str) -> list[str]:
    return _unsuitable(requirements_of(extra))


def _unsuitable(requirements: Iterable[Any]) -> list[str]:
    return [item.problem for item in requirements if item.problem is not None]


def _distributions() -> dict[str, str]:
    """Return versions of all installed distributions that the package or an extra requires."""
    found = [requirement for name in (None, *extras()) for requirement in requirements_of(name)]
    return {item.name: item.installed for item in found if item.installed is not None}


def _distribution_problems() -> list[Problem]:
    problems = []
    if explanation := explain_distributions():
        problems.append(Problem("error", explanation.strip()))
    try:
        importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        message = (
            "emo-runtime is imported from a source tree that is not installed: its bundles and "
            "extras are not found. Run: pip install emo-runtime."
        )
        problems.append(Problem("warning", message))
    return problems


def _bundle_problems(checks: list[BundleCheck]) -> list[Problem]:
    problems = [
        Problem(
            "gate" if check.differs else "error", f"bundle {Path(check.name).name}: {check.error}"
        )
        for check in checks
        if check.error is not None
    ]
    if installed_bundle(DEFAULT) is None:
        message = f"the default bundle {DEFAULT} is not installed: name a bundle in every call."
        problems.append(Problem("warning", message))
    return problems


def _provider_problems(trials: list[Trial]) -> list[Problem]:
    return [
        Problem("warning", f"provider {trial.provider}: {trial.error}")
        for trial in trials
        if trial.installed and trial.error is not None
    ]


def _extra_problems(found: list[Extra]) -> list[Problem]:
    """Report extras that are installed with unsuitable versions; a missing one is a choice."""
    return [
        Problem("warning", f"extra [{extra.name}]: {item}.")
        for extra in found
        for item in extra.missing
        if not item.endswith("is not installed")
    ]


def _machine_problems(machine: dict[str, Any]) -> list[Problem]:
    problems = []
    sizes = (machine["memory_available_bytes"], machine["memory_limit_bytes"])
    known = [size for size in sizes if size is not None]
    if known and min(known) < _MEMORY_BYTES:
        message = f"{min(known) >> 20} MiB of memory are available; the default bundle needs some "
        problems.append(Problem("warning", f"{message}{_MEMORY_BYTES >> 20} MiB."))
    if machine["cpu_flags"] and not {"avx2", "asimd"} & set(machine["cpu_flags"]):
        message = "the processor has no AVX2: answers are correct, but several times slower."
        problems.append(Problem("warning", message))
    return problems


def _personal() -> list[tuple[str, str]]:
    """Return personal strings with their replacements, the longest first."""
    host = socket.gethostname()
    found = {host: "HOST", host.partition(".")[0]: "HOST"}
    # A container may run under a user ID without a name or a home folder.
    with contextlib.suppress(RuntimeError):
        found[str(Path.home())] = "~"
    with contextlib.suppress(OSError, KeyError, ImportError):
        found[getpass.getuser()] = "USER"
    # "root" and "localhost" identify nobody, and occur in other words.
    unspecific = {"", "/", "root", "localhost"}
    pairs = [pair for pair in found.items() if pair[0] not in unspecific]
    return sorted(pairs, key=lambda pair: -len(pair[0]))


def _redact_all(value: Any, personal: list[tuple[str, str]]) -> Any:
    if isinstance(value, dict):
        return {key: _redact_all(item, personal) for key, item in value.items()}
    if isinstance(value, list):
        return [_redact_all(item, personal) for item in value]
    if isinstance(value, str):
        for secret, replacement in personal:
            value = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", replacement, value)
    return value
