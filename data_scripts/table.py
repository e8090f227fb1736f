"""Your own data: python data_scripts/table.py NAME ratings.csv --user userId --item movieId [...]

Also reads RecBole atomic files (--format recbole FOLDER) and LightGCN lists (--format lightgcn FOLDER), without
the options of tables. Of several RecBole data sets in a folder, NAME says which.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from gnnrec.data.dataset import Dataset
from gnnrec.data.prepare import Family, add_options, guarded, prepare, recipe_of
from gnnrec.data.readers.lightgcn import read_lightgcn
from gnnrec.data.readers.recbole import names_of_files, read_recbole
from gnnrec.data.readers.tabular import read_tabular
from gnnrec.errors import ConfigError

OF_TABLES = (
    *("user", "item", "rating", "timestamp", "items", "item_id", "text", "text_from", "users", "user_id"),
    *("separator", "encoding"),
)


def read(options: argparse.Namespace) -> Dataset:
    """Read the data set in the form that the options name."""
    if options.format == "recbole":
        named = options.name in names_of_files(options.path)
        return read_recbole(options.path, options.name if named else None)
    if options.format == "lightgcn":
        return read_lightgcn(options.path, options.name)
    return read_tabular(
        options.path,
        user=options.user,
        item=options.item,
        rating=options.rating,
        timestamp=options.timestamp,
        items=options.items,
        item_id=options.item_id or options.item,
        text=options.text,
        users=options.users,
        user_id=options.user_id or options.user,
        separator=options.separator,
        encoding=options.encoding,
        name=options.name,
        text_from=options.text_from,
    )


def refuse_unused(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Raise a ConfigError for an option that would have no effect."""
    if options.given:
        raise ConfigError("--from: this script reads the PATH given after NAME, leave it out")
    if options.format == "table":
        return
    given = [name for name in OF_TABLES if getattr(options, name) != parser.get_default(name)]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(
            f"{names}: only tables have such options, leave them out with --format {options.format}"
        )


def convert(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Write the native folder that the options ask for."""
    refuse_unused(options, parser)
    family = Family(options.name, lambda folder: read(options), options.license, options.citation)
    beside = [Path(path) for path in (options.items, options.users) if path]
    prepare(family, Path(options.path), options.out, recipe_of(options), beside)


def main() -> int:
    """Run the script and return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="name of the data set")
    parser.add_argument("path", help="a .csv, .tsv or .parquet file, or a folder with --format")
    parser.add_argument("--format", choices=("table", "recbole", "lightgcn"), default="table")
    parser.add_argument("--user", default="user", metavar="COLUMN")
    parser.add_argument("--item", default="item", metavar="COLUMN")
    parser.add_argument("--rating", metavar="COLUMN")
    parser.add_argument("--timestamp", metavar="COLUMN")
    parser.add_argument("--items", metavar="FILE", help="a table of items")
    parser.add_argument("--item-id", metavar="COLUMN", help="its id column (default: as --item)")
    parser.add_argument("--text", nargs="+", metavar="COLUMN", help="its columns that make the text")
    parser.add_argument(
        "--text-from", default="item metadata", help="what the text was made from, for the card"
    )
    parser.add_argument("--users", metavar="FILE", help="a table of users")
    parser.add_argument("--user-id", metavar="COLUMN", help="its id column (default: as --user)")
    parser.add_argument("--separator", help="default: by suffix")
    parser.add_argument("--encoding", default="utf-8")
    parser.add_argument("--license", default="not stated")
    parser.add_argument("--citation", default="not stated")
    add_options(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="  %(message)s")
    return guarded(lambda: convert(options, parser))


if __name__ == "__main__":
    sys.exit(main())
