"""Check that wheels of the pinned versions exist for other Pythons.

Usage: ``python tests/repository/resolve.py 3.12 3.13``

Asks the package index what pip would install, the base package alone and with each extra, and
prints a table: the number of wheels, or the package that has none. Nothing is installed or built.
Exit code 1 if the base package itself can't be installed.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GLIBC = 28  # of manylinux_2_28: pip takes these names as they are, and infers no older one
PLATFORMS = [*(f"manylinux_2_{minor}" for minor in range(GLIBC, 16, -1)), "manylinux2014"]


def main(versions: list[str]) -> int:
    """Print a table: a row for each extra, a column for each Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    print(f"| extra | {' | '.join(versions)} |\n{'|---' * (len(versions) + 1)}|")
    base = True
    for extra in ["", *project["optional-dependencies"]]:
        found = [resolve(version, f"[{extra}]" if extra else "") for version in versions]
        print(f"| {extra or '(base)'} |", " | ".join(found), "|", flush=True)
        base = base and (bool(extra) or all(answer.isdigit() for answer in found))
    return 0 if base else 1


def resolve(version: str, extra: str) -> str:
    """Return the number of wheels that pip would install, or the package that has none."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--dry-run"),
            *("--ignore-installed", "--target", folder, "--report", report),
            *("--only-binary", ":all:", "--implementation", "cp", "--python-version", version),
            *(word for name in PLATFORMS for word in ("--platform", f"{name}_x86_64")),
            *("--constraint", "constraints.txt", f".{extra}"),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return str(len(json.loads(report.read_text())["install"]))
    missing = re.search(r"No matching distribution found for ([\w.-]+)", done.stderr)
    clash = re.findall(r"depends on ([\w.-]+)", done.stdout)
    return f"no {missing[1]}" if missing else f"no common version of {', '.join(clash) or '?'}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
