"""The vocabulary: the pieces that are kept of the base's 250,002, and the rows of the embedding that go with them.

The promise: a piece that is dropped is one that the texts here hardly use, and dropping what a text does not use leaves its
segmentation as it was. `pieces.txt` holds the kept list, one number of the base's vocabulary per line, in order.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

KEPT = Path(__file__).with_name("pieces.txt")
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def kept() -> list[int]:
    """The numbers of the kept pieces in the base's vocabulary, ascending; the mask's is the last."""
    return [int(line) for line in KEPT.read_text("utf-8").split()]


def trim(path: Path, rows: list[int]) -> dict[str, Any]:
    """The base's tokenizer.json at `path` with the pieces `rows` only, numbered anew in that order."""
    tokenizer: dict[str, Any] = json.loads(path.read_text("utf-8"))
    pieces = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = [pieces[row] for row in rows]
    numbers = {pieces[row][0]: number for number, row in enumerate(rows)}
    tokenizer["model"]["unk_id"] = numbers["<unk>"]
    for token in tokenizer["added_tokens"]:
        token["id"] = numbers[token["content"]]
    for sign in tokenizer["post_processor"].get("special_tokens", {}).values():
        sign["ids"] = [numbers[token] for token in sign["tokens"]]
    tokenizer["padding"] = tokenizer["truncation"] = None
    return tokenizer


def choose(path: Path, names: list[str], *, words: dict[str, int]) -> list[int]:
    """The pieces to keep of the tokenizer at `path`: how `pieces.txt` was made, with the package wordfreq.

    Kept are the special signs; single Latin, Han, symbol and mark characters; pieces of symbols only; Han pieces; ASCII pieces
    of up to three characters; and what `names` and the `words[language]` most frequent words of each language use, plain,
    capitalised, in capitals, after an apostrophe, and before a full stop.
    """
    from tokenizers import Tokenizer
    from wordfreq import top_n_list

    tokenizer = Tokenizer.from_file(str(path))
    pieces = [piece for piece, _ in json.loads(path.read_text("utf-8"))["model"]["vocab"]]
    used = {number for number, piece in enumerate(pieces) if piece in SPECIAL or _plain(piece.removeprefix("▁"))}
    texts = [form for name in names for form in (name, name.lower(), name.upper(), f"l'{name}", f"({name})")]
    for language, count in words.items():
        for word in top_n_list(language, count):
            capital = word[:1].upper() + word[1:]
            texts += [word, capital, word.upper(), f"l'{word}", f"d’{word}", f"{word}.", f"#{capital}", capital.replace("Ss", "ß")]
    for encoded in tokenizer.encode_batch(texts, add_special_tokens=False):
        used.update(encoded.ids)
    return sorted(used)


def _plain(piece: str) -> bool:
    if not piece or (piece.isascii() and len(piece) <= 3) or not any(character.isalnum() for character in piece):
        return True
    if all("\u3400" <= character <= "\u9fff" for character in piece):
        return True
    return len(piece) == 1 and ord(piece) < 0x250
