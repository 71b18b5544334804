"""Features of a sparse autoencoder: dashboards on a run's rollouts, and how active each is along the chain."""

from __future__ import annotations

import streamlit as st
from markupsafe import Markup
from parts.chosen import Chosen, choose
from parts.feature_documents import Context, Feature, FeatureDocument, documents, read_document
from parts.figures import heat_map, show_figure
from parts.html import estimate, fault, filled_columns, line, numbers, place_holder, say
from parts.image_features import image_documents, show_image_features
from parts.library import SAMPLE, root, take_sample
from parts.place import go, here
from parts.work import begin, show_job

from cotlab.errors import UserError
from cotlab.reports.feature_page import bars
from cotlab.reports.svg import element
from cotlab.reports.text import format_estimate, one_line, readable
from cotlab.sampling import FeaturesConfig, Job, list_jobs
from cotlab.stats import Estimate

SHIPPED = "tiny:honest/resid_post:2"
SHIPPED_VLM = "tiny-vlm:honest/resid_post:2"
MOST_ROWS = 24  # features in the heat map of a chain


def ask(chosen: Chosen) -> None:
    """What is to be read."""
    one, two, three = st.columns([3, 1, 1], vertical_alignment="bottom")
    sae = one.selectbox(
        "Autoencoder",
        [SHIPPED_VLM if chosen.studied.chain.images else SHIPPED],
        accept_new_options=True,
        help="a folder or file, or RELEASE/ID of SAELens's registry; type another name",
    )
    n = int(two.number_input("Rollouts", 1, 100_000, 60, help="of the run, that are read; and at most so many images"))
    top = int(three.number_input("Features", 1, 500, 12, help="those with the highest ReasonScore"))
    named = st.text_input("Or these features", placeholder="numbers with commas")
    if not st.button("Read the features", type="primary", icon=":material/scatter_plot:"):
        return
    parts = [part.strip() for part in named.split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"features '{named}' not understood. Use numbers with commas")
    begin(
        FeaturesConfig.of(
            run=chosen.path.absolute(),
            chain_id=chosen.studied.chain.id,
            sae=sae or "",
            features=tuple(int(part) for part in parts),
            top=top,
            n=n,
        )
    )
    st.rerun()


def job_here(chosen: Chosen) -> Job | None:
    """The last reading of this run."""
    run = chosen.path.absolute()
    return next((job for job in list_jobs(root()) if job.kind == "features" and job.run == run), None)


def highlighted(context: Context, largest: float) -> Markup:
    """Tokens, shaded by how active the feature is."""
    spans = []
    for i, (text, value) in enumerate(zip(context.tokens, context.values, strict=True)):
        shade = f"background:rgba(46,127,184,{0.75 * min(1.0, value / (largest or 1.0)):.2f});border-radius:2px"
        style = shade + (";outline:1px solid #d9762b" if i == context.peak else "") if value > 0 else None
        spans.append(element("span", readable(text), style=style, title=f"{value:.3g}" if value > 0 else None))
    kind = element("span", f"   {context.category.replace('_', ' ')}", class_="soft")
    return element("div", *spans, kind, class_="t box", dir="auto")


def table(found: FeatureDocument) -> None:
    """All features at a glance."""
    if found.overview is None:
        return
    rows = [
        {
            "feature": row.feature,
            "active at": row.rate,
            "ReasonScore": row.reason.value,
            "low": row.reason.low,
            "high": row.reason.high,
            "null 95%": row.reason.null_q95,
            "kind of step": row.category.replace("_", " "),
            "AUC": row.auc,
            "q": "" if row.q is None else f"{row.q:.1g}",
            "active": one_line(row.label, 90),
        }
        for row in found.overview.rows
    ]
    percent = st.column_config.NumberColumn(format="percent")
    high = min(300, 40 + 35 * len(rows))
    st.dataframe(filled_columns(rows), hide_index=True, column_config={"active at": percent}, height=high)
    words = ", ".join(found.overview.words)
    told = f"Reasoning words that occur: {words}." if words else found.overview.reason_missing
    missing = next((row.reason.reason for row in found.overview.rows if row.reason.reason and words), "")
    if missing:
        told += f" Scores are not told: {missing}; the order is theirs."
    told = f"{told[:1].upper()}{told[1:]}{'' if told.endswith('.') else '.'}"
    say(line(f"{told} The kind of step is that with the largest AUC of the mean activation (q < 0.05).", soft=True))


def contexts(one: Feature) -> None:
    """Where it is active."""
    way = st.segmented_control("Contexts", ["most active", "over the range"], default="most active", key="contexts")
    shown = one.spread if way == "over the range" else one.contexts
    if not shown:
        place_holder("It is active nowhere in these rollouts: read more of them, above.")
    say(*(highlighted(context, one.largest) for context in shown))


def shape(one: Feature) -> None:
    """How active, where in chains, at what kind of step."""
    left, right = st.columns(2)
    with left:
        st.caption("Activations, where it is active")
        ends = (f"{one.edges[0]:.2g}", f"{one.edges[-1]:.3g}") if one.counts else ("", "")
        show_figure(bars(one.counts, told="histogram of activations", ends=ends), f"histogram-{one.feature}")
    with right:
        st.caption("Firing rate by tenth of the rollouts")
        show_figure(bars(one.along, told="firing rate by tenth", ends=("start", "end")), f"along-{one.feature}")
    rates = {row.category.replace("_", " "): _share(row.n_active, row.n_tokens, row.rate) for row in one.categories}
    say(line("Tokens at which it is active, by kind of step:", soft=True), numbers(rates))


def _share(n_active: int, n_tokens: int, rate: Estimate) -> str:
    """How many, and the share with its interval where there are problems enough for one."""
    told = f"{n_active:,} of {n_tokens:,} tokens"
    return told if rate.value is None else f"{told}: {format_estimate(rate, digits=4)}"


def company(one: Feature) -> None:
    """What it does to the logits, and what is active with it."""

    def told(pairs: list[tuple[str, float]]) -> str:
        return " · ".join(f"{one_line(text, 24) or '␣'} {effect:+.2f}" for text, effect in pairs)

    others = ", ".join(f"{other} ({phi:.2f})" for other, phi in one.coactive) or "none"
    say(numbers({"raises": told(one.raises), "lowers": told(one.lowers), "active with (φ)": others}))
    say(line("Direct effect of a unit of it on logits, without the layers between; φ: correlation of being active."))


def along(found: FeatureDocument, one: Feature, chosen: Chosen) -> None:
    """The chain, shaded, and all listed features by step."""
    chain = chosen.studied.chain
    read = found.along.get(chain.id)
    if read is None or len(read.ends) != len(chain.steps):
        place_holder("This chain was not read yet: open “What is read” above and press “Read the features”.")
        return
    values = read.values(one.feature)
    peak = max(range(len(values)), key=values.__getitem__) if any(values) else -1
    whole = Context(category="", tokens=read.tokens, values=values, peak=peak)
    features = [one, *(other for other in found.features if other.feature != one.feature)][:MOST_ROWS]
    rows = [[value or None for value in read.by_step(other.feature)] for other in features][::-1]
    names = [str(other.feature) for other in features][::-1]
    st.caption(f"Largest activation of each feature in each step; feature {one.feature} on top.")
    tips = [step.text for step in chain.steps]
    drawn = heat_map(rows, names, unit=found.card.units, told="features along the chain", tips=tips)
    show_figure(drawn, "features-along")
    say(highlighted(whole, one.largest or max(values, default=1.0)))


def dashboard(found: FeatureDocument, chosen: Chosen) -> None:
    """One feature."""
    known = [one.feature for one in found.features]
    asked = chosen.place.feature
    first = known.index(int(asked)) if asked.isdecimal() and int(asked) in known else 0
    number = st.selectbox("Feature", known, index=first)
    if asked != str(number):
        go(feature=str(number))
    one = found.features[known.index(number)]
    rows = {
        "active": one_line(one.label.text, 160) or "–",
        "these tokens tell it (AUC)": estimate(one.label.detection),
        "active at": _share(one.n_active, found.n_tokens, one.rate),
        "activation": f"mean {one.mean_active:.3g}, largest {one.largest:.3g}, {found.card.units} units",
    }
    if one.interpretation is not None:
        told = estimate(one.interpretation.detection)
        rows[one_line(one.interpretation.judge, 40)] = f"{one_line(one.interpretation.explanation, 300)}   ({told})"
    say(numbers(rows))
    if one.link.startswith("https://"):
        st.link_button("Neuronpedia", one.link, icon=":material/open_in_new:")
    views = {"Contexts": contexts, "Shape": shape, "Logits and company": company}
    tabs = st.tabs([*views, "Along the chain"])
    for tab, show in zip(tabs, views.values(), strict=False):
        with tab:
            show(one)
    with tabs[-1]:
        along(found, one, chosen)


def copy_first() -> None:
    """The sample is read-only."""
    place_holder("The sample that ships with the app is not written to. Take a copy of it, and read that.")
    if st.button("Copy the sample into your runs", icon=":material/content_copy:"):
        at = here()
        go(run=take_sample(), chain=at.chain, step=at.step)
        st.rerun()


def page() -> None:
    """The page."""
    chosen = choose()
    if chosen is None:
        return
    if chosen.place.run == SAMPLE:
        copy_first()
        return
    try:
        known, job = documents(root(), chosen.path), job_here(chosen)
        seen = bool(image_documents(chosen.path))
        with st.expander("What is read", expanded=not known and not seen):
            if job is None or not job.running:
                ask(chosen)
        if job is not None and (job.running or job.progress().state != "done"):
            show_job(job)
        show_image_features(chosen.path)
        if not known and seen:
            return
        if not known:
            place_holder("No features were read yet. “Read the features” above runs the model over the run once.")
            return
        if seen:
            st.subheader("On the tokens of rollouts", anchor=False)
        name = st.selectbox("Dashboards", list(known), format_func=lambda text: one_line(text, 80))
        found = read_document(known[name])
        told = (
            f"{one_line(found.card.name, 60)} at {found.card.point} of {found.model}: {found.n_tokens:,} tokens of "
            f"{found.n_rollouts} rollouts, {found.n_problems} problems; L0 {found.l0:.1f}; {found.n_silent:,} of "
            f"{found.d_sae:,} features never active"
        )
        say(line(told, soft=True))
        table(found)
        dashboard(found, chosen)
    except UserError as error:
        fault(error)


st.title("Features", anchor=False)
page()
