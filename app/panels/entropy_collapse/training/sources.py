"""Where training logs come from: uploaded files, a path on this machine, the shipped examples.

A source is added by an action of the person in front of the page, never by a link.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from analysis.paths import clean_path
from app import state
from app.widgets.plain import plain

MAX_SOURCES = 8
_MAX_UPLOAD_MB = 500
_TOGETHER = "+"
"""Between the ids of files that are one source."""


@dataclass(frozen=True)
class Source:
    """One log to read."""

    id: str
    """Changes when the content may have."""
    name: str
    path: str
    kind: str
    """"upload", "path" or "example"."""
    more: tuple[str, ...] = ()
    """Paths of further files that hold parts of the same runs."""
    names: tuple[str, ...] = ()
    """What the files were called, if they lie under other names."""

    @property
    def paths(self) -> str | list[str]:
        """The file or folder, or all files."""
        return [self.path, *self.more] if self.more else self.path


class _Folder:
    """Uploaded logs of one browser tab on disk, gone with it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="logitscope-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def keep(self, upload: Any) -> Path:
        """Write an upload down, under a name of our own and its ending."""
        ending = re.sub(r"[^A-Za-z0-9.]", "", Path(upload.name).suffix)[:12]
        target = self.path / f"{upload.file_id}{ending}"
        if target.exists():
            return target
        upload.seek(0)
        with target.open("wb") as file:
            shutil.copyfileobj(upload, file)
        return target


def sources() -> list[Source]:
    """Everything added so far."""
    found: list[Source] = st.session_state.setdefault(state.LOG_SOURCES, [])
    return found


def add(source: Source) -> None:
    """Add a source, in the place of one with the same id or path."""
    kept = [s for s in sources() if s.id != source.id and not (s.kind == "path" and s.path == source.path)]
    if len(kept) >= MAX_SOURCES:
        st.toast(f"{plain(kept[0].name)} was removed: the page holds {MAX_SOURCES} logs.")
    st.session_state[state.LOG_SOURCES] = [*kept, source][-MAX_SOURCES:]


def drop(source_id: str) -> None:
    """Take a source off the page."""
    st.session_state[state.LOG_SOURCES] = [s for s in sources() if s.id != source_id]


def read_again(source_ids: list[str]) -> None:
    """Ask for a new reading of some sources."""
    versions: dict[str, int] = st.session_state.setdefault(state.LOG_VERSIONS, {})
    for source_id in source_ids:
        versions[source_id] = versions.get(source_id, 0) + 1


def version(source: Source) -> int:
    """How often a source was asked to be read again."""
    versions: dict[str, int] = st.session_state.get(state.LOG_VERSIONS, {})
    return versions.get(source.id, 0)


def choose_sources() -> None:
    """Draw the popover with the places to add a log."""
    with (
        st.popover("Open a log", icon=":material/folder_open:", key="open_log"),
        st.container(key="log_form"),
    ):
        uploads = st.file_uploader(
            "Upload logs",
            accept_multiple_files=True,
            key=state.LOG_UPLOADS,
            max_upload_size=_MAX_UPLOAD_MB,
            on_change=_uploaded,
            help="trainer_state.json, JSONL of any trainer, what a trainer printed, TensorBoard event files and "
            "downloads, W&B panels, Parquet and offline files, databases of Trackio and MLflow, any CSV, JSONL or "
            "Parquet. A file is one run, or several if it says so; panels of the same runs are put together.",
        )
        st.session_state[state.LOG_UPLOADS_SHOWN] = {upload.file_id for upload in uploads or []}
        _path_form()
        _examples()


def chips() -> None:
    """Draw the name of every log on the page, with the way to remove it."""
    if not sources():
        return
    with st.container(horizontal=True, gap="small"):
        for source in sources():
            st.button(
                plain(source.name),
                icon=":material/close:",
                key=f"drop_{source.id}",
                help="Remove this log from the page.",
                on_click=drop,
                args=(source.id,),
            )


def _uploaded() -> None:
    """Take over what is new in the uploader, and drop what was removed there.

    The uploader forgets its files when the page is left; the sources stay. Files that hold
    parts of the same runs are one source: panels of W&B, a metric each.
    """
    from analysis.entropy_collapse.training.logs.folders import belong_together

    folder: _Folder = st.session_state.setdefault(state.LOG_FOLDER, _Folder())
    uploads = st.session_state.get(state.LOG_UPLOADS) or []
    gone = st.session_state.get(state.LOG_UPLOADS_SHOWN, set()) - {upload.file_id for upload in uploads}
    _drop_uploads(gone)
    paths = [folder.keep(upload) for upload in uploads]
    for places in belong_together(paths, [upload.name for upload in uploads]):
        own = [uploads[k] for k in places]
        source_id = _TOGETHER.join(upload.file_id for upload in own)
        if source_id in {source.id for source in sources()}:
            continue
        _drop_uploads({upload.file_id for upload in own})
        names, files = tuple(upload.name for upload in own), [str(paths[k]) for k in places]
        add(Source(source_id, " + ".join(names), files[0], "upload", tuple(files[1:]), names))


def _drop_uploads(file_ids: set[str]) -> None:
    """Take off every source that holds one of these files."""
    for source in sources():
        if source.kind == "upload" and file_ids.intersection(source.id.split(_TOGETHER)):
            drop(source.id)


def _path_form() -> None:
    with st.form("training_path_form", border=False):
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        path = left.text_input(
            "Or a file or folder on this machine",
            key=state.LOG_PATH,
            placeholder="outputs/run/checkpoint-500/trainer_state.json",
            help="A folder may hold checkpoints, event files, MLflow's metrics, or several runs. A run that is not finished "
            "can be followed.",
        )
        if right.form_submit_button("Read", width="stretch") and clean_path(path):
            where = Path(clean_path(path)).expanduser()
            name = where.parent.name if where.name == "trainer_state.json" else where.name
            add(Source(f"path-{time.time_ns()}", name or str(where), str(where), "path"))


def _examples() -> None:
    from analysis.entropy_collapse.training.logs import EXAMPLES

    there = {source.id for source in sources()}
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for name, path in EXAMPLES.items():
            st.button(
                f"Example: {name.replace('_', ' ')}",
                icon=":material/add:",
                key=f"example_{name}",
                disabled=name in there,
                on_click=add,
                args=(Source(name, path.name, str(path), "example"),),
                help="A real run of TRL's GRPO trainer on a tiny model: say the prompt's word six times. "
                + (
                    "Rewarded for words that are near: the law holds."
                    if name == "near_words"
                    else "Rewarded for the very word only: a straight line, not the law."
                ),
            )
