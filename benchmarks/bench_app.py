"""How fast the workbench draws and answers, on runs of 100, 10,000 and 100,000 tree nodes, and what its server keeps.

    python benchmarks/bench_app.py [--nodes 100 10000 100000] [--clicks 200] [--json]

A real browser (Chromium, headless) opens a real server. "First text": from the request of the page to the steps of the
chain; "values": to all values, alternatives and the tree as it is drawn at first (4,000 branches), nothing of the run
read before; "all at a step", "whole tree": from asking for every branch of one step, of all, to their being drawn.
"Click": from pressing a key to the new selection's rollouts on the page. Wall seconds are what a person waits; CPU
seconds (server and browser) say what it costs where others use the machine too. Goals on an idle machine of 2 cores:
first draw 4 s, click 0.5 s.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cotlab.chains.chain import Chain
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout
from cotlab.chains.score import Outcome, Score
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.step import Step
from cotlab.cli.workbench import app_folder
from cotlab.interventions.base import Baseline
from cotlab.models.engine_card import EngineCard
from cotlab.runs import Run, RunIdentity

IDENTITY = RunIdentity("bench", "bench", "plain", "<think>", "</think>")
SETTINGS, BASELINE = SamplingSettings(temperature=1.0), Baseline()
CARD = EngineCard("markov", "bench", "0", "bench", "plain", "float32")
OUTCOMES: tuple[Outcome, ...] = ("correct", "wrong", "wrong", "truncated")
SCORER = "answers/1"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
FIRST_BRANCHES = 4_000
"""What the app draws of a large tree at first."""
HERTZ = os.sysconf("SC_CLK_TCK")


def make_run(path: Path, nodes: int) -> None:
    """A chain whose every prefix has rollouts that all say something different next: a node each."""
    n_steps = max(5, min(50, nodes // 20))
    each = nodes // n_steps
    steps = tuple(Step(i, 3 * i, 3 * i + 3, f" Step {i} of the chain says this.\n") for i in range(n_steps))
    prompt, response = Prefix((1, 2, 3), 3), tuple(range(100, 100 + 3 * n_steps))
    problem = Problem("How many ways are there?", "7", name=f"{nodes} nodes")
    with Run.create(path, IDENTITY) as run:
        run.add_problems([problem])
        run.add_settings(SETTINGS)
        run.add_engine_card(CARD)
        run.add_intervention(BASELINE)
        run.add_prefix(prompt, problem.id, text="prompt")
        study = run.add_study({"kind": "bench"}, 0)
        base = rollout(prompt, 0, "".join(step.text for step in steps), response)
        run.add_rollouts([base], study_id=study)
        chain = Chain(problem.id, base.id, prompt.token_ids, response, "lines/1", steps, "given")
        run.add_chain(chain)
        run.add_chain_prefixes(chain)
        for k in range(n_steps):
            first = 1 if k == 0 else 0
            found = [
                rollout(chain.prefix(k), i, f" At {k} way {i} is taken.\nThen it ends.\n", (7, 1000 + i, 9))
                for i in range(first, each)
            ]
            run.add_rollouts(found, study_id=study)
            drawn = [base, *found] if k == 0 else found
            run.add_scores(Score("rollout", r.id, SCORER, verdict(r.sample_idx)) for r in drawn)


def rollout(prefix: Prefix, idx: int, text: str, ids: tuple[int, ...]) -> Rollout:
    """As an engine gives it."""
    return Rollout(prefix.id, BASELINE.id, SETTINGS.id, CARD.id, idx, idx, text, "stop", ids, None)


def verdict(idx: int) -> dict[str, str]:
    """A few outcomes, a few answers."""
    return {"answer": str(idx % 9), "key": str(idx % 9), "outcome": OUTCOMES[idx % 4]}


class Server:
    """A server of the workbench."""

    def __init__(self, root: Path, port: int) -> None:
        command = [sys.executable, "-m", "streamlit", "run", str(app_folder() / "streamlit_app.py")]
        command += ["--server.address", "127.0.0.1", "--server.port", str(port), "--server.headless", "true"]
        command += ["--browser.gatherUsageStats", "false", "--server.fileWatcherType", "none"]
        environment = {**os.environ, "COTLAB_APP_ROOT": str(root)}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}"

    def wait(self) -> None:
        """Until it listens."""
        from urllib.error import URLError
        from urllib.request import urlopen

        until = time.monotonic() + 120
        while time.monotonic() < until:
            with contextlib.suppress(URLError, ConnectionError), urlopen(f"{self.url}/_stcore/health", timeout=5):
                return
            time.sleep(0.2)
        raise TimeoutError(f"the server at {self.url} does not answer")

    @property
    def memory_mb(self) -> float:
        """Resident memory."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the server has ended")


@contextlib.contextmanager
def serving(root: Path) -> Iterator[Server]:
    """A server on a free port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    server = Server(root, port)
    try:
        server.wait()
        yield server
    finally:
        server.process.terminate()
        server.process.wait(timeout=30)


def cpu_seconds(pids: list[int]) -> float:
    """CPU time of processes and all their descendants so far."""
    parents: dict[int, list[int]] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(entry.name))
        used[int(entry.name)] = (int(fields[11]) + int(fields[12])) / HERTZ
    counted: set[int] = set()
    todo = list(pids)
    while todo:
        pid = todo.pop()
        if pid not in counted:  # the server is also a child of this process
            counted.add(pid)
            todo += parents.get(pid, [])
    return sum(used.get(pid, 0.0) for pid in counted)


def drawn(page: Any, least: int) -> int:
    """Wait until the tree with its branches is there; returns how many nodes it says it has."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        found = page.locator(".cv .head b").first
        with contextlib.suppress(ValueError):
            said = found.inner_text(timeout=60_000).replace(",", "")
            if int(said) >= least:
                return int(said)
        page.wait_for_timeout(50)
    raise TimeoutError(f"a tree of {least} nodes did not come")


def grown(page: Any, button: str, least: int) -> float:
    """Seconds from asking for more of the tree to its being drawn."""
    began = time.perf_counter()
    page.get_by_role("button", name=button).click()
    drawn(page, least)
    return time.perf_counter() - began


def measure(path: Path, chromium: str, clicks: int, nodes: int) -> dict[str, Any]:
    """First draw, clicks and memory of one run."""
    from playwright.sync_api import sync_playwright

    with serving(path.parent) as server, tempfile.TemporaryDirectory() as profile, sync_playwright() as driver:
        browser = driver.chromium.launch_persistent_context(
            profile, executable_path=chromium, args=FLAGS, viewport={"width": 1280, "height": 1200}
        )
        page = browser.new_page()
        page.goto(f"{server.url}/doctor")  # Streamlit's own scripts are there; of the run nothing is read
        page.get_by_role("heading", name="Doctor").wait_for(timeout=120_000)
        page.wait_for_timeout(1500)
        ours = [server.process.pid, os.getpid()]
        cpu, began = cpu_seconds(ours), time.perf_counter()
        page.goto(f"{server.url}/chain?run={path.name}")
        page.locator(".cv .step").first.wait_for(timeout=300_000)
        first = {"first_text_s": time.perf_counter() - began}
        shown = drawn(page, int(0.95 * min(nodes, FIRST_BRANCHES)))
        first |= {"values_s": time.perf_counter() - began, "values_cpu_s": cpu_seconds(ours) - cpu}
        page.wait_for_timeout(1500)
        laps, before, cpu = [], server.memory_mb, cpu_seconds(ours)
        n_steps = page.locator(".cv .step").count()
        at = -1
        for click in range(clicks):
            forward = (click // (n_steps - 1)) % 2 == 0
            at = min(n_steps - 1, max(0, at + (1 if forward else -1)))
            began = time.perf_counter()
            page.keyboard.press("j" if forward else "k")
            page.get_by_role("heading", name=f"Step {at}", exact=True).wait_for(timeout=60_000)
            laps.append(time.perf_counter() - began)
        clicked = {"click_cpu_s": (cpu_seconds(ours) - cpu) / max(1, clicks)}
        clicked |= {f"memory_after_{clicks}_clicks_mb": server.memory_mb}
        if shown < 0.95 * nodes:
            first |= {"all_at_a_step_s": grown(page, "All branches at this step", shown + 1)}
            page.wait_for_timeout(1500)  # what stands below the tree is still being drawn
            first |= {"whole_tree_s": grown(page, "Whole tree", int(0.95 * nodes))}
        result = {
            "nodes": nodes,
            "drawn": shown,
            **first,
            "click_median_s": statistics.median(laps),
            "click_q95_s": sorted(laps)[int(0.95 * (len(laps) - 1))],
            "memory_mb": before,
            **clicked,
        }
        browser.close()
    return {name: round(value, 3) for name, value in result.items()}


def main() -> None:
    """Measure all sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[100, 10_000, 100_000])
    parser.add_argument("--clicks", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None or find_spec("playwright") is None:
        print("## Workbench\n\nNot measured: Chromium or Playwright is not here (extra `browser`).")
        return
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for nodes in options.nodes:
            root = Path(folder) / str(nodes)
            root.mkdir()
            make_run(root / "bench", nodes)
            print(f"{nodes} nodes: run made", file=sys.stderr, flush=True)
            found.append(measure(root / "bench", chromium, options.clicks, nodes))
            print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"runs": found, "load": os.getloadavg()[0]}))
        return
    print("## Workbench\n")
    print(
        "First draw and click in a browser (goals: 4 s and 0.5 s); load of the machine meanwhile: "
        f"{os.getloadavg()[0]:.1f}.\n"
    )
    names = list(dict.fromkeys(name for row in found for name in row))
    print("| " + " | ".join(name.replace("_", " ") for name in names) + " |\n|" + "---:|" * len(names))
    for row in found:
        print("| " + " | ".join(f"{row[name]:,}" if name in row else "" for name in names) + " |")


if __name__ == "__main__":
    main()
