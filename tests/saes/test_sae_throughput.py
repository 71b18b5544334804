"""The script that times transfer test and fine-tuning at Llama Scope's size, at a small one."""

import importlib.util
import json
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "experiments" / "sae-transfer" / "throughput.py"
SMALL = {
    "layers": 2, "width": 32, "heads": 4, "vocabulary": 300, "d-sae": 64, "k": 8, "traces": 12, "length": 48,
    "steps": 4,
}  # fmt: skip


def test_the_throughput_script_runs_small(monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("sae_throughput", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    asked = [f"--{name}={value}" for name, value in SMALL.items()]
    monkeypatch.setattr("sys.argv", ["throughput.py", *asked, "--device=cpu", "--dtype=bfloat16"])
    script.main()
    told = json.loads(capsys.readouterr().out)
    rates = [told[name] for name in told if "tokens a second" in name]
    assert len(rates) == 2 and all(rate > 0 for rate in rates) and told["peak of GPU memory, GiB"] is None
    assert told["steps made"] == 4 and told["features active a token"] <= 8
