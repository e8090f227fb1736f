"""Amazon Reviews: python data_scripts/amazon.py 2023 All_Beauty [--from FOLDER] [--k-core 5]

Releases: 2014 and 2018 (5-core review files) and 2023 (all reviews). CATEGORY is spelled as in the file
    names of the
release, e.g. Beauty (2014), All_Beauty (2018, 2023), Sports_and_Outdoors. With --from, the folder holds the
reviews file and, for text, the metadata file (its name begins with meta_).
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from gnnrec.data.dataset import Dataset
from gnnrec.data.prepare import Family, Source, add_options, guarded, prepare, recipe_of
from gnnrec.data.readers.amazon import CITATIONS, LICENSE, read_amazon
from gnnrec.errors import DataError

OLD = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
NEW = "https://mcauleylab.ucsd.edu/public_datasets/data"
ADDRESSES = {
    "2014": (f"{OLD}/reviews_{{0}}_5.json.gz", f"{OLD}/meta_{{0}}.json.gz"),
    "2018": (
        f"{NEW}/amazon_v2/categoryFilesSmall/{{0}}_5.json.gz",
        f"{NEW}/amazon_v2/metaFiles2/meta_{{0}}.json.gz",
    ),
    "2023": (
        f"{NEW}/amazon_2023/raw/review_categories/{{0}}.jsonl.gz",
        f"{NEW}/amazon_2023/raw/meta_categories/meta_{{0}}.jsonl.gz",
    ),
}


def read(folder: Path, category: str, name: str) -> Dataset:
    """Read the reviews and metadata files of a category in a folder."""
    present = [path for path in sorted(folder.iterdir()) if ".json" in path.name]
    files = [path for path in present if _is_of(path, category)]
    metadata = [path for path in files if path.name.startswith("meta_")]
    reviews = [path for path in files if path not in metadata]
    if len(reviews) != 1 or len(metadata) > 1:
        found = ", ".join(path.name for path in (files or present)[:12]) or "none"
        raise DataError(
            f"'{folder}' must hold one reviews file and at most one meta_ file of '{category}', named "
            f"{category}, {category}_5 or reviews_{category}_5 (found: {found})"
        )
    return read_amazon(reviews[0], metadata[0] if metadata else None, name)


def _is_of(path: Path, category: str) -> bool:
    """Return whether a file of reviews or metadata is that of the category; All_Beauty is not that of Beauty."""
    stem = path.name.lower().partition(".json")[0].removeprefix("meta_").removeprefix("reviews_")
    return stem in (category.lower(), f"{category.lower()}_5")


def main() -> int:
    """Run the script and return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("release", choices=ADDRESSES)
    parser.add_argument("category")
    add_options(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="  %(message)s")
    name = f"amazon-{options.release}-{options.category.lower().replace('_', '-')}"
    family = Family(
        name=name,
        read=lambda folder: read(folder, options.category, name),
        license=LICENSE,
        citation=CITATIONS[options.release],
        sources=tuple(Source(url.format(options.category)) for url in ADDRESSES[options.release]),
    )
    return guarded(lambda: prepare(family, options.given, options.out, recipe_of(options)))


if __name__ == "__main__":
    sys.exit(main())
