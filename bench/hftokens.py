"""hftokens.py FILE TEXT - seconds of processor time to open FILE and to encode TEXT with the package tokenizers, on one
thread, and the ids' count and BLAKE2b hash (as little-endian 32-bit numbers).  Four words on one line; medians of five.
"""

import array
import hashlib
import os
import statistics
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer  # noqa: E402


def median(call):
    times, value = [], None
    for _ in range(5):
        start = time.process_time()
        value = call()
        times.append(time.process_time() - start)
    return statistics.median(times), value


with open(sys.argv[2], encoding="utf-8", newline="") as f:
    text = f.read()
opening, tokenizer = median(lambda: Tokenizer.from_file(sys.argv[1]))
encoding, ids = median(lambda: tokenizer.encode(text, add_special_tokens=False).ids)
digest = hashlib.blake2b(array.array("i", ids).tobytes(), digest_size=16).hexdigest()
print(opening, encoding, len(ids), digest)
