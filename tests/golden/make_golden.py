#!/usr/bin/env python3
"""Tiny random models of every family, and the logits that the library `transformers` gives them.

    python3 -m venv v && v/bin/pip install torch transformers safetensors
    v/bin/python tests/golden/make_golden.py            # writes beside itself

For each case: NAME.json is config.json as the library saves it, WEIGHTS.safetensors the weights in
float32 (cases may share them), NAME.logits.safetensors what was computed from them in float64 with
eager attention (norms, softmax and angles the library itself rounds to float32): `ids` of the prompt, `logits` of every position, `greedy`, the ids that follow.
Numbers are drawn so that every flag matters: gains and biases are not 1 and 0, scores reach the soft
caps, prompts are longer than the windows.

Made with transformers 5.23.0 and torch 2.15.0.
"""
import json
import os

import torch
from safetensors.torch import save_file
import transformers as tf

HERE = os.path.dirname(os.path.abspath(__file__))
VOCAB, PROMPT, GREEDY = 97, 40, 6
SIZES = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=44, num_attention_heads=4,
             num_key_value_heads=2, num_hidden_layers=2, max_position_embeddings=64,
             rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, pad_token_id=0)
WIDE = dict(SIZES, head_dim=16)
GEMMA = dict(WIDE, query_pre_attn_scalar=24, sliding_window=9, final_logit_softcapping=6.0)
GEMMA2 = dict(GEMMA, attn_logit_softcapping=3.0, num_hidden_layers=3)
GEMMA3 = dict(GEMMA, final_logit_softcapping=None, num_hidden_layers=3, sliding_window_pattern=2,
              rope_parameters={"full_attention": {"rope_type": "linear", "rope_theta": 1000000.0,
                                                  "factor": 8.0},
                               "sliding_attention": {"rope_type": "default", "rope_theta": 5000.0}})
SHORT = [1.0, 1.3, 1.5]
LONG = [1.0, 4.0, 9.0]


def rope(kind, **more):
    return {"rope_parameters": dict(rope_type=kind, rope_theta=10000.0, **more)}


# name, weights, the library's configuration, its settings, longest prompt
CASES = [
    ("llama", "llama", tf.LlamaConfig, WIDE, PROMPT),
    ("llama-linear", "llama", tf.LlamaConfig, dict(WIDE, **rope("linear", factor=2.5)), PROMPT),
    ("llama-llama3", "llama", tf.LlamaConfig,
     dict(WIDE, **rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                       original_max_position_embeddings=32)), PROMPT),
    ("llama-yarn", "llama", tf.LlamaConfig,
     dict(WIDE, **rope("yarn", factor=4.0, original_max_position_embeddings=16)), PROMPT),
    ("llama-bias", "llama-bias", tf.LlamaConfig,
     dict(SIZES, attention_bias=True, mlp_bias=True), PROMPT),
    ("smollm", "smollm", tf.LlamaConfig,
     dict(SIZES, tie_word_embeddings=True, rope_parameters={"rope_type": "default",
                                                            "rope_theta": 100000.0}), PROMPT),
    ("mistral", "mistral", tf.MistralConfig, dict(SIZES, sliding_window=9), PROMPT),
    ("mistral-nowindow", "mistral", tf.MistralConfig, dict(SIZES, sliding_window=None), PROMPT),
    ("qwen2", "qwen2", tf.Qwen2Config, dict(SIZES, tie_word_embeddings=True), PROMPT),
    ("qwen2-window", "qwen2", tf.Qwen2Config,
     dict(SIZES, tie_word_embeddings=True, use_sliding_window=True, sliding_window=17,
          max_window_layers=1), PROMPT),
    ("qwen3", "qwen3", tf.Qwen3Config, WIDE, PROMPT),
    ("phi3", "phi3", tf.Phi3Config, dict(SIZES, sliding_window=21), PROMPT),
    ("phi3-long", "phi3-long", tf.Phi3Config,
     dict(SIZES, partial_rotary_factor=0.75, original_max_position_embeddings=24,
          rope_parameters={"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": SHORT,
                           "long_factor": LONG}), PROMPT),
    ("phi3-short", "phi3-long", tf.Phi3Config, None, 16),
    ("gemma2", "gemma2", tf.Gemma2Config, GEMMA2, PROMPT),
    ("gemma3", "gemma3", tf.Gemma3TextConfig, GEMMA3, PROMPT),
    # a GGUF has no key for the scale of queries: it is by the width of a head
    ("gemma2-scale", "gemma2", tf.Gemma2Config, dict(GEMMA2, query_pre_attn_scalar=16), PROMPT),
    ("gemma3-scale", "gemma3", tf.Gemma3TextConfig, dict(GEMMA3, query_pre_attn_scalar=16), PROMPT),
]


def draw(model, gemma, seed):
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        x = torch.randn(p.shape, generator=g)
        if p.dim() == 2:
            spread = 1.0 if "embed" in name and not gemma else 1.4 / p.shape[1] ** 0.5
            x = x * spread
        elif name.endswith("norm.weight"):
            x = x * 0.3 + (0 if gemma else 1)
        else:
            x = x * 0.5
        p.data.copy_(x)


def run(model, ids):
    """The whole prompt at once, without a cache: nothing of the answer depends on how it was cut."""
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0]


def follow(model, ids):
    """The greedy continuation, or nothing where two ids are nearly equal."""
    out = []
    for _ in range(GREEDY):
        last = run(model, ids + out)[-1]
        best, second = last.topk(2).values.tolist()
        if best - second < 1e-3 * last.abs().max().item():
            return []
        out.append(int(last.argmax()))
    return out


def main():
    weights = {}
    for i, (name, base, config_class, settings, n) in enumerate(CASES):
        if settings is None:
            settings = [c for c in CASES if c[1] == base][0][3]
        config = config_class(**settings)
        config._attn_implementation = "eager"
        model = tf.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float()
        if base in weights:
            model.load_state_dict(weights[base])
        else:
            draw(model, "gemma" in base, 1000 + i)
            model.tie_weights()
            weights[base] = {k: v.clone() for k, v in model.state_dict().items()}
            tied = config.tie_word_embeddings
            save_file({k: v.contiguous() for k, v in weights[base].items()
                       if not (tied and k == "lm_head.weight")},
                      os.path.join(HERE, base + ".safetensors"))
        config.architectures = [type(model).__name__]
        with open(os.path.join(HERE, name + ".json"), "w") as f:
            json.dump(json.loads(config.to_json_string(use_diff=True)), f, indent=1)
            f.write("\n")
        model = model.double().eval()
        seed = 77 + i
        while True:
            g = torch.Generator().manual_seed(seed)
            ids = torch.randint(3, VOCAB, (n,), generator=g).tolist()
            greedy = follow(model, ids)
            if greedy:
                break
            seed += 100
        logits = run(model, ids)
        save_file({"ids": torch.tensor(ids).float(), "logits": logits.float().contiguous(),
                   "greedy": torch.tensor(greedy).float()},
                  os.path.join(HERE, name + ".logits.safetensors"))
        print(f"{name:18} {config.architectures[0]:24} largest logit {logits.abs().max():.2f}")


main()
