"""``python tests/fuzz/run.py TARGET SECONDS CORPUS``: libFuzzer over one target, by atheris.

Inputs that crash or hang are written to tests/fuzz/found/TARGET-*. Fix the error and keep the file:
test_found.py runs it from then on.
"""

import ctypes
import functools
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

import atheris

with atheris.instrument_imports(include=["emo_runtime", "emo_serving"]):
    from fuzz.targets import TARGETS

from fuzz.mutators import json_lines
from fuzz.seeds import seeds, words

LIMIT_S = 10
OF_JSON = {"manifest", "transcript", "tokenizer", "call"}


def main(name: str, seconds: str, corpus: str) -> None:
    """Fuzz until the time is up; libFuzzer prints the executions and exits."""
    folder = Path(corpus, name)
    folder.mkdir(parents=True, exist_ok=True)
    inputs = seeds()[name]
    for number, seed in enumerate(inputs):
        (folder / f"seed-{number}").write_bytes(seed)
    dictionary = Path(corpus, f"{name}.dict")
    dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in words(inputs)))
    found = Path(__file__).parent / "found"
    options = [
        f"-max_total_time={seconds}",
        f"-dict={dictionary}",
        "-timeout=3600",
        "-report_slow_units=3600",
        "-rss_limit_mb=2048",
        "-max_len=4096",
        "-len_control=100",
        "-print_final_stats=1",
        "-verbosity=0",
        f"-artifact_prefix={found}/{name}-",
    ]
    mutator = {"custom_mutator": json_lines(_mutate)} if name in OF_JSON else {}
    atheris.Setup([sys.argv[0], *options, str(folder)], _within_limit(TARGETS[name]), **mutator)
    atheris.Fuzz()


class _HangError(BaseException):
    """A timeout, derived from BaseException so that no target catches it."""


def _within_limit(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Limit the target to ten seconds of CPU time: a paused machine is not a hang."""

    def run(data: bytes) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
        target(data)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    signal.signal(signal.SIGVTALRM, _hang)
    return run


def _hang(number: int, frame: FrameType | None) -> NoReturn:
    raise _HangError(f"more than {LIMIT_S} s of computing")


@functools.cache
def _libfuzzer() -> ctypes.CDLL:
    """Opened no sooner than it runs: it looks for a custom mutator when it is first loaded."""
    library = ctypes.CDLL(str(next(Path(atheris.__file__).parent.glob("core_with_libfuzzer*"))))
    library.LLVMFuzzerMutate.restype = ctypes.c_size_t
    library.LLVMFuzzerMutate.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t]
    return library


def _mutate(data: bytes, max_size: int) -> bytes:
    """libFuzzer's own change (``atheris.Mutate`` of 3.0.0 only says that it can't be called)."""
    buffer = ctypes.create_string_buffer(data, max(len(data), max_size))
    return buffer.raw[: _libfuzzer().LLVMFuzzerMutate(buffer, len(data), max_size)]


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02X}" for byte in word)


if __name__ == "__main__":
    main(*sys.argv[1:])
