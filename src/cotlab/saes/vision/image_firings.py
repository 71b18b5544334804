"""Which features fire at which parts of which images: rows are image tokens, or patches of the vision encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.image import Image
from cotlab.chains.image_layout import Patches
from cotlab.chains.prefix import Prefix
from cotlab.errors import DataError
from cotlab.interventions.sae_card import SAECard
from cotlab.sampling.progress import Progress, Silent
from cotlab.whitebox.inside import Inside
from cotlab.whitebox.vision import image_spans

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix, csr_matrix

    from cotlab.interventions import SparseAutoencoder

__all__ = ["ImageFirings", "ReadImage", "read_image_firings"]


@dataclass(frozen=True, slots=True, eq=False)
class ReadImage:
    """An image whose rows were read."""

    image: Image
    rows: Patches
    """Where each row lies, in pixels and in its grid."""
    grid: tuple[int, int]
    """Rows and columns of the finest grid."""


@dataclass(frozen=True, eq=False)
class ImageFirings:
    """Feature activations at the parts of images, in the autoencoder's units."""

    card: SAECard
    sae_id: str
    images: tuple[ReadImage, ...]
    active: csr_matrix
    """Shape (rows of all images, d_sae)."""

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """First row of each image, and the number of rows."""
        return np.cumsum([0, *(len(one.rows.boxes) for one in self.images)])

    @cached_property
    def image_of(self) -> NDArray[np.intp]:
        """Number of the image that each row is of."""
        return np.repeat(np.arange(len(self.images)), np.diff(self.starts))

    @cached_property
    def by_feature(self) -> csc_matrix:
        """The same, column by column."""
        return self.active.tocsc()

    @property
    def d_sae(self) -> int:
        """Features."""
        return int(self.active.shape[1])

    @cached_property
    def rates(self) -> NDArray[np.float64]:
        """Share of rows at which each feature is active, shape (d_sae,)."""
        return np.diff(self.by_feature.indptr) / max(1, self.active.shape[0])

    @cached_property
    def by_image(self) -> csr_matrix:
        """Largest activation of each feature in each image, shape (images, d_sae)."""
        from scipy.sparse import csr_matrix as matrix
        from scipy.sparse import vstack

        return vstack(
            [matrix(self.active[a:b].max(axis=0)) for a, b in zip(self.starts, self.starts[1:], strict=False)]
        )

    def heat(self, feature: int, number: int) -> NDArray[np.float64]:
        """Activation of a feature at the rows of one image, shape (rows,).

        Raises:
            DataError: There is no such feature or image.
        """
        if not (0 <= feature < self.d_sae and 0 <= number < len(self.images)):
            raise DataError(
                f"no feature {feature} at image {number}: there are features 0..{self.d_sae - 1} and "
                f"{len(self.images)} images, numbered from 0"
            )
        start, end = self.starts[number : number + 2]
        return np.asarray(self.by_feature[start:end, feature].todense(), dtype=float).ravel()

    def grid(self, feature: int, number: int) -> NDArray[np.float64]:
        """The same as a map over the image's finest grid; NaN where nothing of it lies."""
        one, found = self.images[number], np.full(self.images[number].grid, np.nan)
        finest = one.rows.cells[:, 0].max()
        for value, (grid, row, column) in zip(self.heat(feature, number), one.rows.cells, strict=True):
            if grid == finest and grid >= 0:
                found[row, column] = value
        return found

    def top(self, feature: int, most: int) -> list[int]:
        """Numbers of the images in which a feature is most active, each picture once."""
        largest = np.asarray(self.by_image[:, feature].todense()).ravel()
        seen: set[str] = set()
        found: list[int] = []
        for number in np.argsort(-largest, kind="stable").tolist():
            if largest[number] <= 0 or len(found) == most:
                break
            if self.images[number].image.id not in seen:
                seen.add(self.images[number].image.id)
                found.append(number)
        return found


def read_image_firings(
    inside: Inside, sae: SparseAutoencoder, prefixes: Sequence[Prefix], progress: Progress | None = None
) -> ImageFirings:
    """Read the images of prompts through an autoencoder.

    Args:
        inside: An image-text model.
        sae: Of that model, or said to be transferred to it.
        prefixes: Prompts that show one image each.
        progress: Told how it goes.

    Raises:
        ModelError: The autoencoder does not fit the model, or the model sees no images.
        DataError: There are no prompts, or one shows more than one image, or none.
    """
    from scipy.sparse import csr_matrix, vstack

    sae.check(inside.shape, inside.name, inside.revision)
    if not prefixes:
        raise DataError("no images to read features of: give some")
    tell = progress or Silent()
    tell.phase(f"reading {sae.point} of {len(prefixes)} images", len(prefixes), "images")
    images, parts = [], []
    for prefix in prefixes:
        spans = image_spans(inside, prefix)
        if len(spans) != 1:
            raise DataError(f"prefix {prefix.id} shows {len(spans)} images: features are read of one at a time")
        (span,) = spans
        rows = inside.read(prefix, [sae.point])[sae.point]
        if not sae.point.is_vision:
            rows = rows[span.start : span.end]
        found = sae.encode_sparse(rows.to(sae.b_dec.device))
        data, features, starts = (t.cpu().numpy() for t in (found.values.float(), found.features, found.starts))
        parts.append(csr_matrix((data, features, starts), shape=(len(rows), sae.d_sae)))
        layout = span.layout
        where = layout.patches if sae.point.kind == "vision_post" else layout.tokens
        finest = where.cells[where.cells[:, 0] == where.cells[:, 0].max()]
        images.append(ReadImage(span.image, where, (int(finest[:, 1].max()) + 1, int(finest[:, 2].max()) + 1)))
        tell.advance(1, len(rows))
    return ImageFirings(sae.card, sae.id, tuple(images), vstack(parts, format="csr"))
