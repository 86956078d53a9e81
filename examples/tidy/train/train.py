"""Trains examples/tidy: a small Llama that cleans table cells.  CPU only, seeded, about an hour on two cores.

    /usr/bin/python3 train.py [--out ..] [--steps 5000] [--threads 2] [--judge]

Needs Debian's python3-torch, python3-regex and libopenblas0-pthread.  Writes model.safetensors, config.json, generation_config.json,
tokenizer.json, tokenizer_config.json into --out, and loss.csv and accuracy.json beside this file.  The accuracy
printed at the end comes from held-out forms; the figure that counts is the one measured through nightmill itself.
"""

import argparse
import itertools
import json
import math
import pathlib
import random
import struct
import time

import torch
import torch.nn.functional as F

import bpe
import cells

HERE = pathlib.Path(__file__).resolve().parent
SEED = 20260
VOCAB = 512
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama",
    "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
    "vocab_size": VOCAB, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "hidden_act": "silu", "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False,
    "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0, "torch_dtype": "bfloat16",
}
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
BATCH = 256
POOL = 32  # batches that are sorted by length together
PEAK_RATE, WARMUP = 2e-3, 60


class Layer(torch.nn.Module):
    def __init__(self, c):
        super().__init__()
        d, hd, h, hk, f = (c[k] for k in ("hidden_size", "head_dim", "num_attention_heads", "num_key_value_heads",
                                          "intermediate_size"))
        linear = lambda a, b: torch.nn.Linear(a, b, bias=False)
        self.input_layernorm = torch.nn.Parameter(torch.ones(d))
        self.q_proj, self.k_proj, self.v_proj = linear(d, h * hd), linear(d, hk * hd), linear(d, hk * hd)
        self.o_proj = linear(h * hd, d)
        self.post_attention_layernorm = torch.nn.Parameter(torch.ones(d))
        self.gate_proj, self.up_proj, self.down_proj = linear(d, f), linear(d, f), linear(f, d)
        self.c = c

    def forward(self, x, cos, sin, mask):
        c = self.c
        b, t, _ = x.shape
        n = norm(x, self.input_layernorm, c["rms_norm_eps"])
        split = lambda y: y.view(b, t, -1, c["head_dim"]).transpose(1, 2)
        q, k, v = rope(split(self.q_proj(n)), cos, sin), rope(split(self.k_proj(n)), cos, sin), split(self.v_proj(n))
        share = c["num_attention_heads"] // c["num_key_value_heads"]
        k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
        a = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(c["head_dim"]) + mask, -1) @ v
        x = x + self.o_proj(a.transpose(1, 2).reshape(b, t, -1))
        n = norm(x, self.post_attention_layernorm, c["rms_norm_eps"])
        return x + self.down_proj(F.silu(self.gate_proj(n)) * self.up_proj(n))


class Model(torch.nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.embed_tokens = torch.nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = torch.nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = torch.nn.Parameter(torch.ones(c["hidden_size"]))
        for p in self.parameters():
            if p.dim() == 2:
                torch.nn.init.normal_(p, std=0.02)
        for layer in self.layers:  # keep the residual stream's size independent of depth
            for w in (layer.o_proj.weight, layer.down_proj.weight):
                w.data /= math.sqrt(2 * c["num_hidden_layers"])

    def forward(self, ids, wanted=None):
        c, t = self.c, ids.shape[1]
        freq = c["rope_theta"] ** (-torch.arange(0, c["head_dim"], 2).float() / c["head_dim"])
        angle = torch.arange(t).float()[:, None] * freq
        cos, sin = angle.cos(), angle.sin()
        mask = torch.full((t, t), float("-inf")).triu(1)
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        x = norm(x, self.norm, c["rms_norm_eps"])
        if wanted is not None:
            x = x[wanted]  # the vocabulary is only needed where an answer token is predicted
        return x @ self.embed_tokens.weight.T


def norm(x, w, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * w


def rope(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def render(tokenizer, messages):
    """The chat template of tokenizer_config.json, straight to token ids."""
    v, ids = tokenizer.vocab, []
    for m in messages:
        ids += [v[f"<|{m['role']}|>"], *tokenizer.encode(m["content"]), v["<|end|>"]]
    return [*ids, v["<|assistant|>"]]


def batches(tokenizer, seed):
    """Endless (ids, targets) with -100 where there is no answer token; rows of like length together."""
    source, rng = cells.rows(seed, held_out=False), random.Random(seed)
    while True:
        pool = []
        for messages, answer, _ in itertools.islice(source, BATCH * POOL):
            prompt, reply = render(tokenizer, messages), [*tokenizer.encode(answer), tokenizer.vocab["<|end|>"]]
            pool.append((prompt + reply, len(prompt)))
        pool.sort(key=lambda r: len(r[0]))
        groups = [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
        rng.shuffle(groups)
        for group in groups:
            longest = max(len(r) for r, _ in group)
            ids = torch.zeros(BATCH, longest, dtype=torch.long)
            want = torch.full((BATCH, longest), -100)
            for i, (row, start) in enumerate(group):
                ids[i, : len(row)] = torch.tensor(row)
                want[i, start - 1 : len(row) - 1] = torch.tensor(row[start:])
            yield ids[:, :-1], want[:, :-1]


@torch.no_grad()
def accuracy(model, tokenizer, count, seed):
    """Share of exact greedy answers on held-out forms, and the rows that went wrong."""
    rows, wrong = list(itertools.islice(cells.rows(seed, held_out=True), count)), []
    end = tokenizer.vocab["<|end|>"]
    letters = {c: b for b, c in bpe.LETTERS.items()}
    text = {i: bytes(letters[c] for c in t) for t, i in tokenizer.vocab.items() if t not in bpe.SPECIALS}
    by_length = {}
    for row in rows:
        ids = render(tokenizer, row[0])
        by_length.setdefault(len(ids), []).append((ids, row))
    for group in by_length.values():
        ids = torch.tensor([g[0] for g in group])
        start = ids.shape[1]
        for _ in range(24):
            ids = torch.cat((ids, model(ids)[:, -1].argmax(-1, keepdim=True)), 1)
        for out, (_, (messages, answer, _)) in zip(ids[:, start:].tolist(), group):
            out = out[: out.index(end)] if end in out else out
            got = b"".join(text.get(i, b"?") for i in out).decode(errors="replace")
            if got != answer:
                wrong.append((messages[-1]["content"], answer, got))
    return 1 - len(wrong) / count, wrong


def save_safetensors(path, tensors):
    header, offset, blobs = {"__metadata__": {"format": "pt"}}, 0, []
    for name, t in tensors.items():
        bits = t.detach().float().contiguous().view(-1).numpy().view("<u4")
        bits = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")  # to bf16, nearest even
        blob = bits.tobytes()
        header[name] = {"dtype": "BF16", "shape": list(t.shape), "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def load_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header, out = json.loads(data[8 : 8 + size]), {}
    for name, t in header.items():
        if name != "__metadata__":
            a, b = (8 + size + v for v in t["data_offsets"])
            bits = torch.frombuffer(bytearray(data[a:b]), dtype=torch.bfloat16)
            out[name] = bits.float().reshape(t["shape"])
    return out


def named_tensors(model):
    tensors = {"model.embed_tokens.weight": model.embed_tokens.weight, "model.norm.weight": model.norm}
    for i, layer in enumerate(model.layers):
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{i}.{name}.weight"] = getattr(layer, name)
        for part, names in (("self_attn", "q_proj k_proj v_proj o_proj"), ("mlp", "gate_proj up_proj down_proj")):
            for name in names.split():
                tensors[f"model.layers.{i}.{part}.{name}.weight"] = getattr(layer, name).weight
    return tensors


def export(model, tokenizer, out):
    save_safetensors(out / "model.safetensors", named_tensors(model))
    write = lambda name, value: (out / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    write("config.json", CONFIG)
    write("generation_config.json", {"eos_token_id": [0], "pad_token_id": 0, "do_sample": False, "max_new_tokens": 32})
    write("tokenizer.json", tokenizer.tokenizer_json())
    write("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "pad_token": "<|end|>",
        "add_bos_token": False, "model_max_length": 512, "clean_up_tokenization_spaces": False,
        "chat_template": TEMPLATE,
    })


def judge(model, tokenizer, args):
    """The accuracy of the weights that were written, to accuracy.json."""
    for name, tensor in load_safetensors(args.out / "model.safetensors").items():
        named_tensors(model)[name].data.copy_(tensor)
    share, wrong = accuracy(model, tokenizer, 2000, 78)
    (HERE / "accuracy.json").write_text(json.dumps(
        {"rows": 2000, "exact": round(share, 4), "wrong": wrong[:20]}, indent=1, ensure_ascii=False) + "\n")
    print(f"held-out exact {share:.4f} of 2000", flush=True)


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--out", type=pathlib.Path, default=HERE.parent)
    args.add_argument("--steps", type=int, default=5000)
    args.add_argument("--threads", type=int, default=2)
    args.add_argument("--judge", action="store_true", help="only measure the accuracy of the weights in --out")
    args = args.parse_args()
    torch.manual_seed(SEED)
    torch.set_flush_denormal(True)
    torch.set_num_threads(args.threads)

    sample = [m["content"] for r in itertools.islice(cells.rows(SEED, held_out=False), 40000) for m in r[0]]
    answers = [r[1] for r in itertools.islice(cells.rows(SEED, held_out=False), 40000)]
    tokenizer = bpe.Tokenizer(bpe.learn(sample + answers, VOCAB))
    model = Model(CONFIG)
    print(f"parameters {sum(p.numel() for p in model.parameters())}", flush=True)
    if args.judge:
        judge(model, tokenizer, args)
        return

    decay = [p for p in model.parameters() if p.dim() == 2]
    plain = [p for p in model.parameters() if p.dim() != 2]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.98))
    log, begin = open(HERE / "loss.csv", "w"), time.time()
    log.write("step,rows,loss,seconds\n")
    for step, (ids, want) in enumerate(itertools.islice(batches(tokenizer, SEED + 1), args.steps), 1):
        rate = min(step / WARMUP, 0.5 * (1 + math.cos(math.pi * step / args.steps)) * 0.98 + 0.02)
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * rate
        chosen = want >= 0
        with torch.autocast("cpu", dtype=torch.bfloat16):  # oneDNN's bf16 products: four times faster than fp32
            logits = model(ids, chosen)
        loss = F.cross_entropy(logits.float(), want[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 10 == 0:
            log.write(f"{step},{step * BATCH},{loss.item():.5f},{time.time() - begin:.0f}\n")
            log.flush()
        if step % 250 == 0:
            share, wrong = accuracy(model, tokenizer, 500, 77)
            print(f"step {step} loss {loss.item():.4f} held-out {share:.3f} {time.time() - begin:.0f} s {wrong[:3]}", flush=True)
            export(model, tokenizer, args.out)

    export(model, tokenizer, args.out)
    judge(model, tokenizer, args)


if __name__ == "__main__":
    main()
