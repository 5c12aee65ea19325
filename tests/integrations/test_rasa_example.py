"""The Rasa component against a running emo-serve, with stand-ins for Rasa's classes.

Rasa Open Source 3.6 needs Python 3.8 to 3.10 and can't be installed beside emo-runtime. The
stand-ins have the interface of its documentation (Custom Graph Components).
"""

import base64
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from emo_runtime import EmotionRecognizer
from helpers.corpora import CLIPS, ROOT
from helpers.modules import load_module
from helpers.servers import running_server

FOLDER = ROOT / "examples/integrations/rasa"
TEXT = "¡Esto es una vergüenza!"


class Message:
    """rasa.shared.nlu.training_data.message.Message: data, and what is part of the output."""

    def __init__(self, **data):
        self.data = data
        self.output_properties = set()

    def get(self, prop, default=None):
        return self.data.get(prop, default)

    def set(self, prop, info, add_to_output=False):
        self.data[prop] = info
        if add_to_output:
            self.output_properties.add(prop)


class Recipe:
    """rasa.engine.recipes.default_recipe.DefaultV1Recipe: the decorator of components."""

    ComponentType = SimpleNamespace(ENTITY_EXTRACTOR="entity extractor")
    registered = {}  # noqa: RUF012

    @classmethod
    def register(cls, component_types, is_trainable, model_from=None):
        def decorate(component):
            cls.registered[component.__name__] = (component_types, is_trainable)
            return component

        return decorate


@pytest.fixture(scope="module")
def component_class():
    names: dict[str, dict[str, Any]] = {
        "rasa.engine.graph": {"GraphComponent": object, "ExecutionContext": object},
        "rasa.engine.recipes.default_recipe": {"DefaultV1Recipe": Recipe},
        "rasa.engine.storage.resource": {"Resource": object},
        "rasa.engine.storage.storage": {"ModelStorage": object},
        "rasa.shared.nlu.training_data.message": {"Message": Message},
        "rasa.shared.nlu.training_data.training_data": {"TrainingData": object},
    }
    parents = {name.rpartition(".")[0] for name in names}
    added = {}
    for name in sorted({part for full in (*names, *parents) for part in ancestors(full)}):
        added[name] = ModuleType(name)
        vars(added[name]).update(names.get(name, {}))
    sys.modules.update(added)
    yield load_module(FOLDER / "emotion_component.py").EmotionComponent
    for name in added:
        del sys.modules[name]


def ancestors(name):
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


@pytest.fixture(scope="module")
def server():
    with running_server() as running:
        yield running


def created(component_class, **config):
    return component_class.create(
        {**component_class.get_default_config(), **config}, None, None, None
    )


def test_a_message_gets_the_entity_and_the_metadata(component_class, server):
    component = created(component_class, url=server.url, timeout_s=60)
    message = Message(text=TEXT, entities=[{"entity": "city", "value": "Lima"}])
    assert component.process([message]) == [message]
    with EmotionRecognizer.open("emo-es-small") as recognizer:
        expected = recognizer.recognize(TEXT)
    city, emotion = message.get("entities")
    assert city["value"] == "Lima"
    assert (emotion["entity"], emotion["value"]) == ("emotion", expected.label)
    assert message.get("metadata")["emotion"]["scores"] == expected.scores
    assert message.output_properties == {"entities", "metadata"}


def test_sound_of_the_channel_is_used(component_class, server):
    component = created(component_class, url=server.url, timeout_s=60)
    clip = CLIPS / "queja.flac"
    audio = base64.b64encode(clip.read_bytes()).decode()
    message = Message(text=TEXT, metadata={"audio": audio, "channel": "phone"})
    component.process([message])
    with EmotionRecognizer.open("emo-es-small") as recognizer:
        expected = recognizer.recognize(TEXT, clip)
    assert message.get("metadata")["emotion"]["scores"] == expected.scores
    assert message.get("metadata")["channel"] == "phone"


def test_messages_pass_without_an_emotion(component_class, server):
    sure = created(component_class, url=server.url, timeout_s=60, min_confidence=1.01)
    nobody = created(component_class, url="http://127.0.0.1:9")  # nothing listens there
    for component in (sure, nobody):
        message = Message(text=TEXT)
        component.process([message, Message(text="")])
        assert message.get("entities") is None
    with pytest.raises(ValueError, match="not an http"):
        created(component_class, url="file:///etc/passwd")


def test_the_configuration_names_the_component_and_its_options(component_class):
    config = yaml.safe_load((FOLDER / "config.yml").read_text())
    [ours] = [item for item in config["pipeline"] if item["name"].startswith("emotion_component")]
    assert ours["name"] == f"emotion_component.{component_class.__name__}"
    assert set(ours) - {"name"} <= set(component_class.get_default_config())
    types, trainable = Recipe.registered["EmotionComponent"]
    assert (types, trainable) == (["entity extractor"], False)
    domain = yaml.safe_load((FOLDER / "domain.yml").read_text())
    with EmotionRecognizer.open("emo-es-small") as recognizer:
        assert domain["slots"]["emotion"]["values"] == sorted(recognizer.labels)
