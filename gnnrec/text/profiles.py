"""Generated texts (profiles, keywords), kept in a JSONL file keyed by raw id."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gnnrec.errors import DataError
from gnnrec.text.models import read_json, split_of
from gnnrec.text.templates import to_text

log = logging.getLogger(__name__)


def load_profiles(
    path: str | Path,
    raw_ids: Sequence[Any],
    split: str | None = None,
    side: str | None = None,
    data_fingerprint: str | None = None,
) -> list[str]:
    """Return the generated text of each raw id, '' where the file has none.

    Each line is an object with `id` and `text` (a string or a list of keywords). FILE.card.json, which
    data_scripts/profiles.py writes beside it, says what the texts were made from: another `side` or data set
    is a DataError, for equal ids would mean others. So is another `split`, by its fingerprint, where they were made
    from train interactions: they would know held-out ones. Counts are logged.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise DataError(f"there is no file of generated texts at '{path}'")
    _check_card(path, split, side, data_fingerprint)
    texts = read_profiles(path)
    wanted = [str(one) for one in raw_ids]
    common = len(texts.keys() & set(wanted))
    if not common:
        raise DataError(
            f"'{path}' and the data have no id in common (the file has {', '.join(list(texts)[:3])}, ...; "
            f"the data {', '.join(wanted[:3])}, ...): it must be keyed by raw ids"
        )
    level = logging.INFO if common == len(wanted) == len(texts) else logging.WARNING
    log.log(
        level, "'%s': %d of %d ids, %d unknown ids left out", path, common, len(wanted), len(texts) - common
    )
    return [texts.get(one, "") for one in wanted]


def _check_card(path: Path, split: str | None, side: str | None, data_fingerprint: str | None) -> None:
    card = read_json(card_path(path), {})
    if not card:
        log.warning("'%s' has no card beside it: what its texts were made from is unknown", path)
    if side is not None and card.get("side", side) != side:
        raise DataError(f"'{path}' holds texts of {card['side']}s, not of {side}s: give the file of {side}s")
    made_from = card.get("data_fingerprint", data_fingerprint)
    if data_fingerprint is not None and made_from != data_fingerprint:
        raise DataError(
            f"'{path}' was written from data set '{card.get('dataset')}' ({str(made_from)[:12]}), not from this one "
            f"({data_fingerprint[:12]}): write it again for this data set"
        )
    of_split = split_of(card_path(path))
    if of_split is not None and of_split != split:
        raise DataError(
            f"'{path}' was written from the train part of split {of_split[:12]}, but the split is "
            f"{split[:12] if split else 'unknown'}: write it again for this split"
        )


def read_profiles(path: Path, allow_cut: bool = False) -> dict[str, str]:
    """Return {raw id: text} of a JSONL file; with `allow_cut` a last line that was cut is left out."""
    texts: dict[str, str] = {}
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            name, text = str(record["id"]), record["text"]
            if not isinstance(text, str | list):
                raise TypeError("'text' must be a text or a list of them")
        except (ValueError, KeyError, TypeError) as error:  # UnicodeDecodeError is a ValueError, too
            if allow_cut and number == len(lines):
                break
            raise DataError(
                f"line {number} of '{path}' is not an object with 'id' and 'text' in UTF-8 ({error})"
            ) from error
        if name in texts:
            raise DataError(f"line {number} of '{path}' repeats the id '{name}'")
        texts[name] = to_text(text)
    return texts


def card_path(path: Path) -> Path:
    """Return where the card of a file of generated texts lies."""
    return path.with_name(path.name + ".card.json")
