"""What must stand next to a number: protocol, seeds, groups with their rule and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gnnrec.errors import DataError
from gnnrec.evaluation.significance import MIN_SEEDS
from gnnrec.report.frame import FinishedRun

ITEM_GROUPS = ("head", "mid", "tail", "cold")


def group_note(runs: Sequence[FinishedRun]) -> str:
    """Return one sentence per group of items, and the rule, for the line below one block of a table.

    Raises a DataError where the runs of the block do not all have the same groups.
    """
    for run in runs[1:]:
        _check_groups(runs[0], run)
    groups: dict[str, Any] = runs[0].result["groups"]
    counts = []
    for name in ITEM_GROUPS:
        facts = groups.get(name)
        if facts and facts.get("num_items"):
            counts.append(
                f"{name} {facts['num_items']:,} items ({facts['num_interactions']:,} train interactions, "
                f"{facts['num_evaluated_users']:,} evaluated users)"
            )
    rules = {groups[name]["definition"] for name in ITEM_GROUPS if name in groups}
    return "; ".join(counts) + ". " + " ".join(f"{_sentence(rule)}" for rule in sorted(rules))


def _check_groups(first: FinishedRun, other: FinishedRun) -> None:
    one, two = _group_facts(first), _group_facts(other)
    for name in dict.fromkeys([*one, *two]):
        if one.get(name) != two.get(name):
            raise DataError(
                f"'{other.path}' has another group '{name}' ({two.get(name)}) than '{first.path}' ({one.get(name)}): "
                "evaluate both with one item_rule, head, tail, num_user_groups and refit"
            )


def _group_facts(run: FinishedRun) -> dict[str, dict[str, Any]]:
    """Return what makes each group: rule, thresholds and size."""
    kept = ("definition", "thresholds", "num_items", "num_users")
    groups = run.result["groups"].items()
    return {name: {key: facts[key] for key in kept if key in facts} for name, facts in groups}


def seeds_note(seeds: Sequence[int]) -> str:
    """Return what may be concluded from this number of seeds."""
    if len(seeds) == 1:
        return f"One seed ({seeds[0]}): no claim rests on it."
    numbers = ", ".join(map(str, seeds))
    if len(seeds) < MIN_SEEDS:
        few = f"too few for a claim ({MIN_SEEDS} are needed)"
        return f"Mean ± standard deviation over {len(seeds)} seeds ({numbers}): {few}."
    return f"Mean ± standard deviation over {len(seeds)} seeds ({numbers})."


def protocol_note(protocol: str) -> str:
    """Return how the numbers were made, and the warning that a legacy protocol carries."""
    if protocol == "legacy_test_selected":
        return "Protocol legacy_test_selected: models were SELECTED ON TEST, as in the papers compared with."
    return (
        f"Protocol {protocol}: selection on validation only, test scored once, full ranking over all items, "
        "train and validation items of the user masked."
    )


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith(".") else f"{text}."
