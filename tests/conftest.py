"""Settings of the whole suite: one thread, no hub, no telemetry. Set before torch or vLLM can be imported."""

import os
import shutil
import signal
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

# A shell without job control starts what it runs behind `&` with Ctrl-C ignored, and so would be what tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def vision_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the small image-text models are (`vision_small`)."""
    return tmp_path_factory.mktemp("vision")


@pytest.fixture(scope="session")
def sampled_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that `sampled` copies."""
    import cotlab as ct

    asked = {"problems": "tiny", "n_problems": 8, "positions": "0", "base": ("random",), "engine": "transformers"}
    return ct.resample(**asked, n=3, run=tmp_path_factory.mktemp("once") / "run").path


@pytest.fixture(scope="module")
def sampled(sampled_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiny reasoner of the module's own: 3 rollouts of each of 8 problems, with a chain of each."""
    return Path(shutil.copytree(sampled_once, tmp_path_factory.mktemp("sampled") / "run"))
