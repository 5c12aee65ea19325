"""emo-serve in a separate process, on a free port."""

import contextlib
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from helpers.corpora import SMALL_BUNDLE
from helpers.processes import environment


@dataclass
class RunningServer:
    """A server that takes calls; ``log`` has the lines of its standard error."""

    process: subprocess.Popen[str]
    port: int = 0
    grpc_port: int = 0
    ready: bool = False
    log: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """URL of the page."""
        return f"http://127.0.0.1:{self.port}/"

    def stop(self, timeout: float = 60) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)


@contextlib.contextmanager
def running_server(
    *options: str, bundle: Path = SMALL_BUNDLE, **variables: str | None
) -> Iterator[RunningServer]:
    """Run ``emo-serve OPTIONS`` on a bundle until the block ends."""
    command = [sys.executable, "-m", "emo_serving.cli", "--port", "0", *options]
    process = subprocess.Popen(
        [*command, "--bundle", str(bundle)],
        env=environment(**variables),
        stderr=subprocess.PIPE,
        text=True,
    )
    server = RunningServer(process)
    ready = threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            server.log.append(line)
            if found := re.fullmatch(r"grpcs?://\S+:(\d+)/\n", line):
                server.grpc_port = int(found[1])
            if found := re.fullmatch(r"https?://\S+:(\d+)/\n|unix:.+\n", line):
                server.port = int(found[1] or 0)
                server.ready = True
                ready.set()
        ready.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert ready.wait(300)
        assert server.ready, server.log
        yield server
    finally:
        process.kill()
        process.wait()
        reader.join()
        assert process.stderr is not None
        process.stderr.close()
