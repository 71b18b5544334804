"""Table `image` and the files that it names: what problems and prefixes show, each once."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from weakref import WeakValueDictionary

from cotlab.chains.image import MAX_BYTES, SUFFIXES, Image
from cotlab.errors import DataError, RunError
from cotlab.runs.codecs import built, pack_json, unpack_json
from cotlab.runs.database import Database
from cotlab.runs.faults import disk_explained

__all__ = ["FOLDER", "Images", "copy_images", "image_path", "pack_images"]

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


class Images:
    """What is shown. Adding what is there already changes nothing."""

    _db: Database
    _images: WeakValueDictionary[str, Image]
    """Those that are in memory: problems and prefixes that show the same one share it."""

    def add_images(self, images: Iterable[Image]) -> None:
        """Store images: the file first, then its row.

        Raises:
            RunError: A file cannot be written.
        """
        with self._db.transaction():
            for image in images:
                path = image_path(self._db.folder, image.file_name)
                if not path.is_file():
                    _write(path, image.data)
                self._db.execute(
                    "INSERT INTO image(id, file, width, height) VALUES (?,?,?,?) ON CONFLICT(id) DO NOTHING",
                    (image.id, image.file_name, image.width, image.height),
                )

    def image(self, image_id: str) -> Image:
        """An image, its bytes held against its id.

        Raises:
            RunError: It is not in the run, or its file is lost or holds something else.
        """
        found = self._images.get(image_id)
        if found is None:
            key = self._db.key("image", image_id)
            ((file,),) = self._db.query("SELECT file FROM image WHERE key = ?", (key,))
            found = self._images[image_id] = _load(image_path(self._db.folder, file), image_id)
        return found

    def image_ids(self) -> list[str]:
        """All images, in the order in which they were added."""
        return [image_id for (image_id,) in self._db.query("SELECT id FROM image ORDER BY key")]

    def _shown(self, packed: str | None) -> tuple[Image, ...]:
        """The images of a problem or prefix, from its column."""
        if packed is None:
            return ()
        with built("list of images"):
            return tuple(self.image(image_id) for image_id in unpack_json(packed))


def pack_images(images: Iterable[Image]) -> str | None:
    """Ids for a column; None for none."""
    ids = [image.id for image in images]
    return pack_json(ids) if ids else None


def copy_images(source: Path, target: Path, files: Iterable[str]) -> None:
    """Copy files of one run folder into another, where they are not there.

    Raises:
        RunError: A name is none of ours, or a file cannot be read or written.
    """
    for file in files:
        path = image_path(target, file)
        if not path.is_file():
            with disk_explained(image_path(source, file), doing="read"):
                data = _bytes(image_path(source, file))
            _write(path, data)


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
