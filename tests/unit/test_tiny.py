import itertools

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from tests.tiny_models import families as tiny
from tests.tiny_models.gguf import save_tiny_gguf

ALL = tiny.FAMILIES + tiny.FAMILIES_EXTRA
TEXT = (
    "The cat sat on the mat, and the dog ran to the river in the morning; it was not there.\n\n"
    "Naïve 🙂👩‍🚀 café:\t12 + 30 = 42.  He re-read one of the letters, again and again — 今日は."
)


def token_ids(length=129):
    stream = itertools.cycle(tiny.byte_tokenizer()(TEXT).input_ids)
    return torch.tensor([list(itertools.islice(stream, length))])


@torch.no_grad()
def logits(model, ids=None):
    return model(token_ids() if ids is None else ids).logits.float()


def entropies(scores):
    logs = scores.double().log_softmax(-1)
    return -(logs.exp() * logs).sum(-1)[0]


def test_the_named_families_are_there():
    assert set(tiny.FAMILIES) == {
        *("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "phi3", "gpt2", "gpt_neox"),
        *("opt", "olmo2", "smollm3", "gpt_oss", "mixtral"),
    }
    assert not set(tiny.FAMILIES) & set(tiny.FAMILIES_EXTRA)


@pytest.mark.parametrize("family", ALL)
def test_model_is_small_finite_and_far_from_uniform(family):
    model = tiny.tiny_model(family)
    assert not model.training
    assert sum(p.numel() for p in model.parameters()) * 4 < 4e6
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    scores = logits(model)
    assert scores.shape == (1, 129, tiny.VOCAB_SIZE)
    assert torch.isfinite(scores).all()
    low, middle, high = entropies(scores).quantile(torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64))
    assert low < 3.0 and 1.0 < middle < 4.0 and high > 2.5 and high - low > 1.0


@pytest.mark.parametrize("family", ALL)
def test_no_weight_is_left_neutral(family):
    for name, weight in tiny.tiny_model(family).named_parameters():
        assert (weight != 0).all(), name
        assert (weight != 1).all(), name
        assert weight.std() > 0.05, name


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt_oss"])
def test_seed_decides_and_global_state_is_untouched(family):
    before = torch.get_rng_state()
    first, again, other = (tiny.tiny_model(family, seed=s).state_dict() for s in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["model.embed_tokens.weight"], other["model.embed_tokens.weight"])
    torch.rand(1)  # another global state, the same model
    third = tiny.tiny_model(family, seed=3).state_dict()
    assert all(torch.equal(first[k], third[k]) for k in first)


FEATURES = [
    ("mistral", {"sliding_window": None}),
    ("gemma2", {"sliding_window": 4096}),
    ("gemma2", {"attn_logit_softcapping": None}),
    ("gemma2", {"final_logit_softcapping": None}),
    ("gemma2", {"query_pre_attn_scalar": 16}),
    ("gemma3", {"sliding_window": 4096}),
    ("gemma3", {"query_pre_attn_scalar": 16}),
    ("phi3", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0}}),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": False}),
    ("gpt_neox", {"use_parallel_residual": False}),
    (
        "gpt_neox",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0}},
    ),
    ("smollm3", {"use_sliding_window": False}),
    ("smollm3", {"no_rope_layers": [1, 1, 1, 1], "layer_types": ["full_attention", "sliding_attention"] * 2}),
    ("gpt_oss", {"sliding_window": 4096}),
    ("gpt_oss", {"rope_parameters": {"rope_type": "default", "rope_theta": 150000.0}}),
    ("mixtral", {"num_experts_per_tok": 1}),
    ("cohere", {"logit_scale": 1.0}),
    ("granite", {"attention_multiplier": 1.0}),
    ("granite", {"embedding_multiplier": 1.0}),
    ("granite", {"residual_multiplier": 1.0}),
]


@pytest.mark.parametrize(("family", "off"), FEATURES, ids=lambda value: str(value)[:40])
def test_special_features_change_the_answer(family, off):
    on = tiny.tiny_model(family)
    without = tiny.tiny_model(family, **off)
    without.load_state_dict(on.state_dict())
    assert (logits(on) - logits(without)).abs().max() > 0.1


def test_a_window_bites_only_past_its_length():
    on, without = tiny.tiny_model("mistral"), tiny.tiny_model("mistral", sliding_window=None)
    difference = (logits(on) - logits(without)).abs().amax(-1)[0]
    assert difference[: tiny.WINDOW].max() < 1e-4
    assert difference[tiny.WINDOW :].max() > 0.1


def test_sinks_biases_and_norm_signs_are_set():
    layer = tiny.tiny_model("gpt_oss").model.layers[0]
    assert layer.self_attn.sinks.abs().min() > 0.01
    assert layer.self_attn.q_proj.bias.abs().mean() > 0.1
    assert tiny.tiny_model("phi").lm_head.bias.abs().mean() > 0.1


def test_heads_are_tied_or_not_as_configured():
    for family in ALL:
        model = tiny.tiny_model(family)
        same = model.get_output_embeddings().weight is model.get_input_embeddings().weight
        assert same == model.config.tie_word_embeddings
    tied = [tiny.tiny_config(family).tie_word_embeddings for family in tiny.FAMILIES]
    assert len(tied) / 2 <= tied.count(False) < len(tied)


def test_overrides_reach_the_configuration():
    assert tiny.tiny_config("gemma2", num_hidden_layers=6).layer_types.count("full_attention") == 3
    assert tiny.tiny_model("llama", attn_implementation="eager").config._attn_implementation == "eager"


def test_unknown_family_is_named():
    with pytest.raises(ValueError, match="llama"):
        tiny.tiny_config("lama")


@pytest.mark.parametrize("family", ALL)
def test_folder_round_trip(family, tmp_path):
    folder = tiny.save_tiny(family, tmp_path / "model", seed=5)
    assert (folder / "model.safetensors").is_file()
    opened = AutoModelForCausalLM.from_pretrained(folder)
    source = tiny.tiny_model(family, seed=5)
    assert type(opened) is type(source)
    assert torch.equal(logits(opened), logits(source))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer(TEXT).input_ids == tiny.byte_tokenizer()(TEXT).input_ids
    assert tokenizer.decode(tokenizer(TEXT).input_ids) == TEXT


@pytest.mark.parametrize("family", ALL)
def test_float64_agrees_with_float32(family):
    double = tiny.tiny_model(family, dtype=torch.float64)
    assert double.dtype == torch.float64
    assert torch.allclose(logits(double), logits(tiny.tiny_model(family)), atol=1e-3, rtol=0)


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt_oss"])
def test_bfloat16_round_trip_and_bos(family, tmp_path):
    folder = tiny.save_tiny(family, tmp_path, dtype=torch.bfloat16, add_bos=True)
    opened = AutoModelForCausalLM.from_pretrained(folder)
    assert opened.dtype == torch.bfloat16
    assert torch.equal(logits(opened), logits(tiny.tiny_model(family, dtype=torch.bfloat16)))
    ids = AutoTokenizer.from_pretrained(folder)(TEXT).input_ids
    assert ids == [tiny.BOS_ID, *tiny.byte_tokenizer()(TEXT).input_ids]


@pytest.mark.parametrize("tied", [False, True])
def test_gguf_round_trip(tied, tmp_path):
    path = save_tiny_gguf(tmp_path / "tiny.gguf", seed=2, tie_word_embeddings=tied)
    opened = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=path.name, quantization_config=GgufConfig(dequantize=True)
    )
    source = tiny.tiny_model("llama", seed=2, tie_word_embeddings=tied)
    assert opened.config.tie_word_embeddings == tied
    assert torch.allclose(logits(opened), logits(source), atol=1e-4, rtol=0)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, gguf_file=path.name)
    assert tokenizer(TEXT).input_ids == tiny.byte_tokenizer()(TEXT).input_ids
    assert tokenizer.decode(tokenizer(TEXT).input_ids) == TEXT
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (tiny.BOS_ID, tiny.EOS_ID)


def test_gguf_can_ask_for_bos_and_another_split(tmp_path):
    path = save_tiny_gguf(tmp_path / "tiny.gguf", pre="llama-bpe", add_bos=True)
    ids = AutoTokenizer.from_pretrained(tmp_path, gguf_file=path.name)(TEXT).input_ids
    assert ids[0] == tiny.BOS_ID
    assert ids.count(tiny.BOS_ID) == 1


@pytest.mark.parametrize("text", [TEXT, "\n", " \t ", "🙂", "\r\n\n", "a\u0301\u200d", "\x00\x7f", ""])
def test_tokenizer_gives_the_text_back(text):
    tokenizer = tiny.byte_tokenizer()
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_tokenizer_ids_leave_padded_rows():
    tokenizer = tiny.byte_tokenizer()
    assert 256 < len(tokenizer) < tiny.VOCAB_SIZE
    assert tokenizer.convert_ids_to_tokens([tiny.BOS_ID, tiny.EOS_ID]) == ["<s>", "</s>"]
    assert len(tokenizer(" the").input_ids) == 1  # the merges are used
    assert tiny.byte_tokenizer(add_bos=True)("a").input_ids[0] == tiny.BOS_ID


def test_offsets_cover_multi_byte_characters():
    encoded = tiny.byte_tokenizer()("é🙂 the", return_offsets_mapping=True)
    assert encoded.offset_mapping == [(0, 1)] * 2 + [(1, 2)] * 4 + [(2, 6)]
    whole = tiny.byte_tokenizer()(TEXT, return_offsets_mapping=True).offset_mapping
    assert {i for start, end in whole for i in range(start, end)} == set(range(len(TEXT)))
