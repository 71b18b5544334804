"""Tokens of images and where they lie, against transformers' own processors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pil
from vision_small import FAMILIES, LLAVA_CHAT, TEMPLATE, picture, prompt, shown, tokenizer, vlm_folder

from cotlab.chains.image import Image
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.templates import Template
from cotlab.chains.tokens import HFTokenizer
from cotlab.errors import DataError, ModelError

SIZES = [(24, 24), (40, 30), (30, 40), (97, 25), (25, 97), (64, 20), (11, 13), (48, 48), (300, 301)]


@pytest.fixture(params=FAMILIES)
def folder(request, vision_root):
    return vlm_folder(vision_root, request.param)


def their_count(folder: Path, image: Image) -> int:
    """Image tokens by transformers' own processor."""
    import transformers as hf

    reader = tokenizer(folder).images
    inputs = reader.processor(images=[image.open()], return_tensors="pt")
    if "qwen" in folder.name:
        return int(inputs["image_grid_thw"][0].prod()) // 4
    made = {"llava": hf.LlavaProcessor, "llava_next": hf.LlavaNextProcessor}[folder.name]
    processor = made(
        reader.processor,
        tokenizer(folder).hf,
        patch_size=6,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    text = processor(images=[image.open()], text="<image>", return_tensors="pt")
    return int((text["input_ids"] == reader.token_id).sum())


@pytest.mark.parametrize("size", SIZES)
def test_an_image_has_as_many_tokens_as_the_processor_gives_it(folder, size):
    image = picture(*size)
    layout = tokenizer(folder).images.layout(image)
    assert layout.n_tokens == their_count(folder, image)
    for cells in (layout.tokens.cells, layout.patches.cells):
        assert cells.shape[1] == 3
    for number, (rows, columns) in enumerate(layout.grids):
        inside = layout.tokens.cells[layout.tokens.cells[:, 0] == number]
        assert [tuple(cell) for cell in inside] == [(number, r, c) for r in range(rows) for c in range(columns)]


def dot(size: tuple[int, int], box: np.ndarray) -> Image:
    """Black, with the box in white."""
    values = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    left, top, right, bottom = box
    values[round(top) : max(round(top) + 1, round(bottom)), round(left) : max(round(left) + 1, round(right))] = 255
    return Image.of(pil.fromarray(values))


def brightness(folder: Path, image: Image) -> np.ndarray:
    """Of each patch that the encoder gets, in its order, without the class token."""
    inputs = tokenizer(folder).images.prepare(image).inputs
    pixels = inputs["pixel_values"].numpy()
    if "qwen" in folder.name:
        return pixels.mean(axis=1)
    tiles = pixels.reshape(-1, 3, 4, 6, 4, 6).mean(axis=(1, 3, 5))
    return tiles.reshape(-1)


@pytest.mark.parametrize("size", [(48, 48), (96, 60), (60, 96), (120, 40)])
def test_boxes_are_where_the_processor_puts_the_pixels(folder, size):
    """A white box where a patch is said to lie: no patch of that grid gets brighter."""
    layout = tokenizer(folder).images.layout(picture(*size))
    boxes, cells = layout.patches.boxes, layout.patches.cells
    real = cells[:, 0] >= 0
    boxes, cells = boxes[real], cells[real]
    dark = brightness(folder, dot(size, np.zeros(4)))
    assert len(dark) == len(boxes)
    tried = 0
    for index in np.random.default_rng(0).permutation(len(boxes))[:12]:
        if np.isnan(boxes[index]).any() or min(boxes[index][2:] - boxes[index][:2]) < 3:
            continue
        tried += 1
        gained = brightness(folder, dot(size, boxes[index])) - dark
        among = np.flatnonzero(cells[:, 0] == cells[index, 0])
        assert gained[index] >= gained[among].max() - 1e-3, (size, index, boxes[index])
        assert gained[index] > 0.2
    assert tried >= 5


def test_padding_is_nowhere(vision_root):
    """Of a flat image in LLaVA-NeXT, patches above and below it show nothing, and take no tokens."""
    folder = vlm_folder(vision_root, "llava_next")
    layout = tokenizer(folder).images.layout(picture(97, 25))
    fine = layout.patches.cells[:, 0] == 1
    assert np.isnan(layout.patches.boxes[fine]).any()
    tokens = layout.tokens.boxes[layout.tokens.cells[:, 0] == 1]
    assert not np.isnan(tokens).any()
    newlines = np.isnan(layout.tokens.boxes).any(axis=1)
    assert newlines.sum() == layout.grids[1][0]
    assert (layout.tokens.cells[newlines] == -1).all()


def test_boxes_of_a_grid_cover_the_image(folder):
    size = (60, 40)
    layout = tokenizer(folder).images.layout(picture(*size))
    covered = np.zeros((size[1], size[0]), dtype=int)
    for box, cell in zip(layout.tokens.boxes, layout.tokens.cells, strict=True):
        if cell[0] == len(layout.grids) - 1:
            left, top, right, bottom = np.round(box).astype(int)
            covered[top:bottom, left:right] += 1
    if folder.name == "llava":  # cropped to a square at the centre
        assert covered[:, 10:50].min() == 1 and covered[:, :10].max() == 0
    else:
        assert (covered == 1).mean() > 0.97
    assert covered.max() == 1


@pytest.mark.parametrize("n", [1, 2, 3])
def test_spans_are_where_the_image_tokens_are(folder, n):
    images = [picture(40 + 8 * i, 30, i) for i in range(n)]
    prefix = prompt(folder, *images)
    reader = tokenizer(folder).images
    spans = reader.spans(prefix)
    assert [span.image for span in spans] == images
    inside = {place for span in spans for place in range(span.start, span.end)}
    assert inside == {place for place, one in enumerate(prefix.token_ids) if one == reader.token_id}
    assert all(span.end - span.start == reader.layout(span.image).n_tokens for span in spans)
    assert reader.spans(prefix.extend((reader.token_id, 65)))[-1].end == spans[-1].end, "what is said is no image"
    assert reader.spans(Prefix((65, 66), 2)) == ()


def test_a_prefix_of_another_processor_is_refused(folder):
    image, other = picture(40, 30), picture(90, 90)
    prefix = prompt(folder, image)
    short = Prefix(prefix.token_ids[3:], prefix.n_prompt - 3, (image, image))
    with pytest.raises(DataError, match="another image processor made it"):
        tokenizer(folder).images.spans(short)
    if folder.name != "llava":
        with pytest.raises(DataError, match="they were exchanged"):
            tokenizer(folder).images.spans(Prefix(prefix.token_ids, prefix.n_prompt, (other,)))


def test_questions_say_where_images_stand(folder):
    a, b = picture(40, 30, 1), picture(40, 30, 2)
    tok = tokenizer(folder)
    here = TEMPLATE.prompt(shown(a, b, question="First <image> then <image>, see?"), tok)
    assert [tok.decode(here.token_ids[: span.start]).strip() for span in tok.images.spans(here)] == [
        "First",
        "First  then" if folder.name != "qwen2_5_vl" else "First  then",
    ]
    for question, images in [("<image>", (a, b)), ("<image> <image>", (a,))]:
        with pytest.raises(DataError, match="times and shows"):
            TEMPLATE.prompt(shown(*images, question=question), tok)


def test_a_question_about_the_tag_is_text_where_it_is_not_the_models_own_token(folder):
    tok = tokenizer(folder)
    about = shown(question="What does <image> do in SVG?")
    if tok.images.token == "<image>":
        with pytest.raises(DataError, match="has 1 image tokens"):
            TEMPLATE.prompt(about, tok)
        return
    marks = tok.encode("<image>")
    assert len(marks) == 1, "this tokenizer has it as a token of another model"
    made = TEMPLATE.prompt(about, tok)
    assert marks[0] in made.token_ids and made.images == ()
    chat = Template("tokenizer", think="none", instruction="", source=QWEN_CHAT)
    assert "What does <image> do in SVG?" in chat.render(about, tok)


def test_an_image_token_that_a_question_smuggles_in_is_refused(folder):
    tok = tokenizer(folder)
    token = tok.images.token
    question = f"What {token} is it?" if token != "<image>" else "What is it?"
    problem = shown(picture(40, 30), question=question)
    if token != "<image>":
        with pytest.raises(DataError, match="image tokens"):
            TEMPLATE.prompt(problem, tok)
    else:
        assert len(tok.images.spans(TEMPLATE.prompt(problem, tok))) == 1


def test_chat_templates_get_parts_where_they_want_them(vision_root):
    """LLaVA's own processor template, against the processor's rendering with an image part."""
    import transformers as hf

    folder = vlm_folder(vision_root, "llava")
    tok = tokenizer(folder)
    assert tok.chat_template == LLAVA_CHAT
    chat = Template("tokenizer", think="none", instruction="").bound(tok)
    image = picture(40, 30)
    problem = shown(image, question="What is it?")
    processor = hf.LlavaProcessor(
        tok.images.processor,
        tok.hf,
        patch_size=6,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_CHAT,
    )
    said = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    text = processor.apply_chat_template(said, add_generation_prompt=True)
    theirs = processor(images=[image.open()], text=text)["input_ids"][0]
    assert chat.prompt(problem, tok).token_ids == tuple(theirs)
    plain = chat.prompt(Problem("What is it?"), tok)
    assert tok.decode(plain.token_ids) == "USER: What is it? ASSISTANT:"


def test_text_between_marks_stays_between_its_images(vision_root):
    """Also in a chat template that writes all images before all text."""
    tok = tokenizer(vlm_folder(vision_root, "llava"))
    chat = Template("tokenizer", think="none", instruction="").bound(tok)
    problem = shown(picture(40, 30), picture(40, 30, 1), question="What differs between <image> and <image>?")
    assert chat.render(problem, tok) == "USER: What differs between <image> and <image>? ASSISTANT:"
    first, second = tok.images.spans(chat.prompt(problem, tok))
    ids = chat.prompt(problem, tok).token_ids
    assert tok.decode(ids[first.end : second.start]).strip() == "and"


def test_the_tiny_models_template_puts_images_where_its_makers_did():
    """Parts go to the template as they are: this one writes no line break behind an image."""
    from cotlab.models import resolve_model

    found = resolve_model("tiny-vlm")
    tok = HFTokenizer.load(found.path)
    made = found.card.template().bound(tok).prompt(shown(picture(48, 48), question="Is there a star?"), tok)
    assert tok.hf.decode(made.token_ids) == (
        "<｜begin▁of▁sentence｜><｜User｜>" + "<image>" * 36 + "Is there a star?<｜Assistant｜><think>\n"
    )
    between = shown(picture(48, 48), picture(48, 48, 1), question="Is <image> or <image> red?")
    said = tok.hf.decode(found.card.template().bound(tok).prompt(between, tok).token_ids)
    assert "<｜User｜>Is " + "<image>" * 36 + " or " + "<image>" * 36 + " red?" in said


def test_chat_templates_get_text_where_they_want_that(vision_root):
    folder = vlm_folder(vision_root, "llava")
    source = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}"
    chat = Template("tokenizer", think="none", instruction="", source=source)
    tok = tokenizer(folder)
    assert chat.render(Problem("What?"), tok) == "[What?]"
    assert chat.render(shown(picture(40, 30), question="What?"), tok) == "[<image>\nWhat?]"


def test_a_chat_template_without_the_first_token_gets_it(vision_root, tmp_path):
    """LLaVA-1.5's leaves it to the tokenizer, which puts it before a plain text."""
    from tokenizers.processors import TemplateProcessing

    folder = tmp_path / "llava"
    shutil.copytree(vlm_folder(vision_root, "llava"), folder)
    made = HFTokenizer.load(folder).hf
    made.add_special_tokens({"bos_token": "<s>"})
    made.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", made.bos_token_id)]
    )
    made.save_pretrained(folder)
    tok = HFTokenizer.load(folder)
    chat = Template("tokenizer", think="none", instruction="").bound(tok)
    assert chat.render(shown(question="What?"), tok) == "<s>USER: What? ASSISTANT:"
    own = Template("tokenizer", think="none", instruction="", source="<s>{{ messages[0]['content'] }}")
    assert own.render(shown(question="What?"), tok) == "<s>What?"


QWEN_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}<|im_end|>\n{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As that of Qwen2.5-VL, without its default system prompt."""


def test_qwens_chat_template_as_it_renders_an_image_part(vision_root):
    tok = tokenizer(vlm_folder(vision_root, "qwen2_5_vl"))
    chat = Template("tokenizer", think="none", instruction="", source=QWEN_CHAT)
    said = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]
    theirs = tok.render_chat(QWEN_CHAT, said)
    assert chat.render(shown(picture(40, 30), question="What?"), tok) == theirs


def test_a_text_model_says_that_it_sees_none():
    from cotlab.models import resolve_model

    tiny = HFTokenizer.load(resolve_model("tiny").path)
    with pytest.raises(ModelError, match="shows 1 images; this model sees none: take one of the families llava"):
        TEMPLATE.prompt(shown(picture(40, 30)), tiny)


def test_the_image_processor_is_part_of_the_tokenizer(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert HFTokenizer.load(copy).id == tokenizer(folder).id
    path = next(p for p in (copy / "processor_config.json", copy / "preprocessor_config.json") if p.is_file())
    config = json.loads(path.read_text())
    (config.get("image_processor") or config)["image_mean"] = [0.1, 0.2, 0.3]
    path.write_text(json.dumps(config))
    assert HFTokenizer.load(copy).id != tokenizer(folder).id


def test_a_folder_without_image_processor_is_one_line(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name in ("processor_config.json", "preprocessor_config.json"):
        (copy / name).unlink(missing_ok=True)
    with pytest.raises(ModelError, match="no image processor that can be read") as raised:
        TEMPLATE.prompt(shown(picture(40, 30)), HFTokenizer.load(copy))
    assert "\n" not in str(raised.value)


def test_an_image_of_an_impossible_shape_is_one_line(vision_root):
    folder = vlm_folder(vision_root, "qwen2_5_vl")
    with pytest.raises(DataError, match="does not suit the model: absolute aspect ratio"):
        TEMPLATE.prompt(shown(picture(1, 300)), tokenizer(folder))


@pytest.mark.parametrize("size", [(2, 60_000), (60_000, 2)])
def test_a_thin_image_is_refused_before_it_is_blown_up(vision_root, size):
    """Its short edge resized to 24, it would have 17 million pixels, of which the model sees 576."""
    tok = tokenizer(vlm_folder(vision_root, "llava"))
    thin = Image.of(pil.new("RGB", size))
    with pytest.raises(DataError, match="cut it so that it is less thin"):
        tok.images.prepare(thin)
    padded = HFTokenizer.load(vlm_folder(vision_root, "llava"))
    padded.images.processor.do_pad = True
    with pytest.raises(DataError, match="cut it so that it is less thin"):
        padded.images.prepare(thin)
    assert tok.images.layout(Image.of(pil.new("RGB", (2, 600)))).n_tokens == 16
    following = tokenizer(vlm_folder(vision_root, "llava_next")).images
    assert following.layout(Image.of(pil.new("RGB", (2, 2400)))).n_tokens > 16


def test_layouts_are_kept_by_their_size(vision_root, monkeypatch):
    images = [picture(40, 30, seed) for seed in range(4)]
    reader = HFTokenizer.load(vlm_folder(vision_root, "llava")).images
    one = reader.layout(images[0])
    monkeypatch.setattr("cotlab.chains.image_reader.LAYOUT_BYTES", 2 * one.n_bytes)
    again = [reader.layout(image) for image in images]
    assert again[0] is one and reader.layout(images[3]) is again[3] and reader.layout(images[2]) is again[2]
    assert reader.layout(images[0]) is not one
