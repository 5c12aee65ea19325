"""Print the emotions of an Asterisk call, by its UUID, as emo-serve recognizes them.

EMO_SERVE_TOKEN=... python events.py 40325ec2-5efd-4bd3-805f-53576e581d13
"""

import json
import os
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from typing import Any

SERVER = os.environ.get("EMO_SERVER", "http://127.0.0.1:8000")


def events(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the data of server-sent events."""
    for line in lines:
        if line.startswith(b"data:"):
            yield json.loads(line[len(b"data:") :])


def main() -> None:
    """Read the events of the call until its end."""
    headers = {"Accept": "text/event-stream"}
    if token := os.environ.get("EMO_SERVE_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    url = f"{SERVER}/v1/calls/{sys.argv[1]}/events"
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
        for event in events(response):
            print(json.dumps(event, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
