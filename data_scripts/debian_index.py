"""Read the package index and the description translations of a Debian machine's apt."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import subprocess
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from gnnrec.errors import DataError

SUITE = "bookworm"
APT_HELPER = "/usr/lib/apt/apt-helper"
OPENERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"\xfd7zXZ": lzma.decompress,
    b"BZh": bz2.decompress,
}
APT_FORMATS = (b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd")  # lz4, zstd: not in the standard library

Stanza = dict[str, str]
Descriptions = dict[str, tuple[str, str]]


def run_apt(command: list[str]) -> bytes:
    """Run one of apt's programs and return its output; a missing or failing program is a DataError."""
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError as error:
        raise DataError(
            f"cannot run '{command[0]}' ({error.strerror}): this machine has no apt; "
            "give the package index with --packages FILE, as plain text, gz, xz or bz2"
        ) from error
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise DataError(f"'{command[0]}' failed: {lines[-1]}")
    return done.stdout


def read_index(path: str | Path) -> str:
    """Return the text of an index file, whatever its compression (told by its first bytes, not its name).

    gz, xz, bz2 and plain text need nothing else; lz4 and zstd go through apt's own reader. Raises DataError
    for a file that cannot be read or is cut short.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the package index '{path}': {error.strerror}") from error
    if data.startswith(APT_FORMATS):
        data = run_apt([APT_HELPER, "cat-file", str(path)])
    try:
        for magic, opener in OPENERS.items():
            if data.startswith(magic):
                data = opener(data)
                break
        return data.decode("utf-8")
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"the package index '{path}' is broken: {error}") from error


def index_targets(kind: str, options: Iterable[str] = ()) -> list[tuple[Path, str]]:
    """Return file and release version of apt's main index files; `kind` is 'Packages' or 'Translations'."""
    which = ["Architecture: amd64"] if kind == "Packages" else ["Language: en"]
    which += [f"Created-By: {kind}", f"Codename: {SUITE}", "Component: main"]
    output = run_apt(["apt-get", *options, "indextargets", "--format", "$(FILENAME)\t$(VERSION)", *which])
    rows = (line.split("\t") for line in output.decode().splitlines())
    return [(Path(file), version) for file, version in rows if Path(file).is_file()]


def parse_stanzas(text: str) -> list[Stanza]:
    """Return the stanzas of a control file; a continuation line keeps its line break and loses one space.

    Source: Debian Policy Manual, section 5.1 "Syntax of control files".
    """
    stanzas: list[Stanza] = []
    for block in re.split(r"\n[ \t]*\n", text):
        stanza: Stanza = {}
        field = None
        for line in block.split("\n"):
            if line[:1] in (" ", "\t"):
                if field is not None:
                    stanza[field] += "\n" + line[1:].rstrip()
            elif ":" in line and not line.startswith("#"):
                field, value = line.split(":", 1)
                stanza[field] = value.strip()
        if stanza:
            stanzas.append(stanza)
    return stanzas


def package_stanzas(path: str | Path) -> list[Stanza]:
    """Return the stanzas of a package index; one without any package is a DataError."""
    stanzas = [stanza for stanza in parse_stanzas(read_index(path)) if "Package" in stanza]
    if not stanzas:
        raise DataError(f"'{path}' holds no package: expected stanzas that begin with 'Package:'")
    return stanzas


def split_description(value: str) -> tuple[str, str]:
    """Return the short and the long part of a description: one line, and paragraphs each on one line.

    In the long part a line that is a single dot ends a paragraph (Debian Policy Manual, section 5.6.13).
    """
    short, _, long = value.partition("\n")
    paragraphs = re.split(r"\n\.(?=\n|$)", "\n" + long)
    return short.strip(), "\n".join(filter(None, (" ".join(part.split()) for part in paragraphs)))


def descriptions(stanzas: list[Stanza], translations: str) -> Descriptions:
    """Return (short, long) by package: the index's own where that has a long part, else the translation.

    A translation counts where package and Description-md5 agree; a package without one keeps what the
    index says.
    """
    english = {
        (stanza["Package"], stanza.get("Description-md5", "")): stanza["Description-en"]
        for stanza in parse_stanzas(translations)
        if "Description-en" in stanza and "Package" in stanza
    }
    found: Descriptions = {}
    for stanza in stanzas:
        own = stanza.get("Description", "")
        if "\n" not in own:
            own = english.get((stanza["Package"], stanza.get("Description-md5", "")), own)
        found.setdefault(stanza["Package"], split_description(own))
    return found


def fetch_translations() -> str:
    """Return the English description translations: those of this machine's apt, else freshly fetched ones.

    The fetch runs apt-get with a private state folder, from the sources that apt is set up with; the
    machine's own lists stay untouched. Raises DataError where nothing came.
    """
    present = index_targets("Translations")
    if present:
        return read_index(present[0][0])
    with TemporaryDirectory(prefix="gnnrec-apt-") as folder:
        Path(folder).chmod(0o755)  # apt's download user must be able to enter it
        state, cache = Path(folder, "lists"), Path(folder, "cache")
        for part in (state, cache):
            (part / "partial").mkdir(parents=True)
        options = [f"-oDir::State::Lists={state}", f"-oDir::Cache={cache}", "-oAcquire::Languages=en"]
        run_apt(["apt-get", *options, "update"])
        fetched = index_targets("Translations", options)
        if not fetched:
            raise DataError(
                "apt fetched no English description translations (is there a network?); "
                "give the file with --translations FILE"
            )
        return read_index(fetched[0][0])
