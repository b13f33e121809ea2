"""How the tests of the library build and run programs of others."""

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def run(*words, **more):
    """What it printed; where it fails, all it said."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True,
                          timeout=more.pop("timeout", 600), **more)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout
