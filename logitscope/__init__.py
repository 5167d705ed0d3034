"""Logitscope under its own name: ``import logitscope as ls`` gives the names of ``analysis``.

::

    import logitscope as ls
    trace = ls.trace(ls.load_model(), "Your text.")
    ls.figures.token_strip(trace)

``ls.trace`` is ``analysis.trace``, the same object; modules inside are imported from ``analysis``.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any


def _require_own_analysis() -> None:
    """Refuse another package called ``analysis``, before a line of it runs."""
    own = Path(__file__).resolve().parents[1] / "analysis" / "__init__.py"
    found = find_spec("analysis")
    origin = None if found is None else found.origin
    if origin is None or Path(origin).resolve() != own:
        raise ImportError(
            f"Logitscope's package 'analysis' is not what Python finds under that name, but {origin or 'nothing'}. "
            f"Rename that one or start Python in another folder, so that {own} comes first."
        )


_require_own_analysis()
import analysis  # noqa: E402

if TYPE_CHECKING:
    from analysis import *  # noqa: F403

__all__ = dir(analysis)


def __getattr__(name: str) -> Any:
    """The name of ``analysis``, imported when it is first used."""
    try:
        return getattr(analysis, name)
    except AttributeError:
        raise AttributeError(f"module 'logitscope' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted(__all__)
