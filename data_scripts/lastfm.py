"""Last.FM of HetRec 2011: python data_scripts/lastfm.py [--from PATH] [--k-core 5]"""

from __future__ import annotations

import sys

from gnnrec.data.prepare import Family, Source, run
from gnnrec.data.readers.lastfm import read_lastfm

FAMILIES = {
    "lastfm-hetrec": Family(
        name="lastfm-hetrec",
        read=read_lastfm,
        license="HetRec 2011: non-commercial research",
        citation="Cantador, Brusilovsky and Kuflik, HetRec 2011; Last.fm, https://www.last.fm",
        sources=(Source("https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip"),),
    )
}

if __name__ == "__main__":
    sys.exit(run(FAMILIES, __doc__))
