"""Fine-tuning: AdamW with a linear schedule over batches of like length, and the running mean of the weights as the result.

The promise: seeded, and resumable after every epoch: a run that was killed goes on from its last checkpoint and ends as it
would have. Word embeddings stay as they are, so that words that no training text has keep their meaning beside those
that some do, and so that their 4-bit values can be shipped without loss.
"""

from __future__ import annotations

import copy
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monitor.sentiment.training.network import Network

Target = int | tuple[float, float, float]
"""The number of a text's label, or how likely each label is: one or the other in all texts of a run."""
Encoded = tuple[list[int], Target]
"""A text's tokens, and what is to be said of it."""
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
"""Where networks learn and are asked: on a graphics processor if torch sees one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast to learn. `rate` is the greatest learning rate, reached after `warmup` of all steps."""

    epochs: int
    rate: float
    batch: int = 32
    warmup: float = 0.06
    decay: float = 0.01
    smoothing: float = 0.1
    unread: float = 0.08
    """The share of tokens whose word is blotted out, drawn anew each time; never the team's."""
    memory: float = 0.998
    """What the running mean of the weights keeps at each step (Polyak & Juditsky 1992)."""


def tune(
    network: Network,
    draw: Callable[[int, random.Random], Sequence[Encoded]],
    plan: Plan,
    checkpoint: Path,
    *,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Train `network` in place on what `draw(epoch, random)` gives for each epoch, which may differ in all but its length.

    Matrix products are in bfloat16 where DEVICE has them, weights and their updates in fp32. `checkpoint` is written
    after each epoch, and read first if it is there.
    """
    narrow = torch.bfloat16 if DEVICE.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32
    network.to(DEVICE).words.requires_grad_(False)
    working = copy.deepcopy(network).to(narrow)
    working.dense.float()
    working.out.float()
    master = [parameter for parameter in network.parameters() if parameter.requires_grad]
    copies = [parameter for parameter in working.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in master if parameter.dim() > 1], "weight_decay": plan.decay},
        {"params": [parameter for parameter in master if parameter.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.98), eps=1e-6, fused=True)
    mean = [parameter.detach().clone() for parameter in master]
    first, step = 0, 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=DEVICE, weights_only=True)
        first, step = state["epoch"] + 1, state["step"]
        for parameter, kept in zip(master, state["weights"], strict=True):
            parameter.data.copy_(kept)
        mean = state["mean"]
        optimizer.load_state_dict(state["optimizer"])
        say(f"going on after epoch {first} of {plan.epochs}")
    _copy(master, copies)
    for epoch in range(first, plan.epochs):
        torch.manual_seed(seed * 1000 + epoch)
        rng = random.Random(f"{seed} {epoch}")  # noqa: S311 (nothing secret is drawn)
        batches = _batches(draw(epoch, rng), plan.batch, rng)
        total = plan.epochs * len(batches)
        begun, losses = time.monotonic(), 0.0
        working.train()
        for batch in batches:
            done = step / total
            share = done / plan.warmup if done < plan.warmup else (1 - done) / (1 - plan.warmup)
            for group in optimizer.param_groups:
                group["lr"] = plan.rate * max(share, 0.0)
            tokens, labels = padded(batch, network.padding)
            unread = (torch.rand(tokens.shape, device=DEVICE) < plan.unread) & (tokens != network.mask)
            logits = working.read(network.words(tokens).masked_fill(unread[..., None], 0.0).to(narrow), tokens)
            loss = nn.functional.cross_entropy(logits, labels, label_smoothing=plan.smoothing)
            loss.backward()  # type: ignore[no-untyped-call]
            for parameter, given in zip(master, copies, strict=True):
                parameter.grad, given.grad = given.grad.float() if given.grad is not None else None, None
            nn.utils.clip_grad_norm_(master, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            _copy(master, copies)
            step += 1
            keep = min(plan.memory, step / (step + 10))
            torch._foreach_lerp_(mean, [parameter.detach() for parameter in master], 1 - keep)
            losses += loss.item() * len(batch)
        read = sum(map(len, batches))
        say(f"epoch {epoch + 1} of {plan.epochs}: loss {losses / read:.3f}, {read / (time.monotonic() - begun):.0f} texts/s")
        state = {
            "epoch": epoch, "step": step, "weights": [parameter.detach() for parameter in master], "mean": mean,
            "optimizer": optimizer.state_dict(),
        }  # fmt: skip
        partial = checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(checkpoint)
    _copy(mean, master)


def _copy(values: Sequence[Tensor], into: Sequence[Tensor]) -> None:
    torch._foreach_copy_([tensor.data for tensor in into], [tensor.detach() for tensor in values])


def _batches(encoded: Sequence[Encoded], size: int, rng: random.Random) -> list[list[Encoded]]:
    """Batches of texts of like length, in random order."""
    mixed = list(encoded)
    rng.shuffle(mixed)
    batches = []
    for at in range(0, len(mixed), size * 50):
        bucket = sorted(mixed[at : at + size * 50], key=lambda each: len(each[0]))
        batches += [bucket[start : start + size] for start in range(0, len(bucket), size)]
    rng.shuffle(batches)
    return batches


def padded(batch: Sequence[Encoded], padding: int) -> tuple[Tensor, Tensor]:
    """On DEVICE, the tokens [texts, longest], filled up with `padding`, and the targets [texts] or [texts, 3]."""
    length = max(len(tokens) for tokens, _ in batch)
    rows = [[*tokens, *[padding] * (length - len(tokens))] for tokens, _ in batch]
    return torch.tensor(rows, device=DEVICE), torch.tensor([target for _, target in batch], device=DEVICE)


@torch.inference_mode()
def logits(network: Network, encoded: Sequence[Encoded], batch: int = 64) -> Tensor:
    """The logits [texts, 3] of the network in fp32, in the order of `encoded`."""
    network.to(DEVICE).eval()
    order = sorted(range(len(encoded)), key=lambda number: len(encoded[number][0]))
    found = torch.zeros(len(encoded), network.out.out_features)
    for at in range(math.ceil(len(order) / batch)):
        chosen = order[at * batch : (at + 1) * batch]
        tokens, _ = padded([encoded[number] for number in chosen], network.padding)
        found[chosen] = network(tokens).cpu()
    return found


def save(weights: dict[str, Any], path: Path) -> None:
    """Write weights, as of `state_dict`, to `path`, whole or not at all."""
    partial = path.with_suffix(".partial")
    torch.save(weights, partial)
    partial.replace(path)


def average(shares: dict[Path, float], path: Path) -> None:
    """Write to `path` the mean of the weights in files, each counting by its share; the shares add up to 1."""
    loaded = [(torch.load(each, map_location="cpu", weights_only=True), share) for each, share in shares.items()]
    first = loaded[0][0]
    frozen = "words.weight"  # the same in all of them, to the last bit, which a mean might not be
    save({name: first[name] if name == frozen else sum(each[name] * share for each, share in loaded) for name in first}, path)


def load(network: Network, path: Path) -> None:
    """Read the weights that `save` wrote."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(state)
