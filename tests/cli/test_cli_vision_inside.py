"""`cotlab vision lens`, `locate` and `features`: documents, pages, faults. Numbers are tested where they are made."""

from __future__ import annotations

import torch
from command_line import document, fault, shown
from vision_small import picture, vlm_folder

from cotlab.interventions import HookPoint, SAECard, SparseAutoencoder
from cotlab.saes import save_sae

SMALL = ("--cases", 5, "--scenes", 20, "--patched", 1)


def test_an_image_through_the_lens(tmp_path):
    folder = vlm_folder(tmp_path, "llava")
    (tmp_path / "a.png").write_bytes(picture(30, 20).data)
    page = tmp_path / "lens.html"
    asked = ("vision", "lens", "--model", folder, "--image", tmp_path / "a.png", "--words", "A, b", "--html", page)
    found = document(*asked)
    assert [layer["point"] for layer in found["layers"]][:2] == ["resid_pre:0", "resid_post:0"]
    assert len(found["layers"][0]["words"]["A"]["probability"]) == len(found["boxes"]) == 16
    assert found["layers"][1]["point"] in shown(*asked)
    html = page.read_text()
    assert html.count("data:image/png;base64") == 1 and html.count("<use ") == 3 * len(found["layers"])
    assert "cannot be read" in fault("vision", "lens", "--model", folder, "--image", tmp_path / "none.png")


def test_locating_in_a_model_that_knows_nothing(tmp_path):
    folder, page = vlm_folder(tmp_path, "llava"), tmp_path / "locate.html"
    asked = ("vision", "locate", "--model", folder, "--twin", folder, *SMALL, "--html", page)
    found = document(*asked)
    assert found["verdict"] in ("no error", "undecided") and found["parts"]["decoder"]["value"] == 0
    assert len(found["sites"]) == 2 + 1 + 3  # LLaVA leaves the last layer of its encoder out
    assert page.read_text().count("data:image/png;base64") == 5
    few = ("vision", "locate", "--model", folder, *SMALL)
    (written,) = shown(*few, "--write-pairs", tmp_path / "pairs").split()
    again = document("vision", "locate", "--model", folder, "--pairs", written, "--html", tmp_path / "pairs.html")
    alone = document(*few)
    assert again["sites"] == alone["sites"] and again["error"] == alone["error"] and again["on"] == "pairs.jsonl"
    assert "cannot be read" in fault("vision", "locate", "--model", folder, "--pairs", tmp_path / "none.jsonl")
    assert "write FIRST>SECOND" in fault("vision", "locate", "--model", folder, "--habit", "star")
    assert "unknown shape 'sun'" in fault("vision", "locate", "--model", folder, "--habit", "sun>moon")
    assert "sees no images" in fault("vision", "locate", "--model", "tiny", *SMALL)


def test_warning_of_what_is_not_there(tmp_path):
    folder, page = vlm_folder(tmp_path, "llava"), tmp_path / "warn.html"
    few = ("--cases", 4, "--scenes", 6, "--shuffles", 2, "--max-tokens", 2)
    found = document("vision", "warn", "--model", folder, *few, "--html", page)
    assert [one["kind"] for one in found["warned"]] == ["yes", "words"]
    assert found["warned"][0]["asked"] == 4 * 4 + 6 * 6 and "a probe takes 10" in found["warned"][1]["reason"]
    assert "nothing is judged" in page.read_text()
    assert "unknown probe method 'guess'" in fault("vision", "warn", "--model", folder, "--method", "guess")
    assert "unknown kind 'no'" in fault("vision", "warn", "--model", folder, "--kinds", "no")


def test_features_on_images(tmp_path):
    folder, page = vlm_folder(tmp_path, "llava"), tmp_path / "features.html"
    for seed in range(2):
        rows = torch.randn(16, 48, generator=torch.Generator().manual_seed(seed))
        rows /= rows.norm(dim=1, keepdim=True)
        sae = SparseAutoencoder(
            SAECard(HookPoint("resid_post", 1), "relu", name=f"small {seed}"),
            rows.T.contiguous(), torch.zeros(16), rows, torch.zeros(48),
        )  # fmt: skip
        save_sae(sae, tmp_path / "saes" / str(seed))
    few = ("--images", 12, "--cases", 6, "--scenes", 5, "--random", 1, "--factors", "0,-1", "--most", 1)
    asked = ("vision", "features", tmp_path / "saes", "--model", folder, *few)
    found = document(*asked, "--html", page, "--shuffles", 2)
    assert len(found["autoencoders"]) == 2 and found["plan"]["factors"] == [0.0, -1.0]
    for one in found["autoencoders"]:
        assert one["regions_tested"] >= len(one["regions"])
        assert (one["choice"] is None) == (one["carrying"] == [])
        assert [rate["n"] for rate in one["null_rates"]] == [2, 2]
    assert "data:image/png;base64" in page.read_text()
    assert "factors 'much' not understood" in fault(*asked, "--factors", "much")
    assert "give numbers other than 1" in fault(*asked, "--factors", "1")
    assert "tolerance is 2, expected 0..1" in fault(*asked, "--tolerance", "2")
