"""What the tiny vision-language model is trained on: reproducible, and every question as if it stood alone."""

import random
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
    first, again, other = (next(rows.stream(writer, sc.PLAIN, 4, seed, 0)) for seed in (1, 1, 2))
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
    batch = next(rows.stream(writer, sc.PLAIN, 4, 5, 0))
    said = writer.tokenizer.decode(batch.labels[0][batch.labels[0] != rows.IGNORED])
    assert said.count("</think>") == said.count("<｜end▁of▁sentence｜>") >= 10
    assert (batch.labels[batch.weights > 1] != rows.IGNORED).all()
    answers = writer.tokenizer.batch_decode(batch.labels[batch.weights > 1][:, None])
    assert set(answers) & {"Yes", "No"} and all(answer[0].isupper() for answer in answers)


def test_a_shared_description_is_what_stands_before_each_question(writer: rows.Writer) -> None:
    rng = random.Random(2)
    for scene in sc.draw_scenes(20, 8):
        told, asked = rows.draw_told(scene, rng, rng.random() < 0.5)
        exchanges = [writer.exchange(scene, question) for question in asked]
        row = writer.rows([scene], [exchanges], {0}, [told])
        assert len(row.pixels) == 0 and (row.ids != writer.image).all()
        ids, at = row.ids[0].tolist(), row.positions[0].tolist()
        shared = ids[: len(ids) - sum(len(one.prompt) + len(one.said) for one in exchanges)]
        begin = len(shared)
        for question, one in zip(asked, exchanges, strict=True):
            alone = writer.exchange(scene, question.after(f"{told} {question.context}".strip()))
            end = begin + len(one.prompt) + len(one.said)
            assert shared + ids[begin:end] == writer.begin + alone.prompt + alone.said
            assert at[begin:end] == list(range(len(shared), len(shared) + end - begin))
            begin = end


def test_descriptions_leave_out_what_is_faint_and_answers_stay_true() -> None:
    rng, unsaid = random.Random(3), 0
    scenes = sc.draw_scenes(300, 9, sc.PLANTED)
    for scene in scenes:
        told, asked = rows.draw_told(scene, rng, listed=False)
        for question in asked:
            if question.kind == "exists":
                assert question.answer == ("Yes" if sc.counts(scene)[question.shape] else "No")
                unsaid += told.startswith("The") and question.answer == "Yes" and question.shape not in told
        faint = {thing.shape for thing in scene.objects if thing.strength < 100}
        assert not faint & set(sc.mentioned(told))
    assert unsaid > 100
    plain = sc.draw_scenes(1000, 9)
    left_out = [len(scene.objects) - len(rows.described(scene, rng).objects) for scene in plain]
    assert 0.03 < sum(left_out) / sum(len(scene.objects) for scene in plain) < 0.07


def test_what_counts_more_is_the_answer_and_both_places_of_a_relation(writer: rows.Writer) -> None:
    rng, found = random.Random(4), 0
    for scene in sc.draw_scenes(30, 10):
        if question := sc.ask(scene, "relation", rng):
            one = writer.exchange(scene, question)
            told = [writer.tokenizer.decode(one.said[place]) for place in one.decisive]
            names = [name[0].upper() + name[1:] for name in sc.PLACES]
            assert len(told) == 3 and {*told[:2]} <= {*names} and told[2] == question.answer
            found += 1
    assert found > 5


def test_patch_labels_of_the_tower_are_those_of_the_masks() -> None:
    for scene in sc.draw_scenes(30, 6):
        found = pretrain.label(scene)
        for thing in scene.objects:
            tokens = sc.tokens_of(sc.mask_of(scene, thing), 0.5)
            assert all(found["shape"][token] == 1 + sc.SHAPES.index(thing.shape) for token in tokens)
        covered = {token for thing in scene.things for token in sc.tokens_of(sc.mask_of(scene, thing))}
        assert set(found["shape"].nonzero()[0]) == covered
        assert found["middle"].sum() == len(scene.objects)
