"""The command line of cotlab."""

from __future__ import annotations

import io
import logging
import os
import sys

__all__ = ["main", "quiet_torch"]


def quiet_torch() -> None:
    """Hold back what torch says of this machine (NUMA, Triton) where it is imported; what the user has set stays."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # read once, when torch is loaded
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)


def main() -> None:
    """Run the command line; a user's fault is one line on stderr and exit code 2."""
    quiet_torch()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # model text may hold what no encoding can, as lone surrogates
            stream.reconfigure(errors="backslashreplace")
    from cotlab.cli import (  # noqa: F401 - they register commands
        attention,
        attribute,
        avoid,
        capture,
        demo,
        determinism,
        doctor,
        edit,
        export,
        faithful,
        forks,
        graph,
        hints,
        importance,
        imports,
        lens,
        monitor,
        patch,
        patchscope,
        probe,
        progress_of,
        report,
        resample,
        runs,
        sae,
        sae_features,
        sae_steer,
        sae_train,
        sae_transfer,
        score,
        steer,
        steer_report,
        transplant,
        tree,
        vision,
        vision_features,
        vision_lens,
        vision_locate,
        vision_warn,
        watched,
        workbench,
    )
    from cotlab.cli.app import app
    from cotlab.errors import CotlabError, UserError

    try:
        app()
    except UserError as error:
        print("cotlab: " + " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
    except CotlabError as error:
        print("cotlab: " + " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(0)
