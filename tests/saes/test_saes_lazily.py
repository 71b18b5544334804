"""What is read of an autoencoder on disk: no more than is needed."""

from pathlib import Path

import pytest
import torch

import cotlab as ct
from cotlab.interventions import FeatureChange, FeatureSteering, HookPoint, SAECard, SparseAutoencoder, Where
from cotlab.runs import verify_run
from cotlab.saes import SHIPPED, StoredAutoencoder, branch_features, load_sae, open_sae, save_sae
from tests.saes.largest import Largest

KINDS = ("relu", "jumprelu", "batchtopk", "topk")


def made(kind: str, d_model: int = 24, d_sae: int = 300) -> SparseAutoencoder:
    torch.manual_seed(0)
    threshold = torch.rand(d_sae) if kind in ("jumprelu", "batchtopk") else None
    card = SAECard(HookPoint("resid_post", 1), kind, k=7 if "topk" in kind else None, scale=0.5, centre=True)  # type: ignore[arg-type]
    weights = (torch.randn(d_model, d_sae), torch.randn(d_sae), torch.randn(d_sae, d_model), torch.randn(d_model))
    return SparseAutoencoder(card, *weights, threshold)


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_one_on_disk_are_those_of_the_same_in_memory(kind: str, tmp_path: Path) -> None:
    sae = load_sae(save_sae(made(kind), tmp_path / kind))
    stored = open_sae(tmp_path / kind)
    assert stored.id == sae.id
    assert torch.equal(stored.norms(), sae.norms())
    changes = [FeatureChange(7, "clamp", 3.0, "raw"), FeatureChange(2, "scale", 0.5)]
    here, there = (FeatureSteering.of(one, changes, Where("new")) for one in (sae, stored))
    assert here.id == there.id and here.to_json() == there.to_json()
    x = torch.randn(11, 24)
    assert torch.equal(here.rows.read(x), there.rows.read(x))
    with pytest.raises(ct.errors.UserError, match="has no feature 300"):
        FeatureSteering.of(stored, [FeatureChange(300, "ablate")])


def test_setting_features_reads_their_rows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotlab.saes.stored.AT_ONCE", 1 << 16)
    sae = made("jumprelu", 256, 8192)  # matrices of 8 MiB
    save_sae(sae, tmp_path / "sae")
    stored, largest = open_sae(tmp_path / "sae"), Largest()
    with largest:
        its = FeatureSteering.of(stored, [FeatureChange(9, "add", 1.0, "raw")])
    assert its.rows.sae.W_dec.shape == (1, 256)
    # The file has float32 where the numbers are rescaled to float64; a part is 65,536 numbers of either.
    assert largest.bytes <= 8 * (1 << 16) + (1 << 12), f"{largest.bytes:,} bytes at once"


def test_a_branch_without_reconstruction_never_loads_the_autoencoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"problems": "tiny", "n_problems": 1, "positions": "0,2", "base": ("random",), "engine": "transformers"}
    run = ct.resample(**asked, n=5, run=str(tmp_path / "run")).path  # type: ignore[arg-type]
    loads: list[str] = []
    load = StoredAutoencoder.load

    def counted(self: StoredAutoencoder, *how: object) -> SparseAutoencoder:
        loads.append(self.card.name)
        return load(self, *how)  # type: ignore[arg-type]

    monkeypatch.setattr(StoredAutoencoder, "load", counted)
    change = [FeatureChange(int(load_sae(SHIPPED).b_enc.argmax()), "clamp", 4.0, "raw")]
    loads.clear()
    stored = open_sae(SHIPPED)
    how = {"step": 2, "n": 5, "n_random": 2, "engine": "transformers"}
    found = branch_features(run, stored, change, **how, reconstruction=False)  # type: ignore[arg-type]
    assert not loads and "reconstruction" not in [arm.name for arm in found.result.arms]
    whole = branch_features(run, load_sae(SHIPPED), change, **how)  # type: ignore[arg-type]
    assert [arm for arm in whole.result.arms if arm.name != "reconstruction"] == list(found.result.arms)
    assert verify_run(run) == []
