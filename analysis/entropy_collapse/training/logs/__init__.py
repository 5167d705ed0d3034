"""Training logs of other people's programs, read into curves.

``read``         the two functions to call; ``one_file``, ``folders``, ``joining`` under them
``follow``       reading a run again that still goes
``keys``         the keys that libraries write for entropy, reward and step; ``choosing`` takes one of them
``curves``       from what a log holds to a curve: order, restarts, gaps
``rows``, ``settling``, ``ranks``, ``pairing``      steps of rows, of restarts, of several writers, of two counters
``aggregation``  sums told from means
``detect``       what a file is
``json_logs``, ``console`` (with ``printed_dicts``, ``bars``), ``event_files``, ``csv_files`` (with ``panels``),
``parquet_files``, ``mlflow_files``, ``databases``, ``wandb_files``    one family of formats each

Nothing in a log is executed, and no pickle is opened.
"""

from __future__ import annotations

from pathlib import Path

from analysis.entropy_collapse.training.logs.read import read_training_log, read_training_logs

EXAMPLES: dict[str, Path] = {
    name: Path(__file__).parent / "examples" / f"{name}.json" for name in ("near_words", "exact_words")
}
"""Two real runs of TRL's GRPO trainer on a tiny model made for the purpose, by name: a policy learns
to repeat the prompt's word six times, rewarded for words that are near, or only for the very word.
``tests/golden/make_training_logs.py`` made them."""

__all__ = ["EXAMPLES", "read_training_log", "read_training_logs"]
