"""The drawing library that a report carries: Vega with what puts a chart into a page, in one script."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from functools import lru_cache
from importlib.metadata import version

from analysis.errors import AnalysisError
from analysis.models.embedded import cache_folder
from analysis.results.file_parts import write_file

VEGA_LITE = "6.4"
"""Version of the charts' own language."""
LICENCE = "Charts: Vega and vega-embed, Copyright University of Washington Interactive Data Lab, BSD 3-Clause licence."


@lru_cache(maxsize=1)
def vega_script() -> str:
    """The library as a script that sets ``window.vegaEmbed``.

    Building it takes some seconds, so it is kept beside the models, under its version.

    Raises
    ------
    RuntimeError
        If it could end the script element that holds it.
    """
    import vl_convert

    folder = cache_folder()
    kept = folder / f"vega-{version('vl-convert-python')}.js.gz"
    with contextlib.suppress(OSError, EOFError, zlib.error, UnicodeDecodeError):
        return gzip.decompress(kept.read_bytes()).decode()
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    if "</script" in script.lower():
        raise RuntimeError("the drawing library would end its own script element")
    with contextlib.suppress(OSError, AnalysisError):  # a place that cannot be written is no reason to fail
        folder.mkdir(parents=True, exist_ok=True)
        write_file(gzip.compress(script.encode(), mtime=0), kept)
    return script
