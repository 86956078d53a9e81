"""llama_driver.py MODEL.gguf - libllama's batch API, driven from stdin; the peer of bench_engine.

A line in:   THREADS SEQUENCES PROMPT ANSWER UBATCH FLASH UNIFIED
A line out:  seconds of prefill, of decode, of argmax, processor seconds of the first two, ids of sequence 0

One context holds all sequences.  Prefill is all prompts, UBATCH tokens a call, and the first token of each
answer; decode is a call for each further token of all.  A token is chosen by numpy's argmax over the logits, in
C; its seconds are in decode's and told apart.  Prompts are those of engine_run.c.
"""

import ctypes
import resource
import sys
import time

import llama_cpp as ll
import numpy as np


def processor_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def at(array, kind):
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(kind))


class Batch:
    """A llama_batch over numpy arrays, so that filling it costs the peer nothing to speak of."""

    def __init__(self, n, n_seq):
        self.token, self.pos, self.n_ids = np.zeros(n, np.int32), np.zeros(n, np.int32), np.ones(n, np.int32)
        self.logits, self.seq = np.zeros(n, np.int8), np.arange(n_seq, dtype=np.int32)
        self.seq_at = np.zeros(n, np.uint64)  # addresses in seq
        self.raw = ll.llama_batch(
            token=at(self.token, ctypes.c_int32),
            pos=at(self.pos, ctypes.c_int32),
            n_seq_id=at(self.n_ids, ctypes.c_int32),
            seq_id=at(self.seq_at, ctypes.POINTER(ctypes.c_int32)),
            logits=at(self.logits, ctypes.c_int8),
        )

    def decode(self, context, token, pos, seq, logits):
        n = self.raw.n_tokens = len(token)
        self.token[:n], self.pos[:n], self.logits[:n] = token, pos, logits
        self.seq_at[:n] = self.seq.ctypes.data + 4 * seq.astype(np.uint64)
        if ll.llama_decode(context, self.raw):
            sys.exit("llama_decode failed")


def prompts(n_seq, n_prompt, n_vocab):
    i, k = np.meshgrid(np.arange(n_seq), np.arange(n_prompt), indexing="ij")
    return ((i * 131 + k * 17 + k * k * 7 + 3) % (n_vocab - 1) + 1).astype(np.int32)


def open_context(model, threads, n_seq, n_tokens, ubatch, flash, unified):
    p = ll.llama_context_default_params()
    p.n_ctx = n_seq * ((n_tokens + 255) // 256 * 256)
    p.n_seq_max, p.n_batch, p.n_ubatch = n_seq, ubatch, ubatch
    p.n_threads = p.n_threads_batch = threads
    p.flash_attn_type, p.kv_unified, p.no_perf = flash, bool(unified), True
    context = ll.llama_init_from_model(model, p)
    if not context:
        sys.exit("no context")
    return context


class Run:
    def __init__(self, model, n_vocab, threads, n_seq, n_prompt, n_answer, ubatch, flash, unified):
        self.context = open_context(model, threads, n_seq, n_prompt + n_answer, ubatch, flash, unified)
        self.batch = Batch(max(ubatch, n_seq), n_seq)
        self.n_vocab, self.n_seq, self.n_prompt, self.n_answer, self.ubatch = n_vocab, n_seq, n_prompt, n_answer, ubatch
        self.argmax_s = 0.0

    def choose(self, n):
        start = time.perf_counter()
        row = ll.llama_get_logits(self.context)
        chosen = np.ctypeslib.as_array(row, (n, self.n_vocab)).argmax(axis=1).astype(np.int32)
        self.argmax_s += time.perf_counter() - start
        return chosen

    def prefill(self):
        ids = prompts(self.n_seq, self.n_prompt, self.n_vocab).reshape(-1)
        pos = np.tile(np.arange(self.n_prompt), self.n_seq)
        seq = np.repeat(np.arange(self.n_seq), self.n_prompt)
        last, first = pos == self.n_prompt - 1, []
        for start in range(0, len(ids), self.ubatch):
            part = slice(start, start + self.ubatch)
            self.batch.decode(self.context, ids[part], pos[part], seq[part], last[part])
            n = int(last[part].sum())
            if n:
                first.append(self.choose(n))
        ll.llama_synchronize(self.context)
        return np.concatenate(first)

    def decode(self, ids):
        seq, all_ids = np.arange(self.n_seq), [ids]
        for k in range(self.n_answer - 1):
            self.batch.decode(self.context, ids, self.n_prompt + k, seq, 1)
            ids = self.choose(self.n_seq)
            all_ids.append(ids)
        return [int(a[0]) for a in all_ids]

    def close(self):
        ll.llama_free(self.context)


def timed(work, *args):
    start, used = time.perf_counter(), processor_s()
    got = work(*args)
    return got, time.perf_counter() - start, processor_s() - used


def main():
    quiet = ll.llama_log_callback(lambda level, text, data: None)
    ll.llama_log_set(quiet, None)
    ll.llama_backend_init()
    model = ll.llama_model_load_from_file(sys.argv[1].encode(), ll.llama_model_default_params())
    if not model:
        sys.exit(f"{sys.argv[1]}: libllama cannot load it")
    n_vocab = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(model))
    print(ll.__version__, ll.llama_print_system_info().decode(), flush=True)
    for line in sys.stdin:
        run = Run(model, n_vocab, *map(int, line.split()))
        first, prefill_s, prefill_cpu = timed(run.prefill)
        run.argmax_s = 0.0
        ids, decode_s, decode_cpu = timed(run.decode, first)
        print(prefill_s, decode_s, run.argmax_s, prefill_cpu, decode_cpu, *ids, flush=True)
        run.close()


main()
