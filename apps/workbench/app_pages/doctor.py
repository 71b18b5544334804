"""What this machine has: engines, libraries, space."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from parts.html import line, numbers, say

from cotlab.cli.doctor import diagnose

st.title("Doctor", anchor=False)
found = diagnose()
memory = "unknown" if found.memory_gb is None else f"{found.memory_gb:.0f} GB"
say(
    numbers(
        {
            "cotlab": found.cotlab,
            "Python": found.python,
            "machine": f"{found.platform}, {found.cpus} cores, {memory} of memory",
            "disk free here": f"{found.free_disk_gb:.0f} GB",
            "GPU": "; ".join(found.gpus) or "none",
            "engine “auto” means": f"{found.engine}: {found.engine_why}",
        }
    )
)
rows = [
    {"library": one.name, "version": one.version or "missing", "used for": one.used_for, "extra": one.extra}
    for one in found.packages
]
st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
for one in found.missing:
    how = "reinstall cotlab" if one.extra == "core" else f"install cotlab's extra {one.extra}"
    say(line(f"{one.name} is missing, for {one.used_for}: {how}"))
if not found.missing:
    say(line("Nothing is missing. Runs are sampled from “New study”.", soft=True))
