"""Seconds from a text to its numbers, the model already in memory."""

from __future__ import annotations

import sys
import time

LIMIT_SECONDS = 3.0
N_TOKENS = 256
SENTENCE = "The ferry left the harbour at dawn and nobody on the pier waved. "


def main() -> bool:
    """Print the times; False if the plain run takes too long."""
    import analysis as an
    from analysis.models.tokenization import encode

    begin = time.perf_counter()
    model = an.load_model()
    loading = time.perf_counter() - begin
    text = SENTENCE * N_TOKENS
    length = encode(model.tokenizer, text).end[N_TOKENS - 1]
    text = text[:length]

    def seconds(**options: object) -> float:
        begin = time.perf_counter()
        run = an.trace(model, text, **options)
        assert len(run.tokens) == N_TOKENS
        return time.perf_counter() - begin

    first = seconds()
    times = sorted(seconds() for _ in range(5))
    lens = seconds(lens=True)
    print(f"{model.info.name}, {model.info.dtype}, {model.info.device_name}, {N_TOKENS} tokens")
    print(f"{'step':<34}{'seconds':>10}")
    print(f"{'loading the model':<34}{loading:>10.2f}")
    print(f"{'first run':<34}{first:>10.2f}")
    print(f"{'later runs, median of 5':<34}{times[2]:>10.2f}")
    print(f"{'with the logit lens at all layers':<34}{lens:>10.2f}")
    fine = first < LIMIT_SECONDS
    print(f"first run below {LIMIT_SECONDS:g} s: {'yes' if fine else 'NO'}")
    return fine


if __name__ == "__main__":
    sys.exit(not main())
