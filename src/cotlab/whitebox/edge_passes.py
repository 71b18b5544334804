"""Forward passes in which every edge of the graph can carry another run: exact, and differentiated.

A reader reads the residual stream, which is the sum of its writers. To let the edge u → v carry the corrupt run, v
reads x − z_u + z'_u instead, where x is the stream, z_u what u writes in this pass and z'_u what it wrote in the
corrupt one; all other readers read x. Attention reads through linear maps, so its readers are changed behind them, head
by head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from cotlab.engines.hooks import remove
from cotlab.whitebox.edges import EdgeGraph
from cotlab.whitebox.inside import Inside, Tokens

__all__ = ["EdgePasses", "Trace"]


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One run, taken apart."""

    written: Tensor
    """(writers, tokens, d_model); their sum is the last residual stream."""
    logits: Tensor
    """(vocabulary) of the token behind the last."""


@dataclass(frozen=True, slots=True, eq=False)
class EdgePasses:
    """The passes of one model."""

    inside: Inside
    graph: EdgeGraph

    @classmethod
    def of(cls, inside: Inside) -> EdgePasses:
        """For a model that is open.

        Raises:
            ModelError: Its family has no such modules.
        """
        shape, modules = inside.shape, inside.modules
        keys = modules.part(0, modules.paths.attention_inputs[1])
        n_kv = int(keys.weight.shape[0]) // shape.head_dim  # type: ignore[index]  # a linear map
        return cls(inside, EdgeGraph(shape.n_layers, shape.n_heads, n_kv))

    @torch.inference_mode()
    def trace(self, tokens: Tokens) -> Trace:
        """What every writer writes."""
        return self._pass(tokens)[0]

    @torch.inference_mode()
    def patched(self, tokens: Tokens, corrupt: Tensor, kept: Tensor) -> Tensor:
        """Logits (vocabulary) where some edges carry the corrupt run.

        Args:
            tokens: The clean run.
            corrupt: `Trace.written` of the corrupt one.
            kept: (writers, readers): False where an edge carries the corrupt run.
        """
        return self._pass(tokens, corrupt=corrupt, kept=kept.to(corrupt.device))[0].logits

    def gradients(
        self, tokens: Tokens, embedding: Tensor, loss: Callable[[Tensor], Tensor]
    ) -> Iterator[tuple[slice, Tensor]]:
        """Gradient of a loss by what each reader reads, layer by layer.

        Args:
            tokens: Any run of the right length.
            embedding: (tokens, d_model) that takes the place of its embedding.
            loss: From logits (vocabulary) to one number.

        Yields:
            Readers, and the gradients (readers, tokens, d_model).
        """
        seen = _Seen()
        with torch.enable_grad():
            # A clone outside of inference mode can be differentiated.
            trace, seen = self._pass(tokens, embedding=embedding.clone().requires_grad_(), seen=seen)
            wanted = [*seen.maps, *seen.mlps, seen.last]
            found = torch.autograd.grad(loss(trace.logits), wanted, materialize_grads=True)
        n, modules = self.graph.n_layers, self.inside.modules
        maps, mlps, last = found[: 3 * n], found[3 * n : 4 * n], found[-1]
        for layer in range(n):
            norm = modules.part(layer, modules.paths.attention_norm)
            behind = [self._through(layer, part, maps[3 * layer + part][0]) for part in range(3)]
            stream = seen.streams[2 * layer]
            yield self.graph.attention_readers(layer), _through_norm(norm, stream, torch.cat(behind))
            norm, reader = modules.part(layer, modules.paths.mlp_norm), self.graph.mlp_reader(layer)
            yield slice(reader, reader + 1), _through_norm(norm, seen.streams[2 * layer + 1], mlps[layer])
        yield slice(len(self.graph.readers) - 1, len(self.graph.readers)), last

    def weights_of(self, layer: int, part: int) -> Tensor:
        """Queries, keys or values of a layer: (heads, head_dim, d_model)."""
        module: Any = self.inside.modules.part(layer, self.inside.modules.paths.attention_inputs[part])
        weights: Tensor = module.weight
        return weights.view(-1, self.inside.shape.head_dim, weights.shape[-1])

    def _through(self, layer: int, part: int, gradient: Tensor) -> Tensor:
        """From the gradient behind the linear map to that before it, head by head: (heads, tokens, d_model)."""
        weights = self.weights_of(layer, part)
        return torch.einsum("the,hed->htd", gradient.view(len(gradient), *weights.shape[:2]), weights)

    def _pass(
        self,
        tokens: Tokens,
        *,
        embedding: Tensor | None = None,
        corrupt: Tensor | None = None,
        kept: Tensor | None = None,
        seen: _Seen | None = None,
    ) -> tuple[Trace, _Seen]:
        run = _Run(self, embedding, corrupt, kept, seen or _Seen())
        handles = run.hook()
        try:
            inputs = self.inside.inputs(tokens)
            logits = self.inside.model(**inputs, use_cache=False, logits_to_keep=1).logits[0, -1]
        finally:
            remove(handles)
        return Trace(torch.cat(run.written), logits), run.seen


@dataclass(slots=True, eq=False)
class _Seen:
    """What gradients need of a pass."""

    maps: list[Tensor] = field(default_factory=list)
    """Outputs of the maps to queries, keys and values of each layer, (1, tokens, heads · head_dim)."""
    streams: list[Tensor] = field(default_factory=list)
    """Residual stream before attention and before the MLP of each layer, (1, tokens, d_model)."""
    mlps: list[Tensor] = field(default_factory=list)
    """What each MLP gets, normed, (1, tokens, d_model)."""
    last: Tensor = field(default_factory=lambda: torch.empty(0))
    """What the final norm gets, (1, tokens, d_model)."""


def _through_norm(norm: torch.nn.Module, stream: Tensor, gradient: Tensor) -> Tensor:
    """From gradients behind a norm, (readers, tokens, d_model), to those before it."""
    with torch.enable_grad():
        before = stream.detach().clone().expand(len(gradient), -1, -1).requires_grad_()
        (found,) = torch.autograd.grad(norm(before), before, gradient)
    return found


class _Run:
    """One pass: hooks that take the residual stream apart and change what readers read."""

    def __init__(
        self, passes: EdgePasses, embedding: Tensor | None, corrupt: Tensor | None, kept: Tensor | None, seen: _Seen
    ) -> None:
        self.passes = passes
        self.graph = passes.graph
        self.embedding = embedding
        self.corrupt = corrupt
        self.kept = kept
        self.seen = seen
        self.written: list[Tensor] = []
        """Of each writer so far or of several, (writers, tokens, d_model)."""

    def hook(self) -> list[Any]:
        """Register; handles."""
        modules = self.passes.inside.modules
        paths, handles = modules.paths, []
        for layer in range(self.graph.n_layers):
            on = modules.layer(layer)
            handles.append(on.register_forward_pre_hook(self._enter(layer), with_kwargs=True))
            for part, path in enumerate(paths.attention_inputs):
                handles.append(modules.part(layer, path).register_forward_hook(self._map(layer, part)))
            handles.append(modules.part(layer, paths.output_projection).register_forward_pre_hook(self._heads))
            norm = modules.part(layer, paths.mlp_norm)
            handles.append(norm.register_forward_pre_hook(self._read(self.graph.mlp_reader(layer))))
            mlp = modules.part(layer, paths.mlp)
            handles.append(mlp.register_forward_pre_hook(lambda module, args: self.seen.mlps.append(args[0])))
            handles.append(mlp.register_forward_hook(lambda module, args, out: self.written.append(out)))
        handles.append(modules.final_norm.register_forward_pre_hook(self._read(len(self.graph.readers) - 1)))
        return handles

    def _enter(self, layer: int) -> Callable[..., Any]:
        def enter(module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            stream = args[0] if args else kwargs["hidden_states"]
            if layer == 0:
                stream = stream if self.embedding is None else self.embedding[None]
                self.written.append(stream)
            self.seen.streams.append(stream)
            return ((stream, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": stream})

        return enter

    def _map(self, layer: int, part: int) -> Callable[..., Any]:
        heads, groups = self.graph.n_heads, self.graph.n_kv_heads
        first = self.graph.attention_readers(layer).start + (0, heads, heads + groups)[part]
        readers = slice(first, first + (heads if part == 0 else groups))

        def mapped(module: Any, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
            self.seen.maps.append(output)
            change = self._change(readers)
            if change is None:
                return None
            modules = self.passes.inside.modules
            norm = modules.part(layer, modules.paths.attention_norm)
            read = norm(self.seen.streams[-1] + change)
            weights = self.passes.weights_of(layer, part)
            found = torch.einsum("htd,hed->the", read, weights).reshape(output.shape)
            return found if module.bias is None else found + module.bias

        return mapped

    def _heads(self, module: Any, args: tuple[Any, ...]) -> None:
        z = args[0][0].view(args[0].shape[1], self.graph.n_heads, -1)
        weights = module.weight.view(len(module.weight), self.graph.n_heads, -1)
        self.written.append(torch.einsum("the,dhe->htd", z, weights))

    def _read(self, reader: int) -> Callable[..., Any]:
        def read(module: object, args: tuple[Any, ...]) -> Any:
            (self.seen.streams if reader < len(self.graph.readers) - 1 else []).append(args[0])
            change = self._change(slice(reader, reader + 1))
            stream = args[0] if change is None else args[0] + change
            if reader == len(self.graph.readers) - 1:
                self.seen.last = stream
            return (stream, *args[1:])

        return read

    def _change(self, readers: slice) -> Tensor | None:
        """What is added to the residual stream for each of some readers, (readers, tokens, d_model)."""
        if self.kept is None or self.corrupt is None:
            return None
        written = torch.cat(self.written)
        dropped = ~self.kept[: len(written), readers]
        if not dropped.any():
            return None
        other = self.corrupt[: len(written)] - written
        return torch.einsum("uv,utd->vtd", dropped.to(other.dtype), other)
