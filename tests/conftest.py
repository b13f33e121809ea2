"""What all tests written in Python share: where the build and the models are."""

import os
import pathlib
import subprocess

import pytest


def pytest_addoption(parser):
    parser.addoption("--build-dir", default="build/release", help="folder of the build to test")


@pytest.fixture(scope="session")
def build_dir(request):
    return pathlib.Path(request.config.getoption("--build-dir")).resolve()


ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="session")
def models_dir():
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "paceline"


@pytest.fixture(scope="session")
def fetch_model(models_dir):
    """fetch_model(name) -> path of a real model, fetched where it is missing."""
    def fetch(name):
        subprocess.run([ROOT / "scripts/fetch_models.sh", name], check=True)
        return models_dir / f"{name}.gguf"
    return fetch
