"""Writes examples/messy_dates.jsonl and examples/messy_cells.jsonl from held-out forms that training never saw.

    python3 make_examples.py [--out ../..]

Each row is an OpenAI batch line; body.metadata.expected holds the clean value, so that SQL can compare.
messy_dates has 2,000 dates and three damaged lines, to show what becomes of such; messy_cells has 2,000 dates and
amounts, and is what the accuracy test runs.
"""

import argparse
import itertools
import json
import pathlib

import cells

ROWS = 2000
DAMAGED = {  # in front of which row, and what
    500: '{"custom_id": "cut-off", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [{"role": "us',
    1000: '{"custom_id": "streaming", "method": "POST", "url": "/v1/chat/completions", "body": {"stream": true,'
          ' "messages": [{"role": "user", "content": "Clean the date. Locale: de. Cell: 3.3.21"}]}}',
    1500: '{"custom_id": "no-prompt", "method": "POST", "url": "/v1/chat/completions", "body": {"max_tokens": 24}}',
}


def line(custom_id, messages, answer):
    body = {"model": "tidy", "messages": messages, "max_tokens": 24, "temperature": 0, "metadata": {"expected": answer}}
    row = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(row, ensure_ascii=False)


def write(path, seed, task, damaged):
    with open(path, "w", encoding="utf-8") as f:
        source = cells.rows(seed, held_out=True, task=task)
        for i, (messages, answer, kind) in enumerate(itertools.islice(source, ROWS), 1):
            if i in damaged:
                f.write(damaged[i] + "\n")
            f.write(line(f"{kind}-{i:04d}", messages, answer) + "\n")


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    out = args.parse_args().out
    write(out / "messy_dates.jsonl", seed=1001, task="date", damaged=DAMAGED)
    write(out / "messy_cells.jsonl", seed=1002, task=None, damaged={})


if __name__ == "__main__":
    main()
