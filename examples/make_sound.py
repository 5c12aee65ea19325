"""Make the sound of the examples: the clips of clips/ and the call of call/.

The speech is synthetic. Run with ``pico2wave`` (SVOX Pico, Debian package libttspico-utils) and
``sox`` installed: ``python examples/make_sound.py``. The sentences were written for this project.
Licence: Apache-2.0, like the code, or CC0 1.0, at your choice.
"""

import csv
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Voice:
    """A way of speaking.

    Attributes:
        pitch: Per cent of the synthesizer's pitch.
        speed: Per cent of the synthesizer's speed.
        shift: Shift of pitch and formants in cents; negative for a lower voice.
    """

    pitch: int = 100
    speed: int = 100
    shift: int = 0


CLIPS = (
    ("queja.flac", Voice(125, 118), "-r 16000 -C 8", "norm -1",
     "¡Llevo tres semanas esperando una solución! ¡Esto es una vergüenza!"),
    ("alegria.flac", Voice(125, 108), "-r 16000 -C 8", "norm -4",
     "¡Muchísimas gracias! Estoy muy contenta con el resultado."),
    ("tristeza.flac", Voice(75, 75, -350), "-r 16000 -C 8", "norm -10",
     "Mi perro murió ayer y lo echo mucho de menos."),
    ("miedo.flac", Voice(120, 112), "-r 16000 -C 8", "norm -12",
     "¿Has oído eso? Creo que hay alguien en la casa."),
    ("asco.wav", Voice(90, 90, -350), "-r 22050", "norm -3",
     "¡Qué asco! Esta comida huele fatal."),
    ("gol.flac", Voice(130, 120, -300), "-r 44100 -C 8", "norm -3 remix 1v0.9 1v0.6",
     "¡Hemos ganado el partido!"),
    ("factura.wav", Voice(100, 100, -350), "-r 8000", "norm -6",
     "Quisiera cambiar la dirección de mi factura."),
    ("saludo.wav", Voice(105, 100), "-r 8000 -e mu-law", "norm -6",
     "Buenos días, le atiende Carmen. ¿En qué puedo ayudarle?"),
)  # fmt: skip

CALL_RATE = 8000
PAUSE_S = 0.4
AGENT = Voice(105, 102)
CALM, TENSE, ANGRY = Voice(90, 100, -350), Voice(100, 106, -350), Voice(125, 120, -350)
DIALOGUE = (
    ("Agente", AGENT, "Buenos días, le atiende Carmen. ¿En qué puedo ayudarle?"),
    ("Cliente", CALM,
     "Buenos días. Llamo por la factura de este mes, hay un cargo que no entiendo."),
    ("Agente", AGENT, "Claro, ahora mismo lo reviso. ¿Me dice su número de cliente, por favor?"),
    ("Cliente", TENSE,
     "Es la tercera vez que lo doy. Llevo una semana llamando y nadie me hace caso."),
    ("Agente", AGENT,
     "Lo siento mucho. Veo que el cargo es de un servicio que figura como contratado."),
    ("Cliente", ANGRY,
     "¡Eso es mentira! ¡Yo no he contratado nada! ¡Esto es una vergüenza, un robo!"),
    ("Agente", AGENT, "Entiendo su enfado. Lo anulo ahora y le devolvemos el dinero hoy mismo."),
    ("Cliente", CALM, "Bueno. Muchas gracias, por fin alguien que me escucha. Qué alivio."),
)  # fmt: skip


def speak(text: str, voice: Voice, output: Path, options: str = "", effects: str = "") -> None:
    """Write ``text`` to ``output``, with the format ``options`` and the ``effects`` of SoX."""
    marked = f'<pitch level="{voice.pitch}"><speed level="{voice.speed}">{text}</speed></pitch>'
    with tempfile.TemporaryDirectory() as folder:
        spoken = Path(folder, "spoken.wav")
        subprocess.run(["pico2wave", "-l", "es-ES", "-w", spoken, marked], check=True)
        start = "silence 1 0.02 -50d"
        trim = f"{start} reverse {start} reverse pad 0.1 0.1"
        shift = f"pitch {voice.shift}" if voice.shift else ""
        # -R: no random dither, so that the same input gives the same bytes.
        command = f"sox -R {spoken} {options} {output} {trim} {shift} {effects}"
        subprocess.run(command.split(), check=True)


def make_clips(folder: Path) -> None:
    """Write the clips and clips.csv."""
    for name, voice, options, effects, text in CLIPS:
        speak(text, voice, folder / name, options, effects)
    with (folder / "clips.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "audio"])
        writer.writerows((text, name) for name, *_, text in CLIPS)


def make_call(folder: Path) -> None:
    """Write call.flac, with the agent left and the customer right, agent.vtt and customer.vtt."""
    speakers = ("Agente", "Cliente")
    channels: list[list[np.ndarray]] = [[], []]
    cues: list[list[str]] = [["WEBVTT", ""], ["WEBVTT", ""]]
    now = 0.0
    for speaker, voice, text in DIALOGUE:
        samples = _samples(text, voice)
        silent = np.zeros(int(PAUSE_S * CALL_RATE), np.float32)
        who = speakers.index(speaker)
        for channel in (0, 1):
            audible = samples if channel == who else np.zeros_like(samples)
            channels[channel] += [audible, silent]
        end = now + len(samples) / CALL_RATE
        cues[who] += [f"{_clock(now)} --> {_clock(end)}", f"<v {speaker}>{text}", ""]
        now = end + len(silent) / CALL_RATE
    sound = np.stack([np.concatenate(parts) for parts in channels], axis=1)
    peak = np.abs(sound).max()
    soundfile.write(folder / "call.flac", sound / peak * 0.7, CALL_RATE, subtype="PCM_16")
    for name, lines in zip(("agent", "customer"), cues, strict=True):
        (folder / f"{name}.vtt").write_text("\n".join(lines), encoding="utf-8")


def _samples(text: str, voice: Voice) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "turn.wav")
        speak(text, voice, path, f"-r {CALL_RATE}")
        samples: np.ndarray = soundfile.read(path, dtype="float32")[0]
        return samples


def _clock(seconds: float) -> str:
    """Return a time as WebVTT writes it."""
    return f"{int(seconds // 3600):02d}:{int(seconds // 60 % 60):02d}:{seconds % 60:06.3f}"


if __name__ == "__main__":
    make_clips(FOLDER / "clips")
    make_call(FOLDER / "call")
