"""What masks take of the JSON Schema Test Suite: the required tests of draft 2020-12, which the
source package of jsonschema carries."""

import json
import pathlib
import subprocess
import sys
import tarfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
VERSION = "4.26.0"
JSON_SCHEMA = 1                 # PL_GRAMMAR_JSON_SCHEMA


@pytest.fixture(scope="module")
def groups(models_dir):
    folder = models_dir / "jsonschema"
    package = folder / f"jsonschema-{VERSION}.tar.gz"
    if not package.exists():
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary",
                        "jsonschema", "-d", folder, f"jsonschema=={VERSION}"], check=True)
    found = []
    with tarfile.open(package) as tar:
        for member in tar.getmembers():
            parts = member.name.split("/")
            if parts[1:4] == ["json", "tests", "draft2020-12"] and len(parts) == 5:
                for group in json.load(tar.extractfile(member)):
                    found.append((parts[4], group))
    return found


@pytest.fixture(scope="module")
def judge():
    folder = ROOT / "build" / "render_cli"
    for step in (["cmake", "-S", ROOT / "tests/unit/text", "-B", folder],
                 ["cmake", "--build", folder, "--target", "matcher_cli"]):
        subprocess.run(step, check=True, stdout=subprocess.DEVNULL)
    process = subprocess.Popen([folder / "matcher_cli"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)

    def ask(schema, texts):
        process.stdin.write(json.dumps({"kind": JSON_SCHEMA, "source": json.dumps(schema),
                                        "texts": texts}) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())
    yield ask
    process.stdin.close()
    assert process.wait() == 0


def test_suite(groups, judge):
    """Nothing invalid is ever taken, and of all tests nine in ten are right: what is valid is
    taken, as it stands there, members in that order, and what is not is refused. Tests of a schema
    that is refused are not right, whatever they ask; but one that nothing is valid under is told of
    as that, and so is understood."""
    n_refused = n_never = n_missed = n_right = n_tests = 0
    wrong = []
    for name, group in groups:
        tests = group["tests"]
        n_tests += len(tests)
        reply = judge(group["schema"],
                      [json.dumps(test["data"], ensure_ascii=False) for test in tests])
        if "error" in reply:
            n_refused += len(tests)
            if "Unsatisfiable" in reply["error"]:
                assert not any(test["valid"] for test in tests), (name, group["description"])
                n_never += len(tests)
            continue
        for test, is_taken in zip(tests, reply["taken"], strict=True):
            n_missed += test["valid"] and not is_taken
            n_right += is_taken == test["valid"]
            if is_taken and not test["valid"]:
                wrong.append(f"{name}: {group['description']}: {test['description']}")
    print(f"\n{n_tests} tests: {n_right} right ({n_right / n_tests:.1%}), {n_missed} valid ones "
          f"missed, {len(wrong)} invalid ones taken, {n_refused} of refused schemas, {n_never} of "
          f"them of schemas that nothing is valid under ({(n_right + n_never) / n_tests:.1%} right "
          "with these)")
    print("\n".join(wrong))
    assert len(groups) > 300 and not wrong
    assert n_right > 0.88 * n_tests and n_right + n_never > 0.9 * n_tests
