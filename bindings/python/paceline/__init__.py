"""Many parallel generations of one language model in one process: libpaceline for Python.

An Engine is one loaded model. Any number of threads and of tasks of asyncio submit prompts to it
and iterate over the Stream that they get: pieces of text, as they come."""

from ._calls import Error, version
from .engine import Engine
from .stream import AsyncStream, Stream

__all__ = ["AsyncStream", "Engine", "Error", "Stream", "version"]
