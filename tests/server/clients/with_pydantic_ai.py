"""pydantic-ai: chat, stream, tools, schema, errors, cancel. URL is the first argument."""

import asyncio
import sys

import pydantic
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings


class Place(pydantic.BaseModel):
    """A city."""
    city: str
    is_capital: bool


async def check(url):
    model = OpenAIChatModel("any", provider=OpenAIProvider(base_url=url + "/v1", api_key="none"))

    def settings(max_tokens, **more):
        return ModelSettings(max_tokens=max_tokens, temperature=0, seed=1, **more)

    agent = Agent(model)
    said = await agent.run("Say hello.", model_settings=settings(8))
    assert said.output and said.usage.output_tokens == 8
    async with agent.run_stream("Say hello.", model_settings=settings(8)) as stream:
        assert await stream.get_output() == said.output

    for form in (NativeOutput(Place), ToolOutput(Place)):
        found = await Agent(model, output_type=form).run(
            "Tell me of Rome.", model_settings=settings(80))
        assert isinstance(found.output, Place), found

    try:
        await agent.run("x", model_settings=settings(4, top_p=7))
        raise AssertionError("top_p 7 was taken")
    except ModelHTTPError as e:
        assert e.status_code == 400 and "top_p" in str(e)
    async with agent.run_stream("Count to a thousand.", model_settings=settings(400)) as stream:
        async for _ in stream.stream_text(delta=True, debounce_by=None):
            break


asyncio.run(check(sys.argv[1]))
