"""What is in a data set: python data_scripts/describe.py NAME_OR_PATH [--figures FOLDER] [--json]"""

from __future__ import annotations

import argparse
import json
import sys

from gnnrec.data.card import describe, format_facts
from gnnrec.data.dataset import load_dataset
from gnnrec.data.prepare import guarded
from gnnrec.report.data_figures import draw_figures


def show(options: argparse.Namespace) -> None:
    """Print the facts and draw the figures."""
    dataset = load_dataset(options.dataset)
    facts = describe(dataset, tuple(options.text))
    print(json.dumps(facts, indent=1, ensure_ascii=False) if options.json else format_facts(facts))
    if options.figures:
        for path in draw_figures(dataset, options.figures):
            print(path, file=sys.stderr)


def main() -> int:
    """Run the script and return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", help="a bundled name, a native folder, or a name below the data home")
    parser.add_argument("--figures", metavar="FOLDER", help="draw figures there")
    parser.add_argument(
        "--text", nargs="+", default=["text"], metavar="COLUMN", help="the text columns of the items"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    return guarded(lambda: show(options))


if __name__ == "__main__":
    sys.exit(main())
