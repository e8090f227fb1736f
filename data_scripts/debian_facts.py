"""What the package index says about one package: the columns of the data set `debian`.

Only a package's own entry is read, and of it never a dependency field: those are the interactions.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from urllib.parse import urlsplit

import pandas as pd

from data_scripts.debian_index import Stanza

SHOWN_NAMES = 8
TEAM_WORDS = re.compile(
    r"\b(team|group|maintainers?|packagers?|developers?|project|force|packaging|maintenance|tools)\b", re.I
)
LIST_ADDRESS = re.compile(r"<(?:team\+)?([^@<>]+)@(?:lists|alioth-lists|tracker)\.", re.I)


def source_of(stanza: Stanza) -> str:
    """Return the source package of a binary: 'Source' without its version, else the binary's own name."""
    return stanza.get("Source", stanza["Package"]).split()[0]


def team_of(maintainer: str) -> str:
    """Return the name of a maintaining team or mailing list, or '' where the maintainer is a person."""
    name = " ".join(maintainer.split("<")[0].strip(' "').split())
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
        part = re.sub(r"^lib(?=[a-z]{2})(?!reoffice)", "lib ", part)
        parts.append(re.sub(r"(?<=[a-z]{2})(?=[0-9])", " ", part))
    return " ".join(" ".join(parts).split())


def tags_of(stanza: Stanza) -> list[str]:
    """Return the debtags of a stanza, readable: 'implemented-in::c++' is 'implemented in c++'."""
    tags = stanza.get("Tag", "").replace("\n", " ").split(",")
    return [re.sub(r"::|-", " ", tag.strip()) for tag in tags if tag.strip() and "::TODO" not in tag]


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
                "source": source_of(stanza),
                "source_words": words_of(source_of(stanza)),
                "section": stanza.get("Section", "").split("/")[-1],
                "tags": ", ".join(tags_of(stanza)),
                "team": team_of(stanza.get("Maintainer", "")),
                "homepage_domain": domain_of(stanza.get("Homepage", "")),
                "siblings": " ".join(sorted(siblings[source_of(stanza)] - {name})[:SHOWN_NAMES]),
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
                "source_words": words_of(name),
                "section": common(stanza.get("Section", "").split("/")[-1] for stanza in own),
                "tags": ", ".join(sorted({tag for stanza in own for tag in tags_of(stanza)})),
                "team": common(team_of(stanza.get("Maintainer", "")) for stanza in own),
                "homepage_domain": common(domain_of(stanza.get("Homepage", "")) for stanza in own),
                "binaries": " ".join(sorted({stanza["Package"] for stanza in own})[:SHOWN_NAMES]),
            }
        )
    return pd.DataFrame(rows)
