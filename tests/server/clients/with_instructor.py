"""instructor in all of its modes for OpenAI's interface. URL is the first argument."""

import sys
from typing import Literal

import instructor
import openai
import pydantic
from instructor.core import InstructorRetryException


class Place(pydantic.BaseModel):
    """A city."""
    city: Literal["Rome", "Paris"]
    is_capital: bool


def main(url):
    plain = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
    ask = {"model": "any", "messages": [{"role": "user", "content": "Tell me of Rome as JSON."}],
           "max_tokens": 300, "temperature": 0, "seed": 1, "max_retries": 1}
    for name in ("TOOLS", "TOOLS_STRICT", "JSON", "JSON_SCHEMA"):
        client = instructor.from_openai(plain, mode=getattr(instructor.Mode, name))
        assert isinstance(client.chat.completions.create(response_model=Place, **ask), Place), name
    client = instructor.from_openai(plain, mode=instructor.Mode.TOOLS)
    parts = list(client.chat.completions.create_partial(response_model=Place, **ask))
    assert parts and parts[-1].city is not None
    try:
        client.chat.completions.create(response_model=Place, **ask, top_p=7)
        raise AssertionError("top_p 7 was taken")
    except (InstructorRetryException, openai.BadRequestError) as e:
        assert "top_p" in str(e)


main(sys.argv[1])
