"""What is in a data set: python data_scripts/describe.py NAME_OR_PATH [--split NAME] [--figures FOLDER] [--json]"""

from __future__ import annotations

import argparse
import json
import sys

from gnnrec.data.card import describe, format_facts
from gnnrec.data.dataset import load_dataset
from gnnrec.data.held_out import held_out_facts
from gnnrec.data.prepare import guarded
from gnnrec.data.splits import make_split
from gnnrec.report.data_figures import draw_figures


def show(options: argparse.Namespace) -> None:
    """Print the facts and draw the figures."""
    dataset = load_dataset(options.dataset)
    facts = describe(dataset, options.text)
    if options.split:
        facts["held_out"] = held_out_facts(make_split(dataset, options.split, options.seed))
    print(json.dumps(facts, indent=1, ensure_ascii=False) if options.json else format_facts(facts))
    if options.figures:
        for path in draw_figures(dataset, options.figures, facts["text"]["columns"]):
            print(path, file=sys.stderr)


def main() -> int:
    """Run the script and return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", help="a bundled name, a native folder, or a name below the data home")
    parser.add_argument("--figures", metavar="FOLDER", help="draw figures there")
    parser.add_argument(
        "--text",
        nargs="+",
        metavar="COLUMN",
        help="the text columns of the items (default: text, else those of the card's template)",
    )
    parser.add_argument("--split", metavar="NAME", help="compare the validation and test pairs of this split")
    parser.add_argument("--seed", type=int, default=0, help="of the split (0)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    return guarded(lambda: show(options))


if __name__ == "__main__":
    sys.exit(main())
