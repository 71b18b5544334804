"""An image that a model is shown: the bytes of a PNG or JPEG file, under their hash."""

from __future__ import annotations

import base64
import io
import stat
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cotlab.errors import DataError
from cotlab.identity import hash_bytes

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["MAX_BYTES", "MAX_PIXELS", "SUFFIXES", "Image"]

MAX_BYTES = 32 << 20
"""Largest file."""
MAX_PIXELS = 1 << 25
"""Most pixels (width × height): 100 MB once it is decoded."""
SUFFIXES = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg"}
"""Formats that are read, as PIL names them, with the ends of their file names. MPO is a JPEG that has further pictures
behind the first, as cameras write them: the first is shown."""
EXACT_BYTES = 1 << 16
"""Largest PNG that is put into a page."""
_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)
"""Values of the EXIF orientation that exchange width and height."""
_MAY_BE_TURNED = (b"eXIf", b"Raw profile type", b"com.adobe.xmp")
"""Where a PNG keeps an orientation; without any of them it is not searched, which would decode it."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Image:
    """An encoded image. Equal where the bytes are: one that was encoded anew is another."""

    data: bytes = field(repr=False, compare=False)
    """A whole PNG or JPEG file."""
    id: str = field(init=False)
    """Tagged hash of the bytes."""
    suffix: str = field(init=False, compare=False)
    """End of a file name: png or jpg."""
    width: int = field(init=False, compare=False)
    """Pixels, as it is shown (its EXIF orientation is followed)."""
    height: int = field(init=False, compare=False)
    _orientation: int = field(init=False, compare=False, repr=False)
    """As EXIF counts: 1 upright, 2..8 mirrored or turned."""

    def __post_init__(self) -> None:
        if len(self.data) > MAX_BYTES:
            raise DataError(f"an image has {len(self.data)} bytes, the limit is {MAX_BYTES}: make it smaller")
        with _read(self.data) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise DataError(
                    f"an image has {width} × {height} pixels, the limit is {MAX_PIXELS} in all: make it smaller"
                )
            suffix = SUFFIXES[str(picture.format)]
            turned = _orientation(picture) if suffix == "jpg" or any(at in self.data for at in _MAY_BE_TURNED) else 1
        if turned in _ON_ITS_SIDE:
            width, height = height, width
        for name, value in (("suffix", suffix), ("width", width), ("height", height), ("_orientation", turned)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "id", hash_bytes("image", self.data))

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Image) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    @classmethod
    def load(cls, path: Path) -> Image:
        """Read a file, and see that all of it can be decoded.

        Raises:
            DataError: It is missing, too large, or no PNG or JPEG.
        """
        try:
            told = path.stat()
            size = told.st_size
            if not stat.S_ISREG(told.st_mode):  # a pipe would be waited for
                raise DataError(f"image {str(path)!r} is no ordinary file: check the path")
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
    def of(cls, picture: Picture, kind: Literal["PNG", "JPEG"] = "PNG") -> Image:
        """Encode a PIL image."""
        encoded = io.BytesIO()
        picture.save(encoded, format=kind)
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
        with _read(self.data) as picture:
            try:
                shown = _eight_bits(picture).convert("RGB")
            except Exception as error:  # PIL raises whatever damage leads to
                raise DataError(f"an image cannot be decoded ({_line(error)}): save it again") from error
        way = _ways().get(self._orientation)
        return shown if way is None else shown.transpose(way)

    def small(self, longest: int) -> Image:
        """Encoded anew, at most so many pixels along its longer side: nothing of the file but its pixels is left.

        As PNG, which loses nothing, where that takes little; else as JPEG.

        Raises:
            DataError: It cannot be decoded.
        """
        picture = self.open()
        picture.thumbnail((longest, longest))
        exact = Image.of(picture)
        return exact if len(exact.data) <= EXACT_BYTES else Image.of(picture, "JPEG")

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
            warnings.simplefilter("ignore")  # of size, which the limit on pixels says, and of damaged EXIF data
            return pil.open(io.BytesIO(data), formats=("PNG", "JPEG"))
    except UnidentifiedImageError as error:
        raise DataError("it is no PNG or JPEG image: convert it to one") from error
    except Exception as error:  # PIL raises whatever damage leads to
        raise DataError(f"an image cannot be read ({_line(error)}): save it again as PNG or JPEG") from error


def _orientation(picture: Picture) -> int:
    """The EXIF orientation; 1 where there is none, or none that can be read: what else the block says is not asked."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage in what is not used
            found = picture.getexif().get(_ORIENTATION)
    except Exception:  # PIL raises whatever a damaged block leads to
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _ways() -> dict[int, Any]:
    """How a picture is turned upright, by EXIF orientation (as `PIL.ImageOps.exif_transpose` has it)."""
    from PIL.Image import Transpose

    return {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }


def _eight_bits(picture: Picture) -> Picture:
    """A grey picture of 16 bits by the upper 8, as PIL does with colours; else PIL clips it: nearly all is white."""
    if not picture.mode.startswith("I"):
        return picture
    import numpy as np
    from PIL import Image as pil

    return pil.fromarray((np.asarray(picture).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
