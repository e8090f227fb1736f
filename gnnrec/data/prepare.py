"""What every script of data_scripts does: get files, read them, apply a recipe, write a native folder."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gnnrec.data.card import describe, format_facts
from gnnrec.data.dataset import BUNDLED, Dataset
from gnnrec.data.download import download, fetch_checksum, unpack
from gnnrec.data.native import write_native
from gnnrec.data.recipe import apply_recipe
from gnnrec.errors import DataError, GnnrecError
from gnnrec.files import cache_home, data_home, sha256_file

_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2")


@dataclass(frozen=True)
class Source:
    """One file to fetch, and where the origin publishes its checksum, if it does."""

    url: str
    md5_url: str | None = None


@dataclass(frozen=True)
class Family:
    """How one release becomes a data set.

    Args:
        name: name of the native folder.
        read: reads the folder that holds the files, archives unpacked.
        license, citation: shown before anything is fetched.
        sources: what to fetch; empty where the terms forbid it or it needs an account.
        how: for a release without sources: where a person gets the files.
    """

    name: str
    read: Callable[[Path], Dataset]
    license: str
    citation: str
    sources: tuple[Source, ...] = field(default=())
    how: str = ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all scripts share."""
    parser.add_argument(
        "--from", dest="given", metavar="PATH", help="a folder or archive with the files you have"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="where to write (default: the data home, see docs/data.md)"
    )
    parser.add_argument("--min-rating", type=float, metavar="R", help="keep ratings of at least R")
    parser.add_argument("--deduplicate", choices=("first", "last", "count"), help="keep each pair once")
    parser.add_argument("--k-core", type=int, metavar="K", help="keep the K-core")
    parser.add_argument(
        "--recipe", metavar="JSON", help="a list of steps, for anything else (see docs/data.md)"
    )


def recipe_of(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the recipe that the options spell, in the order: rating, repeats, core, then --recipe."""
    steps: list[dict[str, Any]] = []
    if options.min_rating is not None:
        steps.append({"step": "min_rating", "at_least": options.min_rating})
    if options.deduplicate:
        steps.append({"step": "deduplicate", "keep": options.deduplicate})
    if options.k_core is not None:
        steps.append({"step": "k_core", "k": options.k_core})
    if options.recipe:
        try:
            more = json.loads(options.recipe)
        except json.JSONDecodeError as error:
            raise DataError(f"--recipe is not JSON: {error}") from error
        if not isinstance(more, list) or not all(isinstance(step, dict) for step in more):
            raise DataError('--recipe must be a list of objects, e.g. \'[{"step": "k_core", "k": 10}]\'')
        steps.extend(more)
    return steps


def prepare(
    family: Family,
    given: str | Path | None = None,
    out: str | Path | None = None,
    recipe: Sequence[dict] = (),
    beside: Sequence[Path] = (),
) -> Path:
    """Make the native folder of a release from fetched files, or from those in `given`, and return it.

    Nothing is written before everything was read. The card holds all facts and the SHA-256 of every source
    file, also of those that `read` takes from elsewhere: `beside`.
    """
    target = Path(out) if out is not None else data_home() / _free_name(family.name)
    print(f"{family.name}\n  licence:  {family.license}\n  citation: {family.citation}")
    with tempfile.TemporaryDirectory(prefix="gnnrec-") as scratch:
        files = _given_files(Path(given)) if given is not None else _fetched_files(family)
        folder = _as_folder(files, Path(scratch))
        dataset = family.read(folder)
        if recipe:
            dataset = apply_recipe(dataset, recipe)
        card = {**dataset.card, "license": family.license, "citation": family.citation, "name": family.name}
        card["files"] = _checksums([*files, *beside])
        dataset = replace(dataset, name=family.name, card=card)
        facts = describe(dataset)
        write_native(replace(dataset, card={**card, "facts": facts}), target)
    print(format_facts(facts))
    print(f"written to {target}")
    return target


def _free_name(name: str) -> str:
    """Return a name of a folder in the data home, or raise a DataError where it could not be found there by it."""
    if name in BUNDLED:
        raise DataError(
            f"'{name}' is a bundled data set, which would be read in its place: choose another name"
        )
    if name in ("", ".", "..") or Path(name).name != name:
        raise DataError(
            f"'{name}' is no name of a folder in the data home: choose one without '/', or give --out"
        )
    return name


def _checksums(files: list[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file by its name, or by its path where several have that name."""
    names = [path.name for path in files]
    return {path.name if names.count(path.name) == 1 else str(path): sha256_file(path) for path in files}


def _given_files(path: Path) -> list[Path]:
    if not path.exists():
        raise DataError(f"there is nothing at '{path}'")
    files = [path] if path.is_file() else sorted(entry for entry in path.iterdir() if entry.is_file())
    if not files:
        raise DataError(f"the folder '{path}' holds no files")
    return files


def _fetched_files(family: Family) -> list[Path]:
    if not family.sources:
        raise DataError(f"'{family.name}' cannot be fetched by a script: {family.how} Then pass --from PATH.")
    cache = cache_home() / "downloads" / family.name
    files = []
    for source in family.sources:
        path = cache / source.url.rsplit("/", 1)[-1]
        checksum = fetch_checksum(source.md5_url) if source.md5_url and not path.is_file() else None
        files.append(download(source.url, path, checksum))
    return files


def _as_folder(files: list[Path], scratch: Path) -> Path:
    """Return a folder with the files, archives unpacked; if an archive holds one folder, that folder.

    A file beside the archives takes the place of one of the same name in them: it is their unpacked copy. Several
    archives may each hold a part, but not the same file nor, without a file beside them, a folder each.
    """
    archives = [path for path in files if path.name.lower().endswith(_ARCHIVES)]
    if not archives:
        return files[0].parent
    for path in archives:
        unpack(path, scratch / "unpacked")
    for path in files:
        if path not in archives:
            _link(path, scratch / "unpacked" / path.name)
    return _inner_folder(scratch / "unpacked", ", ".join(f"'{path.name}'" for path in archives))


def _link(path: Path, link: Path) -> None:
    if link.is_dir():
        raise DataError(
            f"'{path}' lies beside an archive that holds a folder '{path.name}': take the archive alone"
        )
    link.unlink(missing_ok=True)
    link.symlink_to(path.resolve())


def _inner_folder(folder: Path, archives: str) -> Path:
    """Return the first folder, from `folder` inwards, that holds files; on the way there may be only one."""
    while True:
        entries = sorted(entry for entry in folder.iterdir() if entry.name != "__MACOSX")
        if any(entry.is_file() for entry in entries):
            return folder
        if not entries:
            raise DataError(f"there is no file in {archives}")
        if len(entries) > 1:
            names = ", ".join(f"'{entry.name}'" for entry in entries)
            raise DataError(
                f"a data set is read from one folder, and there are {len(entries)} in {archives} ({names}): give "
                "one archive alone, or unpack it and give one of its folders"
            )
        folder = entries[0]


def run(families: dict[str, Family], description: str | None, argv: Sequence[str] | None = None) -> int:
    """Run a script over its releases and return the exit status; errors are one line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if len(families) > 1:
        parser.add_argument("release", choices=families)
    add_options(parser)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="  %(message)s")
    family = families[options.release] if len(families) > 1 else next(iter(families.values()))
    return guarded(lambda: prepare(family, options.given, options.out, recipe_of(options)))


def guarded(work: Callable[[], Any]) -> int:
    """Run `work` and return 0, or print its error as one line and return 2; 130 after Ctrl-C."""
    try:
        work()
    except GnnrecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: no half-written data set is left", file=sys.stderr)
        return 130
    return 0
