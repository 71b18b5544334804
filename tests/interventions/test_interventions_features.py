"""Interventions on features as data: what they say, what they refuse, and that a run gives them back."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cotlab.errors import UserError
from cotlab.interventions import (
    FeatureChange,
    FeatureSteering,
    HookPoint,
    Reconstruction,
    SAECard,
    SparseAutoencoder,
    load_intervention,
)
from cotlab.interventions.feature_rows import FeatureRows
from cotlab.interventions.sae_files import sae_to_file

D_MODEL, D_SAE = 12, 40


def made(activation: str = "jumprelu", point: str = "resid_post:1", **card: object) -> SparseAutoencoder:
    torch.manual_seed(0)
    parts = {
        "W_enc": torch.randn(D_MODEL, D_SAE),
        "b_enc": torch.randn(D_SAE) * 0.1,
        "W_dec": torch.randn(D_SAE, D_MODEL),
        "b_dec": torch.randn(D_MODEL),
    }
    if activation in ("jumprelu", "batchtopk"):
        parts["threshold"] = torch.rand(D_SAE)
    return SparseAutoencoder(SAECard(HookPoint.parse(point), activation, **card), **parts)  # type: ignore[arg-type]


CHANGES = [FeatureChange(7, "clamp", 3.0, "raw"), FeatureChange(2, "scale", 0.5), FeatureChange(30, "ablate")]


@pytest.mark.parametrize(
    "sae",
    [
        made("relu", scale=0.5),
        made("jumprelu", centre=True),
        made("batchtopk", k=3),
        made("topk", k=5, layer_norm=True, centre=True),
        made("topk", k=5),
    ],
    ids=lambda sae: f"{sae.card.activation}-{sae.card.layer_norm}",
)
def test_rows_of_some_features_read_what_the_whole_autoencoder_reads(sae: SparseAutoencoder) -> None:
    x = torch.randn(50, D_MODEL) * 3
    rows = FeatureRows.of(sae, [30, 2, 7])
    assert rows.features == (2, 7, 30)
    whole = sae.encode(x)
    assert torch.allclose(rows.read(x), whole[:, [2, 7, 30]], atol=1e-5)
    moved = whole.clone()
    moved[:, [2, 7, 30]] += torch.tensor([1.0, -2.0, 0.5])
    spread = x.std(-1, keepdim=True) if sae.card.layer_norm else 1
    wanted = (sae.decode(moved) - sae.decode(whole)) * spread
    added = rows.write(x, torch.tensor([1.0, -2.0, 0.5]).expand(50, 3))
    assert torch.allclose(added, wanted, atol=1e-4)
    assert rows.sae.d_sae == (D_SAE if sae.card.activation == "topk" else 3)


def test_a_value_is_written_in_the_units_of_the_autoencoder_whatever_units_it_is_told_in() -> None:
    sae = made("relu", scale=0.25)
    raw = FeatureSteering.of(sae, [FeatureChange(7, "clamp", 8.0, "raw")])
    own = FeatureSteering.of(sae, [FeatureChange(7, "clamp", 2.0, "normalised")])
    assert raw == own and raw.id == own.id
    assert FeatureSteering.of(sae, [FeatureChange(7, "clamp", 8.0, "normalised")]).id != raw.id
    x = torch.zeros(1, D_MODEL)
    added = own.rows.write(x, torch.tensor([[2.0]]) - own.rows.read(x))
    assert torch.allclose(added, (8.0 - sae.encode(x)[:, 7] / 0.25)[:, None] * sae.W_dec[7])
    with pytest.raises(UserError, match="normalised: they were read with another"):
        FeatureSteering.of(made("relu"), [FeatureChange(7, "clamp", 2.0, "normalised")])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("12", "not understood"),
        ("x:clamp:3", "not understood"),
        ("1:boost:3", "not understood"),
        ("1:clamp:three", "not understood"),
        ("1:clamp", "only ablate has none"),
        ("1:ablate:2", "only ablate has none"),
        ("1:scale:1", "changes nothing"),
        ("1:add:0", "changes nothing"),
        ("1:clamp:nan", "is not a number"),
    ],
)
def test_changes_that_say_nothing_clear_are_refused(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        FeatureChange.parse(text, "raw")


def test_what_cannot_be_changed_token_by_token_is_refused() -> None:
    loose = replace(made("batchtopk", k=3), threshold=None)
    with pytest.raises(UserError, match="batchtopk SAE without a threshold"):
        FeatureSteering.of(loose, CHANGES)
    with pytest.raises(UserError, match="has no feature 40"):
        FeatureSteering.of(made(), [FeatureChange(40, "ablate")])
    with pytest.raises(UserError, match="changed twice"):
        FeatureSteering.of(made(), [FeatureChange(4, "ablate"), FeatureChange(4, "scale", 2.0)])
    with pytest.raises(UserError, match="where nothing can be changed"):
        FeatureSteering.of(made(point="z:1"), CHANGES)
    with pytest.raises(UserError, match="clamp and add need raw or normalised"):
        FeatureChange(1, "clamp", 2.0)


def test_a_file_that_holds_another_autoencoder_is_told(tmp_path: Path) -> None:
    one, other = made("relu"), made("relu", scale=2.0)
    its = FeatureSteering.of(one, CHANGES)
    path = tmp_path / FeatureSteering.of(other, CHANGES).artifact(tmp_path)
    with pytest.raises(UserError, match="holds the rows"):
        load_intervention(its.to_json(), path)
    with pytest.raises(UserError, match="has lost its file"):
        load_intervention(its.to_json(), None)
    with pytest.raises(UserError, match="not the rows of some features"):
        load_intervention(its.to_json(), tmp_path / Reconstruction(one).artifact(tmp_path))
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read as an autoencoder"):
        load_intervention(its.to_json(), path)


@pytest.mark.parametrize("activation", ["topk", "jumprelu"])
def test_a_run_keeps_one_file_of_a_whole_autoencoder_whatever_is_set_in_it(activation: str, tmp_path: Path) -> None:
    sae = made(activation, k=5) if activation == "topk" else made(activation)
    its = [FeatureSteering.of(sae, CHANGES[:n]) for n in (1, 2, 3)]
    names = [one.artifact(tmp_path) for one in its]
    names.append(Reconstruction(sae).artifact(tmp_path))
    assert len(set(names)) == len(list((tmp_path / "saes").iterdir())) == (1 if activation == "topk" else 4)
    x = torch.randn(9, D_MODEL)
    for one, name in zip(its, names, strict=False):
        again = load_intervention(one.to_json(), tmp_path / name)
        assert again == one and again.id == one.id
        assert torch.equal(again.rows.read(x), one.rows.read(x))  # type: ignore[attr-defined]


def test_a_run_that_kept_a_file_of_each_set_of_features_is_read(tmp_path: Path) -> None:
    its = FeatureSteering.of(made("topk", k=5), CHANGES)
    sae_to_file(its.rows.sae, tmp_path / "f.safetensors", {"features": [2, 7, 30], "sae": its.rows.sae_id})
    assert load_intervention(its.to_json(), tmp_path / "f.safetensors") == its
