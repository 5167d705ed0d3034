"""Measures what is stored with the lessons again, on one thread, and writes the files: ``python -m analysis.lessons.store``."""

from __future__ import annotations


def make() -> None:
    """Measure the lessons' own texts on the embedded model and store the results."""
    import torch

    from analysis.forward.trace import trace
    from analysis.lessons.first_token import claims as first_token_claims
    from analysis.lessons.forgetting import claims as forgetting_claims
    from analysis.lessons.forks import claims as forks_claims
    from analysis.lessons.measuring import store_run
    from analysis.lessons.story import STORY
    from analysis.models.loading import load_model
    from analysis.progress import silent

    torch.set_num_threads(1)
    model = load_model(device="cpu")
    store_run(trace(model, STORY), "story")
    first_token_claims.store(first_token_claims.measure(model, STORY, silent))
    forgetting_claims.store(forgetting_claims.measure(model, STORY, silent))
    forks_claims.store(forks_claims.measure(model, forks_claims.PROMPT, silent))


if __name__ == "__main__":
    make()
