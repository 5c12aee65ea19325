"""A Gradio page: speak or write a sentence, and see the probabilities.

pip install emo-runtime gradio
python demo.py
"""

from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from emo_runtime import EmoError, EmotionRecognizer

Sound = tuple[int, NDArray[Any]]

recognizer = EmotionRecognizer.open(warm=True)


def recognize(text: str, sound: Sound | None) -> tuple[dict[str, float], str]:
    """Return the probabilities and the notes on the input."""
    audio = None
    if sound is not None:
        rate, samples = sound
        audio = (np.asarray(samples), rate)  # [samples] or [samples, channels], int16 or float
    try:
        answer = recognizer.recognize(text.strip() or None, audio)
    except EmoError as error:
        raise gr.Error(str(error)) from None
    return dict(answer.scores), "\n".join(str(note) for note in answer.notes)


demo = gr.Interface(
    recognize,
    inputs=[
        gr.Textbox(label="Transcripción", placeholder="¡Esto es una vergüenza!"),
        gr.Audio(label="Voz", sources=["microphone", "upload"], type="numpy"),
    ],
    outputs=[gr.Label(label="Emoción"), gr.Textbox(label="Notas")],
    title="Emoción en el habla",
    description="La respuesta puede ser errónea. Nada sale de este ordenador.",
    flagging_mode="never",
)

if __name__ == "__main__":
    demo.launch()
