"""Where nodes are drawn: tidy trees with straight spines, in linear time.

1. Every subtree beside the spine is laid out by itself (Reingold and Tilford 1981): neighbours as close as their
   outlines allow, a parent over the middle of its children. Outlines are joined by walking the lower one only, so that
   all joins together take no more steps than there are nodes.
2. The spine stands at x = 0. From its last node up, subtrees go left and right of it in turn, each as close as what
   hangs below allows; so no two edges cross.
3. Trees of further prompts stand to the right of those before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cotlab.trees.build import Tree

__all__ = ["layout"]


@dataclass(slots=True)
class _Outline:
    """Leftmost and rightmost x of a subtree at each depth, deepest first; x is counted from `shift`."""

    left: list[float]
    right: list[float]
    shift: float = 0.0


def layout(tree: Tree) -> dict[str, tuple[float, float]]:
    """Positions of all nodes.

    Args:
        tree: As `build_tree` makes it (graph attribute `spines`: for each tree, nodes from the root down).

    Returns:
        (x, y) by node: y is the depth (0 for the root), x at least 1 apart at equal depth, one number on a spine (0 on
        the first).
    """
    positions: dict[str, tuple[float, float]] = {}
    edge: float | None = None
    for spine in tree.graph["spines"]:
        x = _one_tree(tree, spine)
        shift = 0.0 if edge is None else edge + 1 - min(x.values())
        positions.update({node: (place + shift, float(tree.nodes[node]["depth"])) for node, place in x.items()})
        edge = max(x.values()) + shift
    return positions


def _one_tree(tree: Tree, spine: list[str]) -> dict[str, float]:
    """Every x of the tree that a spine belongs to; 0 on the spine."""
    on_spine = set(spine)
    beside = {node: [c for c in tree.successors(node) if c not in on_spine] for node in spine}
    roots = [root for found in beside.values() for root in found]
    inside, outlines = _subtrees(tree, roots)
    x = dict.fromkeys(spine, 0.0)
    occupied: dict[int, dict[int, float]] = {-1: {}, 1: {}}
    for depth in reversed(range(len(spine))):
        for number, root in enumerate(beside[spine[depth]]):
            side = 1 if number % 2 == 0 else -1
            x[root] = _beside(outlines[root], side, depth + 1, occupied[side])
    while roots:
        node = roots.pop()
        for child in tree.successors(node):
            x[child] = x[node] + inside[child]
            roots.append(child)
    return x


def _beside(outline: _Outline, side: int, depth: int, occupied: dict[int, float]) -> float:
    """Place a subtree beside the spine as close as what is there allows; returns the x of its root."""
    inner, outer = (outline.left, outline.right) if side > 0 else (outline.right, outline.left)
    levels = range(len(inner))
    distance = max(occupied.get(depth + level, 0.0) + 1 - side * inner[-1 - level] for level in levels)
    for level in levels:
        occupied[depth + level] = distance + side * outer[-1 - level]
    return side * distance


def _subtrees(tree: Tree, roots: Iterable[str]) -> tuple[dict[str, float], dict[str, _Outline]]:
    """Lay out subtrees: x of each node counted from its parent, and the outline of each root, counted from itself."""
    offset: dict[str, float] = {}
    outlines: dict[str, _Outline] = {}
    for root in roots:
        order, stack = [], [root]
        while stack:
            node = stack.pop()
            order.append(node)
            stack.extend(tree.successors(node))
        for node in reversed(order):
            children = list(tree.successors(node))
            outlines[node] = _parent([outlines.pop(child) for child in children], children, offset)
    return offset, {root: _from_root(outline) for root, outline in outlines.items()}


def _parent(parts: list[_Outline], children: list[str], offset: dict[str, float]) -> _Outline:
    """Put subtrees side by side under a parent; writes their x, counted from it, and returns the joint outline."""
    if not parts:
        return _Outline([0.0], [0.0])
    places = [0.0]
    joint = parts[0]
    for part in parts[1:]:
        places.append(_gap(joint, part))
        part.shift += places[-1]
        joint = _join(joint, part)
    middle = (places[0] + places[-1]) / 2
    for child, place in zip(children, places, strict=True):
        offset[child] = place - middle
    joint.shift -= middle
    joint.left.append(-joint.shift)
    joint.right.append(-joint.shift)
    return joint


def _gap(left: _Outline, right: _Outline) -> float:
    """How far right a subtree goes, so that it is 1 away from those left of it."""
    levels = range(1, min(len(left.right), len(right.left)) + 1)
    return max(left.right[-k] + left.shift - right.left[-k] - right.shift for k in levels) + 1


def _join(left: _Outline, right: _Outline) -> _Outline:
    """Outline of both: the taller one's lists, changed as far down as the other reaches."""
    height = min(len(left.left), len(right.left))
    if len(left.left) >= len(right.left):
        for k in range(1, height + 1):
            left.right[-k] = right.right[-k] + right.shift - left.shift
        return left
    for k in range(1, height + 1):
        right.left[-k] = left.left[-k] + left.shift - right.shift
    return right


def _from_root(outline: _Outline) -> _Outline:
    return _Outline([x + outline.shift for x in outline.left], [x + outline.shift for x in outline.right])
