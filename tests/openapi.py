"""docs/openapi.json for tests: its operations, and whether an answer is as it says."""

import copy
import json
import pathlib
import re

from jsonschema import Draft202012Validator

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = json.loads((ROOT / "docs/openapi.json").read_text())
METHODS = ("get", "post", "delete")


def operations():
    """((method, path), operation)"""
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                yield (method.upper(), path), item[method]


def table_of_routes():
    """(method, path) of the server's table; what stands for longer paths ends in "/"."""
    text = (ROOT / "src/server/routes.c").read_text()
    rows = text[text.index("routes[] = {"):text.index("};")]
    return re.findall(r'\{ "([A-Z]+)", "([^"]+)"', rows)


def resolved(node):
    """What a "$ref" stands for."""
    while "$ref" in node:
        found = DOCUMENT
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        node = found
    return node


def close(node):
    """Objects may have no other members than those that are named."""
    if isinstance(node, dict):
        if "properties" in node:
            node.setdefault("additionalProperties", False)
        for value in node.values():
            close(value)
    elif isinstance(node, list):
        for value in node:
            close(value)


CLOSED = copy.deepcopy(DOCUMENT["components"])
close(CLOSED["schemas"])


def check(schema, value, components=None):
    """Fails unless the value is valid; answers have no members that the document does not name."""
    Draft202012Validator({**schema, "components": components or CLOSED}).validate(value)


def check_events(schema, body):
    """Of server-sent events, each and the document in its data."""
    data = schema["properties"]["data"]
    within = (data["anyOf"][0] if "anyOf" in data else data)["contentSchema"]
    blocks = [block for block in body.decode().split("\n\n") if block and block[0] != ":"]
    assert blocks
    for block in blocks:
        event = dict(line.split(": ", 1) for line in block.split("\n"))
        check(schema, event)
        if event["data"] != "[DONE]":
            check(within, json.loads(event["data"]))


def check_lines(schema, body):
    lines = body.decode().splitlines()
    assert lines
    for line in lines:
        check(schema, json.loads(line))


def check_answer(method, path, answer):
    """Of an operation, named by its path in the document."""
    status, headers, body = answer
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    assert str(status) in responses, (status, body)
    response = resolved(responses[str(status)])
    kind = headers["Content-Type"].split(";")[0]
    assert kind in response["content"], kind
    for name in response["headers"]:
        assert name in headers, (name, status)
    schema = response["content"][kind]["schema"]
    by_kind = {"application/json": check, "text/event-stream": check_events,
               "application/x-ndjson": check_lines}
    if kind in by_kind:
        by_kind[kind](schema, body)
