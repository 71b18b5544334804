"""Damaged and foreign files end in one line that names the file."""

import json
import os

import published_saes as published
import pytest
import torch
from published_saes import D, F
from safetensors.torch import load_file, save_file

from cotlab.errors import DataError, UserError
from cotlab.interventions import HookPoint, SAECard, SparseAutoencoder
from cotlab.saes import load_sae, open_sae, save_sae


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def scope(tmp_path):
    """A whole one, and its file of weights."""
    path = published.llama_scope(tmp_path).path
    return path, path / "checkpoints" / "final.safetensors"


def rewrite(file, change):
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


@pytest.mark.parametrize("kept", [0, 5, 200, 3000])
def test_truncated_safetensors(scope, kept):
    path, file = scope
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"final\.safetensors cannot be read as safetensors") as error:
        load_sae(path)
    one_line(error)


def test_truncated_between_opening_and_reading(scope):
    path, file = scope
    stored = open_sae(path)
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(DataError, match="cannot be read"):
        stored.encode_sparse(torch.randn(2, D))


def test_a_missing_tensor(scope):
    path, file = scope
    rewrite(file, lambda tensors: tensors.pop("decoder.bias"))
    with pytest.raises(
        DataError, match=r"tensor 'decoder\.bias' is missing; there are: decoder\.weight, encoder"
    ) as error:
        load_sae(path)
    one_line(error)


@pytest.mark.parametrize(
    ("name", "tensor", "told"),
    [
        ("decoder.weight", torch.zeros(F, D), r"its decoder has shape \(16, 48\), expected \(48, 16\)"),
        ("encoder.bias", torch.zeros(F + 1), r"its b_enc has shape \(49,\), expected \(48,\)"),
        ("decoder.bias", torch.zeros(D, 1), r"'decoder\.bias' has shape \(16, 1\), expected a vector"),
        ("encoder.weight", torch.zeros(F), r"expected a matrix of numbers"),
        ("encoder.weight", torch.zeros(F, D, dtype=torch.int32), r"expected a matrix of numbers"),
    ],
)
def test_wrong_shapes(scope, name, tensor, told):
    path, file = scope
    rewrite(file, lambda tensors: tensors.update({name: tensor}))
    with pytest.raises(DataError, match=told) as error:
        load_sae(path)
    one_line(error)


@pytest.mark.parametrize(("name", "part"), [("encoder.weight", "encoder"), ("decoder.weight", "decoder")])
def test_nan_in_a_matrix(scope, name, part):
    path, file = scope
    rewrite(file, lambda tensors: tensors[name].view(-1)[7].fill_(float("nan")))
    stored = open_sae(path)
    with pytest.raises(DataError, match=f"its {part} holds NaN or infinity") as error:
        stored.load()
    one_line(error)
    if part == "encoder":
        with pytest.raises(UserError, match="NaN or infinity is in its weights"):
            stored.encode_sparse(torch.randn(2, D))


def test_infinity_in_a_bias(scope):
    path, file = scope
    rewrite(file, lambda tensors: tensors["encoder.bias"][0].fill_(float("inf")))
    with pytest.raises(DataError, match="its b_enc holds NaN or infinity"):
        open_sae(path)


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"dataset_average_activation_norm": {"in": "wide"}})])
def test_a_damaged_configuration(scope, text):
    path, _ = scope
    (path / "hyperparams.json").write_text(text)
    with pytest.raises(DataError, match=r"hyperparams\.json") as error:
        load_sae(path, point="resid_post:3")
    one_line(error)


class Code:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_code_in_a_pytorch_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "Llama-3.1-8B-Instruct-SAE-l19.pth"
    torch.save({"encoder_linear.weight": Code()}, path)
    with pytest.raises(DataError, match="holds more than tensors, or is damaged; code in it is not run") as error:
        load_sae(path)
    one_line(error)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("kept", [0, 10, 500])
def test_truncated_pytorch_file(tmp_path, kept):
    path = published.qresearch(tmp_path).path
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match="l19.pt (cannot be read as a PyTorch file|holds more than tensors)") as error:
        load_sae(path)
    one_line(error)


def test_a_tensor_that_claims_more_numbers_than_it_has(tmp_path):
    path = tmp_path / "Llama-3.1-8B-Instruct-SAE-l19.pth"
    torch.save({"encoder_linear.weight": torch.zeros(1, 1).expand(1 << 20, 1 << 20)}, path)
    with pytest.raises(DataError, match="claims the shape"):
        load_sae(path)


def test_pytorch_files_with_other_things_in_them(tmp_path):
    path = tmp_path / "vectors-l3.pt"
    torch.save([torch.zeros(2)], path)
    with pytest.raises(DataError, match="holds list, expected tensors by name"):
        load_sae(path)
    torch.save({"direction": torch.zeros(2)}, path)
    with pytest.raises(DataError, match="holds no SAE that is known"):
        load_sae(path)


def test_folders_that_are_no_sae(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match=r"holds no SAE in a layout that is known \(it has notes.txt\)"):
        load_sae(tmp_path)
    with pytest.raises(UserError, match="is no SAE in a layout that is known"):
        load_sae(tmp_path / "notes.txt")
    half = tmp_path / "half"
    half.mkdir()
    (half / "cfg.json").write_text("{}")
    lacking = "cfg.json of sae_lens lacks sae_weights.safetensors; cfg.json of sparsify lacks sae.safetensors"
    with pytest.raises(UserError, match=lacking):
        load_sae(half)
    (half / "checkpoint.safetensors").write_text("")
    with pytest.raises(UserError, match="its training was interrupted, and the same command goes on there"):
        load_sae(half)
    published.llama_scope(tmp_path)
    with pytest.raises(UserError, match="holds several SAEs; name one of them: Llama3_1-8B-Base-L3R-8x"):
        load_sae(tmp_path)


def test_kinds_of_sparsify_and_dictionary_learning_that_are_not_read(tmp_path):
    path = published.sparsify(tmp_path).path
    for change, told in (
        ({"transcode": True}, "a transcoder"),
        ({"skip_connection": True}, "a skip connection"),
        ({"signed": True}, "signed topk"),
        ({"activation": "groupmax"}, "the activation function 'groupmax'"),
    ):
        (path / "cfg.json").write_text(json.dumps({"k": 5, "d_in": D, **change}))
        with pytest.raises(UserError, match=f"{told} is not supported"):
            load_sae(path)
    made, _ = published.dictionary(tmp_path / "other", "CrossCoder")
    torch.save({}, made / "ae.pt")
    with pytest.raises(UserError, match="the class 'CrossCoder' is not supported"):
        load_sae(made)


def test_an_sae_is_not_overwritten_by_chance(tmp_path):
    sae = load_sae(published.llama_scope(tmp_path).path)
    save_sae(sae, tmp_path / "out")
    with pytest.raises(UserError, match="there is an SAE in .* already"):
        save_sae(sae, tmp_path / "out")
    save_sae(sae, tmp_path / "out", overwrite=True)
    with pytest.raises(UserError, match="save it in float32"):
        save_sae(sae.to(dtype=torch.float64), tmp_path / "wide")
    assert not list((tmp_path / "out").glob(".*"))


def test_the_cards_of_newer_versions_are_faults(tmp_path):
    sae = load_sae(published.llama_scope(tmp_path).path)
    config = save_sae(sae, tmp_path / "out") / "cfg.json"
    told = json.loads(config.read_text())
    told["metadata"]["cotlab"]["card"]["later"] = 1
    config.write_text(json.dumps(told))
    with pytest.raises(DataError, match="no card of an SAE that this version can read"):
        load_sae(tmp_path / "out")


def test_activations_of_another_width(scope):
    with pytest.raises(UserError, match=r"takes activations of shape \(n, 16\), got \(2, 17\)"):
        open_sae(scope[0]).encode_sparse(torch.zeros(2, 17))
    with pytest.raises(UserError, match="has no feature 48"):
        open_sae(scope[0]).directions([48])


@pytest.mark.parametrize(("activation", "threshold"), [("relu", None), ("jumprelu", torch.full((F,), 0.1))])
def test_what_is_given_is_held_against_own_files_without_k(tmp_path, activation, threshold):
    card = SAECard(HookPoint("resid_post", 2), activation, name="x", model="m")
    weights = (torch.randn(D, F), torch.zeros(F), torch.randn(F, D), torch.zeros(D), threshold)
    save_sae(SparseAutoencoder(card, *weights), tmp_path / "own")
    assert open_sae(tmp_path / "own", point="resid_post:2", scale=1.0).card.k is None
    with pytest.raises(UserError, match="norm factor is 1.0, not 2.0"):
        open_sae(tmp_path / "own", scale=2.0)


def test_a_checkpoint_beside_a_models_configuration_is_no_folder_of_dictionary_learning(tmp_path):
    weights = {"encoder.weight": torch.randn(F, D), "encoder.bias": torch.zeros(F)}
    weights |= {"decoder.weight": torch.randn(D, F), "decoder.bias": torch.zeros(D)}
    file = tmp_path / "DeepSeek-R1-Distill-Llama-8B-SAE-l19.pt"
    torch.save(weights, file)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}), "utf-8")
    assert open_sae(file).card.source != "dictionary_learning"
