"""Write the OpenAPI document and real responses as TypeScript, for ``make typescript``.

Each response becomes a constant with the type that openapi-typescript generates for its path,
method and status. The compiler then refuses missing fields, unknown ones, and other types.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from emo_serving.app import create_app
from emo_serving.settings import Settings
from helpers.corpora import CLIPS, SMALL_BUNDLE

TEXT = "¡Esto es una vergüenza!"
NAME = "emo-es-small"
HEAD = """import type { paths } from "./schema";

type Answer<P extends keyof paths, M extends keyof paths[P], S> = paths[P][M] extends {
  responses: infer R;
}
  ? S extends keyof R
    ? R[S] extends { content: { "application/json": infer T } }
      ? T
      : never
    : never
  : never;
"""


def main(folder: Path) -> None:
    """Write ``openapi.json`` and ``answers.ts``."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(bundle=str(SMALL_BUNDLE), threads=1, access_log=False)
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        document = client.get("/openapi.json").content
        constants = [constant(number, *each) for number, each in enumerate(responses(client))]
    (folder / "openapi.json").write_bytes(document)
    (folder / "answers.ts").write_text(HEAD + "\n".join(constants), encoding="utf-8")


def responses(client: TestClient):
    """Yield path, method and response of each operation, of errors too."""
    clip = (CLIPS / "queja.flac").read_bytes()
    sound = base64.b64encode(clip).decode()
    vtt = b"WEBVTT\n\n00:00.000 --> 00:01.000\nhola\n"
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [TEXT]}
    posts: dict[str, list[Any]] = {
        "/v1/recognize": [{"text": TEXT, "audio": sound}, {"text": " "}, {"bundle": "x"}],
        "/v1/recognize/batch": [{"utterances": [{"text": TEXT}, {}]}, {"utterances": 1}],
        "/v1/calls/{call}/transcript": [{"text": TEXT}],
        "/v2/models/{name}/infer": [{"inputs": [tensor]}, {}],
        "/v2/repository/index": [{}],
        "/v2/repository/models/{name}/load": [{}],
        "/v2/repository/models/{name}/unload": [{}],
    }
    for path, bodies in posts.items():
        for body in bodies:
            yield path, "post", client.post(path.format(name=NAME, call="c"), json=body)
    files = [("audio", clip), ("transcript", ("a.vtt", vtt))]
    yield "/v1/timeline", "post", client.post("/v1/timeline", files=files)
    yield "/v1/timeline", "post", client.post("/v1/timeline", files=files[:1])
    gets = ["/v1/bundle", "/healthz", "/readyz", "/v2", "/v2/health/live", "/v2/health/ready"]
    gets += ["/v2/models/stats", "/v2/models/{name}"]
    gets += [f"/v2/models/{{name}}/{part}" for part in ("config", "stats", "ready")]
    for path in gets:
        yield path, "get", client.get(path.format(name=NAME))
    for path in ("/v2/models/{name}", "/v2/models/{name}/ready"):
        yield path, "get", client.get(path.format(name="x"))
    yield "/v1/calls/{call}/events", "get", client.get("/v1/calls/c/events")


def constant(number: int, path: str, method: str, response) -> str:
    """Return a constant with the response's JSON and its type."""
    kind = f"Answer<{json.dumps(path)}, {json.dumps(method)}, {response.status_code}>"
    value = json.dumps(response.json(), ensure_ascii=False)
    return f"export const answer{number}: {kind} = {value};\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
