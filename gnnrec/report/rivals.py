"""Any run directories side by side: one row per model over its seeds, and every pair of models tested."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gnnrec.baselines.fusion import reads_a_run
from gnnrec.errors import DataError, suggest
from gnnrec.evaluation.direction import best_value
from gnnrec.evaluation.significance import MIN_SEEDS, benjamini_hochberg, compare, holm, pairwise_p_values
from gnnrec.report.captions import group_note, protocol_note
from gnnrec.report.compare import best_row, mean_over_seeds
from gnnrec.report.frame import FinishedRun, flatten, metrics_frame
from gnnrec.report.tables import Block, Column, Table, summarise

BLOCK = "models"
# Settings that do not make another model: those that `RunConfig.key` leaves out, and which file another tool's results
# of one seed came in (experiments/evaluate.py).
_NO_MODEL = ("seed", "tracking", "device", "train.checkpoint_seconds", "text.device", "text.batch_tokens")
_NO_MODEL += ("model.external", "model.sha256")
_LONGEST_LABEL = 60
Models = Mapping[str, Sequence[FinishedRun]]


def by_model(runs: Sequence[FinishedRun]) -> dict[str, list[FinishedRun]]:
    """Return label -> the runs of one model, one per seed: runs whose configurations differ in the seed alone.

    The label is `model.name`; where several models share it, the settings in which they differ are added, or a number
    where these are long.

    Models come by name and settings, runs by seed, whatever the order of the folders.

    Errors: DataError for runs of different data, split, protocol or eval.refit, for one seed twice, and for models that
        no label tells apart.
    """
    if not runs:
        raise DataError("no finished run to compare (expected run directories that hold a file DONE)")
    for run in runs[1:]:
        for what, first, other in (
            ("data", _fingerprint(runs[0], "data"), _fingerprint(run, "data")),
            ("split", _fingerprint(runs[0], "split"), _fingerprint(run, "split")),
            ("protocol", runs[0].result["protocol"], run.result["protocol"]),
            ("eval.refit", runs[0].result["refit"], run.result["refit"]),
        ):
            if first != other:
                raise DataError(f"'{run.path}' has another {what} than '{runs[0].path}': choose runs of one")
    settings: dict[str, dict[str, Any]] = {}
    models: dict[str, list[FinishedRun]] = {}
    for run in sorted(runs, key=_place):
        config = model_settings(run)
        key = json.dumps(config, sort_keys=True)
        settings[key] = flatten(config)
        if any(other.config["seed"] == run.config["seed"] for other in models.get(key, [])):
            raise DataError(f"'{run.path}' is a second run of its model with seed {run.config['seed']}")
        models.setdefault(key, []).append(run)
    labelled: dict[str, list[FinishedRun]] = {}
    for key, found in models.items():
        label = _label(settings[key], list(settings.values()))
        if label in labelled:
            raise DataError(
                f"'{labelled[label][0].path}' and '{found[0].path}' are different models with one label '{label}': "
                "make one of them with another name (model.name=NAME, --name of evaluate.py)"
            )
        labelled[label] = found
    return labelled


def legend(models: Models) -> str:
    """Return a line for each model whose label does not say it: name and settings in which those of its name differ."""
    settings = {label: flatten(model_settings(runs[0])) for label, runs in models.items()}
    full = {label: _full_label(setting, list(settings.values())) for label, setting in settings.items()}
    return "\n".join(f"- {label}: {text}" for label, text in full.items() if label != text)


def model_settings(run: FinishedRun) -> dict[str, Any]:
    """Return the part of a run's configuration that makes its model: without seed, tracking, device and files.

    Left out are also what nothing in the run read, as in `RunConfig.key`, and settings that are None or {}, as in the
    configurations of runs made before there was such a setting.
    """
    unread = _unread(run)
    return _making_a_model({name: value for name, value in run.config.items() if name not in unread})


def _unread(run: FinishedRun) -> set[str]:
    """Return the sections of a run's configuration that its model did not read."""
    baseline = run.config["model"].get("baseline") is not None
    unread = {"train", "init"} if baseline else set()
    # Users' texts may be read alone; a manifest that does not tell is another tool's.
    of_users = not baseline and "text" in str((run.config.get("init") or {}).get("users"))
    if run.manifest["fingerprints"].get("text", "") is None and not of_users:
        unread.add("text")
    return unread


def _making_a_model(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    kept = {}
    for name, value in tree.items():
        if prefix + name not in _NO_MODEL:
            kept[name] = _making_a_model(value, f"{prefix}{name}.") if isinstance(value, Mapping) else value
    return {name: value for name, value in kept.items() if value is not None and value != {}}


def _place(run: FinishedRun) -> tuple[str, str, int]:
    settings = json.dumps(model_settings(run), sort_keys=True)
    return str(run.config["model"]["name"]), settings, int(run.config["seed"])


def comparison_table(models: Models, metrics: Sequence[str], name: str = "compare") -> Table:
    """Return mean and deviation over seeds by model; each row is tested against the best of its column.

    Users are averaged over seeds, then a paired t-test over users; Holm-corrected over all pairs of rows of a column,
    since which row is the best was seen on the same values. Metrics that are one number for all users, or of which no
    value is the best, have no test.

    Errors: DataError for an unknown metric, and for runs with different groups.
    """
    rows = [(label, run) for label, runs in models.items() for run in runs]
    labels = [{"block": BLOCK, "row": label, "seed": run.config["seed"]} for label, run in rows]
    cells = summarise(metrics_frame([run for _, run in rows], labels))
    p_values: dict[tuple[str, str, str], float] = {}
    for metric in metrics:
        values = {
            label: mean_over_seeds(runs, metric) for label, runs in models.items() if _has(runs, metric)
        }
        if not values:  # one number for all users, as coverage
            _check_known(metric, [run for _, run in rows])
            continue
        best = best_row(values, metric)
        for (one, other), p in pairwise_p_values(values).items():
            if best in (one, other):
                p_values[BLOCK, other if one == best else one, metric] = p
    protocol = str(rows[0][1].result["protocol"])
    refitted = {label: runs[0].result["refit"] for label, runs in models.items()}
    caption = " ".join([protocol_note(protocol, refitted), _seeds_note(models), _mark_note(len(models))])
    note = group_note([run for _, run in rows], metrics)
    columns = [Column(metric, metric.removeprefix("test/"), best_value(metric)) for metric in metrics]
    return Table(name, caption, [Block(BLOCK, columns, note)], list(models), cells, p_values)


def all_pairs(models: Models, metrics: Sequence[str]) -> pd.DataFrame:
    """Return one row per metric and pair of models: the fields of `significance.compare`, and corrected p-values.

    `p_holm` and `p_bh` correct `p_t` over the pairs of a metric (family-wise error, false discovery rate). A baseline's
    one run stands for every seed of a trained model. Two trained models with different seeds are compared by their
    means over seeds; `p_seeds` then is NaN.
    """
    frames = []
    for metric in metrics:
        values = {label: _by_seed(runs, metric) for label, runs in models.items() if _has(runs, metric)}
        names, rows = list(values), []
        for place, first in enumerate(names):
            for second in names[place + 1 :]:
                one, two, paired = values[first], values[second], True
                if _is_baseline(models[first]):
                    one = np.broadcast_to(one[:1], two.shape)
                elif _is_baseline(models[second]):
                    two = np.broadcast_to(two[:1], one.shape)
                else:
                    paired = _seeds(models[first]) == _seeds(models[second])
                seeded = not (_is_baseline(models[first]) and _is_baseline(models[second]))
                comparison = compare(one, two, paired_seeds=paired, seeded=seeded)
                rows.append({"metric": metric, "row": first, "column": second, **vars(comparison)})
        if rows:
            p_values = [row["p_t"] for row in rows]
            frame = pd.DataFrame(rows)
            frames.append(frame.assign(p_holm=holm(p_values), p_bh=benjamini_hochberg(p_values)))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _seeds(runs: Sequence[FinishedRun]) -> list[int]:
    return [int(run.config["seed"]) for run in runs]


def _is_baseline(runs: Sequence[FinishedRun]) -> bool:
    """Whether nothing in these runs depends on a seed, their own (`RunConfig.key`) or that of a run they read."""
    baseline = runs[0].config["model"].get("baseline")
    return baseline is not None and not reads_a_run(baseline)


def _by_seed(runs: Sequence[FinishedRun], metric: str) -> np.ndarray:
    mean_over_seeds(runs, metric)  # refuses runs on different users
    return np.stack([run.per_user(metric)[metric] for run in runs])


def _has(runs: Sequence[FinishedRun], metric: str) -> bool:
    return all(metric in run.per_user() and run.result["metrics"].get(metric) is not None for run in runs)


def _check_known(metric: str, runs: Sequence[FinishedRun]) -> None:
    for run in runs:
        if metric not in run.result["metrics"]:
            known = [key for key in run.result["metrics"] if key.count("/") == metric.count("/")]
            raise DataError(f"'{run.path}' has no metric '{metric}'{suggest(metric, known)}")


def _fingerprint(run: FinishedRun, name: str) -> str:
    return str(run.manifest["fingerprints"][name])


def _label(setting: Mapping[str, Any], every: Sequence[Mapping[str, Any]]) -> str:
    label = _full_label(setting, every)
    if len(label) <= _LONGEST_LABEL:
        return label
    return f"{setting['model.name']} #{_same(setting, every).index(setting) + 1}"


def _full_label(setting: Mapping[str, Any], every: Sequence[Mapping[str, Any]]) -> str:
    name, same = str(setting["model.name"]), _same(setting, every)
    keys = sorted({key for other in same for key in other})
    differing = [key for key in keys if len({str(other.get(key)) for other in same}) > 1]
    return f"{name} ({', '.join(f'{key}={setting.get(key)}' for key in differing)})" if differing else name


def _same(setting: Mapping[str, Any], every: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [other for other in every if other["model.name"] == setting["model.name"]]


def _seeds_note(models: Models) -> str:
    counts = {label: len(runs) for label, runs in models.items() if not _is_baseline(runs)}
    if not counts:
        return "Nothing was trained."
    few = [label for label, count in counts.items() if count < MIN_SEEDS]
    text = "Seeds: " + ", ".join(f"{label} {count}" for label, count in counts.items()) + "."
    return f"{text} Fewer than {MIN_SEEDS} seeds: no claim rests on {', '.join(few)}." if few else text


def _mark_note(num_models: int) -> str:
    deviation = "Mean ± standard deviation over seeds."
    if num_models < 2:
        return deviation
    return (
        f"{deviation} † differs from the best of the column at p < .05 (paired t-test over "
        "users averaged over seeds, Holm-corrected over all pairs of rows)."
    )
