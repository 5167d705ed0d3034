"""``python -m analysis.visual_tokens.training``: train the shipped model, or go on with it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from analysis.models.embedded import cache_folder
from analysis.visual_tokens.shipped.build import save_folder
from analysis.visual_tokens.training.recipe import STAGES
from analysis.visual_tokens.training.run import train


def main() -> None:
    """Read the command line, train, and save the model as a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=Path, default=cache_folder() / "visual_tokens_training")
    parser.add_argument(
        "--into", type=Path, help="folder for the finished model; default: beside the checkpoint"
    )
    parser.add_argument("--share", type=float, default=1.0, help="part of the images of every stage")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights")
    parser.add_argument("--float32", action="store_true", help="no products in bfloat16")
    parser.add_argument("--device", default="cpu", help="where the steps are computed: cpu, cuda")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw scenes ahead")
    chosen = parser.parse_args()
    stages = tuple(replace(stage, images=int(stage.images * chosen.share)) for stage in STAGES)
    torch.set_flush_denormal(True)  # numbers near 0 that a processor handles slowly
    torch.backends.cuda.enable_cudnn_sdp(False)  # it would plan anew for every length
    model = train(
        chosen.checkpoints,
        stages=stages,
        seed=chosen.seed,
        short=not chosen.float32,
        device=chosen.device,
        workers=chosen.workers,
    )
    save_folder(model, chosen.into or chosen.checkpoints / "model")


if __name__ == "__main__":
    main()
