"""Writes ``training_logs/run-golden.wandb`` with W&B's own package, offline.

Not run by the tests. In an environment of its own::

    pip install wandb==0.31.0
    python make_offline_run.py

The file is over 32 KiB, so that a record lies in two blocks. The numbers are :func:`entropy` and :func:`reward`.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from pathlib import Path

N_STEPS = 60


def entropy(step: int) -> float:
    return 1.4 * math.exp(-step / 25) + 0.03 * math.sin(step)


def reward(step: int) -> float:
    return 0.8 - 0.2 * math.exp(entropy(step))


def main() -> None:
    import wandb

    with tempfile.TemporaryDirectory() as folder:
        settings = wandb.Settings(
            mode="offline", silent=True, console="off", disable_git=True, disable_code=True, host="host",
            username="somebody", program="train.py", program_relpath="train.py", root_dir=folder, run_id="golden",
            x_disable_meta=True, x_disable_stats=True, x_disable_machine_info=True,
        )  # fmt: skip
        config = {"actor": {"loss_agg_mode": "token-mean"}}
        run = wandb.init(project="words", name="golden run", config=config, settings=settings)
        for step in range(1, N_STEPS + 1):
            run.log(
                {
                    "actor/entropy": entropy(step),
                    "critic/score/mean": reward(step),
                    "training/global_step": 5 * step,
                    "actor": {"grad_norm": 0.5},
                    "lengths": wandb.Histogram(list(range(step, step + 40)), num_bins=4),
                    "note": "no number",
                }
            )
        run.log({"val-core/words/acc/mean@1": 0.25, "training/global_step": 5 * N_STEPS})
        run.finish()
        (path,) = Path(folder).rglob("*.wandb")
        shutil.copy(path, Path(__file__).parent / "training_logs" / "run-golden.wandb")


if __name__ == "__main__":
    main()
