"""Make call.flac, agent.vtt and customer.vtt: a synthetic call, spoken by eSpeak NG.

Run with espeak-ng installed: ``python examples/call/make.py``. The dialogue was written for this
project. Licence: Apache-2.0, like the code.
"""

import io
import subprocess
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 8000
PAUSE_S = 0.4
AGENT, CUSTOMER = ("es+f5", 55, 170), ("es+m3", 35, 165)
DIALOGUE = [
    (AGENT, "Buenos días, le atiende Carmen. ¿En qué puedo ayudarle?"),
    (CUSTOMER, "Buenos días. Llamo por la factura de este mes, hay un cargo que no entiendo."),
    (AGENT, "Claro, ahora mismo lo reviso. ¿Me dice su número de cliente, por favor?"),
    (CUSTOMER, "Es la tercera vez que lo doy. Llevo una semana llamando y nadie me hace caso."),
    (AGENT, "Lo siento mucho. Veo que el cargo es de un servicio que figura como contratado."),
    (CUSTOMER, "¡Eso es mentira! ¡Yo no he contratado nada! ¡Esto es una vergüenza, un robo!"),
    (AGENT, "Entiendo su enfado. Lo anulo ahora y le devolvemos el dinero hoy mismo."),
    (CUSTOMER, "Bueno. Muchas gracias, por fin alguien que me escucha. Qué alivio."),
]


def speak(voice: tuple[str, int, int], text: str) -> np.ndarray:
    """Return samples [time] at RATE."""
    name, pitch, speed = voice
    command = ["espeak-ng", "-v", name, "-p", str(pitch), "-s", str(speed), "--stdout", text]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    return soxr.resample(samples, rate, RATE, quality="HQ")


def clock(seconds: float) -> str:
    """Format a time for WebVTT."""
    return f"{int(seconds // 3600):02d}:{int(seconds // 60 % 60):02d}:{seconds % 60:06.3f}"


def main() -> None:
    """Write the three files to the directory of this script."""
    folder = Path(__file__).parent
    channels: list[list[np.ndarray]] = [[], []]
    cues: list[list[str]] = [["WEBVTT", ""], ["WEBVTT", ""]]
    now = 0.0
    for voice, text in DIALOGUE:
        samples = speak(voice, text)
        silent = np.zeros(int(PAUSE_S * RATE), np.float32)
        who = 0 if voice is AGENT else 1
        for channel in (0, 1):
            audible = samples if channel == who else np.zeros_like(samples)
            channels[channel] += [audible, silent]
        end = now + len(samples) / RATE
        name = ("Agente", "Cliente")[who]
        cues[who] += [f"{clock(now)} --> {clock(end)}", f"<v {name}>{text}", ""]
        now = end + len(silent) / RATE
    sound = np.stack([np.concatenate(parts) for parts in channels], axis=1)
    soundfile.write(folder / "call.flac", sound / np.abs(sound).max() * 0.7, RATE, subtype="PCM_16")
    for name, lines in zip(("agent", "customer"), cues, strict=True):
        (folder / f"{name}.vtt").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
