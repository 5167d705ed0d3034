"""Every page in both themes and at three widths as pictures: ``python -m tests.browser.screens OUT``.

They are looked at by a person. They are not compared with stored ones: fonts differ from machine to machine, and
``test_every_page.py`` holds what can be measured.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.browser import harness, looks

SIZES = ((1400, 900), (900, 900), (420, 800))


def main(folder: str) -> None:
    """Write ``<page>-<width>-<theme>.png`` into a folder."""
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
                        page.screenshot(path=path)
                        print(path, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
