"""Steam reviews and games: steam_reviews.json and steam_games.json, streamed.

W.-C. Kang and J. McAuley, Self-Attentive Sequential Recommendation, ICDM 2018,
https://arxiv.org/abs/1808.09781
"""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np
import pandas as pd

from gnnrec.data.build import IdCollector, build_dataset
from gnnrec.data.dataset import Dataset
from gnnrec.data.files import field_of, find_file, find_optional, id_of, number_of, read_json_lines
from gnnrec.data.readers.yelp import seconds


def read_steam(folder: str | Path, name: str = "steam") -> Dataset:
    """Return reviews as interactions (hours played in `context.hours`), games as items; users are user names.

    The files hold Python literals, one a line: they are parsed, not executed. Text is title, developer,
    genres and tags of the game; reviews are never text. Repeated reviews are kept. Lines of games without an id
    (some of the published file) and repeated ones (the first counts) are left out and counted in the card's notes.
    """
    folder = Path(folder)
    path = find_file(folder, "steam_reviews.json", "steam_new.json")
    users, items = IdCollector(), IdCollector()
    times, hours = array("q"), array("f")
    for number, record in read_json_lines(path):
        users.add(id_of(record, ("username", "user_id"), path, number))
        items.add(id_of(record, ("product_id", "item_id"), path, number))
        times.append(seconds(str(field_of(record, ("date",), path, number)), path, number))
        hours.append(number_of(record, ("hours",), path, number) if record.get("hours") else 0.0)
    notes: dict[str, int] = {}
    return build_dataset(
        name,
        users.ids(),
        items.ids(),
        source=str(path),
        timestamp=np.frombuffer(times, dtype=np.int64) if times else None,
        context=pd.DataFrame({"hours": np.frombuffer(hours, dtype=np.float32)}) if hours else None,
        items=_read_games(folder, notes),
        card={
            "license": "UCSD recommender data: research use with citation",
            "citation": "Kang and McAuley, Self-Attentive Sequential Recommendation, ICDM 2018",
            "source": path.name,
            "text_from": "game metadata: title, developer, genres, tags",
            "notes": notes,
        },
    )


def _read_games(folder: Path, notes: dict[str, int]) -> pd.DataFrame | None:
    path = find_optional(folder, "steam_games.json")
    if path is None:
        return None
    rows = {}
    for _, record in read_json_lines(path):
        key = record.get("id")
        if key in (None, "") or str(key) in rows:
            note = "num_games_without_an_id" if key in (None, "") else "num_repeated_games"
            notes[note] = notes.get(note, 0) + 1
            continue
        title = str(record.get("app_name") or record.get("title") or "")
        genres, tags = (", ".join(map(str, record.get(field) or [])) for field in ("genres", "tags"))
        developer = str(record.get("developer") or "")
        text = ". ".join(part for part in (title, developer, genres, tags) if part)
        rows[str(key)] = (str(key), title, developer, genres, tags, text)
    return pd.DataFrame(
        list(rows.values()), columns=["item_id", "title", "developer", "categories", "tags", "text"]
    )
