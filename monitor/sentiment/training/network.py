"""The network: a BERT encoder and a head that reads a passage twice, as a whole and at the team's mentions.

The promise: plain tensor operations, so that what is trained is what is exported. The passage's mean says what is going
on, the mean over the masked mentions says what of it meets this team; without a mention both are the passage's.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from monitor.sentiment.onnx import LABELS


class Layer(nn.Module):
    """One encoder layer: attention and feed-forward, each with a residual and a layer norm after it."""

    def __init__(self, hidden: int, heads: int, intermediate: int, epsilon: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(hidden, hidden) for _ in range(3))
        self.attended = nn.Linear(hidden, hidden)
        self.attended_norm = nn.LayerNorm(hidden, epsilon)
        self.wide = nn.Linear(hidden, intermediate)
        self.narrow = nn.Linear(intermediate, hidden)
        self.norm = nn.LayerNorm(hidden, epsilon)

    def forward(self, states: Tensor, hidden_keys: Tensor, dropout: float) -> Tensor:
        """`states` [texts, tokens, hidden]; `hidden_keys` [texts, 1, 1, tokens] is -inf (or very low) where there is padding."""
        texts, tokens, hidden = states.shape
        shape = (texts, tokens, self.heads, hidden // self.heads)
        query, key, value = (part(states).view(shape).transpose(1, 2) for part in (self.query, self.key, self.value))
        weights = query @ key.transpose(2, 3) / math.sqrt(hidden // self.heads) + hidden_keys
        mixed = (weights.softmax(-1) @ value).transpose(1, 2).reshape(texts, tokens, hidden)
        states = self.attended_norm(states + _dropped(self.attended(mixed), dropout, self.training))
        changed = self.narrow(nn.functional.gelu(self.wide(states)))
        normed: Tensor = self.norm(states + _dropped(changed, dropout, self.training))
        return normed


def _dropped(states: Tensor, share: float, training: bool) -> Tensor:
    """Dropout with one mask per text for all its tokens (Gal & Ghahramani 2016): as good here, and far cheaper to draw."""
    if not training or not share:
        return states
    kept = torch.rand(states.shape[0], 1, states.shape[2], device=states.device) >= share
    return states * (kept / (1 - share)).to(states.dtype)


class Network(nn.Module):
    """Token numbers in, three logits per text out, in the order of LABELS.

    `config` is that of `base.read`; `mask` the number of the token that stands for the team's mentions.
    """

    def __init__(self, config: dict[str, Any], mask: int, dropout: float = 0.1) -> None:
        super().__init__()
        hidden = config["hidden_size"]
        sizes = (hidden, config["num_attention_heads"], config["intermediate_size"], config["layer_norm_eps"])
        self.mask, self.padding, self.dropout = mask, config["pad_token_id"], dropout
        self.words = nn.Embedding(config["vocab_size"], hidden)
        self.positions = nn.Embedding(config["max_position_embeddings"], hidden)
        self.types = nn.Embedding(config["type_vocab_size"], hidden)
        self.embedded_norm = nn.LayerNorm(hidden, config["layer_norm_eps"])
        self.layers = nn.ModuleList(Layer(*sizes) for _ in range(config["num_hidden_layers"]))
        self.dense = nn.Linear(2 * hidden, hidden)
        self.out = nn.Linear(hidden, len(LABELS))
        for linear in (self.dense, self.out):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [texts, 3] of `tokens` [texts, tokens], padded with the padding token at the end."""
        return self.read(self.words(tokens), tokens)

    def read(self, words: Tensor, tokens: Tensor) -> Tensor:
        """As `forward`, from the word embeddings on."""
        real = (tokens != self.padding).to(words.dtype)
        places = torch.arange(tokens.shape[1], device=tokens.device)
        states = self.embedded_norm(words + self.positions(places) + self.types(torch.zeros_like(places)))
        hidden_keys = (1.0 - real)[:, None, None, :] * -1e4
        for layer in self.layers:
            states = layer(states, hidden_keys, self.dropout)
        named = (tokens == self.mask).to(words.dtype)
        named = torch.where(named.sum(1, keepdim=True) > 0, named, real)
        pooled = torch.cat([_mean(states, real), _mean(states, named)], 1).to(self.dense.weight.dtype)
        pooled = nn.functional.dropout(pooled, 0.1, self.training)
        logits: Tensor = self.out(nn.functional.dropout(torch.tanh(self.dense(pooled)), 0.1, self.training))
        return logits


def _mean(states: Tensor, weights: Tensor) -> Tensor:
    return (states * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)


_LAYER = {
    "attention.self.query": "query", "attention.self.key": "key", "attention.self.value": "value", "attention.output.dense": "attended",
    "attention.output.LayerNorm": "attended_norm", "intermediate.dense": "wide", "output.dense": "narrow", "output.LayerNorm": "norm",
}  # fmt: skip
_EMBEDDINGS = {
    "word_embeddings": "words", "position_embeddings": "positions", "token_type_embeddings": "types", "LayerNorm": "embedded_norm",
}  # fmt: skip


def named(weights: dict[str, Any]) -> dict[str, Tensor]:
    """The weights of `base.read`, under the names that they have here."""
    found = {}
    for name, values in weights.items():
        path, _, kind = name.rpartition(".")
        if path.startswith("embeddings."):
            path = _EMBEDDINGS[path.removeprefix("embeddings.")]
        else:
            _, _, layer, part = path.split(".", 3)
            path = f"layers.{layer}.{_LAYER[part]}"
        found[f"{path}.{kind}"] = torch.tensor(values)
    return found
