"""A planted direction: what the last residual stream says along it decides how likely one token is."""

import numpy as np
import pytest
import torch

from cotlab.chains.prefix import Prefix
from cotlab.engines.base import Passage
from cotlab.engines.hf import TransformersEngine
from cotlab.engines.hf_options import TransformersOptions
from cotlab.interventions import HookPoint, Steering, SteeringVector, VectorCard, Where

TOKEN, WIDTH, RANDOM = 7, 32, 200
POINT = HookPoint("resid_post", 1)


class Letters:
    """As much of a tokenizer as reading needs."""

    id = "letters"
    eos_ids = frozenset()

    def encode(self, text):
        return [ord(char) % 64 for char in text]

    def decode(self, token_ids):
        return "".join(chr(64 + i) for i in token_ids)

    def pieces(self, token_ids):
        return [chr(64 + i) for i in token_ids]


@pytest.fixture(scope="module")
def planted():
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(3)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=64,
            hidden_size=WIDTH,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=64,
        )
    )
    direction = np.random.default_rng(5).standard_normal(WIDTH).astype(np.float32)
    with torch.no_grad():
        model.lm_head.weight[TOKEN] = torch.from_numpy(direction)
    options = TransformersOptions(device="cpu")
    with TransformersEngine(model, Letters(), name="planted", revision="0", template_id="", options=options) as engine:
        yield engine, SteeringVector((POINT,), direction[None], VectorCard(mean_norms=(10.0,)))


def test_the_planted_direction_moves_its_token_more_than_random_ones_and_the_wrong_sign_the_other_way(planted):
    engine, vector = planted
    prefix = Prefix(tuple(range(20, 30)), 4)
    arms = [Steering.of(vector, 0.3, Where("new")), Steering.of(vector, -0.3, Where("new"))]
    arms += [Steering.of(vector.random_like(seed), 0.3, Where("new")) for seed in range(RANDOM)]
    plain, up, down, *controls = (
        row[-1]
        for row in engine.logprobs([Passage(prefix, (TOKEN,)), *(Passage(prefix, (TOKEN,), arm) for arm in arms)])
    )
    larger = sum(control - plain >= up - plain for control in controls)
    assert (1 + larger) / (1 + RANDOM) <= 0.05
    assert down < plain < up
