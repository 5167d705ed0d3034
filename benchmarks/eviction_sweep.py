"""A sweep of cache eviction here and through kvpress: 6 methods x 5 shares on the same tokens.

Ours is the first sweep of a new process, every time, and the one after it; kvpress is warm and takes one method in
between. Same token ids, same threads; every pair of mean NLLs must agree.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from benchmarks.harness import Cost, Report, Spread, Worker, number, reach, serve, take_turns
from benchmarks.kvpress_sweep import METHODS, SHARES, sweep_ids

CONTEXT, CONTINUATION = 1024, 64
LONGER = 2
"""Times the context, for the growth."""
RATIO_LIMIT, NLL_LIMIT, TIME_LIMIT = 10.0, 1e-4, 600.0
TIED = "knorm"
"""Equal tokens have keys of equal length in the first layer: which of them stay is a choice, and not the same one."""


def sweep_once(
    model: Any, context: int, continuation: int, methods: Any = METHODS, shares: Any = SHARES
) -> Any:
    """Our sweep over the token ids that kvpress gets."""
    import torch

    from analysis.pruning_effects.eviction.context_run import read_context
    from analysis.pruning_effects.eviction.planned import plan_settings
    from analysis.pruning_effects.eviction.sweep import evaluate
    from analysis.pruning_effects.eviction.texts import EncodedText, SweepTexts

    before, after = (EncodedText("", bare_tokens(ids)) for ids in sweep_ids(context, continuation))
    with model.lock, torch.inference_mode():
        plan = plan_settings(model, before, methods, shares)
        run = read_context(model, before.ids, plan, None)
        return evaluate(run, SweepTexts(before, after, 0), top_k=10)


def bare_tokens(ids: np.ndarray) -> Any:
    """Token ids without a text: each is a cell of its own."""
    from analysis.models.tokenization import TokenizedText

    n = len(ids)
    nowhere, nothing = np.full(n, -1, np.int32), np.zeros(n, np.int32)
    return TokenizedText(
        ids, nowhere, nowhere, nothing, np.zeros(n, bool), np.arange(n, dtype=np.int32), ("",) * n
    )


def main() -> None:
    """Load, then sweep once for every context length that is asked for."""
    import analysis as an
    import analysis.pruning_effects.eviction.sweep  # imports are not counted, on either side

    model = an.load_model(device="cpu")

    def run(asked: dict[str, Any]) -> list[tuple[str, float, float]]:
        sweep = sweep_once(model, asked["context"], asked["continuation"], asked["methods"], asked["shares"])
        means = sweep.surprisal[:, 1:].astype(np.float64).mean(1)
        return [(one.policy, one.kept, float(nll)) for one, nll in zip(sweep.settings, means, strict=True)][
            1:
        ]

    serve(run)


def compare(folder: str, peers: str | None, quick: bool, say: Callable[[str], None]) -> Report:
    """Measure, and say what it means."""
    methods, shares = (METHODS[1:2], SHARES[2:3]) if quick else (METHODS, SHARES)
    report = Report(["### A sweep of evictions\n"])
    work = {"context": CONTEXT, "continuation": CONTINUATION, "shares": list(shares)}
    ours, theirs, first, warm, grown = {"methods": list(methods)}, [], [], [], {}
    kvpress = Worker("kvpress_sweep", folder, python=peers) if peers else None
    try:
        for turn, method in enumerate(methods):
            if kvpress:
                theirs += take_turns({f"kvpress {method}": kvpress.ask}, work | {"method": method}, 1, say)[
                    f"kvpress {method}"
                ]
            if turn % 2 == 0:
                with Worker("eviction_sweep") as worker:
                    first += take_turns({"first sweep": worker.ask}, work | ours, 1, say)["first sweep"]
                    warm += take_turns({"sweep after it": worker.ask}, work | ours, 1, say)["sweep after it"]
                    if turn == 0:
                        grown["ours"] = worker.ask(work | ours | {"context": LONGER * CONTEXT})
        if kvpress:
            one = work | {"method": "knorm", "shares": [0.5]}
            grown |= {f"kvpress {n}": kvpress.ask(one | {"context": n}) for n in (CONTEXT, LONGER * CONTEXT)}
    finally:
        if kvpress:
            kvpress.close()
    describe(report, len(methods) * len(shares), first, warm, theirs, grown)
    return report


def end_of(cpu: list[float], seconds_per_cpu: float) -> float:
    """Context that takes all the time there is, from the CPU time at one length and at a longer one."""
    return reach([CONTEXT, LONGER * CONTEXT], cpu, TIME_LIMIT / seconds_per_cpu)


def describe(
    report: Report,
    settings: int,
    first: list[Cost],
    warm: list[Cost],
    theirs: list[Cost],
    grown: dict[str, Cost],
) -> None:
    """Tables and limits."""
    rows = [
        [name, *(str(Spread.of([getattr(c, what) for c in costs])) for what in ("seconds", "cpu")),
         f"{max(c.extra for c in costs) / 2**20:,.0f}"]
        for name, costs in (("first sweep of a process", first), ("the one after it", warm))
    ]  # fmt: skip
    lengths = [CONTEXT, LONGER * CONTEXT]
    ends = {
        "ours": end_of(
            [median(c.cpu for c in warm), grown["ours"].cpu], median(c.seconds / c.cpu for c in warm)
        )
    }
    if theirs:
        seconds, cpu = sum(c.seconds for c in theirs), sum(c.cpu for c in theirs)
        rows.append(
            ["kvpress, warm", number(seconds), number(cpu), f"{max(c.extra for c in theirs) / 2**20:,.0f}"]
        )
        for name, costs in (("first", first), ("after it", warm)):
            in_time = Spread.of([seconds / c.seconds for c in costs])
            in_cpu = Spread.of([cpu / c.cpu for c in costs])
            rows.append([f"kvpress / {name}", str(in_time), str(in_cpu), ""])
            if name == "first" and settings == len(METHODS) * len(SHARES):
                report.limit(
                    f"first sweep at least {RATIO_LIMIT:g} times kvpress in time",
                    in_time.middle >= RATIO_LIMIT,
                )
                report.limit(
                    f"first sweep at least {RATIO_LIMIT:g} times kvpress in CPU time",
                    in_cpu.middle >= RATIO_LIMIT,
                )
        nll = {(method, share): value for cost in theirs for method, share, value in cost.said}
        errors = {(method, share): abs(nll[method, share] - value) for method, share, value in first[0].said}
        error = max((e for (method, _), e in errors.items() if method != TIED), default=0.0)
        tied = max((e for (method, _), e in errors.items() if method == TIED), default=0.0)
        report.limit(
            f"every mean NLL within {NLL_LIMIT:g} nats of kvpress's, {TIED} aside", error < NLL_LIMIT
        )
        pair = [grown[f"kvpress {n}"].cpu for n in lengths]
        ends["kvpress"] = end_of([cpu, cpu * pair[1] / pair[0]], seconds / cpu)
        agree = f" Largest difference of a mean NLL: {error:.1e} nats, and {tied:.1e} by {TIED}, where equal tokens tie."
    else:
        rows.append(["kvpress", "not installed", "", ""])
        agree = ""
    report.lines.append(
        f"{settings} settings, {CONTEXT:,} tokens of context and {CONTINUATION} after it.{agree}"
    )
    report.table(["", "seconds", "CPU seconds", "MiB beyond the model"], rows)
    report.lines.append(
        f"All settings in {TIME_LIMIT / 60:.0f} minutes, from the growth to {lengths[-1]:,} tokens: "
        + ", ".join(
            f"{name} up to about {float(f'{end:.1e}'):,.0f} tokens of context" for name, end in ends.items()
        )
        + "."
    )


if __name__ == "__main__":
    main()
