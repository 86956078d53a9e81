#!/usr/bin/env python3
"""openai_lines.py FILE... - are these batch output and error lines what OpenAI's own client reads?

Needs the PyPI package openai; not part of `make check`.  Each line is held against the shape of
OpenAI's batch output, and each body against the client's types: a member that the types do not know
is as wrong as one that they miss.
"""
import json
import sys

from openai.types import BatchError, Completion
from openai.types.chat import ChatCompletion


def extras(model, path=""):
    """The members that the type does not know."""
    found = [path + name for name in (model.model_extra or {})]
    for name in type(model).model_fields:
        value = getattr(model, name)
        for item in value if isinstance(value, list) else [value]:
            if hasattr(item, "model_extra"):
                found += extras(item, f"{path}{name}.")
    return found


def check_body(response):
    body = response["body"]
    assert list(response) == ["status_code", "request_id", "body"], list(response)
    assert response["request_id"].startswith("req_")
    if response["status_code"] >= 400:
        assert list(body) == ["error"]
        assert list(body["error"]) == ["message", "type", "param", "code"]
        return "refused"
    assert response["status_code"] == 200
    kind = {"chat.completion": ChatCompletion, "text_completion": Completion}[body["object"]]
    answer = kind.model_validate(body, strict=True)
    assert not extras(answer), extras(answer)
    assert body["usage"]["total_tokens"] == (
        body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    )
    return body["object"]


def check_line(line):
    assert list(line) == ["id", "custom_id", "response", "error"], list(line)
    assert line["id"].startswith("batch_req_")
    if line["response"] is None:
        assert list(line["error"]) == ["code", "message"]
        return line["error"]["code"]
    assert line["error"] is None
    return check_body(line["response"])


def main(files):
    counts = {}
    for name in files:
        with open(name, encoding="utf-8") as f:
            first = f.read(18)
            f.seek(0)
            if first == '{"object":"list","':
                data = json.load(f)["data"]
                for error in data:
                    assert not BatchError.model_validate(error, strict=True).model_extra
                counts["batch error"] = counts.get("batch error", 0) + len(data)
                continue
            for line in f:
                kind = check_line(json.loads(line))
                counts[kind] = counts.get(kind, 0) + 1
    print(", ".join(f"{n} {kind}" for kind, n in sorted(counts.items())) or "nothing to check")
    return not counts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
