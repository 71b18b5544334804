"""Training through SAELens's trainers: it begins where it should, resumes exactly, meets the L0 that was asked."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from cotlab.errors import DataError, UserError
from cotlab.interventions import HookPoint, SAECard, SparseAutoencoder
from cotlab.saes import KINDS, TrainPlan
from cotlab.saes.activations import ActivationStream
from cotlab.saes.l0_matching import active_a_token, at_l0, match_l0
from cotlab.saes.traces import Trace
from cotlab.saes.trainers import for_training, kind_of, rescaled, trained
from cotlab.saes.training import train

POINT = HookPoint("resid_post", 0)
WIDTH, TRUE = 16, 32


def rows(n, seed):
    """Sparse sums of 32 directions, 3 a row."""
    directions = torch.nn.functional.normalize(
        torch.randn(TRUE, WIDTH, generator=torch.Generator().manual_seed(99)), dim=1
    )
    generator = torch.Generator().manual_seed(seed)
    codes = torch.zeros(n, TRUE)
    codes.scatter_(
        1, torch.rand(n, TRUE, generator=generator).topk(3).indices, 1 + torch.rand(n, 3, generator=generator)
    )
    return codes @ directions


class Reader:
    """Stands for a model: token i has the i-th activation. Counts what is read."""

    def __init__(self, table):
        self.table, self.reads = table, 0
        self.shape = SimpleNamespace(n_layers=1, d_model=table.shape[1], n_heads=1, head_dim=table.shape[1])

    def read(self, whole, points):
        self.reads += 1
        return {point: self.table[list(whole.token_ids)] for point in points}


def stream(seed=0, batch=64, buffer=256, n=60, special=frozenset()):
    table = rows(4096, 1)
    traces = [Trace(str(i), str(i), tuple(range(i * 40, i * 40 + 30)), 5, 25) for i in range(n)]
    return ActivationStream(Reader(table), POINT, traces, special=special, batch=batch, buffer=buffer, seed=seed)


def sae(activation="topk", k=3, threshold=None):
    generator = torch.Generator().manual_seed(5)
    W_dec = torch.nn.functional.normalize(torch.randn(48, WIDTH, generator=generator), dim=1) * 1.7
    card = SAECard(POINT, activation, name="given", model="m", k=k, centre=True)
    bias = torch.randn(48, generator=generator) * 0.1
    return SparseAutoencoder(card, (W_dec.T * 0.4).contiguous(), bias, W_dec, torch.full((WIDTH,), 0.1), threshold)


def test_an_epoch_has_every_row_at_most_once_and_seek_comes_back_to_any_batch():
    one = stream()
    assert one.n_tokens == 1800
    batches = [next(one) for _ in range(60)]  # two epochs and a half
    first = torch.cat(batches[: 1800 // 64 - 4])
    assert len(torch.unique(first, dim=0)) == len(first)
    assert not torch.equal(batches[0], next(stream(seed=1)))
    for at in (0, 7, 33, 59):
        other = stream()
        other.seek(at)
        assert torch.equal(next(other), batches[at])
    with pytest.raises(DataError, match="fewer than one batch"):
        stream(n=1)


def test_special_tokens_are_never_trained_on():
    special = frozenset(range(0, 4096, 3))
    one = stream(special=special)
    seen = {tuple(row) for row in torch.cat([next(one) for _ in range(30)]).tolist()}
    table = one.inside.table
    assert not seen & {tuple(table[i].tolist()) for i in special}
    assert len(seen) > 1000


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_trained_further_begins_with_what_it_was(kind):
    threshold = None if kind == "topk" else torch.full((48,), 0.3)
    before = sae("topk" if kind == "topk" else "batchtopk", threshold=threshold)
    after = trained(for_training(before, kind, 3), kind, before.card, 3)
    x = rows(200, 7)
    assert torch.allclose(after.encode(x), before.encode(x), atol=1e-6)
    assert torch.allclose(after.reconstruct(x), before.reconstruct(x), atol=1e-6)


def test_rescaled_is_the_same_function():
    before = sae()
    after = rescaled(before, 0.05)
    x = rows(100, 8)
    assert after.card.scale == 0.05 and after.card.units == "normalised"
    assert torch.allclose(after.encode(x), before.encode(x), atol=1e-5)
    assert torch.allclose(after.reconstruct(x), before.reconstruct(x), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_learns_and_meets_the_l0_that_was_asked(kind):
    plan = TrainPlan(kind, 3, tokens=256 * 400, batch=256, lr=3e-3, check_every=50, patience=20, dead_after=30)
    held = rows(2000, 2)
    card = SAECard(POINT, "relu", scale=WIDTH**0.5 / float(held.norm(dim=1).mean()))
    found = train(stream(batch=256, buffer=2048, n=100), held, plan, card, d_sae=64)
    assert found.checks[0].explained_variance < found.checks[-1].explained_variance
    assert found.checks[-1].explained_variance > 0.6
    assert active_a_token(found.sae, held) == pytest.approx(3, rel=0.02)
    assert found.sae.card.activation == {"topk": "topk", "jumprelu": "jumprelu"}.get(kind, "batchtopk")


@pytest.mark.parametrize("kind", ["batchtopk", "jumprelu"])
def test_interrupted_and_resumed_equals_going_on(kind, tmp_path):
    plan = TrainPlan(kind, 3, tokens=64 * 60, batch=64, lr=2e-3, check_every=10, patience=50, dead_after=8)
    held, card = rows(500, 2), SAECard(POINT, "relu", scale=0.9)
    whole = train(stream(), held, plan, card, d_sae=40)

    class Stop(Exception):
        pass

    class Interrupted:
        def phase(self, name, total, unit="rollouts"):
            pass

        def advance(self, steps, tokens):
            pass

        def say(self, line):
            if line.startswith("step 30"):
                raise Stop

    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stop):
        train(stream(), held, plan, card, d_sae=40, checkpoint=path, progress=Interrupted())
    resumed = train(stream(), held, plan, card, d_sae=40, checkpoint=path)
    assert resumed.checks == whole.checks and resumed.best == whole.best
    assert resumed.sae.id == whole.sae.id

    with pytest.raises(UserError, match="of another training"):
        train(stream(), held, replace(plan, lr=1e-3), card, d_sae=40, checkpoint=path)


def test_it_stops_where_nothing_gets_better():
    held, card = rows(500, 2), SAECard(POINT, "relu")
    plan = TrainPlan("topk", 3, tokens=64 * 500, batch=64, lr=1e-9, check_every=5, patience=3)
    found = train(stream(), held, plan, card, d_sae=40)
    assert found.checks[-1].step == 15 and "no better for 3 checks" in found.stopped


def test_l0_is_matched_by_one_factor_on_the_thresholds():
    threshold = torch.rand(48, generator=torch.Generator().manual_seed(3)) + 0.5
    x = rows(2000, 9)
    for before in (sae("jumprelu", None, threshold), sae("batchtopk", 3, torch.zeros(48))):
        after = match_l0(before, x, 2.5)
        assert active_a_token(after, x) == pytest.approx(2.5, rel=0.011)
    assert match_l0(sae(), x, 2.5) == sae()


def test_every_kind_is_brought_to_an_l0_that_it_can_have():
    x, threshold = rows(2000, 9), torch.rand(48, generator=torch.Generator().manual_seed(3)) + 0.5
    for before in (sae("relu", None), sae("jumprelu", None, threshold), sae("batchtopk", 3, threshold)):
        after = at_l0(before, x, 2.5)
        assert active_a_token(after, x) == pytest.approx(2.5, rel=0.011)
        assert at_l0(after, x, 2.5) is after
    relu = sae("relu", None)
    assert torch.equal(at_l0(relu, x, 40).W_dec, relu.W_dec)
    topk = sae("topk", 12)
    assert at_l0(topk, x, active_a_token(topk, x)) is topk
    four = at_l0(topk, x, 4.2)
    assert four.card.k == 4 and active_a_token(four, x) == pytest.approx(4, rel=0.05)


def test_exactly_so_many_steps_are_those_of_the_plan_and_resume(tmp_path):
    """No early stop, no choice of the best; the learning rate is that of the whole plan."""
    held, card = rows(500, 2), SAECard(POINT, "relu", scale=0.9)
    plan = TrainPlan("batchtopk", 3, tokens=64 * 60, batch=64, lr=2e-3, check_every=10, patience=50, dead_after=8)
    seen = train(stream(), held, plan, card, d_sae=40, exactly=30)
    assert [check.step for check in seen.checks] == [0, 10, 20, 30] and (seen.best, seen.stopped) == (
        30, "all 30 steps made"
    )  # fmt: skip
    assert seen.checks[-1] == train(stream(), held, plan, card, d_sae=40).checks[3]
    idle = replace(plan, lr=1e-9, patience=2, check_every=5)
    assert train(stream(), held, idle, card, d_sae=40, exactly=25).best == 25, "it does not stop, nothing being better"
    path = tmp_path / "checkpoint.safetensors"
    train(stream(), held, plan, card, d_sae=40, exactly=30, checkpoint=path)
    with pytest.raises(UserError, match="of another training"):
        train(stream(), held, plan, card, d_sae=40, exactly=40, checkpoint=path)


def test_kinds_that_cannot_be_are_one_line():
    assert kind_of(sae("relu", None)) == "jumprelu"
    with pytest.raises(UserError, match="whole number"):
        for_training(sae(), "topk", 2.5)
    with pytest.raises(UserError, match="matryoshka widths"):
        for_training(sae(), "matryoshka", 3, widths=(8, 16))
    with pytest.raises(UserError, match="normalises each token"):
        for_training(replace(sae(), card=replace(sae().card, layer_norm=True)), "topk", 3)
    with pytest.raises(UserError, match="cannot train"):
        TrainPlan("topk", 0)
