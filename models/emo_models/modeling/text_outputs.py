"""A text network reduced to the outputs of the ONNX graph contract."""

from typing import Any

import torch

from emo_models.modeling.text_classifier import masked_mean


class TextOutputs(torch.nn.Module):
    """A Hugging Face text model reduced to the outputs of the graph contract.

    ``logits`` are the classifier's own; ``embedding`` is the masked mean over the last hidden
    state, special tokens included (paper 4.2.3: "the BERT outputs were averaged"), or with pooling
    ``cls`` the first token's state.
    """

    def __init__(
        self, model: torch.nn.Module, outputs: tuple[str, ...], pooling: str = "mean"
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.model = model
        self.outputs = outputs
        self.config: Any = model.config  # read by optimum

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Return the outputs by name, for int64 tensors of shape [batch, tokens]."""
        states: list[torch.Tensor] = []
        core: torch.nn.Module = self.model.base_model  # type: ignore[assignment]
        handle = core.register_forward_hook(
            lambda _module, _inputs, output: states.append(output[0])
        )
        try:
            answer = self.model(input_ids=input_ids, attention_mask=attention_mask)
        finally:
            handle.remove()
        result = {}
        if "logits" in self.outputs:
            result["logits"] = answer.logits
        if "embedding" in self.outputs:
            result["embedding"] = (
                states[0][:, 0] if self.pooling == "cls" else masked_mean(states[0], attention_mask)
            )
        return result
