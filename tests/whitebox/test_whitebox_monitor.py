"""The monitor that reads activations: the right token, the model's own tokens, and one pass a response."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cotlab.interventions.hook_points import HookPoint
from cotlab.measures import shown_rows
from cotlab.problems import Arm
from cotlab.runs import Run
from cotlab.sampling import StudyConfig, sample_arms
from cotlab.whitebox import ActivationMonitor, Inside

POINT = HookPoint("resid_post", 2)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "arms"
    config = StudyConfig.of(problems="solve", n_problems=8, n=1, model="tiny", engine="transformers", run=path)
    sample_arms(config, [Arm(), Arm("friend"), Arm("friend", right=True)])
    return path


def test_it_reads_the_last_token_of_what_is_shown(path):
    inside = Inside.open("tiny")
    with Run.open(path) as run:
        rows = shown_rows(run, "shaped")
        monitor = ActivationMonitor(run, inside, POINT, counts=(0, 2))
        row = rows[0]
        rollout = run.rollout(row.rollout_id)
        prompt, ids = run.prefix(rollout.prefix_id).token_ids, rollout.token_ids
        for shown in (row, row.first(2), row.first(0)):
            kept = next(
                k for k in range(len(ids) + 1) if len("".join(inside.tokenizer.pieces(ids[:k]))) >= len(shown.text)
            )
            wanted = inside.read(prompt + ids[:kept], [POINT])[POINT][-1].numpy()
            assert np.allclose(monitor.read([shown])[0], wanted, atol=1e-4)
        assert set(monitor._seen) == {(row.rollout_id, row.first(count).text) for count in (0, 2, 999)}


def test_edited_thoughts_are_read_as_they_now_stand(path):
    inside = Inside.open("tiny")
    with Run.open(path) as run:
        row = shown_rows(run, "shaped")[0]
        edited = row.changed(lambda sentence: "" if sentence == row.steps[0] else sentence)
        monitor = ActivationMonitor(run, inside, POINT)
        prompt = run.prefix(run.rollout(row.rollout_id).prefix_id).token_ids
        wanted = inside.read(prompt + tuple(inside.tokenizer.encode(edited.text)), [POINT])[POINT][-1].numpy()
        assert np.allclose(monitor.read([edited])[0], wanted, atol=1e-4)


def test_edited_thoughts_stand_behind_the_tag_that_the_response_opened_them_with(path):
    """Where the template does not open the thoughts, the response does: without its tag they read as an answer."""
    inside = Inside.open("tiny")
    with Run.open(path) as run:
        row = shown_rows(run, "shaped")[0]
        rollout, tag = run.rollout(row.rollout_id), run.identity.think_open
        prompt = run.prefix(rollout.prefix_id).token_ids
        opened = SimpleNamespace(
            identity=run.identity,
            prefix=run.prefix,
            rollout=lambda _: replace(rollout, text=f"{tag}\n{rollout.text.lstrip()}"),
        )
        edited = row.changed(lambda sentence: "" if sentence == row.steps[0] else sentence)
        monitor = ActivationMonitor(opened, inside, POINT)
        said = tuple(inside.tokenizer.encode(f"{tag}\n{edited.text}"))
        wanted = inside.read(prompt + said, [POINT])[POINT][-1].numpy()
        assert np.allclose(monitor.read([edited])[0], wanted, atol=1e-4)
        bare = inside.read(prompt + tuple(inside.tokenizer.encode(edited.text)), [POINT])[POINT][-1].numpy()
        assert not np.allclose(bare, wanted, atol=1e-2)
    assert monitor._opening("no tag") == "" and monitor._opening(f" {tag} \n so") == f" {tag} \n "


def test_it_learns_and_scores_as_any_monitor(path):
    with Run.open(path) as run:
        rows = shown_rows(run, "shaped")
        monitor = ActivationMonitor(run, Inside.open("tiny"), POINT)
        scores = monitor(rows, rows)
        labels = np.array([row.label for row in rows])
        assert scores[labels].mean() > 0 > scores[~labels].mean(), "on what it learned from"
