"""Markup: what reaches the model is what was said, and who said it."""

import pytest
import webvtt

from emo_runtime.text.cues import RawCue
from emo_runtime.text.markup import Markup, clean_cues

PLAIN = Markup()


def cleaned(*texts, markup=PLAIN):
    found = clean_cues([RawCue(0, 1, text) for text in texts], markup)
    return [(cue.speaker, cue.text) for cue in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tom &amp; Ana dicen &lt;hola&gt;&nbsp;ya&#39;", [(None, "Tom & Ana dicen <hola> ya'")]),
        ("<i>Hay</i> <00:06.000><c.yellow.bg_blue>un</c> cargo", [(None, "Hay un cargo")]),
        ('<font color="#ff0000"><b>Buenos</b></font>', [(None, "Buenos")]),
        (r"{\an8}Buenos {i}días", [(None, "Buenos días")]),
        ("<ruby>a<rt>b</rt></ruby>", [(None, "ab")]),
        ("si a < b, o b > c", [(None, "si a < b, o b > c")]),
        ("de 3<5 y 7>2", [(None, "de 3<5 y 7>2")]),
        ("<v.loud Agente>Buenos</v>", [("Agente", "Buenos")]),
        ("<v Ana>hola <v Luis>adiós", [("Ana", "hola"), ("Luis", "adiós")]),
        ("<v Ana &amp; Luis>hola", [("Ana & Luis", "hola")]),
        ("<v Ana></v>", [(None, "")]),
        ("- ¿Me oye?\n- Sí, le oigo.", [(None, "¿Me oye?"), (None, "Sí, le oigo.")]),
        ("– ¿Me oye?\nNo.", [(None, "¿Me oye? No.")]),
        ("-5 grados", [(None, "-5 grados")]),
        (">> Buenas.\n>> Hola.", [(None, "Buenas."), (None, "Hola.")]),
        ("[SPEAKER_00]: Hola.", [("SPEAKER_00", "Hola.")]),
        ("SPEAKER 1: Hola.", [("SPEAKER 1", "Hola.")]),
        ("Hablante A: Hola.", [("Hablante A", "Hola.")]),
        ("(Ana): Hola.", [("Ana", "Hola.")]),
        (
            "Cliente: No funciona.\nAgente: Entiendo.",
            [("Cliente", "No funciona."), ("Agente", "Entiendo.")],
        ),
        ("Son las 10:30 en Madrid", [(None, "Son las 10:30 en Madrid")]),
        ("[Música]", [(None, "")]),
        ("[BLANK_AUDIO]", [(None, "")]),
        ("♪ la la ♪", [(None, "la la")]),
        ("(risas) No puede ser", [(None, "No puede ser")]),
        ("No puede ser *suspira*", [(None, "No puede ser")]),
        ("el plan (el de antes) no va", [(None, "el plan (el de antes) no va")]),
        ("\u200bhola\u00ad \u2060", [(None, "hola")]),
    ],
)
def test_text_and_speakers(text, expected):
    assert cleaned(text) == expected


def test_names_are_speakers_if_most_cues_have_one():
    assert cleaned("Carmen R.: Buenos días.", "Luis de la Torre: Hola.", "Sí.") == [
        ("Carmen R.", "Buenos días."),
        ("Luis de la Torre", "Hola."),
        (None, "Sí."),
    ]


def test_a_sentence_with_a_colon_is_not_a_name():
    texts = ["Mire: no funciona.", "Llevo tres días.", "Y nadie contesta."]
    assert cleaned(*texts) == [(None, text) for text in texts]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (Markup(keep_tags=True), "<i>Hay</i> &amp;"),
        (Markup(keep_sounds=True), "(risas) [Música] ♪"),
        (Markup(keep_speakers=True), "- Cliente: hola"),
    ],
)
def test_each_can_be_kept(markup, text):
    assert cleaned(text, markup=markup) == [(None, text)]


@pytest.mark.parametrize(
    "payload",
    ["<v Ana>hola <i>muy</i> bien", "<c.x>uno</c> <b>dos</b>", "<v.loud Ana B.>hola</v>", "nada"],
)
def test_voices_and_tags_are_those_of_webvtt_py(tmp_path, payload):
    path = tmp_path / "a.vtt"
    path.write_text(f"WEBVTT\n\n00:00.000 --> 00:01.000\n{payload}\n", encoding="utf-8")
    [caption] = webvtt.read(path)
    assert cleaned(payload) == [(caption.voice or None, " ".join(caption.text.split()))]


@pytest.mark.parametrize(
    ("line", "speaker", "text"),
    [
        ("[SPEAKER_00] Hola", "SPEAKER_00", "Hola"),
        ("(Cliente) Hola", "Cliente", "Hola"),
        ("- Ana: Hola", "Ana", "Hola"),
        ("Orador 1: Hola", "Orador 1", "Hola"),
        ("Hola\\Nadiós\0", None, "Hola adiós"),
        ("(no habla)", None, ""),
    ],
)
def test_other_prefixes(line, speaker, text):
    [cue] = clean_cues([RawCue(0, 1, line)], Markup())
    assert (cue.speaker, cue.text) == (speaker, text)
