"""What must stand next to a number: protocol, seeds, groups with their rule and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gnnrec.errors import DataError
from gnnrec.evaluation.significance import MIN_SEEDS
from gnnrec.report.frame import FinishedRun, parse_metric

ITEM_GROUPS = ("head", "mid", "tail", "cold")


def group_note(runs: Sequence[FinishedRun], metrics: Sequence[str]) -> str:
    """Return the size and the thresholds of each group, and the rule, for the line below one block of a table.

    These are the groups of items, and those groups of users that `metrics`, the columns, name.

    Raises a DataError where the runs of the block do not all have the same groups.
    """
    for run in runs[1:]:
        _check_groups(runs[0], run)
    groups: dict[str, Any] = runs[0].result["groups"]
    named = {parse_metric(metric).group for metric in metrics}
    users = [name for name in groups if name.startswith("user_") and name in named]
    shown = [name for name in (*ITEM_GROUPS, *users) if name in groups]
    sizes = [text for name in shown if (text := _size(name, groups[name]))]
    rules = {groups[name]["definition"] for name in shown}
    if not sizes:
        return ""
    return "; ".join(sizes) + ". " + " ".join(f"{_sentence(rule)}" for rule in sorted(rules))


def _size(name: str, facts: Mapping[str, Any]) -> str:
    """Return what a group is in numbers, "" for one without members."""
    unit = "items" if "num_items" in facts else "users"
    if not facts.get(f"num_{unit}"):
        return ""
    before = f"user_q{int(name[6:]) - 1}" if name.startswith("user_q") else ""
    limits = facts["thresholds"]
    low = limits.get(f"{name}_min_count", limits.get(f"{before}_max_count"))
    ends = [("at least", low), ("at most", limits.get(f"{name}_max_count"))]
    each = " and ".join(f"{word} {end:,}" for word, end in ends if end is not None)
    return (
        f"{name} {facts[f'num_{unit}']:,} {unit} ({facts['num_interactions']:,} train interactions, "
        f"{f'{each} each, ' if each else ''}{facts['num_evaluated_users']:,} evaluated users)"
    )


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


def protocol_note(protocol: str, refitted: Mapping[str, bool]) -> str:
    """Return how the numbers were made, and the warning that a legacy protocol carries.

    Args:
        refitted: block or row -> whether its models were fitted on train + validation (`eval.refit`).
    """
    if protocol == "legacy_test_selected":
        return "Protocol legacy_test_selected: models were SELECTED ON TEST, as in the papers compared with."
    text = (
        f"Protocol {protocol}: selection on validation only, test scored once, full ranking over all items, "
        "train and validation items of the user masked."
    )
    names = [f"'{name}'" for name, refit in refitted.items() if refit]
    if not names:
        return text
    which = "" if len(names) == len(refitted) else f" of {', '.join(names)}, and no others,"
    return (
        f"{text} Models{which} were fitted on train + validation for the test (eval.refit), trained ones for the "
        "chosen number of epochs."
    )


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith(".") else f"{text}."
