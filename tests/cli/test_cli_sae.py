"""`cotlab sae show` and `convert`."""

import json

import pytest
import torch
from command_line import cotlab

from cotlab.interventions import HookPoint, SAECard, SparseAutoencoder
from cotlab.saes import load_sae, save_sae


@pytest.fixture
def folder(tmp_path):
    """An autoencoder of the tiny reasoner's layer 2, with a norm factor."""
    torch.manual_seed(0)
    card = SAECard(HookPoint("resid_post", 2), "topk", name="mine", model="tiny", k=4, scale=2.5, centre=True)
    weights = (torch.randn(256, 30), torch.randn(30), torch.randn(30, 256), torch.randn(256))
    return save_sae(SparseAutoencoder(card, *weights), tmp_path / "mine")


def test_shows_the_card(folder):
    code, out, _ = cotlab("sae", "show", folder, "--model", "tiny", "--json")
    told = json.loads(out)
    assert code == 0
    wanted = {"model": "tiny", "point": "resid_post:2", "d_model": 256, "d_sae": 30, "k": 4, "units": "normalised"}
    assert wanted.items() <= told.items()
    code, out, err = cotlab("sae", "show", folder)
    assert code == 0 and err == "" and "resid_post:2" in out and "normalised" in out and "fits" not in out
    code, out, _ = cotlab("sae", "show", folder, "--model", "tiny")
    assert code == 0 and "yes, 'tiny'" in out


def test_a_model_that_it_is_not_of_is_one_line(folder):
    code, out, err = cotlab("sae", "show", folder, "--model", "r1-qwen-1.5b", "--transfer")
    assert (code, out) == (2, "")
    assert "has width 256, resid_post:2 of the model 'deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B' 1536" in err
    code, _, err = cotlab("sae", "show", folder, "--scale", "3")
    assert code == 2 and "norm factor is 2.5, not 3.0" in err


def test_converts_to_the_layout_of_sae_lens(folder, tmp_path):
    from sae_lens import SAE

    code, out, _ = cotlab("sae", "convert", folder, "--out", tmp_path / "theirs", "--json")
    assert code == 0 and json.loads(out)["out"] == str(tmp_path / "theirs")
    x = torch.randn(5, 256)
    ours, theirs = load_sae(folder), SAE.load_from_disk(tmp_path / "theirs")
    with torch.no_grad():
        torch.testing.assert_close(theirs(x), ours.reconstruct(x), rtol=1e-4, atol=1e-4)
    code, _, err = cotlab("sae", "convert", folder, "--out", tmp_path / "theirs")
    assert code == 2 and "already" in err
    assert cotlab("sae", "convert", folder, "--out", tmp_path / "theirs", "--overwrite")[0] == 0


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_no_sae_is_written_into_a_run(folder, tmp_path, overwrite):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("{}")
    code, _, err = cotlab("sae", "convert", folder, "--out", run, *overwrite)
    assert code == 2 and "is a run: an SAE needs a folder of its own" in err
    assert [path.name for path in run.iterdir()] == ["run.json"]
