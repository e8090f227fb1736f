"""Build the data set `debian` from the package index of a Debian machine.

Users are source packages. Items are the binary packages that a user's binaries name in Depends, Pre-Depends,
Recommends or Suggests: the first alternative only, without virtual packages and without the source's own
packages. Users and items with fewer than five pairs are dropped until none is left (5-core).

    python data_scripts/debian.py                             # to the data home, from this machine's index
    python data_scripts/debian.py --output gnnrec/data/debian # the snapshot that the package carries
    python data_scripts/debian.py --packages Packages.xz      # from a file: plain, gz, xz, bz2 (lz4, zst with apt)
    python data_scripts/debian.py --descriptions              # also `debian-full`, with English descriptions

Columns are facts of the index alone; dependency fields go into the pairs and nowhere else.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import lzma
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from gnnrec.errors import ConfigError, DataError, GnnrecError
from gnnrec.files import data_home

SUITE = "bookworm"
CORE = 5
RELATIONS = ("Depends", "Pre-Depends", "Recommends", "Suggests")
APT_HELPER = "/usr/lib/apt/apt-helper"
OPENERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"\xfd7zXZ": lzma.decompress,
    b"BZh": bz2.decompress,
}
APT_FORMATS = (b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd")  # lz4, zstd: not in the standard library
TEAM_WORDS = re.compile(
    r"\b(team|group|maintainers?|packagers?|developers?|project|force|packaging|maintenance|tools)\b", re.I
)
LIST_ADDRESS = re.compile(r"<(?:team\+)?([^@<>]+)@(?:lists\.|alioth-lists\.|tracker\.debian\.org)", re.I)

Stanza = dict[str, str]


def run_apt(command: list[str]) -> bytes:
    """Run one of apt's programs and return its output; a missing or failing program is a DataError."""
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError as error:
        raise DataError(
            f"cannot run '{command[0]}': {error.strerror}; give the index with --packages FILE"
        ) from error
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise DataError(f"'{command[0]}' failed: {lines[-1]}")
    return done.stdout


def read_index(path: str | Path) -> str:
    """Return the text of an index file, whatever its compression (told by its first bytes, not its name)."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the package index '{path}': {error.strerror}") from error
    try:
        if data.startswith(APT_FORMATS):
            data = run_apt([APT_HELPER, "cat-file", str(path)])
        for magic, opener in OPENERS.items():
            if data.startswith(magic):
                data = opener(data)
                break
        return data.decode("utf-8")
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise DataError(f"the package index '{path}' is broken: {error}") from error


def index_files(kind: str, options: Iterable[str] = ()) -> list[Path]:
    """Return the files of the main index of this machine's apt, `kind` as in 'Created-By' of its targets."""
    command = ["apt-get", *options, "indextargets", "--format", "$(FILENAME)", f"Created-By: {kind}"]
    command += [f"Codename: {SUITE}", "Component: main"]
    command += ["Architecture: amd64"] if kind == "Packages" else ["Language: en"]
    return [Path(line) for line in run_apt(command).decode().splitlines()]


def parse_stanzas(text: str) -> list[Stanza]:
    """Return the stanzas of a deb822 file; continuation lines keep their line break and lose one space.

    Source: deb822(5), https://manpages.debian.org/deb822.
    """
    stanzas: list[Stanza] = []
    for block in re.split(r"\n\s*\n", text):
        stanza: Stanza = {}
        field = None
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                if field is not None:
                    stanza[field] += "\n" + line[1:].rstrip()
            elif ":" in line:
                field, value = line.split(":", 1)
                stanza[field] = value.strip()
        if stanza:
            stanzas.append(stanza)
    return stanzas


def source_of(stanza: Stanza) -> str:
    """Return the source package of a binary: 'Source' without its version, else the binary's own name."""
    return stanza.get("Source", stanza["Package"]).split()[0]


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


def team_of(maintainer: str) -> str:
    """Return the name of a maintaining team or mailing list, or '' where the maintainer is a person."""
    name = maintainer.split("<")[0].strip(' "')
    if TEAM_WORDS.search(name):
        return name
    listed = LIST_ADDRESS.search(maintainer)
    return listed.group(1) if listed else ""


def words_of(name: str) -> str:
    """Return a package name cut into words at separators and between a library's prefix and its name.

    >>> words_of("libglib2.0-dev")
    'lib glib 2.0 dev'
    """
    parts = []
    for part in re.split(r"[-_+]+", name):
        part = re.sub(r"^lib(?=[a-z]{2})", "lib ", part)
        parts.append(re.sub(r"(?<=[a-z]{2})(?=[0-9])", " ", part))
    return " ".join(" ".join(parts).split())


def tags_of(stanza: Stanza) -> list[str]:
    """Return the debtags of a stanza, readable: 'implemented-in::c++' is 'implemented in c++'."""
    tags = stanza.get("Tag", "").replace("\n", " ").split(",")
    return [re.sub(r"::|-", " ", tag.strip()) for tag in tags if tag.strip()]


def domain_of(homepage: str) -> str:
    """Return the host of a homepage without 'www.', or ''."""
    try:
        host = urlsplit(homepage).hostname or ""
    except ValueError:
        return ""
    return host.removeprefix("www.")


def common(values: Iterable[str]) -> str:
    """Return the most frequent non-empty value, the first in alphabetic order among equals, or ''."""
    counts = Counter(value for value in values if value)
    return min(counts, key=lambda value: (-counts[value], value)) if counts else ""


def item_facts(names: list[str], stanzas: list[Stanza]) -> pd.DataFrame:
    """Return one row of facts per binary package, in the order of `names`."""
    by_name = {stanza["Package"]: stanza for stanza in reversed(stanzas)}
    siblings = defaultdict(set)
    for stanza in stanzas:
        siblings[source_of(stanza)].add(stanza["Package"])
    rows = []
    for name in names:
        stanza = by_name[name]
        rows.append(
            {
                "item_id": name,
                "words": words_of(name),
                "source": source_of(stanza),
                "section": stanza.get("Section", "").split("/")[-1],
                "tags": ", ".join(tags_of(stanza)),
                "team": team_of(stanza.get("Maintainer", "")),
                "homepage_domain": domain_of(stanza.get("Homepage", "")),
                "siblings": " ".join(sorted(siblings[source_of(stanza)] - {name})[:8]),
                "architecture": stanza.get("Architecture", ""),
                "priority": stanza.get("Priority", ""),
                "multi_arch": stanza.get("Multi-Arch", ""),
            }
        )
    return pd.DataFrame(rows)


def user_facts(names: list[str], stanzas: list[Stanza]) -> pd.DataFrame:
    """Return one row of facts per source package, gathered over its binaries, in the order of `names`."""
    binaries = defaultdict(list)
    for stanza in stanzas:
        binaries[source_of(stanza)].append(stanza)
    rows = []
    for name in names:
        own = binaries[name]
        rows.append(
            {
                "user_id": name,
                "words": words_of(name),
                "section": common(stanza.get("Section", "").split("/")[-1] for stanza in own),
                "tags": ", ".join(sorted({tag for stanza in own for tag in tags_of(stanza)})),
                "team": common(team_of(stanza.get("Maintainer", "")) for stanza in own),
                "homepage_domain": common(domain_of(stanza.get("Homepage", "")) for stanza in own),
                "binaries": " ".join(sorted({stanza["Package"] for stanza in own})[:8]),
            }
        )
    return pd.DataFrame(rows)
