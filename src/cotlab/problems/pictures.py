"""Images that a row of a problem file names.

image     path of one file
images    list of paths, in the order in which they are shown (in CSV separated by |)

Paths are relative to the folder of the problem file and stay in it, links followed: a file that comes from elsewhere
cannot take others of this machine into a run, which may be handed on. Nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from weakref import WeakValueDictionary

from cotlab.chains.image import Image
from cotlab.chains.problem import Problem
from cotlab.errors import DataError

__all__ = ["MAX_IMAGES", "image_beside", "with_images"]

MAX_IMAGES = 16
"""Most images of one problem."""


def with_images(problem: Problem, row: object, folder: Path) -> Problem:
    """The problem with the images that its row names.

    Args:
        problem: What was made of the row.
        row: A JSON object, or a CSV line as a dict.
        folder: Of the problem file.

    Raises:
        ValueError: A name is none, leads out of the folder, or its file is missing, too large or no image.
    """
    names = _names(row) if isinstance(row, dict) else []
    if not names:
        return problem
    return replace(problem, images=tuple(image_beside(folder, name) for name in names))


def image_beside(folder: Path, name: str) -> Image:
    """The image of that name in a folder or below.

    Raises:
        ValueError: The name leads out of the folder, or the file is missing, too large or no image.
    """
    if "\0" in name or "://" in name:
        raise ValueError(
            f"image is {name[:60]!r}: give the path of a file beside the problem file; nothing is downloaded"
        )
    path = folder / name
    try:
        outside = Path(name).is_absolute() or not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # links in a circle, a name that is too long
        raise ValueError(f"image {name[:60]!r} cannot be found ({_reason(error)}): check the path") from error
    if outside:
        raise ValueError(
            f"image {name!r} lies outside of the problem file's folder: put it there, and name it from there"
        )
    try:
        return _loaded(path)
    except DataError as error:
        raise ValueError(f"shows {error}") from error


_read: WeakValueDictionary[tuple[Path, int], Image] = WeakValueDictionary()
"""Images that problems hold, by path and time of change: one that several show is read once."""


def _loaded(path: Path) -> Image:
    try:
        key = (path, path.stat().st_mtime_ns)
    except OSError as error:
        raise DataError(f"image {str(path)[:200]!r} cannot be read ({_reason(error)}): check the path") from error
    image = _read.get(key)
    if image is None:
        image = _read[key] = Image.load(path)
    return image


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0][:100]


def _names(row: dict[str, object]) -> list[str]:
    one, several = row.get("image"), row.get("images")
    if one not in (None, "") and several not in (None, "", []):
        raise ValueError("has both image and images: give one of them")
    given = one if several in (None, "", []) else several
    if given in (None, ""):
        return []
    names = given.split("|") if isinstance(given, str) and given is several else given
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(f"image is {str(given)[:60]!r}: expected the path of a file, or a list of paths")
    if len(names) > MAX_IMAGES:
        raise ValueError(f"has {len(names)} images, the limit is {MAX_IMAGES}: split it")
    return [name.strip() for name in names]
