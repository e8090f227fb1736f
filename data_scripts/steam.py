"""Steam: python data_scripts/steam.py [--from FOLDER] [--deduplicate last] [--k-core 5]"""

from __future__ import annotations

import sys

from gnnrec.data.prepare import Family, Source, run
from gnnrec.data.readers.steam import read_steam

BASE = "http://cseweb.ucsd.edu/~wckang"
FAMILIES = {
    "steam": Family(
        name="steam",
        read=read_steam,
        license="UCSD recommender data: research use with citation",
        citation="Kang and McAuley, Self-Attentive Sequential Recommendation, ICDM 2018",
        sources=(Source(f"{BASE}/steam_reviews.json.gz"), Source(f"{BASE}/steam_games.json.gz")),
    )
}

if __name__ == "__main__":
    sys.exit(run(FAMILIES, __doc__))
