"""Gowalla check-ins of SNAP: python data_scripts/gowalla.py [--from FOLDER] [--k-core 10]"""

from __future__ import annotations

import sys

from gnnrec.data.prepare import Family, Source, run
from gnnrec.data.readers.gowalla import read_gowalla

BASE = "https://snap.stanford.edu/data"
FAMILIES = {
    "gowalla-snap": Family(
        name="gowalla-snap",
        read=read_gowalla,
        license="SNAP: research use with citation",
        citation="Cho, Myers and Leskovec, Friendship and Mobility, KDD 2011",
        sources=(
            Source(f"{BASE}/loc-gowalla_totalCheckins.txt.gz"),
            Source(f"{BASE}/loc-gowalla_edges.txt.gz"),
        ),
    )
}

if __name__ == "__main__":
    sys.exit(run(FAMILIES, __doc__))
