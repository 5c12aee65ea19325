"""The recognizer against numpy and librosa; order, threads, closing, errors."""

import asyncio
import itertools
import logging
import multiprocessing
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import emo_runtime
from emo_runtime import (
    Answer,
    AudioError,
    BundleError,
    ClosedError,
    EmoError,
    EmotionRecognizer,
    OverloadedError,
    ProviderError,
    TaskError,
    TextError,
    Utterance,
    self_test,
)
from helpers.corpora import SMALL_BUNDLE
from helpers.sounds import as_file, speechlike
from helpers.tiny import LABELS, SENTENCES, Tiny

RATE = 16_000
SOUND = (speechlike(1.0, RATE, seed=3), RATE)
OPTIONS = [{}, {"separate_encoder": True}, {"present_input": True}, {"n_mfcc": 56}]


@pytest.fixture(scope="module")
def recognizer(tiny_bundle):
    return EmotionRecognizer.open(tiny_bundle(present_input=True))


def scores(answer):
    assert list(answer.scores) == LABELS
    return list(answer.scores.values())


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("sentence", SENTENCES)
def test_answers_equal_the_reference(tiny_bundle, options, sentence):
    tiny = Tiny(**options)
    recognizer = EmotionRecognizer.open(tiny_bundle(**options))
    for task in tiny.tasks():
        answer = recognizer.recognize(
            None if task == "audio" else sentence, None if task == "text" else SOUND
        )
        wanted = tiny.probabilities(task, sentence, SOUND)
        np.testing.assert_allclose(scores(answer), wanted, rtol=0, atol=1e-5)
        assert answer.task == task
        assert answer.label == LABELS[int(wanted.argmax())]
        assert answer.confidence == max(scores(answer))
        assert sum(scores(answer)) == pytest.approx(1)
        assert answer.tokens == (0 if task == "audio" else len(sentence.split()) + 2)
        assert answer.duration_s == (0 if task == "text" else 1.0)
        assert answer.provider == "CPUExecutionProvider"


def test_timings_name_the_steps_that_were_needed(recognizer):
    steps = recognizer.recognize(SENTENCES[0], as_file(*SOUND)).timings
    assert steps.speech_ms == 0
    parts = [milliseconds for name, milliseconds in steps.by_step().items() if name != "speech"]
    assert all(part > 0 for part in parts)
    assert steps.total_ms == max(parts)
    assert sum(parts) <= 2 * steps.total_ms
    text_only = recognizer.recognize(SENTENCES[0]).timings
    assert text_only.text_ms > 0
    assert (text_only.decode_ms, text_only.front_end_ms, text_only.fusion_ms) == (0, 0, 0)


def test_an_answer_is_plain_values_on_request(recognizer):
    answer = recognizer.recognize(SENTENCES[0])
    document = answer.to_dict()
    assert document["scores"] == answer.scores
    assert document["timings"]["text_ms"] == answer.timings.text_ms


def test_task_two_strips_and_task_one_does_not(tiny_bundle):
    recognizer = EmotionRecognizer.open(tiny_bundle())
    assert recognizer.manifest.tasks["fusion"].preparation.strip
    padded = f" \n {SENTENCES[0]}\t "
    assert scores(recognizer.recognize(padded, SOUND)) == scores(
        recognizer.recognize(SENTENCES[0], SOUND)
    )


def test_task_insists(recognizer):
    both = {"text": SENTENCES[0], "audio": SOUND}
    assert recognizer.recognize(**both, task="text").tokens
    assert scores(recognizer.recognize(**both, task="text")) == scores(
        recognizer.recognize(SENTENCES[0])
    )
    assert scores(recognizer.recognize(**both, task="audio")) == scores(
        recognizer.recognize(audio=SOUND)
    )
    assert recognizer.recognize(**both, task="fusion").task == "fusion"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, TaskError, "neither text nor audio was given"),
        ({"text": "hola", "task": "fusion"}, AudioError, "'fusion' needs sound"),
        ({"audio": SOUND, "task": "fusion"}, TextError, "'fusion' needs a transcript"),
        ({"audio": SOUND, "task": "text"}, TextError, "'text' needs a transcript"),
        ({"text": "hola", "task": "audio"}, AudioError, "'audio' needs sound"),
        ({"text": "hola", "task": "video"}, TaskError, "'video' is not loaded"),
        ({"text": ""}, TextError, "is empty"),
        ({"text": " ", "audio": SOUND}, TextError, "is empty"),
        ({"text": "hola", "audio": "nowhere.wav"}, AudioError, "nowhere.wav"),
        ({"text": "hola", "audio": b""}, AudioError, "is empty"),
        ({"text": "x" * 10_000_000}, TextError, "10,000,000 characters"),
        ({"text": 5}, TextError, "Give a string"),
        ({"text": "hola", "audio": 5}, AudioError, "audio of type int"),
    ],
)
def test_inputs_that_are_refused(recognizer, arguments, error, message):
    with pytest.raises(error, match=message):
        recognizer.recognize(**arguments)


def test_a_task_that_the_bundle_does_not_know(tiny_bundle):
    text_only = tiny_bundle(text_only=True)
    with pytest.raises(TaskError, match="has no task 'fusion'"):
        EmotionRecognizer.open(text_only, tasks=["fusion"])
    recognizer = EmotionRecognizer.open(text_only)
    assert recognizer.tasks == ("text",)
    with pytest.raises(TaskError, match="'fusion' is not loaded"):
        recognizer.recognize("hola", SOUND)
    assert recognizer.recognize("hola").label in LABELS


def test_only_what_the_tasks_need_is_loaded(tiny_bundle):
    bundle = tiny_bundle(separate_encoder=True)
    text = EmotionRecognizer.open(bundle, tasks=["text"])
    assert set(text.describe()["graphs"]) == {"text"}
    fusion = EmotionRecognizer.open(bundle, tasks=["fusion"])
    assert set(fusion.describe()["graphs"]) == {"encoder", "fusion"}
    with pytest.raises(TaskError):
        text.recognize("hola", SOUND)
    with pytest.raises(TaskError, match="'text' is not loaded"):
        fusion.recognize("hola")


def utterances(count):
    draw = np.random.default_rng(0)
    for number in range(count):
        words = draw.integers(1, 8)
        text = " ".join(draw.choice(SENTENCES[0].split(), words))
        sound = (speechlike(0.1 + 0.05 * (number % 7), RATE, seed=number), RATE)
        yield Utterance(text, sound if number % 3 else None)


def test_a_batch_equals_single_calls_bit_for_bit_in_order(recognizer):
    batch = list(utterances(40))
    answers = recognizer.recognize_batch(batch)
    for utterance, answer in zip(batch, answers, strict=True):
        alone = recognizer.recognize(utterance.text, utterance.audio)
        assert (answer.task, answer.scores) == (alone.task, alone.scores)


def test_an_answer_does_not_depend_on_its_neighbours(tiny_bundle):
    recognizer = EmotionRecognizer.open(tiny_bundle(precisions=("int8",)), variant="int8")
    batch = list(utterances(12))
    forward = recognizer.recognize_batch(batch)
    backward = recognizer.recognize_batch(batch[::-1])[::-1]
    assert [answer.scores for answer in forward] == [answer.scores for answer in backward]


def test_errors_take_the_place_of_answers(recognizer):
    batch = [Utterance("hola"), Utterance(""), Utterance(None, "nowhere.wav"), Utterance("hola")]
    found = list(recognizer.recognize_each(batch))
    assert [type(item) for item in found] == [Answer, TextError, AudioError, Answer]
    with pytest.raises(TextError, match="utterance 1: the transcript is empty") as caught:
        recognizer.recognize_batch(batch)
    assert isinstance(caught.value.__cause__, TextError)


def test_an_endless_batch_is_consumed_only_a_little_ahead(tiny_bundle):
    recognizer = EmotionRecognizer.open(tiny_bundle(), threads=2)
    taken = itertools.count()
    endless = (Utterance(f"hola {next(taken)}") for _ in itertools.count())
    answers = list(itertools.islice(recognizer.recognize_each(endless), 20))
    assert len(answers) == 20
    assert next(taken) <= 20 + 2 * 2 + 1


def test_an_empty_batch(recognizer):
    assert recognizer.recognize_batch([]) == []


def test_many_threads_share_a_recognizer(recognizer):
    batch = list(utterances(12))
    alone = [recognizer.recognize(item.text, item.audio).scores for item in batch]

    def all_of_them(_):
        return [recognizer.recognize(item.text, item.audio).scores for item in batch]

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(all_of_them, range(16)):
            assert found == alone


def test_modes_and_threads_give_the_same_answer(tiny_bundle):
    bundle = tiny_bundle()
    answers = {
        str(EmotionRecognizer.open(bundle, **options).recognize(SENTENCES[0], SOUND).scores)
        for options in (
            {"threads": 1},
            {"threads": 2},
            {"threads": 2, "spin": False},
            {"threads": 2, "mode": "throughput"},
            {"warm": True},
        )
    }
    assert len(answers) == 1


def test_a_warm_up_keeps_to_the_longest_utterance(tiny_bundle):
    recognizer = EmotionRecognizer.open(tiny_bundle(), max_duration_s=0.5, warm=True)
    assert recognizer.recognize("hola").label in recognizer.labels


def test_an_exception_in_a_callback_costs_no_answer(tiny_bundle, caplog):
    def fail(_):
        raise RuntimeError("full")

    recognizer = EmotionRecognizer.open(tiny_bundle(), on_answer=fail, on_error=fail)
    assert recognizer.recognize("hola").label
    with pytest.raises(TextError):
        recognizer.recognize("")
    assert "on_answer raised an exception" in caplog.text
    assert "on_error raised an exception" in caplog.text


def test_a_list_of_providers(tiny_bundle):
    recognizer = EmotionRecognizer.open(tiny_bundle(), providers=["cuda", "cpu"])
    assert recognizer.describe()["provider_requested"] == ["cuda", "cpu"]
    assert recognizer.recognize("hola").provider == "CPUExecutionProvider"
    for providers, message in ((["cuda"], "not in this build"), ([], "providers is empty")):
        with pytest.raises(ProviderError, match=message):
            EmotionRecognizer.open(tiny_bundle(), providers=providers)
    with pytest.raises(ProviderError, match="provider 'gpu' is not known"):
        EmotionRecognizer.open(tiny_bundle(), providers=["cpu", "gpu"])


def test_variants(tiny_bundle):
    bundle = tiny_bundle(precisions=("int8", "fp16", "fp32"))
    default = EmotionRecognizer.open(bundle)
    assert default.precisions("text") == {"int8"}
    assert default.precisions("fusion") == {"int8", "fp32"}
    for variant in ("int8", "fp16", "fp32"):
        recognizer = EmotionRecognizer.open(bundle, variant=variant)
        assert recognizer.precisions("text") == {variant}
        assert recognizer.describe()["graphs"]["fusion"]["precision"] == "fp32"
    with pytest.raises(BundleError, match=r"has no variant 'int8' \(it has: fp32\)"):
        EmotionRecognizer.open(tiny_bundle(), variant="int8")


def test_describe_says_what_runs(tiny_bundle):
    path = tiny_bundle()
    recognizer = EmotionRecognizer.open(path, threads=1)
    found = recognizer.describe()
    assert found["bundle"]["path"] == str(path)
    assert found["bundle"]["licence"] == "CC0-1.0"
    assert found["threads"] == {"count": 1, "origin": "requested"}
    assert found["telemetry_off"] is True
    assert found["graphs"]["text"]["providers"] == ["CPUExecutionProvider"]
    assert found["versions"]["emo_runtime"] == emo_runtime.__version__
    assert recognizer.labels == tuple(LABELS)


def test_a_closed_recognizer_says_so(tiny_bundle):
    with EmotionRecognizer.open(tiny_bundle()) as recognizer:
        assert repr(recognizer) == "<EmotionRecognizer tiny 1.0.0: fusion fp32, text fp32>"
        assert recognizer.recognize("hola").label
    assert "closed" in repr(recognizer)
    for call in (
        lambda: recognizer.recognize("hola"),
        lambda: recognizer.recognize_batch([Utterance("hola")]),
        recognizer.self_test,
        lambda: recognizer.stream(sample_rate=8000),
        recognizer.describe,
        recognizer.warm_up,
        lambda: asyncio.run(recognizer.arecognize("hola")),
    ):
        with pytest.raises(ClosedError, match="was closed"):
            call()
    recognizer.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads=0"),
        ({"mode": "fast"}, "mode 'fast'"),
        ({"providers": "gpu"}, "provider 'gpu' is not known"),
    ],
)
def test_options_that_are_refused(tiny_bundle, options, message):
    with pytest.raises(ProviderError, match=message):
        EmotionRecognizer.open(tiny_bundle(), **options)


def test_every_answer_is_reported_to_the_callback(tiny_bundle):
    answers = []
    recognizer = EmotionRecognizer.open(tiny_bundle(), on_answer=answers.append, self_test=False)
    first = recognizer.recognize("hola")
    recognizer.recognize_batch([Utterance("gracias"), Utterance("no")])
    assert answers[0] is first
    assert len(answers) == 3


def test_the_result_of_the_self_test_is_cached(tiny_bundle, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ran = []
    run = self_test.run_self_test

    def counting(*arguments):
        ran.append(1)
        return run(*arguments)

    monkeypatch.setattr(emo_runtime.recognizer, "run_self_test", counting)
    for expected in (1, 1):
        EmotionRecognizer.open(tiny_bundle(), threads=2)
        assert len(ran) == expected
    EmotionRecognizer.open(tiny_bundle(), threads=2, self_test=True)
    assert len(ran) == 2
    EmotionRecognizer.open(tiny_bundle(), threads=1)  # another placement: other kernels perhaps
    assert len(ran) == 3


@pytest.mark.parametrize("cache", ["/proc/nowhere", "/dev/null"])
def test_a_cache_that_cannot_be_written_does_no_harm(tiny_bundle, monkeypatch, cache):
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    assert EmotionRecognizer.open(tiny_bundle()).recognize("hola").label


def test_pickled_it_is_opened_again(tiny_bundle):
    recognizer = EmotionRecognizer.open(tiny_bundle(), threads=1)
    again = pickle.loads(pickle.dumps(recognizer))
    assert again.recognize("hola").scores == recognizer.recognize("hola").scores
    assert again.describe()["threads"] == {"count": 1, "origin": "requested"}


def in_the_child(recognizer, queue):
    try:
        recognizer.recognize("hola")
    except ClosedError as error:
        queue.put(str(error))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_gets_an_error(recognizer):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=in_the_child, args=(recognizer, queue))
    child.start()
    assert "opened before a fork" in queue.get(timeout=20)
    child.join(20)
    assert child.exitcode == 0


def resumed_in_the_child(recognizer, queue):
    answers = []
    recognizer.after_fork(on_answer=answers.append)
    direct = recognizer.recognize("hola").scores
    waited = asyncio.run(recognizer.arecognize("hola")).scores
    queue.put((direct, waited, len(answers)))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_resumes_a_recognizer_without_threads():
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with EmotionRecognizer.open(SMALL_BUNDLE, providers="cpu", mode="throughput") as opened:
        child = context.Process(target=resumed_in_the_child, args=(opened, queue))
        child.start()
        expected = opened.recognize("hola").scores
        assert queue.get(timeout=120) == (expected, expected, 2)
        child.join(120)
    assert child.exitcode == 0
    with pytest.raises(ClosedError, match="forked"):
        opened.after_fork()


def test_a_recognizer_with_threads_is_not_for_forked_processes():
    with (
        EmotionRecognizer.open(SMALL_BUNDLE, threads=2, mode="latency") as opened,
        pytest.raises(ClosedError, match="'throughput'"),
    ):
        opened.check_forkable()


def test_asyncio(recognizer):
    async def ask():
        return await asyncio.gather(
            recognizer.arecognize(SENTENCES[0]), recognizer.arecognize(SENTENCES[1], SOUND)
        )

    first, second = asyncio.run(ask())
    assert first.scores == recognizer.recognize(SENTENCES[0]).scores
    assert second.scores == recognizer.recognize(SENTENCES[1], SOUND).scores

    async def fail():
        await recognizer.arecognize("")

    with pytest.raises(TextError):
        asyncio.run(fail())


def test_too_many_calls_are_refused_at_once(tiny_bundle):
    going_on, asked = threading.Event(), threading.Event()

    def wait(_):
        asked.set()
        assert going_on.wait(20)

    recognizer = EmotionRecognizer.open(
        tiny_bundle(), threads=1, max_waiting=1, on_answer=wait, self_test=False
    )

    async def ask():
        working = asyncio.ensure_future(recognizer.arecognize("hola"))
        await asyncio.to_thread(asked.wait, 20)
        waiting = asyncio.ensure_future(recognizer.arecognize("hola"))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="1 running and 1 waiting"):
            await recognizer.arecognize("hola")
        waiting.cancel()
        await asyncio.sleep(0)
        going_on.set()
        assert (await working).label
        # The cancelled call has made room again.
        assert (await recognizer.arecognize("hola")).label

    asyncio.run(ask())


def test_a_provider_that_fails_in_the_middle(tiny_bundle, monkeypatch):
    recognizer = EmotionRecognizer.open(tiny_bundle())
    session = recognizer._engine.sessions["text"]

    class Unplugged:
        def run(self, *_):
            raise RuntimeError("the device is gone\nand more")

    monkeypatch.setattr(session, "_session", Unplugged())
    with pytest.raises(ProviderError, match=r"failed during a run: the device is gone\. No"):
        recognizer.recognize("hola")
    assert isinstance(next(recognizer.recognize_each([Utterance("hola")])), ProviderError)


def test_opening_is_logged_and_handlers_are_left_to_the_host(tiny_bundle, caplog):
    with caplog.at_level(logging.INFO, "emo_runtime"):
        EmotionRecognizer.open(tiny_bundle())
    assert "opened <EmotionRecognizer tiny 1.0.0" in caplog.text


def test_every_error_is_an_emo_error():
    errors = [getattr(emo_runtime, name) for name in emo_runtime.__all__ if name.endswith("Error")]
    assert len(errors) >= 9
    assert all(issubclass(error, EmoError) for error in errors)
