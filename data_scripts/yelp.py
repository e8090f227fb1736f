"""Yelp Open Dataset: python data_scripts/yelp.py --from FOLDER [--k-core 10]

The terms ask each user to accept them in person, so nothing is fetched: unpack the archive from
https://www.yelp.com/dataset and pass its folder.
"""

from __future__ import annotations

import sys

from gnnrec.data.prepare import Family, run
from gnnrec.data.readers.yelp import LICENSE, read_yelp

FAMILIES = {
    "yelp": Family(
        name="yelp",
        read=lambda folder: read_yelp(folder, friends=(folder / "yelp_academic_dataset_user.json").is_file()),
        license=LICENSE,
        citation="Yelp Open Dataset, https://www.yelp.com/dataset",
        how="accept the terms at https://www.yelp.com/dataset and unpack the archive.",
    )
}

if __name__ == "__main__":
    sys.exit(run(FAMILIES, __doc__))
