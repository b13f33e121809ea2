"""Schemathesis makes calls of docs/openapi.json, good ones and bad ones, and a server answers each
with a status, a type and a document that stand there. The seed is fixed."""

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import tiny_models
from openapi import DOCUMENT
from serving import Server

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance,
          response_schema_conformance]
N_EXAMPLES = 12


@pytest.fixture(scope="module")
def connection(build_dir, tmp_path_factory):
    """Of a server of a random model with short contexts: what is asked for ends soon."""
    path = tiny_models.write(str(tmp_path_factory.mktemp("calls") / "model.gguf"), arch="llama")
    server = Server(build_dir / "paceline", path, "--parallel", 8, "--ctx-size", 128,
                    "--n-predict", 8, "--chat-template", "chatml")
    try:
        server.wait()
        with requests.Session() as session:
            yield server.url, session
        assert server.request("GET", "/health")[0] == 200
    finally:
        server.stop()
    assert server.process.returncode == 0, server.errors


# what answers without /v1, too, is asked once; what counts tokens takes a body of another route's
schema = schemathesis.openapi.from_dict(DOCUMENT, config=SchemathesisConfig(seed=1)).exclude(
    operation_id_regex="(WithoutV1|^count.*)$")


@schema.parametrize()
@settings(max_examples=N_EXAMPLES, derandomize=True, deadline=None, database=None,
          phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
def test_calls(case, connection):
    url, session = connection
    case.call_and_validate(base_url=url, session=session, checks=CHECKS, timeout=120)
