"""The same texts about other teams: every name exchanged, to see how far a verdict hangs on the name.

Pure, and the same at every run: what a text becomes depends on the text, the teams and the seed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from monitor.config import Team
from monitor.evaluate.rows import Named, Row, Span

_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")

Forms = Mapping[str, Sequence[str]]
"""The names that a team goes by, by the team (`Named.team`)."""


def forms(teams: Sequence[Team], rows: Iterable[tuple[Row, Sequence[Named]]]) -> dict[str, list[str]]:
    """The names of every team: its aliases in config.yaml that need no words around them, else those that the rows give it."""
    known = {team.id: [alias.text for alias in team.aliases if not alias.needs] or [team.name] for team in teams}
    given: dict[str, set[str]] = {}
    for row, found in rows:
        for named in found:
            if named.target is not None and named.team not in known:
                given.setdefault(named.team, set()).update(row.targets[named.target].names)
    return known | {team: sorted(names) for team, names in sorted(given.items())}


def exchanged(text: str, found: Sequence[Named], names: Forms, seed: str) -> tuple[str, list[Named]] | None:
    """The text with each mention replaced by a name of another team, one team for another, and where the names then stand.

    The other teams are drawn from those that the text does not name; where there are too few the teams of the text take
    each other's names. None when the text names no team, or there is no other. A name in Chinese letters is
    replaced by such a one where the new team has any, and a name in other letters by one in other letters.
    """
    draw = random.Random(seed)  # noqa: S311 (nothing here is secret)
    present = [named.team for named in found]
    others = [team for team in names if team not in present]
    if len(others) >= len(present):
        new = draw.sample(others, len(present))
    elif len(set(present)) == len(present) > 1:
        new = [*present[1:], present[0]]
    else:
        return None
    if not present:
        return None
    written: dict[tuple[int, str], str] = {}
    parts: list[str] = []
    spans: list[list[Span]] = [[] for _ in found]
    at = length = 0
    for start, end, index in sorted((*span, index) for index, named in enumerate(found) for span in named.spans):
        old = text[start:end]
        name = written.setdefault((index, old), _draw(names[new[index]], old, draw))
        parts += [text[at:start], name]
        length += start - at
        spans[index].append((length, length + len(name)))
        length += len(name)
        at = end
    parts.append(text[at:])
    return "".join(parts), [replace(named, team=team, spans=tuple(places)) for named, team, places in zip(found, new, spans, strict=True)]


def _draw(names: Sequence[str], old: str, draw: random.Random) -> str:
    alike = [name for name in names if bool(_HAN.search(name)) == bool(_HAN.search(old))]
    return draw.choice(alike or names)
