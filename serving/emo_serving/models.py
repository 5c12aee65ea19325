"""The bundles of a server by name: opened, replaced while they are in use, and released.

A model is one opened bundle. Requests and live calls use it in a ``with`` block. A model that was
replaced or unloaded is closed, and its memory released, at the end of its last use.
"""

import asyncio
import contextlib
import ctypes
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter

from emo_runtime import Answer, ArgumentError, EmoError, EmotionRecognizer
from emo_serving.errors import ControlError, UnknownBundleError
from emo_serving.request_log import log_server_event
from emo_serving.settings import NAME, BundleSource, Settings
from emo_serving.statistics import ModelStatistics

MANIFEST = "manifest.json"
READY, UNAVAILABLE = "READY", "UNAVAILABLE"

OnAnswer = Callable[[Answer], object]
# The last argument: run the self-test now; None: if it has not passed on this machine yet.
OpenBundle = Callable[[BundleSource, OnAnswer, bool | None], EmotionRecognizer]
# Returns the callback that counts the answers of the bundle with this name.
CountAnswers = Callable[[str], OnAnswer]
Fingerprint = tuple[tuple[str, int, int, int], ...]


class ModelState(Struct):
    """A bundle that is loaded, or was given and is not loaded: why."""

    name: str
    version: str = ""
    state: str = UNAVAILABLE
    reason: str = ""


class Model:
    """An opened bundle, and the number of requests and live calls that use it."""

    def __init__(
        self, name: str, source: BundleSource, recognizer: EmotionRecognizer, files: Fingerprint
    ) -> None:
        self.name = name
        self.source = source
        self.recognizer = recognizer
        self.files = files
        self.version = recognizer.manifest.version
        self.description = recognizer.describe()
        self.statistics = ModelStatistics(name, self.version)
        self._uses = 0
        self._retired = False

    @contextlib.contextmanager
    def use(self) -> Iterator["Model"]:
        """Keep the model open until the block ends."""
        self._uses += 1
        try:
            yield self
        finally:
            self._uses -= 1
            self._close_if_unused()

    def retire(self) -> None:
        """Close the model once nothing uses it any more."""
        self._retired = True
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if not self._retired or self._uses:
            return
        self.recognizer.close()
        if gc.get_freeze_count():
            # Objects that were excluded from collection, in server.py, would stay for ever.
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        _return_free_memory()


class Models:
    """The models of a server. Used by one event loop only.

    Args:
        settings: Options of the server: the bundles, and the folder of those to be loaded later.
        open_bundle: Opens and verifies a bundle: hashes, self-test, warm-up.
        count_answers: Returns what counts the answers of a bundle.
        registry: Registry of the metrics.
    """

    def __init__(
        self,
        settings: Settings,
        open_bundle: OpenBundle,
        count_answers: CountAnswers,
        registry: CollectorRegistry,
    ) -> None:
        self._open_bundle = open_bundle
        self._count_answers = count_answers
        self._folder = settings.bundle_folder
        self._sources: dict[str, BundleSource] = {}
        self._loaded: dict[str, Model] = {}
        self._reasons: dict[str, str] = {}
        # Fingerprints that were seen once, or failed: such files are not tried again.
        self._seen: dict[str, Fingerprint] = {}
        self._failed: dict[str, Fingerprint] = {}
        self._changing = asyncio.Lock()
        self._loads = Counter(
            "emo_bundle_loads_total",
            "Bundles that were loaded, replaced, unloaded, or failed to load.",
            ["bundle", "result"],
            registry=registry,
        )
        for source in settings.sources:
            self._add(self._opened(source))
        self.default = next(iter(self._loaded))

    def get(self, name: str | None = None) -> Model:
        """Return a model; None: the default. Raises UnknownBundleError."""
        found = self._loaded.get(name or self.default)
        if found is None:
            raise UnknownBundleError(
                f"there is no bundle of this name here: choose one of {', '.join(self._loaded)}."
            )
        return found

    def loaded(self) -> list[Model]:
        """Return the models, the default first."""
        return list(self._loaded.values())

    def index(self, *, ready_only: bool = False) -> list[ModelState]:
        """Return the state of each bundle that is or can be loaded."""
        states = []
        for name in self._known():
            model = self._loaded.get(name)
            if model is not None:
                states.append(ModelState(name, model.version, READY, self._reasons.get(name, "")))
            elif not ready_only:
                states.append(ModelState(name, reason=self._reasons.get(name, "not loaded")))
        return states

    async def load(self, name: str) -> None:
        """Load a bundle, or load it again. If it can't be opened, a loaded one stays.

        Raises:
            UnknownBundleError: It was not given at the start, and is not in the folder of bundles.
            BundleError, SelfTestError: It can't be opened, or fails its self-test.
        """
        async with self._changing:
            await self._replace(name, self._source_of(name))

    async def unload(self, name: str) -> None:
        """Unload a bundle. Its requests and live calls go on.

        Raises:
            UnknownBundleError: It is not loaded.
            ControlError: It is the default bundle.
        """
        async with self._changing:
            model = self.get(name)
            if model.name == self.default:
                raise ControlError("the default bundle can't be unloaded: load it again instead.")
            del self._loaded[name]
            self._reasons[name] = "unloaded"
            self._report("bundle_unloaded", name, "unloaded", version=model.version)
            model.retire()

    async def reload_changed(self, *, at_once: bool = False) -> None:
        """Replace the models whose files have changed; errors are logged and counted.

        Args:
            at_once: Do not wait until the files are the same in two calls.
        """
        async with self._changing:
            for model in self.loaded():
                files = _fingerprint(model)
                is_new = files not in ((), model.files, self._failed.get(model.name))
                is_stable = at_once or self._seen.get(model.name) == files
                self._seen[model.name] = files
                if is_new and is_stable:
                    with contextlib.suppress(EmoError, OSError):  # which _replace has logged
                        await self._replace(model.name, model.source)

    def close(self) -> None:
        """Close all models, whether they are in use or not."""
        for model in self._loaded.values():
            model.recognizer.close()

    async def _replace(self, name: str, source: BundleSource) -> None:
        before = self._loaded.get(name)
        files = _fingerprint(before) if before else ()
        try:
            model = await asyncio.to_thread(self._opened, source, name, self_test=True)
        except (EmoError, OSError) as error:
            self._failed[name] = files
            self._reasons[name] = str(error)
            self._report("bundle_failed", name, "failed", error=str(error))
            raise
        self._failed.pop(name, None)
        self._reasons.pop(name, None)
        self._loaded[name] = model
        self._sources[name] = source
        self._report("bundle_loaded", name, "loaded", version=model.version)
        if before is not None:
            before.retire()

    def _opened(
        self, source: BundleSource, name: str | None = None, *, self_test: bool = False
    ) -> Model:
        """Open and verify a bundle, whose answers are counted from then on."""
        count: OnAnswer | None = None

        def on_answer(answer: Answer) -> None:
            if count is not None:  # not the answers of the self-test and the warm-up
                count(answer)

        files = _files_of(source.where)
        recognizer = self._open_bundle(source, on_answer, True if self_test else None)
        chosen = name or source.name or recognizer.manifest.name
        model = Model(chosen, source, recognizer, files)
        model.files = files or _fingerprint(model)
        count = self._count_answers(chosen)
        return model

    def _add(self, model: Model) -> None:
        if model.name in self._loaded:
            raise ArgumentError(
                f"two bundles have the name {model.name!r}: give one of them another name "
                "(--bundle NAME=BUNDLE)."
            )
        self._loaded[model.name] = model
        self._sources[model.name] = model.source

    def _known(self) -> list[str]:
        """Return the names of the loaded bundles, then those of others that can be loaded."""
        names = dict.fromkeys([*self._loaded, *self._sources])
        if self._folder is not None:
            with contextlib.suppress(OSError):
                found = [each.name for each in self._folder.iterdir() if _is_bundle(each)]
                names |= dict.fromkeys(sorted(filter(NAME.fullmatch, found)))
        return list(names)

    def _source_of(self, name: str) -> BundleSource:
        source = self._sources.get(name)
        if source is not None:
            return source
        if self._folder is not None and NAME.fullmatch(name) and _is_bundle(self._folder / name):
            return BundleSource(str(self._folder / name), name)
        raise UnknownBundleError(
            f"there is no bundle of this name to load: choose one of {', '.join(self._known())}."
        )

    def _report(self, event: str, name: str, result: str, **fields: Any) -> None:
        self._loads.labels(name, result).inc()
        log_server_event(event, bundle=name, **fields)


def _return_free_memory() -> None:
    """Return freed memory to the system, where the C library is glibc, which keeps much of it."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def files_of_bundle(source: BundleSource, recognizer: EmotionRecognizer) -> Fingerprint:
    """Return names, times, sizes and inodes of a bundle's files; empty if there is none."""
    return _files_of(source.where) or _files_of(recognizer.describe()["bundle"]["path"])


def _fingerprint(model: Model) -> Fingerprint:
    return files_of_bundle(model.source, model.recognizer)


def _files_of(where: str | None) -> Fingerprint:
    """Return the fingerprint of a directory; empty for the name of an installed bundle."""
    if where is None or not _is_bundle(Path(where)):
        return ()
    try:
        found = [(file, file.stat()) for file in sorted(Path(where).rglob("*")) if file.is_file()]
    except OSError:  # a file that is just being replaced
        return ()
    return tuple((str(file), at.st_mtime_ns, at.st_size, at.st_ino) for file, at in found)


def _is_bundle(path: Path) -> bool:
    return (path / MANIFEST).is_file()
