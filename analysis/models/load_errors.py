"""One clear sentence for whatever went wrong while a model was being loaded or run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from analysis.errors import AnalysisError, BrokenFileError, ModelNotFoundError, OutOfMemoryError
from analysis.models.spec import ModelSpec
from analysis.out_of_memory import is_out_of_memory


def no_memory_for(spec: ModelSpec, where: str) -> OutOfMemoryError:
    """The refusal of a model that is too large for a device."""
    return OutOfMemoryError(
        f"{spec.name} does not fit into the memory of {where}.",
        "Choose a lower precision, another device, or a smaller model.",
    )


def require_all_weights(loaded: dict[str, Any], name: str) -> None:
    """Refuse a model of which the library made up weights that its files do not hold.

    Parameters
    ----------
    loaded : dict
        What ``from_pretrained(..., output_loading_info=True)`` tells.
    name : str
        Of the model, for the message.

    Raises
    ------
    BrokenFileError
        Naming the first weight that is missing.
    """
    missing = sorted({*loaded.get("missing_keys", ()), *(m[0] for m in loaded.get("mismatched_keys", ()))})
    if missing:
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise BrokenFileError(
            f"The files of {name} do not hold {missing[0]}{more}.",
            "The checkpoint is incomplete or not one of a causal language model; missing weights are not invented.",
        )


def as_analysis_error(error: Exception, spec: ModelSpec) -> AnalysisError:
    """One clear sentence for whatever the library raised while loading."""
    if isinstance(error, AnalysisError):
        return error
    if is_out_of_memory(error):
        return no_memory_for(spec, "this machine")
    names = {type(cause).__name__ for cause in causes(error)}
    text = f"{error}"
    if spec.kind == "hub":
        if names & {"GatedRepoError"}:
            return ModelNotFoundError(
                f"{spec.source} asks you to accept its terms on the hub first.",
                "Accept them there, log in with `hf auth login`, and try again.",
            )
        if names & {"RevisionNotFoundError"}:
            return ModelNotFoundError(
                f"{spec.source} has no revision {spec.revision}.", "Check the revision."
            )
        if names & {"RepositoryNotFoundError", "HFValidationError"}:
            return ModelNotFoundError(
                f"There is no public model {spec.source} on the hub.", "Check the spelling: org/name."
            )
        if names & {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError", "ConnectTimeout"}:
            return ModelNotFoundError(
                f"{spec.source} is not in the local cache and the hub cannot be reached.",
                "Connect to the network once, or choose a local folder, a .gguf file or the embedded model.",
            )
    if "safetensors" in text or "SafetensorError" in names:
        return BrokenFileError(
            f"The weights of {spec.name} are missing, damaged or not safetensors.",
            "Pickled weights are not read because they can run code; convert or download them again.",
        )
    if "Unrecognized configuration class" in text or "model type" in text or "custom code" in text:
        return ModelNotFoundError(
            f"{spec.name} is not a causal language model that transformers knows.",
            "Models that need their own code are not run; choose another one.",
        )
    reason = next((line for cause in causes(error) if (line := _first_line(cause))), "no reason given")
    if isinstance(error, ImportError):
        return ModelNotFoundError(
            f"{spec.name} needs a package that is missing or too old ({reason}).",
            "Install or update it, or use an unquantised copy or a .gguf file.",
        )
    if "ignore_mismatched_sizes" in text:
        return BrokenFileError(
            f"The weights of {spec.name} have other shapes than its config says.",
            "Download or copy the model again, its config included.",
        )
    return ModelNotFoundError(
        f"{spec.name} could not be loaded ({type(error).__name__}: {reason}).",
        "Check that its files are complete, or try another model.",
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what lies behind it, the newest first."""
    chain: BaseException | None = error
    while chain is not None:
        yield chain
        chain = chain.__cause__ or chain.__context__


def _first_line(error: BaseException) -> str:
    """First line of what an error says that is not empty, short enough for a screen."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line[:200].rstrip(" .") for line in lines if line), "")
