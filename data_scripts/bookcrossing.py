"""Book-Crossing: python data_scripts/bookcrossing.py [--from PATH] [--min-rating 1] [--k-core 5]

Ratings of 0 are implicit; --min-rating 1 leaves the explicit ones. The authors' server is often away: then
use --from with a copy (BX-CSV-Dump.zip, or Books.csv, Ratings.csv and Users.csv).
"""

from __future__ import annotations

import sys

from gnnrec.data.prepare import Family, Source, run
from gnnrec.data.readers.bookcrossing import read_bookcrossing

FAMILIES = {
    "book-crossing": Family(
        name="book-crossing",
        read=read_bookcrossing,
        license="freely available for research with acknowledgement of the authors",
        citation="Ziegler et al., Improving Recommendation Lists Through Topic Diversification, WWW 2005",
        sources=(Source("http://www2.informatik.uni-freiburg.de/~cziegler/BX/BX-CSV-Dump.zip"),),
    )
}

if __name__ == "__main__":
    sys.exit(run(FAMILIES, __doc__))
