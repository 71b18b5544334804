"""The workbench: `cotlab app` starts it."""

import sys
from pathlib import Path

import streamlit as st

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from parts.place import remember  # noqa: E402 - the folder must be on the path first
from parts.warm import warm  # noqa: E402

st.set_page_config(page_title="cotlab", page_icon=str(HERE / "icon.png"), layout="wide")
st.html(
    "<style>.block-container{padding:3.6rem 1.6rem 2rem;max-width:1760px}"
    "[data-testid=stMain]:focus,[data-testid=stMain]:focus-visible{outline:none;box-shadow:none}"
    "[data-testid=stHeadingWithActionElements] h1{font-size:1.6rem;padding:.2rem 0 .4rem}</style>"
)
PAGES = [
    st.Page(HERE / "app_pages" / "runs.py", title="Runs", icon=":material/folder_open:", default=True),
    st.Page(HERE / "app_pages" / "chain.py", title="Chain", icon=":material/account_tree:", url_path="chain"),
    st.Page(HERE / "app_pages" / "branch.py", title="Branch", icon=":material/fork_right:", url_path="branch"),
    st.Page(HERE / "app_pages" / "compare.py", title="Compare", icon=":material/compare_arrows:", url_path="compare"),
    st.Page(HERE / "app_pages" / "inside.py", title="Inside", icon=":material/visibility:", url_path="inside"),
    st.Page(HERE / "app_pages" / "steering.py", title="Steering", icon=":material/tune:", url_path="steering"),
    st.Page(HERE / "app_pages" / "features.py", title="Features", icon=":material/scatter_plot:", url_path="features"),
    st.Page(HERE / "app_pages" / "new.py", title="New study", icon=":material/add_circle:", url_path="new"),
    st.Page(
        HERE / "app_pages" / "experiments.py", title="Experiments", icon=":material/science:", url_path="experiments"
    ),
    st.Page(HERE / "app_pages" / "doctor.py", title="Doctor", icon=":material/stethoscope:", url_path="doctor"),
]
page = st.navigation(PAGES, position="top")
remember()
warm()
page.run()
