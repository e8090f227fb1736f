"""MIND: python data_scripts/mind.py --from MINDsmall_train.zip [--out FOLDER] [--k-core 5]

Microsoft asks each user to accept its licence, so nothing is fetched: see https://msnews.github.io, then
pass the archive or its folder.
"""

from __future__ import annotations

import sys

from gnnrec.data.prepare import Family, run
from gnnrec.data.readers.mind import read_mind

FAMILIES = {
    "mind": Family(
        name="mind",
        read=lambda folder: read_mind(folder, "mind"),
        license="Microsoft Research License: non-commercial research",
        citation="Wu et al., MIND: A Large-scale Dataset for News Recommendation, ACL 2020",
        how="accept the licence at https://msnews.github.io and fetch the archive.",
    )
}

if __name__ == "__main__":
    sys.exit(run(FAMILIES, __doc__))
