"""MovieLens: python data_scripts/movielens.py ml-1m [--from PATH] [--min-rating 4] [--k-core 10]

Releases: ml-100k, ml-1m, ml-10m, ml-20m, ml-25m, ml-32m, ml-latest-small, ml-latest. The files come from
    GroupLens and
are checked against the MD5 that GroupLens publishes beside them.
"""

from __future__ import annotations

import sys

from gnnrec.data.prepare import Family, Source, run
from gnnrec.data.readers.movielens import CITATION, LICENSE, read_movielens

BASE = "https://files.grouplens.org/datasets/movielens"
RELEASES = ("ml-100k", "ml-1m", "ml-10m", "ml-20m", "ml-25m", "ml-32m", "ml-latest-small", "ml-latest")
FAMILIES = {
    name: Family(
        name=name,
        read=lambda folder, name=name: read_movielens(folder, name),
        license=LICENSE,
        citation=CITATION,
        sources=(Source(f"{BASE}/{name}.zip", None if "latest" in name else f"{BASE}/{name}.zip.md5"),),
    )
    for name in RELEASES
}

if __name__ == "__main__":
    sys.exit(run(FAMILIES, __doc__))
