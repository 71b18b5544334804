"""What the tiny vision-language model is trained on: reproducible, and every question as if it stood alone."""

import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlavaForConditionalGeneration

from cotlab.tiny import scenes as sc
from cotlab.tiny.vlm import vlm_path

torch.set_num_threads(1)
sys.path.insert(0, str(Path(__file__).parents[2] / "experiments" / "tiny-vlm"))
import pretrain  # noqa: E402
import rows  # noqa: E402


@pytest.fixture(scope="module")
def writer() -> rows.Writer:
    return rows.Writer(AutoTokenizer.from_pretrained(vlm_path()))


def test_equal_seeds_give_equal_batches_of_training_scenes(writer: rows.Writer) -> None:
    first, again, other = (next(rows.stream(writer, sc.PLAIN, 4, seed)) for seed in (1, 1, 2))
    assert torch.equal(first.ids, again.ids) and torch.equal(first.pixels, again.pixels)
    assert not torch.equal(first.pixels[:2], other.pixels[:2])


def test_packed_questions_are_computed_as_if_alone(writer: rows.Writer) -> None:
    model = LlavaForConditionalGeneration.from_pretrained(vlm_path()).eval()
    scene = sc.draw_scenes(1, 3)[0]
    asked = [
        sc.ask_exists(scene, "star"),
        sc.ask_exists(scene, "moon", "red"),
        sc.Question("describe", "Describe.", ""),
    ]
    exchanges = [writer.exchange(scene, question) for question in asked]
    packed = writer.rows([scene], [exchanges], set())
    with torch.no_grad():
        inner = model.model
        embedded = inner.get_input_embeddings()(packed.ids)
        pictures = torch.cat(inner.get_image_features(packed.pixels, return_dict=True).pooler_output)
        places = (packed.ids == model.config.image_token_id)[..., None].expand_as(embedded)
        together = inner.language_model(
            inputs_embeds=embedded.masked_scatter(places, pictures),
            attention_mask=packed.mask,
            position_ids=packed.positions,
        ).last_hidden_state[packed.labels != rows.IGNORED]
        alone = []
        for one in exchanges:
            row = writer.rows([scene], [[one]], set())
            states = inner(input_ids=row.ids, pixel_values=row.pixels).last_hidden_state
            alone.append(states[row.labels != rows.IGNORED])
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)


def test_what_is_to_be_said_is_the_completion(writer: rows.Writer) -> None:
    batch = next(rows.stream(writer, sc.PLAIN, 4, 5))
    said = writer.tokenizer.decode(batch.labels[0][batch.labels[0] != rows.IGNORED])
    assert said.count("</think>") == said.count("<｜end▁of▁sentence｜>") >= 10
    answers = writer.tokenizer.batch_decode(batch.labels[batch.weights > 1][:, None])
    assert set(answers) & {"Yes", "No"} and all(answer[0].isupper() for answer in answers)


def test_patch_labels_of_the_tower_are_those_of_the_masks() -> None:
    for scene in sc.draw_scenes(30, 6):
        found = pretrain.label(scene)
        for thing in scene.objects:
            tokens = sc.tokens_of(sc.mask_of(scene, thing), 0.5)
            assert all(found["shape"][token] == 1 + sc.SHAPES.index(thing.shape) for token in tokens)
        covered = {token for thing in scene.things for token in sc.tokens_of(sc.mask_of(scene, thing))}
        assert set(found["shape"].nonzero()[0]) == covered
        assert found["middle"].sum() == len(scene.objects)
