"""The tree of everything that was written from one prompt: choose a branch, name it, delete it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis import figures
from analysis.errors import AnalysisError
from analysis.writing.compare import branches_frame, label_of
from analysis.writing.editing import LONGEST_NAME, delete, leaving, rename
from app import state
from app.panels.write import help as explained
from app.panels.write import running
from app.widgets.figure_card import altair_card, known_spec
from app.widgets.messages import show_error
from app.widgets.pressed import pressed
from app.widgets.stepper import stepper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analysis.writing.results import Writing


def take_branch(writing: Writing) -> None:
    """Let the newest click in the tree choose its branch, before anything is drawn; each click counts once."""
    rows = (st.session_state.get(state.WRITE_TREE) or {}).get("selection", {}).get("pick", [])
    taken = st.session_state.setdefault(state.PICKED, {})
    if rows and rows[0] != taken.get(state.WRITE_TREE):
        taken[state.WRITE_TREE] = dict(rows[0])
        if rows[0]["branch"] < len(writing.branches):
            running.choose_branch(int(rows[0]["branch"]))


def tree_card(
    writing: Writing, branch: int, *, ends: Mapping[int, str | None] | None = None, still: bool = True
) -> None:
    """Draw the card.

    Parameters
    ----------
    writing, branch
        What is on screen, and which branch is chosen.
    ends : mapping of int to str, optional
        Answers of branches, which stand at their ends.
    still : bool
        Whether branches can be chosen and changed: not while one is being written.
    """
    n = len(writing.branches)
    said = {b: "no answer" if answer is None else answer for b, answer in (ends or {}).items()}
    theme_name, larger = state.theme_name(), state.is_projector()

    def chart() -> object:
        return figures.branches(writing, branch, ends=said, theme_name=theme_name, pick=still, larger=larger)

    with altair_card(
        "Where the answers part",
        "Equal beginnings are one, thicker where more branches pass. Click a row to put its branch on screen.",
        chart,
        alt="Tree of the branches, the chosen one in ink",
        name="branches",
        key=state.WRITE_TREE,
        phrase=f"{n} branch{'es' * (n > 1)} from one prompt",
        table=lambda: branches_frame(writing, state.unit()),
        code=_CODE,
        more=explained.TREE,
    ) as draw:
        if still:
            with st.container(key="branch_line", horizontal=True, vertical_alignment="center", gap="xsmall"):
                stepper(
                    "branch", label_of(writing.branches[branch]), "branch", branch, n, running.choose_branch
                )
                _edit(writing, branch)
        ways = tuple((b.parent, b.at, label_of(b), b.ids.tobytes()) for b in writing.branches)
        key = (writing.model, ways, branch, tuple(said.items()), theme_name, still, larger)
        with st.container(key="tree_scroll"):
            draw(
                known_spec(key, chart),
                width="content",
                **({"on_select": "rerun", "selection_mode": "pick"} if still else {}),
            )


_CODE = (
    "import analysis as an\n\n"
    "model = an.load_model()\n"
    'w = an.write(model, "The old lighthouse keeper", n_new=64)\n'
    'w = an.branch(model, w, at=len(w.prompt.ids) + 5, token=" sea")\n'
    "an.figures.branches(w)\n"
)


def _edit(writing: Writing, branch: int) -> None:
    """Another name, and away with it."""
    with st.popover("Name or delete", type="tertiary", key="edit_branch"):
        with st.form("name_branch", border=False):
            name = st.text_input(
                "Name", writing.branches[branch].name, key=f"branch_name_{branch}", max_chars=LONGEST_NAME
            )
            named = st.form_submit_button("Name this branch")
        gone = len(leaving(writing, branch))
        deleted = pressed(
            "Delete this branch" if gone == 1 else f"Delete this branch and {gone - 1} more",
            key="delete_branch",
        )
    try:
        if named:
            running.change(rename(writing, branch, name), branch)
        elif deleted:
            running.change(delete(writing, branch), 0)
    except AnalysisError as refused:
        show_error(refused)
        return
    if named or deleted:
        st.rerun()
