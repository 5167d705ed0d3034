"""Pictures of people: read safely, turned upright, made plain red, green and blue, and nothing of them kept.

What a file is, its content says, never its name. Whatever had to be done to a picture is said in a note, because
rectangles of tokens refer to the picture that comes out of here.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MOST_PIXELS = 25_000_000
"""Pixels of a picture before it is decoded: 75 MB of memory as red, green and blue."""
LONGEST_SIDE = 2048
"""Pixels of the longer side of what is handed on."""
MOST_STRETCHED = 50
"""Longer side over shorter side; some processors refuse more than 200, and a token of such a picture shows nothing."""

_KINDS = "PNG, JPEG, WebP, GIF and BMP"


class UnreadableImageError(AnalysisError):
    """The picture cannot be read, or is not one that can be shown to a model."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as models see it.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB, 8 bits, upright, without metadata.
    notes : tuple of str
        One sentence for each thing that was done to it; empty for a plain picture.
    """

    image: Image
    notes: tuple[str, ...] = ()


def read_image(source: bytes | str | Path | Image) -> Picture:
    """Read a picture.

    Parameters
    ----------
    source : bytes, str, pathlib.Path or PIL.Image.Image
        Content of a file, a path, or an image that is already open (which is left as it is).

    Returns
    -------
    Picture
        Upright (EXIF), on white where it was transparent, first frame where it moves, at most 2,048 pixels
        on its longer side.

    Raises
    ------
    UnreadableImageError
        If it is not a whole PNG, JPEG, WebP, GIF or BMP, has more than 25 million pixels, is more than 50
        times as long as wide, or has values of no known range.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = source.copy() if isinstance(source, Image.Image) else _open(source)
            return _plain(image)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise _too_many() from None
    except UnidentifiedImageError:
        raise UnreadableImageError("This is not a picture that can be read.", f"Formats: {_KINDS}.") from None
    except FileNotFoundError:
        raise UnreadableImageError(f"There is no file {source!r}.", "Check the path.") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise UnreadableImageError(
            f"The picture is damaged or cut off ({error}).", "Save it again from a program that opens it."
        ) from error


def to_png(image: Image) -> bytes:
    """Encode a picture anew: pixels only, no EXIF, no place, no text."""
    from PIL import Image

    bare = Image.fromarray(np.asarray(image.convert("RGB")))
    file = io.BytesIO()
    bare.save(file, "PNG")
    return file.getvalue()


def _open(source: bytes | str | Path) -> Image:
    """Open and decode: a header alone proves nothing, a cut-off JPEG passes ``open`` and ``verify``."""
    from PIL import Image

    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    _check_size(image)
    image.draft(
        None, (LONGEST_SIDE, LONGEST_SIDE)
    )  # a large JPEG is decoded at a half, a quarter or an eighth
    image.load()
    return image


def _check_size(image: Image) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise _too_many()
    if min(width, height) < 1 or max(width, height) > MOST_STRETCHED * min(width, height):
        raise UnreadableImageError(
            f"The picture is {width} x {height} pixels: no model can show anything on such a strip.",
            f"Cut it so that its longer side is at most {MOST_STRETCHED} times the shorter.",
        )


def _too_many() -> UnreadableImageError:
    return UnreadableImageError(
        f"The picture has more than {MOST_PIXELS // 1_000_000} million pixels.", "Make it smaller first."
    )


def _plain(image: Image) -> Picture:
    """Turn an open image into red, green and blue, and say what was done."""
    from PIL import Image, ImageOps

    _check_size(image)
    notes = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"The picture moves; the first of its {frames} frames is used.")
    turned = ImageOps.exif_transpose(image)
    if image.getexif().get(0x0112, 1) != 1:
        notes.append("Turned upright, as its EXIF data say.")
    if turned.mode.startswith("I;16"):
        levels = np.asarray(turned).astype(np.uint32)
        turned = Image.fromarray(((levels + 128) // 257).astype(np.uint8))
        notes.append("16 bits a pixel became 8.")
    elif turned.mode in ("I", "F"):
        raise UnreadableImageError(
            "The picture has whole or real numbers of no known range as its pixels.",
            "Save it with 8 bits a pixel.",
        )
    if turned.mode == "CMYK":
        notes.append("Converted from printing colours (CMYK) without their colour profile.")
    if turned.has_transparency_data:
        clear = turned.convert("RGBA")
        white = Image.new("RGBA", clear.size, (255, 255, 255, 255))
        turned = Image.alpha_composite(white, clear)
        notes.append("Transparent parts are shown on white.")
    rgb = turned.convert("RGB")
    if max(rgb.size) > LONGEST_SIDE:
        before = image.size
        rgb.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
        notes.append(f"Made smaller: {before[0]} x {before[1]} became {rgb.width} x {rgb.height} pixels.")
    return Picture(Image.fromarray(np.asarray(rgb)), tuple(notes))
