"""Lenses: against a computation by hand, and a tuned lens that is better on sequences that it has not seen."""

import pytest
import torch
from inside_small import inside_of, random_model, tokens

from cotlab.errors import DataError
from cotlab.whitebox import TunedLens, read_lens, train_tuned_lens


def test_the_logit_lens_is_norm_and_unembedding():
    model = random_model("llama", layers=3)
    inside, ids = inside_of(model), tokens(10)
    reading = read_lens(inside, ids)
    with torch.inference_mode():
        out = model(torch.tensor([ids]), output_hidden_states=True)
        final = out.logits[0].log_softmax(-1)
        for layer in (0, 1):
            said = model.lm_head(model.model.norm(out.hidden_states[layer + 1][0])).log_softmax(-1)
            kl = torch.nn.functional.kl_div(said, final, log_target=True, reduction="none").sum(-1)
            assert torch.allclose(reading.kl[layer], kl, atol=1e-5)
            assert torch.equal(reading.top[layer], said.argmax(-1))
            assert torch.allclose(reading.next_logprob[layer], said[range(9), ids[1:]], atol=1e-5)
            entropy = torch.distributions.Categorical(logits=said).entropy()
            assert torch.allclose(reading.entropy[layer], entropy, atol=1e-4)
    assert torch.equal(reading.top[-1], final.argmax(-1)) and reading.kl[-1].abs().max() < 1e-6


def test_first_readable_is_the_layer_from_which_all_agree():
    inside = inside_of(random_model("llama", layers=3))
    reading = read_lens(inside, tokens(20))
    for at in range(20):
        layer = reading.first_readable(at)
        assert (reading.top[layer:, at] == reading.top[-1, at]).all()
        assert layer == 0 or reading.top[layer - 1, at] != reading.top[-1, at]
    assert reading.share_readable()[-1] == 1


def test_a_tuned_lens_is_nearer_on_unseen_sequences_and_is_kept_in_a_file(tmp_path):
    inside = inside_of(random_model("qwen2"))
    told = []
    lens = train_tuned_lens(
        inside, [tokens(24, seed) for seed in range(40)], epochs=6, lr=5e-3, progress=lambda *at: told.append(at)
    )
    assert lens.kl_after[0] < 0.8 * lens.kl_before[0] and lens.kl_after[-1] < 1e-6
    assert told[-1] == (192, 192) and lens.n_tokens == 32 * 24
    path = tmp_path / "deep" / "lens.safetensors"
    lens.save(path)
    again = TunedLens.load(path)
    ids = tokens(15, 99)
    assert torch.equal(read_lens(inside, ids, again).kl, read_lens(inside, ids, lens).kl)
    assert again.kl_before == lens.kl_before and [p.name for p in path.parent.iterdir()] == ["lens.safetensors"]
    with pytest.raises(DataError, match="the lens is for"):
        read_lens(inside_of(random_model("qwen2", layers=3)), ids, again)


def test_faults_are_one_line(tmp_path):
    inside = inside_of(random_model("qwen2"))
    with pytest.raises(DataError, match="4 sequences, a tuned lens needs 5"):
        train_tuned_lens(inside, [tokens(5)] * 4)
    with pytest.raises(DataError, match="has 1 tokens"):
        read_lens(inside, [3])
    with pytest.raises(DataError, match="there is no file"):
        TunedLens.load(tmp_path / "none")
    (tmp_path / "bad").write_bytes(b"\x00" * 40)
    with pytest.raises(DataError, match="bad cannot be read"):
        TunedLens.load(tmp_path / "bad")
