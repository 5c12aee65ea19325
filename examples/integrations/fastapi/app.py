"""A FastAPI service that embeds the recognizer: one for the process, opened by the lifespan.

    pip install emo-runtime fastapi uvicorn python-multipart
    uvicorn app:app

For more than a field in an API of your own, run `emo-serve`: it has limits, metrics and live calls.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, File, Form, HTTPException, Request, UploadFile

from emo_runtime import EmoError, EmotionRecognizer, OverloadedError

MAX_BYTES = 8 << 20


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the recognizer before the first request, and close it after the last one."""
    with EmotionRecognizer.open(warm=True, max_waiting=64) as recognizer:
        app.state.recognizer = recognizer
        yield


app = FastAPI(title="Emotion of an utterance", lifespan=lifespan)


@app.post("/emotion")
async def emotion(
    request: Request,
    text: Annotated[str | None, Form()] = None,
    audio: Annotated[UploadFile | None, File()] = None,
) -> dict[str, Any]:
    """Answer a transcript, a sound file, or both."""
    sound = None
    if audio is not None:
        sound = await audio.read(MAX_BYTES + 1)
        if len(sound) > MAX_BYTES:
            raise HTTPException(413, f"the file is larger than {MAX_BYTES >> 20} MiB.")
    recognizer: EmotionRecognizer = request.app.state.recognizer
    try:
        answer = await recognizer.arecognize(text, sound)
    except OverloadedError as error:
        raise HTTPException(503, str(error), headers={"Retry-After": "1"}) from None
    except EmoError as error:
        raise HTTPException(422, str(error)) from None
    return answer.to_dict()
