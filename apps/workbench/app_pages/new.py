"""A new study: from a problem set, from one question, or from a pasted transcript; sampled in its own process."""

from __future__ import annotations

from typing import Any

import streamlit as st
from parts.html import fault, line, place_holder, say
from parts.library import NAME, root
from parts.work import begin, show_job

from cotlab.errors import DataError, UserError
from cotlab.problems import parse_transcript
from cotlab.sampling import StudyConfig, list_jobs

SOURCES = {
    "set": "a problem set",
    "question": "one question",
    "transcript": "a pasted transcript",
}


def source() -> dict[str, Any]:
    """What is studied."""
    kind = (
        st.segmented_control("Start from", list(SOURCES), format_func=SOURCES.get, default="set", key="source") or "set"
    )
    if kind == "set":
        left, right = st.columns([2, 1])
        problems = left.text_input(
            "Problem set",
            "tiny",
            help="tiny, countdown, solve, arithmetic, word-problems, reasoning-gym:NAME, "
            "scenes:count (images, for tiny-vlm) "
            "or a path to a JSONL, JSON or CSV file",
        )
        n = right.number_input("Problems", 1, 10_000, 2)
        screened = st.checkbox(
            "Keep problems that the model gets right sometimes",
            True,
            help="20 rollouts of each candidate; where it is always or never right, no step can matter",
        )
        return {
            "problems": problems,
            "n_problems": int(n),
            **({"screen": "0.25:0.75", "screen_fill": True} if screened else {}),
        }
    if kind == "question":
        question = st.text_area("Question", max_chars=20_000, placeholder="Which whole number x gives 3 * x - 4 = 32?")
        answer = st.text_input("Gold answer", help="without one, answers are told apart but not judged")
        return {"question": question, "answer": answer or None}
    text = st.text_area(
        "Transcript",
        height=220,
        max_chars=2_000_000,
        placeholder="The question\n\n<think>\nWhat the model thought …\n</think>\n\nWhat it answered",
    )
    question = st.text_input("Question", help="where it does not stand before <think> in the transcript")
    answer = st.text_input("Gold answer")
    return {"transcript": text, "question": question or None, "answer": answer or None}


def settings() -> dict[str, Any]:
    """How it is sampled."""
    model, n, base = st.columns([2, 1, 1])
    asked: dict[str, Any] = {
        "model": model.text_input("Model", "tiny", help="tiny, a hub name or a local folder"),
        "n": int(n.number_input("Rollouts from every step", 1, 100_000, 60)),
        "base": (base.selectbox("Chain", ["random", "greedy", "first-right", "first-wrong"]),),
    }
    with st.expander("More settings"):
        columns = st.columns(4)
        asked["engine"] = columns[0].selectbox("Engine", ["auto", "vllm", "transformers", "markov"])
        asked["positions"] = columns[1].text_input(
            "Positions", "every", help="every, stride:4, coarse, coarse:8, or a list such as 0,3,7"
        )
        asked["seed"] = int(columns[2].number_input("Seed", 0, 2**31, 0))
        budget = columns[3].text_input("Budget", placeholder="200k, 10min", help="a cap on tokens or time")
        temperature = columns[0].number_input("Temperature", 0.01, 10.0, None, placeholder="as the card says")
        longest = columns[1].number_input("Longest response", 1, 1_000_000, None, placeholder="tokens")
        asked["cutter"] = columns[2].selectbox("Steps are", ["sentences", "lines", "paragraphs"])
        asked |= {"budget": budget or None, "temperature": temperature, "max_tokens": longest}
    return asked


def start(name: str, asked: dict[str, Any]) -> None:
    """Check what was asked for and start it."""
    if not NAME.fullmatch(name):
        raise UserError(f"{name[:80]!r} is no name for a run. Use letters, digits, dots, dashes")
    folder = root() / name
    if "transcript" in asked:
        asked = {**asked, "transcript": _transcript(name, asked)}
    elif "question" in asked and not asked["question"].strip():
        raise UserError("there is no question. Write one, or start from a problem set")
    job = begin(StudyConfig.of(**asked, run=folder.absolute()))
    st.session_state["job"] = job.id
    st.rerun()


def _transcript(name: str, asked: dict[str, Any]) -> str:
    """Keep the pasted text beside the jobs, where the study finds it."""
    try:
        parse_transcript(asked["transcript"], asked["question"], asked["answer"])
    except ValueError as error:
        raise DataError(f"the transcript {error}") from error
    folder = (root() / ".pasted").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.txt"
    file.write_text(asked["transcript"], encoding="utf-8", errors="replace")
    return str(file)


st.title("New study", anchor=False)
mine = next((job for job in list_jobs(root()) if job.id == st.session_state.get("job")), None)
if mine is None:
    mine = next((job for job in list_jobs(root()) if job.running), None)
if mine is not None:
    show_job(mine)
asked = {**source(), **settings()}
left, right = st.columns([2, 1], vertical_alignment="bottom")
name = left.text_input(
    "Name of the run", "study-1", help="a folder under the runs; where it is there, the study goes on in it"
)
if right.button("Start", type="primary", icon=":material/play_arrow:", width="stretch"):
    try:
        start(name.strip(), asked)
    except UserError as error:
        fault(error)
if mine is None:
    place_holder(
        "“Start” samples in a process of its own: this page may be closed or reloaded, "
        "and a stopped study goes on where it was."
    )
else:
    say(
        line(
            "The study goes on when this page is closed. Its run opens on “Runs” as soon as it has a chain.", soft=True
        )
    )
