"""``python tests/fuzz/run.py TARGET SECONDS CORPUS``: libFuzzer over one target, by atheris.

What crashes or hangs is written to tests/fuzz/found/TARGET-*: mend it, keep the file, and
test_found.py runs it ever after.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["emo_runtime", "webvtt"]):
    from fuzz.targets import TARGETS

from fuzz.seeds import seeds


def main(name: str, seconds: str, corpus: str) -> None:
    """Fuzz until the time is up; libFuzzer prints the executions and exits."""
    folder = Path(corpus, name)
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()[name]):
        (folder / f"seed-{number}").write_bytes(seed)
    found = Path(__file__).parent / "found"
    options = [
        f"-max_total_time={seconds}",
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-max_len=4096",
        "-print_final_stats=1",
        "-verbosity=0",
        f"-artifact_prefix={found}/{name}-",
    ]
    atheris.Setup([sys.argv[0], *options, str(folder)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
