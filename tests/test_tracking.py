from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from gnnrec import manifest
from gnnrec.errors import ConfigError, GnnrecError
from gnnrec.manifest import Phases, environment, git_state
from gnnrec.tracking import RunDir, Tracker, TrackingConfig, plain


def test_a_finished_run_holds_what_was_written(tmp_path: Path) -> None:
    with RunDir(tmp_path, "k1") as run_dir:
        run_dir.write_config({"train": {"lr": 1e-5, "ks": (10, 20)}, "text": None})
        run_dir.append_metrics({"epoch": 0, "validation/ndcg@20": np.float32(0.5)})
        run_dir.append_metrics({"epoch": 1, "loss/bpr": torch.tensor(0.25)})
        run_dir.write_per_user({"users": np.arange(3), "test/recall@20": np.array([0.0, np.nan, 1.0])})
        run_dir.write_embeddings({"item_emb": torch.arange(6.0).reshape(2, 3).T})
        run_dir.write_manifest({"seconds": {"train": 1.5}})
        run_dir.write_result({"metrics": {"test/recall@20": float("nan")}})
        assert not run_dir.finished
        run_dir.finish()
    assert RunDir(tmp_path, "k1").finished
    path = tmp_path / "k1"
    assert not (path / ".lock").exists()
    assert len({file.stat().st_mode for file in path.iterdir()}) == 1  # all as readable as the umask says
    assert yaml.safe_load((path / "config.yaml").read_text()) == {
        "train": {"lr": 1e-5, "ks": [10, 20]},
        "text": None,
    }
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"epoch": 0, "validation/ndcg@20": 0.5}, {"epoch": 1, "loss/bpr": 0.25}]
    assert json.loads((path / "result.json").read_text())["metrics"] == {"test/recall@20": None}
    assert torch.equal(
        load_file(path / "embeddings.safetensors")["item_emb"], torch.arange(6.0).reshape(2, 3).T
    )
    with np.load(path / "per_user.npz") as arrays:
        np.testing.assert_array_equal(arrays["test/recall@20"], [0.0, np.nan, 1.0])


def test_the_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    for key in ("a", "b"):
        with RunDir(tmp_path, key) as run_dir:
            run_dir.write_per_user({"users": np.arange(5)})
            run_dir.write_embeddings({"user_emb": torch.ones(2, 2), "item_emb": torch.zeros(2, 2)})
    for name in ("per_user.npz", "embeddings.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_objects_are_never_pickled_into_per_user(tmp_path: Path) -> None:
    with RunDir(tmp_path, "k") as run_dir, pytest.raises(TypeError, match="'x' in per_user"):
        run_dir.write_per_user({"x": np.array([{}], dtype=object)})


def test_a_run_that_stops_before_it_wrote_anything_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), RunDir(tmp_path, "k"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_stops_later_keeps_its_files_without_done(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path, "k")
    with suppress(KeyboardInterrupt), run_dir:
        run_dir.append_metrics({"epoch": 0})
        raise KeyboardInterrupt
    assert [path.name for path in (tmp_path / "k").iterdir()] == ["metrics.jsonl"]
    assert not RunDir(tmp_path, "k").finished


def test_metrics_start_anew_unless_resumed(tmp_path: Path) -> None:
    metrics = tmp_path / "k" / "metrics.jsonl"
    with RunDir(tmp_path, "k") as run_dir:
        for epoch in range(4):
            run_dir.append_metrics({"epoch": epoch})
    with metrics.open("a") as file:
        file.write('{"epoch": 4, "half a li')  # killed while it wrote
    with RunDir(tmp_path, "k") as run_dir:
        run_dir.resume_metrics([{"epoch": 0}, {"epoch": 1}])
        run_dir.append_metrics({"epoch": 2, "again": True})
    assert [json.loads(line)["epoch"] for line in metrics.read_text().splitlines()] == [0, 1, 2]
    with RunDir(tmp_path, "k") as run_dir:
        run_dir.append_metrics({"epoch": 0})
    assert metrics.read_text() == '{"epoch": 0}\n'


def test_two_processes_do_not_write_one_run(tmp_path: Path) -> None:
    with RunDir(tmp_path, "k"):
        code = f"from gnnrec.tracking import RunDir; RunDir({str(tmp_path)!r}, 'k').begin()"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert f"is being written by another process (pid {os.getpid()})" in done.stderr
    RunDir(tmp_path, "k").begin()


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        f"import os; from gnnrec.tracking import RunDir; RunDir({str(tmp_path)!r}, 'k').begin(); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert (tmp_path / "k" / ".lock").exists()
    with RunDir(tmp_path, "k") as run_dir:
        run_dir.finish()
    assert RunDir(tmp_path, "k").finished


def test_a_finished_run_is_not_begun_again(tmp_path: Path) -> None:
    with RunDir(tmp_path, "k") as run_dir:
        run_dir.finish()
    with pytest.raises(GnnrecError, match="already finished"):
        RunDir(tmp_path, "k").begin()
    assert RunDir(tmp_path, "k").finished


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GnnrecError, match=r"cannot write '.*file/k'.*tracking.root=FOLDER") as caught:
        RunDir(tmp_path / "file", "k").begin()
    assert "\n" not in str(caught.value)


def test_no_space_while_logging_is_one_line(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with RunDir(tmp_path, "k") as run_dir:
        (tmp_path / "k" / "metrics.jsonl").symlink_to("/dev/full")
        with pytest.raises(GnnrecError, match="No space left on device"):
            run_dir.append_metrics({"epoch": 0})


def test_plain_keeps_types_json_knows() -> None:
    value = {"a": np.int64(3), "b": (1, 2.5), "c": float("inf"), "d": Path("x"), "e": True, 1: None}
    assert plain(value) == {"a": 3, "b": [1, 2.5], "c": None, "d": "x", "e": True, "1": None}
    assert isinstance(plain(np.bool_(True)), bool)


@pytest.mark.parametrize(("name", "value"), [("mode", "onlin"), ("root", "")])
def test_tracking_config_is_checked(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}"):
        TrackingConfig(**{name: value})


def test_phases_add_up_and_count_a_phase_that_fails() -> None:
    phases = Phases()
    for _ in range(2):
        with phases("a"):
            time.sleep(0.01)
    with pytest.raises(ValueError, match="x"), phases("b"):
        raise ValueError("x")
    assert phases.seconds["a"] >= 0.02
    assert list(phases.seconds) == ["a", "b"]


def test_the_commit_is_that_of_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    states = iter([{"commit": "begun", "dirty": False}, {"commit": "later", "dirty": False}])
    monkeypatch.setattr(manifest, "git_state", lambda: next(states))
    manifest.first_git_state.cache_clear()
    try:
        manifest.first_git_state()  # as `open_run` does
        assert environment("cpu", {})["git"]["commit"] == "begun"
    finally:
        manifest.first_git_state.cache_clear()


def test_environment_names_packages_and_memory() -> None:
    facts = environment("cpu", {})
    assert facts["packages"]["torch"] == torch.__version__.split("+")[0] or "torch" in facts["packages"]
    assert facts["packages"]["numpy"] == np.__version__
    assert facts["peak_memory_mib"] > 50
    json.dumps(facts)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a process begins with no peak")
def test_peak_memory_is_not_that_of_the_process_that_started_this_one() -> None:
    child = "from gnnrec.manifest import peak_memory_mib; print(peak_memory_mib())"
    parent = (
        "import subprocess, sys; held = b'1' * (1 << 30)\n"
        f"print(subprocess.run([sys.executable, '-c', {child!r}], capture_output=True, text=True).stdout)"
    )
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True)
    assert 50 < float(done.stdout) < 1024


def _git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *who, "-C", str(folder), *arguments], check=True, capture_output=True)


def test_git_state_sees_commit_and_changes_but_not_results(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    (root / "results").mkdir(parents=True)
    (root / "a.py").write_text("1")
    _git(root, "init", "-q")
    assert git_state(root) is None  # no commit yet
    _git(root, "add", "a.py")
    _git(root, "commit", "-q", "-m", "x")
    state = git_state(root)
    assert state is not None
    assert len(state["commit"]) == 40
    (root / "results" / "table.md").write_text("new")
    assert git_state(root) == {**state, "dirty": False}
    (root / "a.py").write_text("2")
    assert git_state(root) == {**state, "dirty": True}
    inside = root / "venv"
    inside.mkdir()
    assert git_state(inside) is None  # installed below somebody else's checkout
    assert git_state(tmp_path) is None


def test_git_state_reads_paths_in_any_locale(tmp_path: Path) -> None:
    root = tmp_path / "chéckout"
    root.mkdir()
    (root / "a.py").write_text("1")
    for arguments in (["init", "-q"], ["add", "a.py"], ["commit", "-q", "-m", "x"]):
        _git(root, *arguments)
    code = "from pathlib import Path; from gnnrec.manifest import git_state; print(git_state(Path.cwd())['dirty'])"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-X", "utf8=0", "-c", code]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr


def _leet(folder: Path) -> dict:
    [log] = folder.glob("wandb/offline-run-*/*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(log)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_the_offline_mirror_holds_config_metrics_summary_and_table(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    figure = tmp_path / "gain.png"
    Figure().savefig(figure)
    config = TrackingConfig(root=str(tmp_path / "runs"), tags=("t",))
    tracker = Tracker(config, "k1", "lightgcn", {"train": {"lr": 0.5}, "seed": 3})
    tracker.log({"validation/ndcg@20": 0.25, "loss/bpr": float("nan")}, epoch=0)
    tracker.log({"validation/ndcg@20": 0.5}, epoch=1)
    tracker.finish(
        {"test/ndcg@20": 0.75, "test/tail/ndcg@20": float("nan")},
        (["group", "ndcg@20"], [["head", 0.5]]),
        [figure],
    )
    text = json.dumps(_leet(tmp_path / "runs"))
    for part in ('"test/ndcg@20"', "0.75", '"lr"', '"groups"', "figures/gain", '"validation/ndcg@20"'):
        assert part in text
    assert "test/tail/ndcg@20" not in text


def test_disabled_does_not_import_wandb(tmp_path: Path) -> None:
    code = (
        "import sys; from gnnrec.tracking import Tracker, TrackingConfig\n"
        f"t = Tracker(TrackingConfig(mode='disabled', root={str(tmp_path)!r}), 'k', 'n', {{}})\n"
        "t.log({'a': 1}, 0); t.finish({'b': 2}); assert 'wandb' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def silent_server():
    """The address of a server that accepts connections and never answers."""
    server = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                kept.append(server.accept()[0])

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.close()
    for connection in kept:
        connection.close()


@pytest.fixture
def no_key_server():
    """The address of a server that answers everything with 404."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def _online(folder: Path, url: str, **environment: str) -> str:
    """Mirror two runs online in a process of its own (wandb reads its settings once); return its stderr."""
    code = (
        "from gnnrec.tracking import Tracker, TrackingConfig\n"
        f"config = TrackingConfig(mode='online', root={str(folder)!r})\n"
        "for key in ('k1', 'k2'):\n"
        "    tracker = Tracker(config, key, 'n', {'seed': 1})\n"
        "    tracker.log({'a': 1.0}, 0)\n"
        "    tracker.finish({'test/ndcg@20': 0.5})\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    kept |= {"WANDB_BASE_URL": url, "NETRC": str(folder / "no-netrc"), **environment}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=kept,
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return done.stderr


def test_online_with_a_silent_server_goes_on_offline_without_waiting(
    tmp_path: Path, silent_server: str
) -> None:
    start = time.perf_counter()
    told = _online(tmp_path, silent_server, WANDB_API_KEY="x" * 40)
    assert time.perf_counter() - start < 20
    assert told.count("W&B") == 1  # the second run does not ask again
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 2


@pytest.mark.parametrize("key", ["", "x" * 40])
def test_online_without_a_valid_key_goes_on_offline(tmp_path: Path, no_key_server: str, key: str) -> None:
    told = _online(tmp_path, no_key_server, **({"WANDB_API_KEY": key} if key else {}))
    assert told.count("W&B: starting online failed") == 1
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 2


def test_a_missing_wandb_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with caplog.at_level(logging.WARNING):
        tracker = Tracker(TrackingConfig(root=str(tmp_path)), "k", "n", {})
        tracker.log({"a": 1}, 0)
        tracker.finish({"b": 1})
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_folder_wandb_cannot_write_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        Tracker(TrackingConfig(root=str(tmp_path / "file")), "k", "n", {}).finish({})
    assert len(caplog.records) == 1


def test_a_failure_while_logging_ends_the_mirror_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        ended = 0

        def log(self, *_: object, **__: object) -> None:
            raise ConnectionError("gone")

        def finish(self, **_: object) -> None:
            self.ended += 1

    tracker = Tracker(TrackingConfig(mode="disabled", root=str(tmp_path)), "k", "n", {})
    tracker._run = broken = Broken()
    with caplog.at_level(logging.WARNING):
        tracker.log({"a": 1}, 0)
        tracker.log({"a": 2}, 1)
        tracker.finish({})
    assert len(caplog.records) == 1
    assert broken.ended == 1  # or wandb would hand it to the next run of the process
