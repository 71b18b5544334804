"""Table `image` and the files that it names: what problems and prefixes show, each once."""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from cotlab.chains.image import MAX_BYTES, SUFFIXES, Image
from cotlab.errors import DataError, RunError
from cotlab.identity import hash_bytes
from cotlab.runs.codecs import built, pack_json, unpack_json
from cotlab.runs.database import Database
from cotlab.runs.faults import disk_explained

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["FOLDER", "Images", "StoredImage", "copy_images", "image_path", "pack_images"]

FOLDER = "images"
_FILE = re.compile(rf"[0-9a-f]{{24}}\.(?:{'|'.join(SUFFIXES.values())})")


def image_path(folder: Path, file: str) -> Path:
    """Where an image of a run lies.

    A run that comes from elsewhere says the name: so it is a file that `Images` writes, and no link.

    Raises:
        RunError: The name is another one, or leads out of the run folder over a link.
    """
    if not _FILE.fullmatch(file):
        raise RunError(
            f"image {file!r} of the run {folder} is no file that cotlab writes: its name must be ID.png or .jpg"
        )
    path = folder / FOLDER / file
    for part in (path.parent, path):
        if part.is_symlink():
            raise RunError(f"{part} is a link, and images of a run are not: put the file itself in its place")
    return path


class StoredImage(Image):
    """An image of a run, known by its id and size; the file is read, and held against the id, when it is looked at."""

    __slots__ = ("path",)
    path: Path

    def __init__(self, path: Path, image_id: str, width: int, height: int) -> None:
        """Take what the table says; the file is left alone."""
        told = {"path": path, "id": image_id, "suffix": path.suffix[1:], "width": width, "height": height}
        for name, value in told.items():
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[type[StoredImage], tuple[Path, str, int, int]]:
        return StoredImage, (self.path, self.id, self.width, self.height)

    @property
    def data(self) -> bytes:  # read when it is asked for
        """The file.

        Raises:
            RunError: It is lost, or holds something else.
        """
        return self.whole().data

    def open(self) -> Picture:
        """As `Image.open`; raises what `data` does."""
        return self.whole().open()

    def whole(self) -> Image:
        """With its bytes.

        Raises:
            RunError: The file is lost, holds something else, or has another size than the table says.
        """
        found = _load(self.path, self.id)
        if (found.width, found.height) != (self.width, self.height):
            raise RunError(
                f"image {self.path} of the run is {found.width} × {found.height}, run.sqlite says {self.width} × "
                f"{self.height}: restore it from a copy"
            )
        return found


class Images:
    """What is shown. Adding what is there already changes nothing."""

    _db: Database
    _images: WeakValueDictionary[str, StoredImage]
    """Those that are in memory: problems and prefixes that show the same one share it."""
    _held: set[str]
    """Images whose files this writer has written, or held against their ids."""

    def add_images(self, images: Iterable[Image]) -> None:
        """Store images: the file first, then its row. A file that holds something else is written anew.

        Raises:
            RunError: A file cannot be written.
        """
        with self._db.transaction():
            for image in images:
                path = image_path(self._db.folder, image.file_name)
                own = isinstance(image, StoredImage) and image.path == path
                if not own and image.id not in self._held:
                    if not _holds(path, image.id):
                        _write(path, image.data)
                    self._held.add(image.id)
                self._db.execute(
                    "INSERT INTO image(id, file, width, height) VALUES (?,?,?,?) ON CONFLICT(id) DO NOTHING",
                    (image.id, image.file_name, image.width, image.height),
                )

    def image(self, image_id: str) -> Image:
        """An image, its bytes held against its id.

        Raises:
            RunError: It is not in the run, or its file is lost or holds something else.
        """
        return self._stored(image_id).whole()

    def _stored(self, image_id: str) -> StoredImage:
        found = self._images.get(image_id)
        if found is None:
            key = self._db.key("image", image_id)
            ((file, width, height),) = self._db.query("SELECT file, width, height FROM image WHERE key = ?", (key,))
            if not all(type(side) is int and side > 0 for side in (width, height)):
                raise RunError(f"image {image_id} of the run is said to be {width!r} × {height!r}: restore run.sqlite")
            path = image_path(self._db.folder, file)
            found = self._images[image_id] = StoredImage(path, image_id, width, height)
        return found

    def image_ids(self) -> list[str]:
        """All images, in the order in which they were added."""
        return [image_id for (image_id,) in self._db.query("SELECT id FROM image ORDER BY key")]

    def _shown(self, packed: str | None) -> tuple[Image, ...]:
        """The images of a problem or prefix, from its column."""
        if packed is None:
            return ()
        with built("list of images"):
            return tuple(self._stored(image_id) for image_id in unpack_json(packed))


def pack_images(images: Iterable[Image]) -> str | None:
    """Ids for a column; None for none."""
    ids = [image.id for image in images]
    return pack_json(ids) if ids else None


def copy_images(source: Path, target: Path, files: Iterable[str]) -> None:
    """Copy files of one run folder into another, where they are not there or hold something else.

    Raises:
        RunError: A name is none of ours, or a file cannot be read or written, or holds something else.
    """
    for file in files:
        path = image_path(target, file)
        image_id = path.stem
        if not _holds(path, image_id):
            _write(path, _load(image_path(source, file), image_id).data)


def _holds(path: Path, image_id: str) -> bool:
    """Whether a file is there and is that image."""
    try:
        return hash_bytes("image", _bytes(path)) == image_id
    except OSError:
        return False


def _load(path: Path, image_id: str) -> Image:
    try:
        image = Image(_bytes(path))
    except (OSError, DataError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RunError(f"image {path} of the run cannot be read ({reason}): restore it from a copy") from error
    if image.id != image_id:
        raise RunError(f"image {path} of the run holds something else than when it was stored: restore it from a copy")
    return image


def _bytes(path: Path) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
        raise OSError(errno.EINVAL, "it is no ordinary file")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with disk_explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
