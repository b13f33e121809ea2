"""llama-index-llms-openai-like: chat, stream, tools, schema, errors, cancel. URL is the first
argument."""

import sys

import openai
import pydantic
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike


class Place(pydantic.BaseModel):
    """A city."""
    city: str


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def main(url):
    def model(max_tokens=60, **more):
        return OpenAILike(model="any", api_base=url + "/v1", api_key="none", is_chat_model=True,
                          is_function_calling_model=True, context_window=2048, max_retries=0,
                          temperature=0, max_tokens=max_tokens,
                          additional_kwargs={"seed": 1, **more})

    hello = [ChatMessage(role="user", content="Say hello.")]
    text = model(8).chat(hello).message.content
    assert text
    assert "".join(part.delta or "" for part in model(8).stream_chat(hello)) == text

    tool = FunctionTool.from_defaults(fn=weather)
    llm = model()
    reply = llm.chat_with_tools([tool], "Rome?", tool_required=True)
    calls = llm.get_tool_calls_from_response(reply)
    assert [c.tool_name for c in calls] == ["weather"] and "city" in calls[0].tool_kwargs
    place = model().as_structured_llm(Place).complete("Tell me of Rome.").raw
    assert isinstance(place, Place)
    try:
        model(4, top_p=7).chat(hello)
        raise AssertionError("top_p 7 was taken")
    except openai.BadRequestError as e:
        assert "top_p" in str(e)
    stream = model(400).stream_chat(hello)
    next(stream)
    stream.close()


main(sys.argv[1])
