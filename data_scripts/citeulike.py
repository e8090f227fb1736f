"""CiteULike: python data_scripts/citeulike.py citeulike-a|citeulike-t [--from FOLDER]"""

from __future__ import annotations

import sys

from gnnrec.data.prepare import Family, Source, run
from gnnrec.data.readers.citeulike import read_citeulike

BASE = "https://raw.githubusercontent.com/js05212"
FILES = {
    "citeulike-a": ("users.dat", "citations.dat", "item-tag.dat", "tags.dat", "raw-data.csv"),
    "citeulike-t": ("users.dat", "citations.dat", "tag-item.dat", "tags.dat", "rawtext.dat"),
}
FAMILIES = {
    name: Family(
        name=name,
        read=lambda folder, name=name: read_citeulike(folder, name),
        license="research use, no licence file",
        citation="Wang, Chen and Li, Collaborative Topic Regression with Social Regularization, IJCAI 2013",
        sources=tuple(Source(f"{BASE}/{name}/master/{file}") for file in files),
    )
    for name, files in FILES.items()
}

if __name__ == "__main__":
    sys.exit(run(FAMILIES, __doc__))
