from __future__ import annotations

import base64
import io
import pickle
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pil
from PIL import ImageOps

from cotlab.chains.chain import Chain
from cotlab.chains.image import MAX_BYTES, MAX_PIXELS, Image
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.step import Step
from cotlab.errors import DataError


def encoded(picture: pil.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()


def noise(width: int = 5, height: int = 3, seed: int = 0) -> pil.Image:
    return pil.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_ids_without_images_are_those_of_stored_runs() -> None:
    """Frozen before images came: runs that are stored must open."""
    problems = [
        Problem("What is 6 × 7?", "42", name="n", meta={"numbers": [6, 7]}),
        Problem("Which?", None, "choice", ("a", "b")),
        Problem("", "x", "exact"),
    ]
    assert [problem.id for problem in problems] == [
        "6a945f8a89766fc6361b222f",
        "a6afe63c18a3e2d448cea1b8",
        "0cdc192bdeb608d329e2f5a7",
    ]
    prefixes = [Prefix((1,), 1), Prefix((10, 11, 12), 2), Prefix(tuple(range(500)), 17).extend((7, 8))]
    assert [prefix.id for prefix in prefixes] == [
        "d8c3d490f60d2f6ac335c088",
        "910175ee3190ce6461e66dac",
        "a4c5b03fd91ba39298a603d2",
    ]
    steps = (Step(0, 0, 2, "a"), Step(1, 2, 3, "b"))
    chain = Chain("p", "r", (1, 2), (3, 4, 5), "sentences/1", steps, "greedy")
    assert (chain.id, chain.prefix(1).id) == ("6dca9a7a83973950be925a97", "b1a9dde528033572e8860f58")


def test_an_image_is_its_bytes() -> None:
    data = encoded(noise())
    one, same, other = Image(data), Image(bytes(data)), Image(encoded(noise(seed=1)))
    assert one == same and hash(one) == hash(same) and one.id == same.id
    assert one != other and one.id != other.id
    assert (one.width, one.height, one.suffix) == (5, 3, "png")
    assert np.array_equal(np.asarray(one.open()), np.asarray(noise()))
    assert repr(data) not in repr(one)
    assert pickle.loads(pickle.dumps(one)) == one


def test_images_enter_ids_in_their_order() -> None:
    red, blue = (Image.of(pil.new("RGB", (2, 2), colour)) for colour in ("red", "blue"))
    orders = [(), (red,), (blue,), (red, blue), (blue, red), (red, red)]
    assert len({Problem("?", images=images).id for images in orders}) == len(orders)
    assert len({Prefix((1, 2), 2, images).id for images in orders}) == len(orders)
    assert len({Prefix((1, 2), 2, images) for images in orders}) == len(orders)
    assert Prefix((1, 2), 2, (red,)).extend((3,)).images == (red,)
    chain = Chain("p", "r", (1,), (2,), "c", (Step(0, 0, 1, "x"),), "greedy", images=(red,))
    assert chain.prefix(0).images == chain.whole.images == (red,)
    assert chain.whole.token_ids == (1, 2)


def test_a_photo_on_its_side_is_shown_upright() -> None:
    exif = pil.Exif()
    exif[0x0112] = 6  # turn by 90° to show it
    image = Image(encoded(noise(8, 4), "JPEG", exif=exif))
    assert (image.suffix, image.width, image.height) == ("jpg", 4, 8)
    assert image.open().size == (4, 8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("turned", range(1, 9))
def test_every_orientation_is_that_of_pillow(kind: str, turned: int) -> None:
    """`exif_transpose` is what transformers does with every file that it opens."""
    exif = pil.Exif()
    exif[0x0112] = turned
    data = encoded(noise(8, 4), kind, exif=exif)
    theirs = ImageOps.exif_transpose(pil.open(io.BytesIO(data))).convert("RGB")
    image = Image(data)
    assert (image.width, image.height) == theirs.size
    assert np.array_equal(np.asarray(image.open()), np.asarray(theirs))


def test_a_damaged_exif_block_is_an_image_without_orientation() -> None:
    """Whatever stands in the block: an image, upright or turned, no traceback and no warning."""
    exif = pil.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.0
    exif.get_ifd(0x8769).update({0x829A: 0.01, 0x9000: b"0230"})
    data = encoded(noise(8, 4), "JPEG", exif=exif)
    start = data.index(b"Exif") + 6
    stop = start + len(exif.tobytes()) - 6
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(300):
            changed = bytearray(data)
            for place in rng.integers(start, stop, 4):
                changed[place] = rng.integers(256)
            image = Image(bytes(changed))
            assert image.open().size == (image.width, image.height) and {image.width, image.height} == {4, 8}


def test_a_photo_with_a_second_picture_in_it_shows_the_first() -> None:
    """MPO: what Pillow calls a JPEG that holds further ones, as many cameras write it."""
    first = noise(8, 8)
    buffer = io.BytesIO()
    first.save(buffer, format="MPO", save_all=True, append_images=[noise(8, 8, 1)])
    image = Image(buffer.getvalue())
    assert (image.suffix, image.data_uri()[:16]) == ("jpg", "data:image/jpeg;")
    assert np.array_equal(np.asarray(image.open()), np.asarray(pil.open(io.BytesIO(encoded(first, "JPEG")))))


def test_sixteen_bits_of_grey_keep_their_shades() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    image = Image(encoded(pil.fromarray(ramp)))
    assert np.array_equal(np.asarray(image.open()), np.repeat((ramp >> 8)[:, :, None], 3, axis=2))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "I;16"])
def test_every_mode_is_shown_in_rgb(mode: str) -> None:
    picture = pil.new(mode, (4, 4))
    assert Image.of(picture).open().mode == "RGB"


def test_a_data_uri_holds_base64_alone() -> None:
    image = Image(encoded(noise(), "JPEG"))
    head, _, body = image.data_uri().partition(",")
    assert head == "data:image/jpeg;base64" and base64.b64decode(body, validate=True) == image.data


def png_header(width: int, height: int) -> bytes:
    """A PNG that says a size and has no pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return start + struct.pack(">I", 8) + b"IDAT"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no PNG or JPEG"),
        (b"<svg onload='alert(1)'/>", "no PNG or JPEG"),
        (encoded(noise(), "GIF"), "no PNG or JPEG"),
        (encoded(noise(), "BMP"), "no PNG or JPEG"),
        (png_header(1 << 13, (1 << 13)), f"limit is {MAX_PIXELS}"),
        (png_header(1 << 20, (1 << 20)), "bomb"),
        (png_header(0, 4), "PNG"),
        (encoded(noise())[:20], "PNG"),
    ],
)
def test_what_is_no_image_is_one_line(data: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said) as raised:
        Image(data)
    assert "\n" not in str(raised.value)


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(DataError, match=f"limit is {MAX_BYTES}"):
        Image.load(path)
    with pytest.raises(DataError, match=f"limit is {MAX_BYTES}"):
        Image(b"\0" * (MAX_BYTES + 1))


def test_a_file_that_was_cut_is_found_when_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    path.write_bytes(encoded(noise(64, 64))[:2000])
    assert Image(path.read_bytes()).width == 64  # the header is there
    with pytest.raises(DataError, match=r"cut\.png.*cannot be decoded"):
        Image.load(path)
    with pytest.raises(DataError, match=r"none\.png.*No such file"):
        Image.load(tmp_path / "none.png")


def test_a_small_image_is_exact_where_that_takes_little() -> None:
    photo = Image.of(noise(300, 200)).small(200)
    assert (photo.suffix, photo.width, photo.height) == ("jpg", 200, 133)
    same = Image.of(noise(60, 40))
    assert np.array_equal(np.asarray(same.small(64).open()), np.asarray(same.open()))
    flat = Image.of(pil.new("RGB", (300, 200), "red")).small(64)
    assert (flat.suffix, flat.width, flat.height) == ("png", 64, 43)
