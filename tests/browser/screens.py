"""Every page in both themes and at three widths as pictures: ``python -m tests.browser.screens OUT``.

They are looked at by a person, and ``test_every_page.py`` holds what can be measured. With ``--store``, key screens
that were looked at are kept small in ``tests/golden/screens``, for ``test_screens.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from tests.browser import harness, looks

SIZES = (looks.WIDE, (900, 900), looks.NARROW)
KEY_PAGES = ("overview", "attention_sinks", "write", "compare")
"""Pages that open with a stored run, so that their numbers are the same on every machine."""


def stored(slug: str, theme: str) -> Path:
    """Where a key screen is kept."""
    return harness.ROOT / "tests" / "golden" / "screens" / f"{slug}-{theme}.png"


def small(picture: Image.Image) -> Image.Image:
    """A quarter of its width and height."""
    return picture.convert("RGB").resize((picture.width // 4, picture.height // 4), Image.Resampling.BOX)


def main(folder: str, *, store: bool) -> None:
    """Write ``<page>-<width>-<theme>.png`` into a folder; keep the key screens too if they are to be stored."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    with harness.server(command=[sys.executable, "-m", "app"]) as base, harness.browser() as started:
        for slug in looks.PAGES:
            for theme in looks.THEMES:
                for width, height in SIZES:
                    size = {"width": width, "height": height}
                    with harness.page(started, viewport=size, color_scheme=theme) as page:
                        page.goto(f"{base}/{looks.address_of(slug)}")
                        looks.settle(page)
                        path = out / f"{slug}-{width}-{theme}.png"
                        looks.finished(page)
                        page.screenshot(path=path)
                        print(path, flush=True)
                        if store and slug in KEY_PAGES and (width, height) == looks.WIDE:
                            small(Image.open(path)).save(stored(slug, theme))


if __name__ == "__main__":
    main(sys.argv[1], store="--store" in sys.argv)
