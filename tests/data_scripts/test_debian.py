"""The data set `debian`: its rules on a small index written by hand, and the snapshot that is bundled."""

from __future__ import annotations

import bz2
import gzip
import lzma
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_scripts import debian, debian_facts, debian_index
from gnnrec.data.dataset import load_dataset
from gnnrec.errors import DataError
from gnnrec.text.controls import anonymize
from gnnrec.text.templates import render

INDEX = """\
Package: libfoo1
Source: foo (2.0-1)
Maintainer: Jane Roe <jane@example.org>
Architecture: amd64
Multi-Arch: same
Depends: libc6 (>= 2.34), libbar2:any | libbar-old, foo-data (= 2.0-1)
Provides: virtual-foo
Description: foo library
Homepage: https://www.foo.example/start
Tag: role::shared-lib, suite::TODO,
 implemented-in::c++
Section: libs
Priority: optional

# a comment line, as some tools write them
Package: foo-data
Source: foo
Maintainer: Jane Roe <jane@example.org>
Architecture: all
Pre-Depends: dpkg
Enhances: libqux0
Description: foo data
 Files that go
 with foo.
 .
   * one list
 They never change.
Section: contrib/libs
Priority: optional

Package: libbar2
Source: bar
Maintainer: Debian  Bar Team <team+bar@tracker.example>
Architecture: amd64
Depends: libc6 [amd64], virtual-foo | libfoo1
Recommends: dpkg,libfoo1
Suggests: libqux0 | dpkg
Description: bar library
Description-md5: 11
Section: libs
Priority: optional

Package: libqux0
Source: qux
Maintainer: Debian OpenQux <team+openqux@tracker.debian.org>
Architecture: amd64
Depends: libc6, dpkg,
 libbar2 (>> 1)
Description: qux library
Description-md5: 12
Section: libs
Priority: optional

Package: libc6
Source: glibc
Maintainer: GNU Libc Maintainers <glibc@lists.example>
Architecture: amd64
Suggests: not-in-this-index
Description: C library
Section: libs
Priority: required

Package: dpkg
Maintainer: Dpkg Developers <dpkg@lists.example>
Architecture: amd64
Pre-Depends: libc6, libc6 (>= 2.15)
Description: package tool
Section: admin
Priority: required
"""

PAIRS = {
    ("foo", "libc6"),
    ("foo", "libbar2"),
    ("foo", "dpkg"),
    ("bar", "libc6"),
    ("bar", "dpkg"),
    ("bar", "libfoo1"),
    ("bar", "libqux0"),
    ("qux", "libc6"),
    ("qux", "dpkg"),
    ("qux", "libbar2"),
    ("dpkg", "libc6"),
}

TRANSLATION = """\
Package: libbar2
Description-md5: 11
Description-en: bar library
 Opens every bar.

Package: libqux0
Description-md5: of another version
Description-en: old qux library
 Long gone.
"""


@pytest.fixture(scope="module")
def stanzas() -> list[debian_index.Stanza]:
    return debian_index.parse_stanzas(INDEX)


def test_pairs_follow_every_rule(stanzas: list[debian_index.Stanza]) -> None:
    assert debian.dependency_pairs(stanzas) == PAIRS


def test_pairs_and_facts_do_not_depend_on_the_order_of_the_index(stanzas: list[debian_index.Stanza]) -> None:
    one, other = debian.build(stanzas, core=2), debian.build(stanzas[::-1], core=2)
    assert one.fingerprint() == other.fingerprint()
    assert one.card == other.card


def test_core_of_the_excerpt(stanzas: list[debian_index.Stanza]) -> None:
    dataset = debian.build(stanzas, core=2)
    rows = dataset.interactions
    names = {
        (dataset.users["user_id"][user], dataset.items["item_id"][item])
        for user, item in zip(rows.user, rows.item)
    }
    assert names == {(u, i) for u, i in PAIRS if u != "dpkg" and i in {"libc6", "dpkg", "libbar2"}}
    assert dataset.card["num_interactions"] == len(rows) == 8
    assert dataset.card["density"] == pytest.approx(8 / 9, abs=1e-6)
    assert dataset.card["fingerprint"] == rows.fingerprint()


@given(st.sets(st.tuples(st.sampled_from("abcdef"), st.sampled_from("uvwxyz"))), st.integers(1, 4))
def test_core_equals_dropping_one_pair_owner_at_a_time(pairs: set[tuple[str, str]], k: int) -> None:
    left = set(pairs)
    while True:
        names = [(side, pair[side]) for pair in sorted(left) for side in (0, 1)]
        poor = next((name for name in names if names.count(name) < k), None)
        if poor is None:
            break
        left = {pair for pair in left if pair[poor[0]] != poor[1]}
    assert debian.k_core(pairs, k) == left


def test_an_index_without_a_core_is_told_apart(stanzas: list[debian_index.Stanza]) -> None:
    with pytest.raises(DataError, match=r"keeps 5 dependencies \(6 packages read\)"):
        debian.build(stanzas)


def test_gini_and_share_against_their_definitions() -> None:
    rng = np.random.default_rng(0)
    stanzas = debian_index.parse_stanzas(_random_index(rng))
    rows = debian.build(stanzas, core=2).interactions
    counts = np.sort(rows.item_counts())
    gini = np.abs(counts[:, None] - counts[None, :]).mean() / (2 * counts.mean())
    figures = debian.figures(rows)
    assert figures["gini_items"] == pytest.approx(gini, abs=1e-4)
    top = counts[::-1][: len(counts) // 5].sum() / counts.sum()
    assert figures["share_of_top_20_percent_items"] == pytest.approx(top, abs=1e-4)


def _random_index(rng: np.random.Generator) -> str:
    popularity = np.arange(1, 31) ** -1.0
    popularity /= popularity.sum()
    lines = []
    for place in range(30):
        chosen = rng.choice(30, size=8, replace=False, p=popularity)
        lines.append(f"Package: p{place}\nDepends: " + ", ".join(f"p{other}" for other in chosen))
    return "\n\n".join(lines)


def test_facts_of_an_item(stanzas: list[debian_index.Stanza]) -> None:
    table = debian_facts.item_facts(["foo-data", "libfoo1", "libqux0"], stanzas)
    assert table.loc[1].to_dict() == {
        "item_id": "libfoo1",
        "source": "foo",
        "source_words": "foo",
        "section": "libs",
        "tags": "role shared lib, implemented in c++",
        "team": "",
        "homepage_domain": "foo.example",
        "siblings": "foo-data",
        "architecture": "amd64",
        "priority": "optional",
        "multi_arch": "same",
    }
    assert table["section"].tolist() == ["libs"] * 3
    assert table["team"].tolist() == ["", "", "openqux"]


def test_facts_of_a_user_gather_its_binaries(stanzas: list[debian_index.Stanza]) -> None:
    foo, bar = debian_facts.user_facts(["foo", "bar"], stanzas).to_dict("records")
    assert foo["binaries"] == "foo-data libfoo1"
    assert foo["tags"] == "implemented in c++, role shared lib"
    assert foo["homepage_domain"] == "foo.example"
    assert bar["team"] == "Debian Bar Team"


def test_facts_know_nothing_of_the_interactions(stanzas: list[debian_index.Stanza]) -> None:
    names, sources = ["libfoo1", "libbar2", "libc6", "dpkg"], ["foo", "bar", "qux", "dpkg"]
    bare = [{key: value for key, value in s.items() if key not in debian.RELATIONS} for s in stanzas]
    assert debian.dependency_pairs(bare) == set()
    assert debian_facts.item_facts(names, stanzas).equals(debian_facts.item_facts(names, bare))
    assert debian_facts.user_facts(sources, stanzas).equals(debian_facts.user_facts(sources, bare))


@pytest.mark.parametrize(
    ("maintainer", "team"),
    [
        ("Jane Roe <jane@example.org>", ""),
        ("Jane Roe <jane@packages.debian.org>", ""),
        ("Debian Games Team <games@lists.example>", "Debian Games Team"),
        ('"Natural Languages" <team+nlp@tracker.debian.org>', "nlp"),
        ("Jane Roe <some-list@lists.debian.org>", "some-list"),
        ("", ""),
    ],
)
def test_teams_are_named_and_persons_are_not(maintainer: str, team: str) -> None:
    assert debian_facts.team_of(maintainer) == team


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("libglib2.0-dev", "lib glib 2.0 dev"),
        ("python3-numpy", "python 3 numpy"),
        ("libc6", "libc 6"),
        ("liblz4-1", "lib lz 4 1"),
        ("g++", "g"),
        ("libreoffice-core", "libreoffice core"),
        ("r-cran-ps", "r cran ps"),
    ],
)
def test_words_of_a_name(name: str, words: str) -> None:
    assert debian_facts.words_of(name) == words


@pytest.mark.parametrize(
    "homepage",
    ["", "not a url", "http://[broken", "mailto:a@b.example"],
    ids=["none", "words", "ipv6", "mail"],
)
def test_a_homepage_without_a_host_has_no_domain(homepage: str) -> None:
    assert debian_facts.domain_of(homepage) == ""


def test_descriptions_take_the_translation_of_the_same_version_only(
    stanzas: list[debian_index.Stanza],
) -> None:
    found = debian_index.descriptions(stanzas, TRANSLATION)
    assert found["libbar2"] == ("bar library", "Opens every bar.")
    assert found["libqux0"] == ("qux library", "")
    assert found["foo-data"] == ("foo data", "Files that go with foo.\n* one list They never change.")


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, lzma.compress, bz2.compress], ids=["plain", "gz", "xz", "bz2"]
)
def test_index_files_are_read_whatever_their_name_says(tmp_path: Path, pack) -> None:
    file = tmp_path / "Packages.whatever"
    file.write_bytes(pack(INDEX.encode()))
    assert debian_index.package_stanzas(file) == debian_index.parse_stanzas(INDEX)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress], ids=["gz", "xz", "bz2"])
def test_an_index_cut_short_is_an_error_that_names_the_file(tmp_path: Path, pack) -> None:
    file = tmp_path / "Packages"
    file.write_bytes(pack(INDEX.encode())[:-20])
    with pytest.raises(DataError, match="Packages' is broken"):
        debian_index.read_index(file)


def test_an_index_that_is_none_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="cannot read the package index"):
        debian_index.read_index(tmp_path / "absent")
    (tmp_path / "letter").write_text("Dear reader:\n nothing here\n")
    with pytest.raises(DataError, match="holds no package"):
        debian_index.package_stanzas(tmp_path / "letter")
    (tmp_path / "lz4").write_bytes(b"\x04\x22\x4d\x18rest")
    monkeypatch.setattr(debian_index, "APT_HELPER", str(tmp_path / "no-helper"))
    with pytest.raises(DataError, match="this machine has no apt; give the package index with --packages"):
        debian_index.read_index(tmp_path / "lz4")


def test_the_command_writes_both_data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("GNNREC_DATA", str(tmp_path / "home"))
    monkeypatch.setattr(debian, "CORE", 2)
    monkeypatch.setattr(debian.build, "__defaults__", ("", 2))
    (tmp_path / "Packages.gz").write_bytes(gzip.compress(INDEX.encode()))
    (tmp_path / "Translation-en").write_text(TRANSLATION)
    command = ["--packages", str(tmp_path / "Packages.gz"), "--output", str(tmp_path / "out")]
    full = ["--descriptions", "--translations", str(tmp_path / "Translation-en")]
    assert debian.main([*command, *full]) == 0
    files = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    assert debian.main(command) == 0
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == files
    facts, described = load_dataset(tmp_path / "out"), load_dataset("debian-full")
    assert facts.fingerprint() == debian.build(debian_index.parse_stanzas(INDEX)).fingerprint()
    assert facts.interactions.fingerprint() == described.interactions.fingerprint()
    text = render(described.items, described.card["text"]["item"])
    assert text[described.items["item_id"].tolist().index("libbar2")].endswith("bar library. Opens every bar")
    assert capsys.readouterr().out.startswith("debian: 3 users, 3 items, 8 pairs")


def test_a_user_error_is_one_line_and_status_2(tmp_path: Path, monkeypatch, capsys) -> None:
    assert debian.main(["--packages", str(tmp_path / "absent")]) == 2
    monkeypatch.setenv("PATH", str(tmp_path))
    assert debian.main(["--output", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("error: cannot read the package index")
    assert "this machine has no apt" in lines[1]
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit) as stop:
        debian.main(["--translations", "x"])
    assert stop.value.code == 2


def test_the_snapshot_is_what_its_card_says() -> None:
    dataset = load_dataset("debian")
    rows, card = dataset.interactions, dataset.card
    assert (dataset.num_users, dataset.num_items, len(rows)) == (11426, 4205, 126648)
    assert {key: card[key] for key in debian.figures(rows)} == debian.figures(rows)
    assert card["share_of_top_20_percent_items"] == pytest.approx(0.74, abs=0.005)
    assert rows.user_counts().min() >= debian.CORE
    assert rows.item_counts().min() >= debian.CORE
    assert card["text_coverage"] == {
        "item": debian.coverage(dataset.items),
        "user": debian.coverage(dataset.users),
    }


def test_the_snapshot_holds_names_and_no_addresses_or_sentences() -> None:
    dataset = load_dataset("debian")
    folder = Path(debian.__file__).parents[1] / "gnnrec" / "data" / "debian"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 3_000_000
    for table in (dataset.users, dataset.items):
        assert not table.columns.str.contains("description").any()
        assert not any(table[name].str.contains("@").any() for name in table.columns)
        assert table.iloc[:, 0].is_monotonic_increasing
    known = {name for name in debian_facts.item_facts([], []).columns}
    assert known <= set(dataset.items.columns)
    assert all(a < b for a, b in pairwise(dataset.items["item_id"]))


def test_the_text_of_the_snapshot_names_the_package_first() -> None:
    dataset = load_dataset("debian")
    texts = render(dataset.items, dataset.card["text"]["item"])
    assert len(set(texts)) == dataset.num_items
    assert all(text.startswith("package: ") for text in texts)
    hidden = anonymize(texts, dataset.items[dataset.card["text"]["item_name"]].tolist())
    assert all(text.startswith("package: item") for text in hidden)
    users = render(dataset.users, dataset.card["text"]["user"])
    assert all(text.startswith("source package: ") for text in users)
