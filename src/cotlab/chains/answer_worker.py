"""The process in which answers are parsed and compared by sympy: `python -m cotlab.chains.answer_worker`.

JSON lines in, JSON lines out, one reply a request, until the input ends:

    {"op": "equal", "answer": …, "gold": …}                  → {"equal": true | false | null}
    {"op": "key", "answer": …}                               → {"key": … | null}
    {"op": "gym", "dataset": …, "seed": …, "index": …, "size": …, "question": …, "answer": …} → {"score": 0.0 … 1.0}
    anything that breaks                                     → {"error": "…"}

An alarm ends this process when an item takes too much processor time, even where the parent is gone; the parent kills
it when that does not help. Memory is limited, and an audit hook refuses to write files, to start programs and to use
the network. That is a safety belt against answers that turn out to be code (parts of sympy and of reasoning-gym
evaluate strings), not a sandbox.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

__all__ = ["main"]

_READ_ONLY = frozenset({"os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.add_dll_directory"})
_REFUSED = ("os.", "subprocess.", "socket.", "shutil.", "pty.", "webbrowser.", "ftplib.", "smtplib.", "urllib.")


def main(memory_mb: int, seconds: float) -> None:
    """Serve requests from standard input.

    Args:
        memory_mb: Address space limit, where the system has one.
        seconds: Processor time of one item, after which the process ends itself.
    """
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not look like a reply
    sys.dont_write_bytecode = True
    operations = _load()
    _limit_memory(memory_mb)
    sys.addaudithook(_refuse)
    print(json.dumps({"ready": True}), file=replies, flush=True)
    for line in sys.stdin:
        _alarm(seconds)
        request = json.loads(line)
        try:
            reply = operations[request.pop("op")](**request)
        except Exception as error:  # sympy raises nearly anything on hostile text; the parent is told
            reply = {"error": f"{type(error).__name__}: {error}"[:300]}
        _alarm(0)
        print(json.dumps(reply), file=replies, flush=True)


def equal_math(answer: str, gold: str) -> dict[str, Any]:
    """Whether an answer equals the gold answer; None where either cannot be read."""
    from math_verify import verify

    parsed, wanted = _parse(answer), _parse(gold)
    return {"equal": bool(verify(wanted, parsed, timeout_seconds=None)) if parsed and wanted else None}


def key_math(answer: str) -> dict[str, Any]:
    """Canonical key of an answer; None where it cannot be read."""
    parsed = _parse(answer)
    return {"key": canonical_key(parsed[0]) if parsed else None}


def judge_gym(dataset: str, seed: int, index: int, size: int, question: str, answer: str) -> dict[str, Any]:
    """Score of reasoning-gym's own check for the problem that the data set has at `index`."""
    problems = _gym(dataset, seed, size)
    entry = problems[index]
    if entry["question"] != question:
        return {"error": "mismatch"}
    return {"score": float(problems.score_answer(answer, entry))}


def canonical_key(expression: Any) -> str:
    """Text that is the same for equal expressions, as far as that can be decided cheaply."""
    import sympy

    if isinstance(expression, sympy.Eq) and expression.lhs.is_Symbol:
        return canonical_key(expression.rhs)
    for kind, left, right in ((sympy.FiniteSet, "{", "}"), (sympy.Tuple, "(", ")")):
        if isinstance(expression, kind):
            keys = [canonical_key(item) for item in expression.args]
            return left + ", ".join(sorted(keys) if left == "{" else keys) + right
    if isinstance(expression, sympy.Expr) and not expression.free_symbols:
        return _number_key(expression)
    if isinstance(expression, sympy.Expr):
        return str(sympy.cancel(sympy.together(sympy.nsimplify(expression.doit(), rational=True))))
    return str(expression.canonical if isinstance(expression, sympy.core.relational.Relational) else expression)


def _number_key(expression: Any) -> str:
    import sympy

    # Integrals and the like may take forever exactly, and are quick numerically.
    exact = expression if expression.has(sympy.Function, sympy.Integral, sympy.Sum) else expression.doit()
    if exact.is_Rational:
        return str(Fraction(int(exact.p), int(exact.q)))
    if exact.is_Float:
        return str(Fraction(str(exact)))
    value = exact.evalf(20)
    if not (value.is_real and value.is_finite):
        return str(value.evalf(10))
    decimal = Fraction(str(value))
    near = decimal.limit_denominator(10_000)  # other numbers come this close once in a hundred million
    return str(near) if abs(near - decimal) < Fraction(1, 10**16) else f"{float(value):.10g}"


def _parse(text: str) -> list[Any]:
    from math_verify import LatexExtractionConfig, parse

    # Only LaTeX, and all of it: the looser rules would read `9**9` as its last number.
    latex = [LatexExtractionConfig()]
    return list(parse(f"${text.strip().strip('$')}$", latex, fallback_mode="no_fallback", parsing_timeout=None))


@lru_cache(maxsize=8)
def _gym(dataset: str, seed: int, size: int) -> Any:
    import reasoning_gym

    return reasoning_gym.create_dataset(dataset, seed=seed, size=size)


def _load() -> dict[str, Callable[..., dict[str, Any]]]:
    """Import what is slow to import before the first item's clock starts."""
    import importlib.util

    import math_verify

    logging.getLogger(math_verify.__name__).setLevel(logging.CRITICAL)
    if importlib.util.find_spec("reasoning_gym") is not None and "--gym" in sys.argv:
        importlib.import_module("reasoning_gym")
    equal_math("\\frac{1}{2}", "0.5")
    key_math("x+1")
    return {"equal": equal_math, "key": key_math, "gym": judge_gym}


def _limit_memory(memory_mb: int) -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    except (ImportError, ValueError, OSError) as error:
        print(f"no memory limit for the answer worker: {error}", file=sys.stderr)


def _alarm(seconds: float) -> None:
    # Processor time, so that verdicts do not depend on what else the machine does. The signal's default action ends
    # the process, even inside one long C call.
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if event.startswith(_REFUSED) and event not in _READ_ONLY:
        raise PermissionError(f"refused in the answer worker: {event}")
    if event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        raise PermissionError(f"refused in the answer worker: write {args[0]!r}")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
