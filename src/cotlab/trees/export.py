"""Trees as files: GraphML for other graph tools, JSON for everything else."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from cotlab.errors import UserError
from cotlab.stats import Estimate
from cotlab.trees.build import Tree

__all__ = ["tree_to_json", "write_graphml", "write_json"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def tree_to_json(tree: Tree) -> dict[str, Any]:
    """Node-link data (as networkx has it) of JSON values; estimates are objects with all their fields."""
    import networkx as nx

    data: dict[str, Any] = nx.node_link_data(tree, edges="edges")
    for node in data["nodes"]:
        node["value"] = node["value"].to_json()
    return data


def write_json(tree: Tree, path: Path | str) -> None:
    """Write node-link JSON (`networkx.node_link_graph(data, edges="edges")` reads it), whole or not at all.

    Raises:
        UserError: The file cannot be written.
    """
    text = json.dumps(tree_to_json(tree), allow_nan=False)  # ASCII: lone surrogates in model text become escapes
    _write(Path(path), text.encode("ascii"))


def write_graphml(tree: Tree, path: Path | str) -> None:
    """Write GraphML (`networkx.read_graphml` and Gephi read it), whole or not at all.

    GraphML has no nested and no empty values: an estimate becomes `value`, `value_low`, `value_high`, `value_n` and
    `value_reason`, outcomes `n_correct` …, answers a JSON text; what is None is left out. Characters that XML cannot
    hold become U+FFFD.

    Raises:
        UserError: The file cannot be written.
    """
    import networkx as nx

    flat: nx.DiGraph[str] = nx.DiGraph(**_flat(tree.graph))
    flat.add_nodes_from((node, _flat(attributes)) for node, attributes in tree.nodes(data=True))
    flat.add_edges_from((a, b, _flat(attributes)) for a, b, attributes in tree.edges(data=True))
    file = io.BytesIO()
    nx.write_graphml_xml(flat, file, named_key_ids=True)
    _write(Path(path), file.getvalue())


def _flat(attributes: dict[str, Any]) -> dict[str, str | int | float | bool]:
    found: dict[str, Any] = {}
    for name, value in attributes.items():
        if isinstance(value, Estimate):
            parts = {"": value.value, "_low": value.low, "_high": value.high, "_n": value.n, "_reason": value.reason}
            found.update({f"{name}{suffix}": part for suffix, part in parts.items()})
        elif name == "outcomes":
            found.update({f"n_{outcome}": n for outcome, n in value.items()})
        else:
            found[name] = json.dumps(value) if isinstance(value, (dict, list, tuple)) else value
    return {
        name: _NOT_XML.sub("\ufffd", value) if isinstance(value, str) else value
        for name, value in found.items()
        if value is not None
    }


def _write(path: Path, content: bytes) -> None:
    """A temporary file in the same folder, then renamed."""
    name = ""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        if name:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
        raise UserError(f"cannot write {path}: {error.strerror}. Choose another place") from error
