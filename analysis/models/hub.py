"""What the hub says about a model before anything of it is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analysis.models.spec import ModelSpec

_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class HubAnswer:
    """What a hub model consists of."""

    reachable: bool
    """Whether the hub answered; without it only what is cached can be opened."""
    files: frozenset[str]
    """Names of its files, as far as they are known."""
    n_parameters: dict[str, int]
    """Parameters by the precision they are stored in, as the hub counts them; empty when unknown."""


def query_hub(spec: ModelSpec) -> HubAnswer:
    """Ask once whether the model exists and what it holds; what is cached when the hub cannot be reached.

    Without this, a missing network is only noticed after minutes of retries.

    Parameters
    ----------
    spec : ModelSpec
        Of kind "hub".

    Raises
    ------
    HfHubHTTPError, HFValidationError
        As the hub's library raises them.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    cached = snapshot(spec.source, spec.revision)
    unreachable = HubAnswer(False, frozenset(p.name for p in cached.iterdir()) if cached else frozenset(), {})
    if constants.is_offline_mode():
        return unreachable
    try:
        found = HfApi().model_info(spec.source, revision=spec.revision, timeout=_TIMEOUT_SECONDS)
    except (HfHubHTTPError, HFValidationError):
        raise
    except Exception as error:
        if type(error).__module__.split(".")[0] not in {"httpx", "httpx2", "httpcore", "httpcore2"}:
            raise
        return unreachable
    files = frozenset(sibling.rfilename for sibling in found.siblings or ())
    stored = found.safetensors
    return HubAnswer(True, files, dict(stored.parameters) if stored is not None else {})


def commit_of(spec: ModelSpec) -> str | None:
    """Commit that the revision of a cached hub model stands for."""
    folder = snapshot(spec.source, spec.revision)
    return folder.name if folder is not None else None


def snapshot(source: str, revision: str | None) -> Path | None:
    """Folder of the local cache that holds a hub model, or None when nothing of it is cached."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
