"""Writes the logs in ``training_logs/`` with the libraries that write them in real life.

Not run by the tests. In an environment of its own::

    pip install torch==2.13.0 trl==1.16.0 tensorboard==2.21.0 pyarrow orjson
    pip download --no-deps verl==0.9.1 && unzip verl-0.9.1-*.whl -d verl-wheel
    python make_training_logs.py verl-wheel

``trl_grpo/``            ``trainer_state.json`` and the TensorBoard folder of TRL's GRPO trainer
``trl_sft/``             the same of its SFT trainer, which logs no reward
``summary_writer/``      ``torch.utils.tensorboard.SummaryWriter`` with OpenRLHF's keys
``verl.jsonl``           verl's file logger
``verl_console.log``     verl's console logger, as ray prints it
``wandb_history.parquet``  pyarrow, the columns of a W&B history artifact

The two examples that the app ships are made here too.
The model is a tiny random Llama made here; nothing is downloaded. The numbers of the other
files are those of ``trl_grpo``, under the other libraries' keys.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch.utils.tensorboard import SummaryWriter
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

HERE = Path(__file__).parent / "training_logs"
EXAMPLES = HERE.parents[2] / "analysis" / "entropy_collapse" / "training" / "logs" / "examples"
N_WORDS = 16
Reward = Callable[..., list[float]]


def word(number: int) -> str:
    return f"w{number}"


def tokenizer() -> PreTrainedTokenizerFast:
    names = ["<pad>", "<eos>", *(word(i) for i in range(N_WORDS))]
    inner = Tokenizer(WordLevel({name: i for i, name in enumerate(names)}, unk_token="<pad>"))
    inner.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>")


def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=N_WORDS + 2,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=32,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config)


def near(prompts: list[str], completions: list[str], **_: object) -> list[float]:
    """How near each of 6 words is to the prompt's: 1 the same, 0 the other end of the list; the mean."""
    rewards = []
    for prompt, completion in zip(prompts, completions, strict=True):
        wanted = int(prompt.split()[0][1:])
        said = [int(w[1:]) for w in completion.split() if w.startswith("w")][:6]
        rewards.append(sum(1 - abs(w - wanted) / (N_WORDS - 1) for w in said) / 6)
    return rewards


def exact(prompts: list[str], completions: list[str], **_: object) -> list[float]:
    """Share of 6 words that are the prompt's."""
    return [
        completion.split().count(prompt) / 6 for prompt, completion in zip(prompts, completions, strict=True)
    ]


def prompts(words: list[int], n: int) -> Dataset:
    return Dataset.from_dict({"prompt": [word(words[i % len(words)]) for i in range(n)]})


def grpo(folder: Path, reward: Reward, words: list[int], steps: int, **options: object) -> GRPOTrainer:
    """Train with GRPO and keep what the trainer writes about it."""
    work = folder.with_name(folder.name + "_work")
    shutil.rmtree(work, ignore_errors=True)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(work / "events")
    settings: dict[str, object] = {
        "output_dir": str(work),
        "use_cpu": True,
        "bf16": False,
        "max_steps": steps,
        "per_device_train_batch_size": 64,
        "num_generations": 8,
        "max_completion_length": 6,
        "learning_rate": 3e-3,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_steps": steps,
        "save_only_model": True,
        "report_to": ["tensorboard"],
        "disable_tqdm": True,
        "seed": 0,
    }
    trainer = GRPOTrainer(
        model=model(),
        reward_funcs=reward,
        args=GRPOConfig(**(settings | options)),
        train_dataset=prompts(words, 2048),
        eval_dataset=prompts(words, 16),
        processing_class=tokenizer(),
    )
    trainer.train()
    keep(work, folder)
    return trainer


def keep(work: Path, folder: Path) -> None:
    """Copy the trainer's states and event files, without weights and without this machine's name."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in sorted(work.rglob("*")):
        if path.name == "trainer_state.json" or "tfevents" in path.name:
            target = folder / path.relative_to(work)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    rename_events(folder)
    shutil.rmtree(work)


def rename_events(folder: Path) -> None:
    for k, path in enumerate(sorted(folder.rglob("*tfevents*"))):
        path.rename(path.with_name(f"events.out.tfevents.170000000{k}.run.{k}"))


def sft(folder: Path) -> None:
    work = folder.with_name(folder.name + "_work")
    rng = np.random.default_rng(1)
    texts = [" ".join(word(int(i)) for i in rng.integers(0, 4, 12)) for _ in range(256)]
    args = SFTConfig(
        output_dir=str(work),
        use_cpu=True,
        bf16=False,
        max_steps=20,
        per_device_train_batch_size=8,
        learning_rate=3e-3,
        logging_steps=2,
        save_steps=20,
        save_only_model=True,
        report_to=[],
        disable_tqdm=True,
        seed=0,
    )
    data = Dataset.from_dict({"text": texts})
    SFTTrainer(model=model(), args=args, train_dataset=data, processing_class=tokenizer()).train()
    keep(work, folder)


def module(path: Path):
    """A module of verl by its file: the package itself wants a cluster."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def others(history: list[dict], verl: Path) -> None:
    """The same numbers, written by the other libraries."""
    rows = [row for row in history if "entropy" in row]
    writer = SummaryWriter("summary_writer")
    for row in rows:
        writer.add_scalar("train/entropy_loss", row["entropy"], row["step"])
        writer.add_scalar("train/reward", row["reward"], row["step"])
        writer.add_scalar("train/response_length", row["completions/mean_length"], row["step"])
        if row["step"] == 1:
            writer.add_histogram("train/not_a_curve", np.arange(8.0), 1)
    writer.close()
    rename_events(Path("summary_writer"))

    os.environ["VERL_FILE_LOGGER_PATH"] = "verl.jsonl"
    file_logger = module(verl / "verl/utils/tracking.py").FileLogger("project", "experiment")
    line = module(verl / "verl/utils/logger/aggregate_logger.py").concat_dict_to_str
    console = ["(TaskRunner pid=3165) Training Progress:   0%|          | 0/20 [00:00<?, ?it/s]"]
    for row in rows[:20]:
        data = {
            "actor/entropy": row["entropy"],
            "actor/grad_norm": np.float64(row["grad_norm"]),
            "critic/score/mean": row["reward"],
            "critic/score/max": 1.0,
            "critic/rewards/mean": row["reward"] - 0.01,
            "response_length/mean": row["completions/mean_length"],
            "perf/total_num_tokens": 448,
            "timing_s/step": np.float64(row["step_time"]),
            "training/global_step": row["step"],
        }
        if row["step"] % 10 == 0:
            data["val-core/words/acc/mean@1"] = np.float64(row["reward"] + 0.02)
        file_logger.log(data, row["step"])
        console.append(f"\x1b[36m(TaskRunner pid=3165)\x1b[0m {line(data, row['step'])}")
    file_logger.finish()
    Path("verl_console.log").write_text("\n".join(console) + "\n")

    # What `scan_history` keeps: a row a step, no value where a row did not log a key.
    table = {
        "_step": [r["step"] - 1 for r in rows],
        "_runtime": [7.0 + 0.5 * i for i in range(len(rows))],
        "_timestamp": [1.7e9 + 0.5 * i for i in range(len(rows))],
        "train/global_step": [r["step"] for r in rows],
        "train/entropy": [r["entropy"] for r in rows],
        "train/reward": [r["reward"] for r in rows],
        "train/kl": [None for _ in rows],
        "train/completions/mean_length": [r["completions/mean_length"] for r in rows],
    }
    pq.write_table(pa.table(table), "wandb_history.parquet")


def main() -> None:
    torch.set_num_threads(1)
    verl = Path(sys.argv[1]).resolve()
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    os.chdir(HERE)  # paths in the logs are relative
    evaluation = {"eval_strategy": "steps", "eval_steps": 10, "per_device_eval_batch_size": 16}
    trainer = grpo(Path("trl_grpo"), near, [5], 40, **evaluation)
    sft(Path("trl_sft"))
    others(trainer.state.log_history, verl)
    examples()


def examples() -> None:
    """The two runs the app ships: the same trainer, two rewards, two shapes of reward against entropy."""
    EXAMPLES.mkdir(parents=True, exist_ok=True)
    few = {"logging_steps": 2, "report_to": []}
    grpo(Path("near_words"), near, [5], 200, learning_rate=1e-3, **few)
    grpo(
        Path("exact_words"),
        exact,
        list(np.random.default_rng(0).permutation(N_WORDS)),
        240,
        per_device_train_batch_size=128,
        **few,
    )
    for name in ("near_words", "exact_words"):
        (state,) = Path(name).rglob("trainer_state.json")
        state.rename(EXAMPLES / f"{name}.json")
        shutil.rmtree(name)


if __name__ == "__main__":
    main()
