#!/usr/bin/env python3
"""The rows of `bench_gpu rows` through the library transformers: generate_batch, its continuous batching.

    build/release-cuda-yes/bench/bench_gpu -m /dev/shm/random rates     # writes the model, and keeps it
    python3 bench/generate_batch.py /dev/shm/random --rows 256

The same random weights, the same made-up prompts, greedy, the end token ignored.  Prints one JSON line of bench/report.h's
form: output tokens a second, prefill among the time, after a warm-up of a few short rows.  As many rows as there is time
for: continuous batching has reached its pace when there are several times as many as fit a step.

Written for transformers 5.x and torch 2.x with CUDA; attention `paged|sdpa` where no flash-attn is installed.
"""
import argparse
import datetime
import json
import time


def row_ids(row, n, vocab):
    """Token k of row i, as bench/engine_run.h says."""
    return [(row * 131 + k * 17 + k * k * 7 + 3) % (vocab - 1) + 1 for k in range(n)]


def generation_config(tf, answer):
    return tf.GenerationConfig(max_new_tokens=answer, do_sample=False, eos_token_id=-1, pad_token_id=0,
                               use_cuda_graph=True)


def run(model, tf, rows, prompt, answer, vocab):
    """Seconds and output tokens."""
    import torch

    inputs = [row_ids(i, prompt, vocab) for i in rows]
    torch.cuda.synchronize()
    start = time.perf_counter()
    outputs = model.generate_batch(inputs=inputs, generation_config=generation_config(tf, answer), progress_bar=False)
    torch.cuda.synchronize()
    tokens = sum(len(o.generated_tokens) for o in outputs.values())
    return time.perf_counter() - start, tokens


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("model", help="the folder that bench_gpu -m wrote")
    a.add_argument("--rows", type=int, default=3000)
    a.add_argument("--prompt", type=int, default=1000)
    a.add_argument("--answer", type=int, default=1000)
    a.add_argument("--attention", default="paged|sdpa")
    o = a.parse_args()

    import torch
    import transformers as tf

    model = tf.AutoModelForCausalLM.from_pretrained(o.model, dtype=torch.bfloat16, attn_implementation=o.attention)
    model = model.cuda().eval()
    vocab = model.config.vocab_size
    run(model, tf, range(8), 64, 16, vocab)
    seconds, tokens = run(model, tf, range(8, 8 + o.rows), o.prompt, o.answer, vocab)
    want = o.rows * o.answer
    if tokens != want:
        raise SystemExit(f"{tokens} tokens came out, not {want}")
    print(json.dumps({
        "bench": "gpu", "figure": f"transformers generate_batch bf16 in={o.prompt} out={o.answer} rows={o.rows}",
        "value": round(tokens / seconds, 1), "unit": "tokens/s", "against": None, "ratio": None, "target": None,
        "limit": None, "machine": f"{torch.cuda.get_device_name()}, transformers {tf.__version__}, torch {torch.__version__}",
        "commit": None, "date": datetime.date.today().isoformat()}))


if __name__ == "__main__":
    main()
