"""An image that a model is shown: the bytes of a PNG or JPEG file, under their hash."""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cotlab.errors import DataError
from cotlab.identity import hash_bytes

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["MAX_BYTES", "MAX_PIXELS", "SUFFIXES", "Image"]

MAX_BYTES = 32 << 20
"""Largest file."""
MAX_PIXELS = 1 << 25
"""Most pixels (width × height): 100 MB once it is decoded."""
SUFFIXES = {"PNG": "png", "JPEG": "jpg"}
"""Formats that are read, as PIL names them, with the ends of their file names."""
_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)
"""Values of the EXIF orientation that exchange width and height."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Image:
    """An encoded image. Equal where the bytes are: one that was encoded anew is another."""

    data: bytes = field(repr=False, compare=False)
    """A whole PNG or JPEG file."""
    id: str = field(init=False)
    """Tagged hash of the bytes."""
    suffix: str = field(init=False, compare=False)
    """End of a file name: png or jpg."""
    width: int = field(init=False, compare=False)
    """Pixels, as it is shown (a photo's EXIF orientation is followed)."""
    height: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.data) > MAX_BYTES:
            raise DataError(f"an image has {len(self.data)} bytes, the limit is {MAX_BYTES}: make it smaller")
        with _read(self.data) as picture:
            width, height = picture.size
            if picture.format == "JPEG" and picture.getexif().get(_ORIENTATION) in _ON_ITS_SIDE:
                width, height = height, width
            suffix = SUFFIXES[str(picture.format)]
        if width * height > MAX_PIXELS:
            raise DataError(
                f"an image has {width} × {height} pixels, the limit is {MAX_PIXELS} in all: make it smaller"
            )
        for name, value in (("suffix", suffix), ("width", width), ("height", height)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "id", hash_bytes("image", self.data))

    @classmethod
    def load(cls, path: Path) -> Image:
        """Read a file, and see that all of it can be decoded.

        Raises:
            DataError: It is missing, too large, or no PNG or JPEG.
        """
        try:
            size = path.stat().st_size
            data = path.read_bytes() if size <= MAX_BYTES else b""
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise DataError(f"image {str(path)!r} cannot be read ({reason}): check the path") from error
        if size > MAX_BYTES:
            raise DataError(f"image {str(path)!r} has {size} bytes, the limit is {MAX_BYTES}: make it smaller")
        try:
            image = cls(data)
            image.open()
        except DataError as error:
            raise DataError(f"image {str(path)!r}: {error}") from error
        return image

    @classmethod
    def of(cls, picture: Picture) -> Image:
        """Encode a PIL image, as PNG."""
        encoded = io.BytesIO()
        picture.save(encoded, format="PNG")
        return cls(encoded.getvalue())

    @property
    def file_name(self) -> str:
        """The id with its suffix: what a file of it is called."""
        return f"{self.id}.{self.suffix}"

    def open(self) -> Picture:
        """The decoded image, RGB, upright; an alpha channel is dropped, as transformers does.

        Raises:
            DataError: The bytes behind the header are damaged.
        """
        from PIL import ImageOps

        with _read(self.data) as picture:
            try:
                upright = ImageOps.exif_transpose(picture) if picture.format == "JPEG" else picture
                return upright.convert("RGB")
            except (OSError, SyntaxError, ValueError) as error:
                raise DataError(f"an image cannot be decoded ({_line(error)}): save it again") from error

    def small(self, longest: int) -> Image:
        """Encoded anew, at most so many pixels along its longer side: nothing of the file but its pixels is left.

        Raises:
            DataError: It cannot be decoded.
        """
        picture = self.open()
        picture.thumbnail((longest, longest))
        return Image.of(picture)

    def data_uri(self) -> str:
        """The bytes as an address that a page can show: nothing in it but base64."""
        kind = "jpeg" if self.suffix == "jpg" else self.suffix
        return f"data:image/{kind};base64,{base64.b64encode(self.data).decode()}"


def _read(data: bytes) -> Picture:
    """The header of an image; nothing is decoded yet."""
    from PIL import Image as pil
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pil.DecompressionBombWarning)  # the limit on pixels says it
            return pil.open(io.BytesIO(data), formats=tuple(SUFFIXES))
    except UnidentifiedImageError as error:
        raise DataError("it is no PNG or JPEG image: convert it to one") from error
    except (OSError, SyntaxError, ValueError, pil.DecompressionBombError) as error:
        raise DataError(f"an image cannot be read ({_line(error)}): save it again as PNG or JPEG") from error


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
