"""Run directories, which are the truth about a run, and their mirror in Weights & Biases."""

from __future__ import annotations

import json
import logging
import math
import os
import ssl
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import numpy as np
import torch
import yaml
from safetensors.torch import save_file

from gnnrec.errors import ConfigError, GnnrecError, check_choice
from gnnrec.files import lock_file, whole_file, write_text

log = logging.getLogger(__name__)

MODES = ("disabled", "offline", "online")
# Seconds that W&B may hold a run up: at its start (server silent), and at its end (upload of what is left).
INIT_TIMEOUT, FINISH_TIMEOUT = 5, 30


@dataclass(frozen=True)
class TrackingConfig:
    """Where runs are kept and how they are mirrored in W&B; no part of a run's key.

    Args:
        mode: "disabled" (wandb is not even imported), "offline" (files below `root/wandb`, no key, no
            network) or "online".
        root: folder of the run directories.
        project, entity, group, tags: as in W&B.
    """

    mode: str = "offline"
    root: str = "runs"
    project: str = "gnnrec"
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, MODES, "tracking")
        if not self.root:
            raise ConfigError(
                "'root' must name a folder in 'tracking' (got ''): for example tracking.root=runs"
            )


class RunDir:
    """The folder `root/key` of one run; `DONE` is written last, so a folder without it is not a result.

    Every file is whole or absent, except `metrics.jsonl`, which grows by a line. Use as a context manager:
    inside it this process alone may write the run; one that stops before it wrote anything leaves no folder.

        with RunDir("runs", key) as run_dir:
            run_dir.write_config(config)
            ...
            run_dir.finish()
    """

    def __init__(self, root: str | Path, key: str) -> None:
        self.key = key
        self.path = Path(root).expanduser() / key
        self._lock: IO[str] | None = None
        self._metrics_cut = False

    @property
    def finished(self) -> bool:
        """Whether the run is complete."""
        return (self.path / "DONE").exists()

    @property
    def figures(self) -> Path:
        """The folder of the run's figures, created when first asked for."""
        folder = self.path / "figures"
        with _told(folder):
            folder.mkdir(exist_ok=True)
        return folder

    def __enter__(self) -> RunDir:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self) -> None:
        """Create the folder, lock it, and delete what a killed process had begun to write there.

        Raises a GnnrecError if it cannot be written, another process writes it, or it is finished already.
        """
        path = self.path / ".lock"
        with _told(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = path.open("a+", encoding="utf-8")
        if not lock_file(lock, path):
            lock.seek(0)
            process = lock.read().strip() or "unknown"
            lock.close()
            raise GnnrecError(
                f"run '{self.path}' is being written by another process (pid {process}); wait for it to end"
            )
        with _told(self.path):
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
        self._lock = lock
        if self.finished:
            self.close()
            raise GnnrecError(f"run '{self.path}' is already finished; start the command again to use it")
        with _told(self.path):
            for left in self.path.rglob(".*.part"):
                left.unlink()

    def close(self) -> None:
        """Release the lock; remove the folder if nothing was written to it."""
        if self._lock is None:
            return
        with suppress(OSError):
            (self.path / ".lock").unlink()
        self._lock.close()
        self._lock = None
        with suppress(OSError):
            self.path.rmdir()  # fails, as it should, where anything was written

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write `config.yaml`, the resolved configuration."""
        write_text(
            self.path / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        )

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write `manifest.json`: what the numbers were made with."""
        write_text(self.path / "manifest.json", _json(manifest, indent=1) + "\n")

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write `result.json`; a metric that is not a number is written as null."""
        write_text(self.path / "result.json", _json(result, indent=1) + "\n")

    def resume_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write `metrics.jsonl` anew with the rows of the checkpoint from which a resumed run goes on.

        Without this call the first `append_metrics` starts the file anew: what a killed run logged after its
        last checkpoint is logged again.
        """
        write_text(self.path / "metrics.jsonl", "".join(_json(row) + "\n" for row in rows))
        self._metrics_cut = True

    def append_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Append one line to `metrics.jsonl`: one evaluation."""
        mode = "a" if self._metrics_cut else "w"
        with (
            _told(self.path / "metrics.jsonl"),
            (self.path / "metrics.jsonl").open(mode, encoding="utf-8") as file,
        ):
            file.write(_json(metrics) + "\n")
        self._metrics_cut = True

    def write_per_user(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Write `per_user.npz`: `users` and one array per metric key."""
        columns: dict[str, Any] = {name: np.asarray(values) for name, values in arrays.items()}
        for name, values in columns.items():
            if values.dtype.hasobject:
                raise TypeError(f"'{name}' in per_user.npz must be numbers (got dtype object)")
        with whole_file(self.path / "per_user.npz") as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **columns)

    def write_embeddings(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Write `embeddings.safetensors`, for example `user_emb` [U, d] and `item_emb` [I, d]."""
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        with whole_file(self.path / "embeddings.safetensors") as temporary:
            save_file(plain, temporary)

    def finish(self) -> None:
        """Write `DONE`: from here on the run is a result and is never run again."""
        write_text(self.path / "DONE", "")


@contextmanager
def _told(path: Path) -> Any:
    """Turn an OSError into one line that names the path."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise GnnrecError(f"cannot write '{path}': {reason}; tracking.root=FOLDER sets another") from error


def _json(value: Mapping[str, Any], indent: int | None = None) -> str:
    return json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """Return `value` as JSON can hold it: numpy and torch numbers become Python's, NaN and infinity None."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


class Tracker:
    """The mirror of one run in W&B; it can fail in any way without stopping or slowing the run.

    A failure (wandb missing, no key, host unreachable, folder not writable) is one logged warning. An online
    run that cannot reach its server is mirrored offline instead, to be sent later with `wandb sync`.

    Args:
        config: mode, folder and names.
        key: the run's key, which is the W&B run id too.
        name: the name shown on the dashboard.
        run_config: the resolved configuration.
    """

    _server_failed = False  # told once in a process: a table of many runs does not wait for each of them

    def __init__(self, config: TrackingConfig, key: str, name: str, run_config: Mapping[str, Any]) -> None:
        self.config = config
        self._run: Any = None
        self._failed = False
        if config.mode == "online" and not Tracker._server_failed:
            Tracker._server_failed = not self._start("online", key, name, run_config)
        if self._run is None and config.mode != "disabled":
            self._start("offline", key, name, run_config)

    def log(self, metrics: Mapping[str, Any], epoch: int) -> None:
        """Log numbers under their names, with the epoch as step."""
        if self._run is None or self._failed:
            return
        with self._guard("logging"):
            self._run.log({**_numbers(metrics), "epoch": epoch}, step=epoch)

    def finish(
        self,
        summary: Mapping[str, Any],
        table: tuple[Sequence[str], Iterable[Sequence[Any]]] | None = None,
        figures: Iterable[Path] = (),
        exit_code: int = 0,
    ) -> None:
        """Mirror the final numbers (the run's summary), the per-group table and the figures, and end."""
        if self._run is None:
            return
        if not self._failed:
            with self._guard("finishing"):
                self._mirror(summary, table, figures)
        with self._guard("ending"):
            self._run.finish(exit_code=exit_code)
        self._run = None

    def _mirror(
        self,
        summary: Mapping[str, Any],
        table: tuple[Sequence[str], Iterable[Sequence[Any]]] | None,
        figures: Iterable[Path],
    ) -> None:
        import wandb

        self._run.summary.update(_numbers(summary))
        media: dict[str, Any] = {f"figures/{path.stem}": wandb.Image(str(path)) for path in figures}
        if table is not None:
            media["groups"] = wandb.Table(columns=list(table[0]), data=[list(row) for row in table[1]])
        if media:
            self._run.log(media)

    def _start(self, mode: str, key: str, name: str, run_config: Mapping[str, Any]) -> bool:
        self._failed = False
        folder = Path(self.config.root).expanduser()
        # wandb's own error reports go out even offline, and hold up the end of a process on a silent network
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        with self._guard(f"starting {mode}"):
            import wandb

            folder.mkdir(parents=True, exist_ok=True)
            if mode == "online":
                _check_reachable(wandb.setup().settings.base_url)
            settings = wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,  # the manifest names the commit
                save_code=False,
                init_timeout=INIT_TIMEOUT,
                login_timeout=INIT_TIMEOUT,
                finish_timeout=FINISH_TIMEOUT,
            )
            with _no_questions():
                self._run = wandb.init(
                    mode=mode,  # type: ignore[arg-type]
                    dir=str(folder),
                    project=self.config.project,
                    entity=self.config.entity,
                    group=self.config.group,
                    tags=list(self.config.tags),
                    # after a failed start, this process may not use the same id again
                    id=f"{key}-offline" if Tracker._server_failed else key,
                    name=name,
                    resume="allow" if mode == "online" else None,
                    config=plain(run_config),
                    settings=settings,
                )
        return self._run is not None

    @contextmanager
    def _guard(self, what: str) -> Any:
        try:
            yield
        except Exception as error:  # the mirror may fail in any way; the run goes on
            if not self._failed:
                log.warning("W&B: %s failed (%s); the run goes on without it", what, _first_line(error))
            # nothing more is sent; what was started is still ended, or wandb hands it to the next run
            self._failed = True


def _check_reachable(url: str) -> None:
    """Raise an OSError unless a server answers at `url` in time, with whatever status.

    wandb itself would retry for its whole time limit and then hold up the end of the process.
    """
    failure: list[Exception] = [TimeoutError(f"no answer from {url} in {INIT_TIMEOUT} seconds")]

    def ask() -> None:
        try:
            with urlopen(url, timeout=INIT_TIMEOUT):
                failure.clear()
        except HTTPError:
            failure.clear()
        except URLError as error:
            # wandb may know certificates that Python does not
            failure[:] = [] if isinstance(error.reason, ssl.SSLError) else [error]
        except Exception as error:
            failure[:] = [error]

    # in a thread, because looking up a host name knows no time limit
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(INIT_TIMEOUT + 1)
    if failure:
        raise failure[0]


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plain(values).items() if value is not None}


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


@contextmanager
def _no_questions() -> Any:
    """Give wandb an empty standard input: without a key it then fails at once and does not ask for one."""
    kept = sys.stdin
    with open(os.devnull, encoding="utf-8") as empty:
        sys.stdin = empty
        try:
            yield
        finally:
            sys.stdin = kept
