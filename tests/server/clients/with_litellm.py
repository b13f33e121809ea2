"""litellm: chat, stream, tools, schema, errors, cancel. URL is the first argument."""

import json
import sys

import litellm

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
PLACE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
         "additionalProperties": False}


def main(url):
    def ask(text, max_tokens=60, **more):
        return litellm.completion(
            model="openai/any", api_base=url + "/v1", api_key="none", num_retries=0, seed=1,
            messages=[{"role": "user", "content": text}], max_tokens=max_tokens, temperature=0,
            **more)

    said = ask("Say hello.", 8)
    text = said.choices[0].message.content
    assert text and said.usage.completion_tokens == 8
    parts = ask("Say hello.", 8, stream=True)
    assert "".join(p.choices[0].delta.content or "" for p in parts) == text

    call = ask("Rome?", tools=[WEATHER], tool_choice="required").choices[0].message.tool_calls[0]
    assert call.function.name == "weather" and "city" in json.loads(call.function.arguments)
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": PLACE}}
    assert list(json.loads(ask("Rome.", response_format=form).choices[0].message.content)) == [
        "city"]
    try:
        ask("long " * 3000)
        raise AssertionError("a prompt beyond the context was taken")
    except litellm.ContextWindowExceededError:
        pass
    stream = ask("Count to a thousand.", 400, stream=True)
    next(iter(stream))
    stream.completion_stream.close()


main(sys.argv[1])
