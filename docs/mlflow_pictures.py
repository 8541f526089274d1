"""Pictures of MLflow's own pages for the how-to page, taken by a real browser from a real server.

    python docs/mlflow_pictures.py STORE

``STORE`` is a folder with runs, such as ``mlruns`` after the commands of ``docs/howto/mlflow.md``: the table of runs,
the run and the version that ``champion`` names go to ``docs/images/``. It needs Chromium, and no network.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import Browser, chromium  # noqa: E402
from PIL import Image  # noqa: E402

from learnopt.tracking import CHAMPION, REGISTERED, Store  # noqa: E402
from learnopt.tracking.registry import find_version  # noqa: E402

WIDTH, HEIGHT = 1280, 760
SHOWN = 948
"""Width of a picture: to the right of it MLflow offers a chat."""
COLOURS = 64
"""Of a picture: pages of text need no more, and it is a third as large."""
OF_MODELS = """
(() => {
  const is = (e) => (e.innerText || "").trim() === "Model training";
  const found = [...document.querySelectorAll("*")].filter(is).pop();
  if (found) found.click();
})()
"""
"""Chooses the pages for who trains models; MLflow begins with those for who calls language models, and remembers."""
PATIENCE_S = 300


@contextmanager
def server(store: Store) -> Iterator[str]:
    """Address of an MLflow server of a store, which is ended at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri, "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*command, "--workers", "1"], start_new_session=True, env=_ENVIRONMENT, **quiet)
    try:
        address, until = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE_S
        while not _answers(address):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"MLflow does not answer for {store.shown}")
            time.sleep(1)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


_ENVIRONMENT = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health"):
            return True
    except OSError:
        return False


def take(browser: Browser, address: str, words: tuple[str, ...], path: Path) -> None:
    """A picture of a page, once it shows some words."""
    browser.open(address, WIDTH, HEIGHT)
    until = time.monotonic() + PATIENCE_S
    while missing := [word for word in words if word not in browser.run("document.body.innerText")]:
        if time.monotonic() > until:
            raise SystemExit(f"{address} does not show {missing}")
        time.sleep(1)
    time.sleep(3)  # what moves comes to rest
    browser.picture(path)
    Image.open(path).convert("RGB").crop((0, 0, SHOWN, HEIGHT)).quantize(COLOURS).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


def main() -> None:
    """Take the three pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    given = parser.parse_args()
    store = Store.of(given.store)
    version = find_version(store, REGISTERED, CHAMPION)
    if version is None:
        raise SystemExit(f"{store.shown}: no version is {CHAMPION}: learnopt promote first")
    with store.client() as client:
        run = client.get_run(version.run_id)
    experiment, name = run.info.experiment_id, run.info.run_name
    pages = {
        "mlflow-runs": (f"experiments/{experiment}/runs", (name,)),
        "mlflow-run": (f"experiments/{experiment}/runs/{version.run_id}", (name, "test_exact_tree", "learning_rate")),
        "mlflow-version": (f"models/{version.name}/versions/{version.number}", (CHAMPION, "commit")),
    }
    with (
        server(store) as address,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        chromium(Path(profile)) as browser,
    ):
        browser.open(address, WIDTH, HEIGHT)
        time.sleep(10)
        browser.run(OF_MODELS)
        time.sleep(3)
        for page, (place, words) in pages.items():
            take(browser, f"{address}/#/{place}", words, given.out / f"{page}.png")


if __name__ == "__main__":
    main()
