"""Command line: measure on a machine without a browser, open the file anywhere.

::

    python -m analysis trace text.txt -o run.trace
    python -m analysis show run.trace --unit bits
    python -m analysis csv run.trace -o tokens.csv
    python -m analysis report run.trace -o run.html
    python -m analysis view run.trace
    python -m analysis sweep context.txt --continuation " The end." --kept 0.5,0.1
    python -m analysis serve --port 9000

The same as the command ``logitscope`` of an installation. ``show``, ``csv``, ``report`` and ``view`` need no
model and no torch; ``--json`` makes any of them answer in JSON.
"""

from analysis.command_line.main import start

if __name__ == "__main__":
    start("python -m analysis")
