"""langchain-openai: chat, stream, tools, schema, errors, cancel. URL is the first argument."""

import sys

import openai
import pydantic
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class Place(pydantic.BaseModel):
    """A city."""
    city: str
    is_capital: bool


def main(url):
    def model(**more):
        return ChatOpenAI(base_url=url + "/v1", api_key="none", model="any", max_retries=0, seed=1,
                          **{"max_tokens": 60, "temperature": 0} | more)

    said = model(max_tokens=8).invoke("Say hello.")
    assert said.content and said.usage_metadata["output_tokens"] == 8, said
    parts = list(model(max_tokens=8).stream("Say hello."))
    assert "".join(p.content for p in parts) == said.content

    calls = model().bind_tools([weather], tool_choice="weather").invoke("Rome?").tool_calls
    assert [c["name"] for c in calls] == ["weather"] and isinstance(calls[0]["args"]["city"], str)
    assert weather.invoke(calls[0]).content.startswith("sunny")
    gathered = None
    for part in model().bind_tools([weather], tool_choice="weather").stream("Rome?"):
        gathered = part if gathered is None else gathered + part
    assert gathered.tool_calls[0]["args"] == calls[0]["args"]

    for method in ("json_schema", "function_calling"):
        found = model().with_structured_output(Place, method=method).invoke("Tell me of Rome.")
        assert isinstance(found, Place), (method, found)

    try:
        model(top_p=7).invoke("x")
        raise AssertionError("top_p 7 was taken")
    except openai.BadRequestError as e:
        assert "top_p" in str(e)
    stream = model(max_tokens=400).stream("Count to a thousand.")
    next(stream)
    stream.close()


main(sys.argv[1])
