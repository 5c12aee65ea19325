"""A Rasa NLU component that asks emo-serve for the emotion of each message.

Copy this file into your Rasa project. It needs the standard library only: Rasa Open Source 3.6 runs
on Python 3.8 to 3.10, and emo-runtime on 3.11 or newer; so the component sends HTTP requests.

    pipeline:
      - name: emotion_component.EmotionComponent
        url: http://127.0.0.1:8000
        timeout_s: 0.5

The message gets the entity ``emotion``, which fills a slot of this name, and the metadata
``emotion`` with label, confidence and scores. Sound is used if the channel puts a file's bytes, in
base64, into ``metadata["audio"]``. If the server does not answer in time, the message passes
without an emotion.
"""

from __future__ import annotations

import json
import logging
import os
import urllib.error
import urllib.request
from typing import Any, Dict, List, Optional

from rasa.engine.graph import ExecutionContext, GraphComponent
from rasa.engine.recipes.default_recipe import DefaultV1Recipe
from rasa.engine.storage.resource import Resource
from rasa.engine.storage.storage import ModelStorage
from rasa.shared.nlu.training_data.message import Message
from rasa.shared.nlu.training_data.training_data import TrainingData

ENTITY = "emotion"
TOKEN_VARIABLE = "EMO_SERVE_TOKEN"

logger = logging.getLogger(__name__)


@DefaultV1Recipe.register([DefaultV1Recipe.ComponentType.ENTITY_EXTRACTOR], is_trainable=False)
class EmotionComponent(GraphComponent):
    """Adds the entity ``emotion`` to messages."""

    @staticmethod
    def get_default_config() -> Dict[str, Any]:
        """Return the default configuration."""
        return {
            "url": "http://127.0.0.1:8000",
            "timeout_s": 0.5,
            "min_confidence": 0.0,
        }

    @classmethod
    def create(
        cls,
        config: Dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
    ) -> EmotionComponent:
        """Return the component. The token of the server is read from EMO_SERVE_TOKEN."""
        return cls(config)

    def __init__(self, config: Dict[str, Any]) -> None:
        self._config = {**self.get_default_config(), **config}
        self._url = self._config["url"].rstrip("/") + "/v1/recognize"
        if not self._url.startswith(("http://", "https://")):
            raise ValueError(f"url: {self._url} is not an http or https address.")

    def process(self, messages: List[Message]) -> List[Message]:
        """Add the emotion to each message."""
        for message in messages:
            answer = self._ask(message)
            if answer is not None and answer["confidence"] >= self._config["min_confidence"]:
                self._add(message, answer)
        return messages

    def process_training_data(self, training_data: TrainingData) -> TrainingData:
        """Leave training data as it is: other components must not learn from the emotion."""
        return training_data

    def _ask(self, message: Message) -> Optional[Dict[str, Any]]:
        """Return the answer of the server; None without text or without an answer."""
        text = message.get("text")
        if not text:
            return None
        body = {"text": text}
        audio = (message.get("metadata") or {}).get("audio")
        if audio is not None:
            body["audio"] = audio
        headers = {"Content-Type": "application/json"}
        if os.environ.get(TOKEN_VARIABLE):
            headers["Authorization"] = f"Bearer {os.environ[TOKEN_VARIABLE]}"
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=self._config["timeout_s"]) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            logger.warning("emo-serve: status %s for a message", error.code)
        except (OSError, ValueError) as error:
            logger.warning("emo-serve does not answer: %s", error)
        return None

    def _add(self, message: Message, answer: Dict[str, Any]) -> None:
        entity = {
            "entity": ENTITY,
            "value": answer["label"],
            "start": 0,
            "end": len(message.get("text")),
            "confidence_entity": answer["confidence"],
            "extractor": type(self).__name__,
        }
        entities = [*message.get("entities", []), entity]
        message.set("entities", entities, add_to_output=True)
        metadata = dict(message.get("metadata") or {})
        metadata[ENTITY] = {
            name: answer[name] for name in ("label", "confidence", "scores", "uncertain")
        }
        message.set("metadata", metadata, add_to_output=True)
