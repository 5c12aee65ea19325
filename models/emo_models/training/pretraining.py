"""Masked-language pretraining of a small BERT on plain text (Devlin et al. 2019, without NSP)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM

from emo_models.atomic import atomic_write
from emo_models.errors import DataError
from emo_models.recipes import PretrainRecipe
from emo_models.training.head_start import head_start
from emo_models.training.loop import check_identity
from emo_models.training.tokenizer import SPECIAL_TOKENS

SPECIALS = len(SPECIAL_TOKENS)
_ENCODE_LINES = 20_000


@dataclass(frozen=True)
class Batch:
    """Masked token ids, the masked positions, and their original ids (all int64)."""

    input_ids: Tensor  # [rows, length]
    places: Tensor  # [rows, masked]
    targets: Tensor  # [rows * masked]


def corpus_ids(lines: Iterable[str], tokenizer: Tokenizer) -> NDArray[np.uint16]:
    """Return all tokens of the lines in order, without special tokens, uint16 [tokens]."""
    parts = [_encode(part, tokenizer) for part in _batched(lines)]
    return np.concatenate(parts or [np.empty(0, dtype=np.uint16)])


def batch_at(ids: NDArray[np.uint16], recipe: PretrainRecipe, vocab_size: int, step: int) -> Batch:
    """Return the batch of one step: a pure function of the recipe's seed and the step.

    Each pass over the corpus is split into windows from a different offset and reshuffled. A fixed
    number of positions per row is selected: 80 % become [MASK], 10 % a random token, 10 % stay.
    """
    window = recipe.sequence_length - 2
    per_pass = (len(ids) - window) // window
    number = np.arange(step * recipe.batch_size, (step + 1) * recipe.batch_size)
    rows = np.empty((recipe.batch_size, recipe.sequence_length), dtype=np.int64)
    rows[:, 0] = SPECIAL_TOKENS.index("[CLS]")
    rows[:, -1] = SPECIAL_TOKENS.index("[SEP]")
    for row, n in zip(rows, number, strict=True):
        offset, order = _pass_order(recipe.seed, int(n) // per_pass, per_pass, window)
        start = offset + int(order[int(n) % per_pass]) * window
        row[1:-1] = ids[start : start + window]
    rng = np.random.default_rng([recipe.seed, 1, step])
    masked = max(1, round(window * recipe.masked_share))
    places = 1 + np.argsort(rng.random((recipe.batch_size, window)), axis=1)[:, :masked]
    targets = np.take_along_axis(rows, places, axis=1)
    chance = rng.random(places.shape)
    other = rng.integers(SPECIALS, vocab_size, places.shape)
    shown = np.where(chance < 0.9, other, targets)
    shown = np.where(chance < 0.8, SPECIAL_TOKENS.index("[MASK]"), shown)
    np.put_along_axis(rows, places, shown, axis=1)
    return Batch(*(torch.from_numpy(a) for a in (rows, places, targets.reshape(-1))))


def learning_rate_share(progress: float, warmup: float) -> float:
    """Return the learning rate factor: linear warm-up from 0 to 1, then half a cosine to 0."""
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))


def masked_loss(model: BertForMaskedLM, batch: Batch) -> Tensor:
    """Return the mean cross entropy over the masked positions.

    Only these positions are multiplied with the vocabulary matrix.
    """
    states = model.bert(input_ids=batch.input_ids).last_hidden_state
    index = batch.places[..., None].expand(-1, -1, states.shape[-1])
    picked = states.gather(1, index).reshape(-1, states.shape[-1])
    return F.cross_entropy(model.cls(picked).float(), batch.targets)


def pretrain(
    ids: NDArray[np.uint16],
    tokenizer: Tokenizer,
    recipe: PretrainRecipe,
    run: Path,
    on_step: Callable[[int, float, float, float], None],
) -> tuple[BertForMaskedLM, int]:
    """Train, or resume the run in ``run``, until the recipe's tokens or minutes are used.

    Args:
        ids: the corpus as token ids.
        tokenizer: the tokenizer of the ids.
        recipe: hyper-parameters.
        run: directory of the resumable state (``state.pt``, written atomically).
        on_step: called with step, loss, progress 0..1 and tokens per second of this process.

    Returns:
        The network, and its total number of steps.

    Raises:
        DataError: too little text, or ``run`` has a state of another recipe or other text.
    """
    if len(ids) < 2 * recipe.sequence_length:
        raise DataError(f"{len(ids)} tokens of text: too few for rows of {recipe.sequence_length}.")
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = BertForMaskedLM(bert_config(recipe, tokenizer.get_vocab_size()))
    if recipe.head_start and not (run / "state.pt").exists():
        head_start(model, ids, recipe.seed)
    network: torch.nn.Module = model
    network.to(device).train()
    optimizers = _optimizers(model, recipe)
    identity = {"recipe": asdict(recipe), "text": sha256(ids.tobytes()).hexdigest()}
    step, spent_s = _resume(run, model, optimizers, identity)
    per_step = recipe.batch_size * recipe.sequence_length
    begun = saved = time.monotonic()
    first = step
    while (progress := _progress(recipe, step * per_step, spent_s)) < 1:
        rate = recipe.learning_rate * learning_rate_share(progress, recipe.warmup_share)
        batch = batch_at(ids, recipe, tokenizer.get_vocab_size(), step)
        loss = _train_step(model, optimizers, batch, rate=rate, bf16=recipe.bf16)
        step += 1
        now = time.monotonic()
        spent_s, before = spent_s + (now - begun), begun
        begun = now
        on_step(step, loss, progress, per_step / max(1e-9, now - before))
        if now - saved > 60 * recipe.checkpoint_minutes:
            _save_state(run, identity, model, optimizers, step=step, spent_s=spent_s)
            saved = now
    if step > first:
        _save_state(run, identity, model, optimizers, step=step, spent_s=spent_s)
    return model.cpu().eval(), step


def bert_config(recipe: PretrainRecipe, vocab_size: int) -> BertConfig:
    """Return the network of a recipe, without dropout: the text is seen about once."""
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        intermediate_size=recipe.intermediate,
        max_position_embeddings=recipe.positions,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=SPECIAL_TOKENS.index("[PAD]"),
        # Written out, attention on rows as short as these is a fifth faster on a CPU in training
        # than PyTorch's fused one, whose backward pass is slow.
        attn_implementation="eager",
    )


def _batched(lines: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(lines)
    while part := list(islice(iterator, _ENCODE_LINES)):
        yield part


def _encode(lines: list[str], tokenizer: Tokenizer) -> NDArray[np.uint16]:
    encoded = tokenizer.encode_batch_fast(lines, add_special_tokens=False)
    return np.concatenate([np.array(e.ids, dtype=np.uint16) for e in encoded])


_ORDERS: dict[tuple[int, int, int, int], tuple[int, NDArray[np.int64]]] = {}


def _pass_order(
    seed: int, number: int, per_pass: int, window: int
) -> tuple[int, NDArray[np.int64]]:
    key = (seed, number, per_pass, window)
    if key not in _ORDERS:
        _ORDERS.clear() if len(_ORDERS) > 2 else None
        rng = np.random.default_rng([seed, 0, number])
        _ORDERS[key] = int(rng.integers(window)), rng.permutation(per_pass)
    return _ORDERS[key]


def _optimizers(model: BertForMaskedLM, recipe: PretrainRecipe) -> list[torch.optim.Optimizer]:
    """Return AdamW for all parameters, or Muon for the encoder's matrices and AdamW otherwise."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    matrices = [p for n, p in named if p.ndim == 2 and ".encoder." in n]
    chosen = {id(p) for p in matrices} if recipe.optimizer == "muon" else set()
    rest = [p for _, p in named if id(p) not in chosen]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)
    if not chosen:
        return [adam]
    muon = torch.optim.Muon(
        matrices,
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    return [muon, adam]


def _train_step(
    model: BertForMaskedLM,
    optimizers: list[torch.optim.Optimizer],
    batch: Batch,
    *,
    rate: float,
    bf16: bool,
) -> float:
    device = model.device
    batch = Batch(*(t.to(device) for t in (batch.input_ids, batch.places, batch.targets)))
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        loss = masked_loss(model, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
    return float(loss.detach())


def _progress(recipe: PretrainRecipe, tokens: int, spent_s: float) -> float:
    by_time = spent_s / (60 * recipe.minutes) if recipe.minutes else 0.0
    return max(tokens / recipe.tokens, by_time)


def _save_state(
    run: Path,
    identity: dict[str, Any],
    model: BertForMaskedLM,
    optimizers: list[torch.optim.Optimizer],
    *,
    step: int,
    spent_s: float,
) -> None:
    state: dict[str, Any] = {
        "identity": identity,
        "model": model.state_dict(),
        "optimizers": [o.state_dict() for o in optimizers],
        "step": step,
        "spent_s": spent_s,
    }
    atomic_write(run / "state.pt", lambda temporary: torch.save(state, temporary))


def _resume(
    run: Path,
    model: BertForMaskedLM,
    optimizers: list[torch.optim.Optimizer],
    identity: dict[str, Any],
) -> tuple[int, float]:
    path = run / "state.pt"
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, map_location="cpu", weights_only=True)
    check_identity(path, state.get("identity"), identity)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return int(state["step"]), float(state["spent_s"])
