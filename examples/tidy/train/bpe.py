"""A byte-level BPE tokenizer: learned here, written as Hugging Face tokenizer.json, and used by train.py.

Pre-tokenisation is the Qwen2 pattern (words with one leading character, digits one by one); each word is then
spelled in bytes, each byte shown by the printable letter that GPT-2 chose for it.
"""

import collections

import regex

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIALS = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
WORDS = regex.compile(PATTERN)


def byte_letters():
    """GPT-2's table: printable bytes stand for themselves, the others are moved above 255."""
    keep = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [b for b in range(256) if b not in keep]
    return {**{b: chr(b) for b in keep}, **{b: chr(256 + i) for i, b in enumerate(moved)}}


LETTERS = byte_letters()


def spell(word):
    return tuple(LETTERS[b] for b in word.encode())


def merge(word, pair):
    out, i = [], 0
    while i < len(word):
        if word[i : i + 2] == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


def learn(texts, vocab_size):
    """The merges that shorten texts most, until specials, bytes and merges make vocab_size tokens."""
    count = collections.Counter(w for t in texts for w in WORDS.findall(t))
    words = {spell(w): n for w, n in count.items()}
    merges = []
    while len(merges) < vocab_size - 256 - len(SPECIALS):
        pairs = collections.Counter()
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        words = {merge(word, best): n for word, n in words.items()}
    return merges


class Tokenizer:
    def __init__(self, merges):
        self.merges = merges
        self.rank = {pair: i for i, pair in enumerate(merges)}
        tokens = [*SPECIALS, *(LETTERS[b] for b in range(256)), *("".join(p) for p in merges)]
        self.vocab = {t: i for i, t in enumerate(tokens)}
        self.cache = {}

    def encode(self, text):
        out = []
        for word in WORDS.findall(text):
            ids = self.cache.get(word)
            if ids is None:
                ids = self.cache[word] = self.encode_word(spell(word))
            out += ids
        return out

    def encode_word(self, word):
        while len(word) > 1:
            best = min(zip(word, word[1:]), key=lambda p: self.rank.get(p, len(self.rank)))
            if best not in self.rank:
                break
            word = merge(word, best)
        return [self.vocab[t] for t in word]

    def tokenizer_json(self):
        """The same as a tokenizer.json, as a dict."""
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False,
                 "normalized": False, "special": True}
                for i, t in enumerate(SPECIALS)
            ],
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False},
                    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
                ],
            },
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
            "model": {
                "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                "vocab": self.vocab, "merges": [" ".join(p) for p in self.merges],
            },
        }
