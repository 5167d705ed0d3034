"""Memory and time of one question about a picture of 2,025 visual tokens: measured, plain, and with eager attention.

A random LLaVA of the library's own classes (8 layers, width 256). All three write the same four tokens: "measured" is
`ask` with everything it says, "plain" the library's `generate`, "eager" the same with every map of attention kept, which
is what one would take where a model looks. ``python -m benchmarks.visual_tokens`` prints the table.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Cost, Report, Worker, number, ratios, serve, take_turns

if TYPE_CHECKING:
    from analysis.visual_tokens.vision_model import VisionModel

WAYS = ("measured", "plain", "eager")
SIDE, PATCH, N_NEW = 360, 8, 4
"""Pixels of the picture the tower sees, pixels of a patch: 45 x 45 visual tokens; tokens that are written."""
LIMIT = 1.5
"""Most memory beyond the model, over the plain pass's."""
QUESTION = "what colour is the small triangle?"


def model_of(side: int, folder: Path) -> VisionModel:
    """A random model that sees pictures of so many pixels a side, saved and loaded as people's are."""
    import torch
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    from analysis.visual_tokens.model import load_vision_model
    from analysis.visual_tokens.shipped.words import IMAGE, SPECIAL, build_tokenizer

    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    tower = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=side,
        patch_size=PATCH,
    )
    language = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=640,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=4096,
    )
    config = LlavaConfig(
        vision_config=tower,
        text_config=language,
        image_token_index=SPECIAL.index(IMAGE),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
    )
    half = [0.5] * 3
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"height": side, "width": side}, do_center_crop=False, image_mean=half, image_std=half
        ),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token=IMAGE,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return load_vision_model(f"{folder}/", device="cpu")


def work_of(way: str) -> Callable[[Any], list[int]]:
    """What a process does; hands over the ids that were written."""
    import torch

    import analysis as an
    from analysis.visual_tokens.parts import language_part

    image = an.scene(0).image
    torch.set_grad_enabled(False)

    def measured(vlm: VisionModel) -> list[int]:
        answer = an.ask(vlm, image, QUESTION, max_new=N_NEW)
        assert all(check.passed for check in answer.checks), answer.checks
        return [int(i) for i in answer.tokens.token_id]

    def generated(vlm: VisionModel, **more: Any) -> list[int]:
        inputs = vlm.prepare(image, QUESTION).inputs
        out = vlm.model.generate(**inputs, max_new_tokens=N_NEW, do_sample=False, pad_token_id=0, **more)
        ids = getattr(out, "sequences", out)
        return [int(i) for i in ids[0, inputs["input_ids"].shape[1] :]]

    def eager(vlm: VisionModel) -> list[int]:
        language_part(vlm.model).set_attn_implementation("eager")
        return generated(vlm, output_attentions=True, return_dict_in_generate=True)

    run = {"measured": measured, "plain": generated, "eager": eager}[way]
    with tempfile.TemporaryDirectory() as folder:
        run(model_of(4 * PATCH, Path(folder)))  # all code is in memory before
        vlm = model_of(SIDE, Path(folder))
    return lambda _work: run(vlm)


def measure(ways: Sequence[str], turns: int) -> dict[str, list[Cost]]:
    """The ways in turns."""
    workers = {way: Worker("visual_tokens", way) for way in ways}
    try:
        for worker in workers.values():
            worker.wait()
        return take_turns({way: worker.ask for way, worker in workers.items()}, None, turns)
    finally:
        for worker in workers.values():
            worker.close()


def compare(turns: int) -> Report:
    """Measure, and say what it means."""
    found = measure(WAYS, turns)
    mib = {way: max(cost.extra for cost in costs) / 2**20 for way, costs in found.items()}
    assert len({tuple(costs[0].said) for costs in found.values()}) == 1, "the ways write other texts"
    report = Report([f"### One question about a picture of {(SIDE // PATCH) ** 2:,} visual tokens\n"])
    report.lines += [
        "| way | MiB beyond the model | over plain | seconds over plain | CPU seconds over plain |"
    ]
    report.lines += ["|---|---:|---:|---:|---:|"]
    for way in WAYS:
        seconds, cpu = ratios(found[way], found["plain"])
        report.lines.append(
            f"| {way} | {mib[way]:,.0f} | {number(mib[way] / mib['plain'])} | {seconds} | {cpu} |"
        )
    report.limit(
        f"a measured answer takes at most {LIMIT} times the memory of a plain one",
        mib["measured"] <= LIMIT * mib["plain"],
    )
    return report


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(work_of(sys.argv[1]))
    else:
        print("\n".join(compare(3).lines))
