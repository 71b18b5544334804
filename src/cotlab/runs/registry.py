"""Tables of what rollouts point to: problems, settings, engine cards, interventions, studies; and of notes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cotlab.chains.problem import Problem
from cotlab.chains.settings import SamplingSettings
from cotlab.errors import RunError
from cotlab.identity import content_id
from cotlab.interventions.base import Intervention
from cotlab.models.engine_card import EngineCard
from cotlab.runs.codecs import built, pack_json, pack_text, unpack_content, unpack_json, unpack_text
from cotlab.runs.database import Database
from cotlab.runs.faults import disk_explained
from cotlab.runs.images import Images, pack_images
from cotlab.runs.rows import Note, Study

__all__ = ["Registry", "artifact_path", "now"]

_ARTIFACT = re.compile(r"(?:saes|vectors)/[A-Za-z0-9_-]+\.safetensors")


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def artifact_path(folder: Path, name: str) -> Path:
    """Where a file that an intervention needs lies.

    A run that comes from elsewhere says the name, and merging copies the file: so it is a file that interventions
    write, and no link, which could stand for any file of whoever reads it.

    Raises:
        RunError: The name is not one that interventions write, or leads out of the run folder over a link.
    """
    if not _ARTIFACT.fullmatch(name):
        raise RunError(
            f"artifact {name!r} of the run {folder} is no file that interventions write: its name must be "
            "vectors/ID.safetensors or saes/ID.safetensors"
        )
    path = folder / name
    for part in (path.parent, path):
        if part.is_symlink():
            raise RunError(f"{part} is a link, and artifacts of a run are not: put the file itself in its place")
    return path


class Registry(Images):
    """What rollouts point to. Adding what is there already changes nothing."""

    _db: Database

    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Store problems."""
        with self._db.transaction():
            for problem in problems:
                self.add_images(problem.images)
                self._db.execute(
                    "INSERT INTO problem(id, question, answer, checker, choices, name, meta, images) "
                    "VALUES (?,?,?,?,?,?,?,?) ON CONFLICT(id) DO NOTHING",
                    (
                        problem.id,
                        pack_text(problem.question),
                        None if problem.answer is None else pack_text(problem.answer),
                        problem.checker,
                        pack_json(list(problem.choices)),
                        pack_text(problem.name),
                        pack_json(dict(problem.meta)),
                        pack_images(problem.images),
                    ),
                )

    def problems(self) -> dict[str, Problem]:
        """All problems by id, in the order in which they were added."""
        rows = self._db.query(
            "SELECT id, question, answer, checker, choices, name, meta, images FROM problem ORDER BY key"
        )
        with built("problem"):
            return {
                row[0]: Problem(
                    question=unpack_text(row[1]),
                    answer=None if row[2] is None else unpack_text(row[2]),
                    checker=row[3],
                    choices=tuple(unpack_json(row[4])),
                    name=unpack_text(row[5]),
                    meta=unpack_json(row[6]),
                    images=self._shown(row[7]),
                )
                for row in rows
            }

    def add_settings(self, settings: SamplingSettings) -> str:
        """Store sampling settings; returns their id."""
        return self._add_spec("settings", settings.id, settings.to_json())

    def settings(self) -> dict[str, SamplingSettings]:
        """All sampling settings by id."""
        found = self._specs("settings")
        with built("settings"):
            return {key: SamplingSettings(**{**spec, "stop": tuple(spec["stop"])}) for key, spec in found.items()}

    def add_engine_card(self, card: EngineCard) -> str:
        """Store an engine card; returns its id."""
        return self._add_spec("engine_card", card.id, card.to_json())

    def engine_cards(self) -> dict[str, EngineCard]:
        """All engine cards by id."""
        found = self._specs("engine_card")
        with built("engine card"):
            return {
                key: EngineCard(**{**spec, "versions": tuple(tuple(pair) for pair in spec["versions"])})
                for key, spec in found.items()
            }

    def add_intervention(self, intervention: Intervention, *, artifact: str | None = None) -> str:
        """Store an intervention; returns its id.

        Args:
            intervention: What is changed; the file that it needs is written into the run folder.
            artifact: That file where it lies there already, relative to the folder.

        Raises:
            RunError: The file lies elsewhere or is a link, or cannot be written.
        """
        if artifact is not None:
            artifact_path(self._db.folder, artifact)
        spec = intervention.to_json()
        with self._db.transaction():
            if artifact is None:
                with disk_explained(self._db.folder):
                    artifact = intervention.artifact(self._db.folder)
            self._db.execute(
                "INSERT INTO intervention(id, kind, spec, artifact) VALUES (?,?,?,?) ON CONFLICT(id) DO NOTHING",
                (intervention.id, str(spec["kind"]), pack_json(spec), artifact),
            )
        return intervention.id

    def interventions(self) -> dict[str, dict[str, Any]]:
        """Specs of all interventions by id."""
        return self._specs("intervention")

    def intervention(self, intervention_id: str) -> Intervention:
        """An intervention, with what its file holds.

        Raises:
            RunError: It is not in the run.
            UserError: Its file is lost or holds something else.
        """
        from cotlab.interventions.loading import load_intervention

        self._db.key("intervention", intervention_id)
        ((spec, artifact),) = self._db.query("SELECT spec, artifact FROM intervention WHERE id = ?", (intervention_id,))
        spec = unpack_content("intervention", intervention_id, spec)
        with built("intervention"):
            return load_intervention(spec, artifact and artifact_path(self._db.folder, artifact))

    def add_study(self, spec: dict[str, Any], seed: int) -> str:
        """Store what is asked; returns the study's id. Asking the same again is the same study."""
        # Through JSON first, so that tuples and lists give one id.
        spec = json.loads(json.dumps(spec, allow_nan=False))
        study_id = content_id("study", [spec, seed])
        with self._db.transaction():
            self._db.execute(
                "INSERT INTO study(id, spec, seed, created) VALUES (?,?,?,?) ON CONFLICT(id) DO NOTHING",
                (study_id, pack_json(spec), seed, now()),
            )
        return study_id

    def studies(self) -> list[Study]:
        """All studies, oldest first."""
        rows = self._db.query("SELECT id, spec, seed, created FROM study ORDER BY key")
        return [Study(row[0], unpack_content("study", row[0], row[1], row[2]), row[2], row[3]) for row in rows]

    def add_note(self, text: str, subject: str = "") -> None:
        """Write something down about a subject (an id); without one, about the run."""
        with self._db.transaction():
            self._db.execute(
                "INSERT INTO note(subject, text, created) VALUES (?,?,?)", (subject, pack_text(text), now())
            )

    def notes(self, subject: str | None = None) -> list[Note]:
        """All notes, or those about one subject, oldest first."""
        rows = self._db.query(
            "SELECT subject, text, created FROM note WHERE subject = coalesce(?, subject) ORDER BY key", (subject,)
        )
        return [Note(row[0], unpack_text(row[1]), row[2]) for row in rows]

    def _add_spec(self, table: str, public_id: str, spec: dict[str, Any]) -> str:
        with self._db.transaction():
            self._db.execute(
                f"INSERT INTO {table}(id, spec) VALUES (?,?) ON CONFLICT(id) DO NOTHING", (public_id, pack_json(spec))
            )
        return public_id

    def _specs(self, table: str) -> dict[str, Any]:
        rows = self._db.query(f"SELECT id, spec FROM {table} ORDER BY key")
        return {key: unpack_content(table, key, spec) for key, spec in rows}
