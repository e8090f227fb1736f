"""Build the data set `debian` from the package index of a Debian machine.

Users are source packages. Items are the binary packages that a user's binaries name in Depends, Pre-Depends,
Recommends or Suggests: the first alternative only, without virtual packages and without the source's own
packages. Users and items with fewer than five pairs are dropped until none is left (5-core).

    python data_scripts/debian.py                             # to the data home, from this machine's index
    python data_scripts/debian.py --output gnnrec/data/debian # the snapshot that the package carries
    python data_scripts/debian.py --packages Packages.xz      # from a file: plain, gz, xz, bz2
    python data_scripts/debian.py --descriptions              # also `debian-full`, with English descriptions

Columns are facts of the index alone; dependency fields go into the pairs and nowhere else.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import pandas as pd

from data_scripts.debian_facts import item_facts, source_of, user_facts
from data_scripts.debian_index import (
    SUITE,
    Descriptions,
    Stanza,
    descriptions,
    fetch_translations,
    index_targets,
    package_stanzas,
    read_index,
)
from gnnrec.data.dataset import Dataset
from gnnrec.data.interactions import Interactions
from gnnrec.data.native import write_native
from gnnrec.errors import DataError, GnnrecError
from gnnrec.files import data_home

CORE = 5
RELATIONS = ("Depends", "Pre-Depends", "Recommends", "Suggests")
FACTS = [["section", "section"], ["tags", "tags"], ["team", "team"], ["homepage", "homepage_domain"]]
ITEM_TEXT = [["package", "item_id"], *FACTS, ["source", "source_words"]]
USER_TEXT = [["source package", "source_words"], *FACTS]
NAMES = {"item_name": "item_id", "user_name": "source_words"}  # what text.control=anonymized takes away
DESCRIPTION = [["", "short_description"], ["", "description"]]


def first_names(relation: str) -> list[str]:
    """Return the names of a relation field: of each comma-separated group the first alternative, bare.

    >>> first_names("libc6 (>= 2.34), fonts-dejavu-core | ttf-dejavu, python3:any [amd64]")
    ['libc6', 'fonts-dejavu-core', 'python3']
    """
    names = (re.split(r"[\s(\[<:|]", group.strip(), maxsplit=1)[0] for group in relation.split(","))
    return [name for name in names if name]


def dependency_pairs(stanzas: list[Stanza]) -> set[tuple[str, str]]:
    """Return the (source, binary) pairs of an index before any core filter."""
    source = {stanza["Package"]: source_of(stanza) for stanza in stanzas}
    pairs = set()
    for stanza in stanzas:
        own = source_of(stanza)
        for field in RELATIONS:
            for name in first_names(stanza.get(field, "")):
                if name in source and source[name] != own:
                    pairs.add((own, name))
    return pairs


def k_core(pairs: set[tuple[str, str]], k: int) -> set[tuple[str, str]]:
    """Return the largest subset of pairs in which every user and every item has at least `k` pairs."""
    while True:
        users = Counter(user for user, _ in pairs)
        items = Counter(item for _, item in pairs)
        kept = {(user, item) for user, item in pairs if users[user] >= k and items[item] >= k}
        if len(kept) == len(pairs):
            return kept
        pairs = kept


def build(stanzas: list[Stanza], release: str = "", core: int = CORE) -> Dataset:
    """Return the data set of an index: ids in the order of names, facts as columns, figures in the card.

    Raises DataError where the core is empty.
    """
    pairs = sorted(k_core(dependency_pairs(stanzas), core))
    if not pairs:
        raise DataError(
            f"no package of this index keeps {core} dependencies ({len(stanzas)} packages read): "
            "is this a whole index?"
        )
    users = {name: row for row, name in enumerate(sorted({user for user, _ in pairs}))}
    items = {name: row for row, name in enumerate(sorted({item for _, item in pairs}))}
    interactions = Interactions(
        user=np.array([users[user] for user, _ in pairs], dtype=np.int32),
        item=np.array([items[item] for _, item in pairs], dtype=np.int32),
        num_users=len(users),
        num_items=len(items),
    )
    item_table, user_table = item_facts(list(items), stanzas), user_facts(list(users), stanzas)
    card = {
        "title": "Debian packages: which source package needs which binary package",
        "licence": "facts of the package index of Debian, which states no licence of its own",
        "citation": f"The Debian Project, Debian {SUITE}, package index of main/amd64",
        "source": f"package index of Debian {SUITE}, main/amd64",
        "steps": [
            "user: source package; item: binary package of the same index (no virtual package)",
            f"pair: a binary of the user names the item in {', '.join(RELATIONS)} as first alternative",
            "the user's own binaries are left out",
            f"{core}-core: users and items with fewer than {core} pairs dropped until none is left",
        ],
        "text": {"item": ITEM_TEXT, "user": USER_TEXT, **NAMES},
        "text_from": "facts of each package's own index entry, without its dependencies",
        "text_coverage": {"item": coverage(item_table), "user": coverage(user_table)},
        **figures(interactions),
    }
    if release:
        card["release"] = release
    return Dataset("debian", interactions, user_table, item_table, card)


def figures(interactions: Interactions) -> dict[str, Any]:
    """Return counts, density, Gini of the item counts, share of the top fifth of items, and fingerprint."""
    counts = np.sort(interactions.item_counts())
    total, num = int(counts.sum()), len(counts)
    gini = float((2 * np.arange(1, num + 1) - num - 1) @ counts / (num * total))
    return {
        "num_users": interactions.num_users,
        "num_items": num,
        "num_interactions": total,
        "density": round(total / (interactions.num_users * num), 6),
        "gini_items": round(gini, 4),
        "share_of_top_20_percent_items": round(float(counts[num - num // 5 :].sum() / total), 4),
        "fingerprint": interactions.fingerprint(),
    }


def coverage(table: pd.DataFrame) -> dict[str, float]:
    """Return for every column but the id the share of rows in which it is not empty."""
    return {str(name): round(float(np.mean(table[name].to_numpy() != "")), 4) for name in table.columns[1:]}


def with_descriptions(dataset: Dataset, stanzas: list[Stanza], found: Descriptions) -> Dataset:
    """Return `debian-full`: the same pairs and facts, with the English description of items and users.

    A source package speaks through its binary of the same name, else through its first binary by name.
    """
    binaries = defaultdict(list)
    for stanza in stanzas:
        binaries[source_of(stanza)].append(stanza["Package"])
    users, items = dataset.users.copy(), dataset.items.copy()
    speakers = [name if name in binaries[name] else min(binaries[name]) for name in users["user_id"]]
    for table, names in ((users, speakers), (items, list(items["item_id"]))):
        table["short_description"] = [found[name][0] for name in names]
        table["description"] = [found[name][1] for name in names]
    card = {
        **dataset.card,
        "title": f"{dataset.card['title']}, with descriptions",
        "licence": "descriptions are under the licences of their packages: not for passing on",
        "text": {
            "item": [*ITEM_TEXT[:1], *DESCRIPTION],
            "user": [*USER_TEXT[:1], *DESCRIPTION],
            **NAMES,
        },
        "text_from": "facts and description of each package's own index entry, without its dependencies",
        "text_coverage": {"item": coverage(items), "user": coverage(users)},
    }
    return Dataset("debian-full", dataset.interactions, users, items, card)


def main(arguments: list[str] | None = None) -> int:
    """Build the data set, and `debian-full` on demand; return the exit status."""
    parser = argparse.ArgumentParser(
        description="Build the data set `debian` from the package index of this machine or from a file."
    )
    parser.add_argument("--packages", metavar="FILE", help="a Packages file: plain, gz, xz, bz2, lz4, zst")
    parser.add_argument("--output", metavar="FOLDER", help="where `debian` goes (default: data home/debian)")
    parser.add_argument(
        "--descriptions",
        action="store_true",
        help="also write `debian-full` to the data home, with descriptions",
    )
    parser.add_argument(
        "--translations", metavar="FILE", help="a Translation-en file (default: apt fetches it)"
    )
    options = parser.parse_args(arguments)
    if options.translations and not options.descriptions:
        parser.error("--translations is of use with --descriptions only")
    try:
        run(options)
    except GnnrecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(options: argparse.Namespace) -> None:
    """Read the index, write the data sets and print where they are."""
    path, release = Path(options.packages or ""), ""
    if not options.packages:
        targets = index_targets("Packages")
        if not targets:
            raise DataError(
                f"apt on this machine has no index of Debian {SUITE} main/amd64: run `apt-get update`, "
                "or give a file with --packages FILE"
            )
        path, release = targets[0]
    stanzas = package_stanzas(path)
    dataset = build(stanzas, release)
    report(dataset, write_native(dataset, options.output or data_home() / "debian"))
    if options.descriptions:
        translations = read_index(options.translations) if options.translations else fetch_translations()
        full = with_descriptions(dataset, stanzas, descriptions(stanzas, translations))
        report(full, write_native(full, data_home() / full.name))


def report(dataset: Dataset, folder: Path) -> None:
    """Print one line on a data set that was written."""
    rows = len(dataset.interactions)
    print(f"{dataset.name}: {dataset.num_users} users, {dataset.num_items} items, {rows} pairs -> {folder}")


if __name__ == "__main__":
    sys.exit(main())
