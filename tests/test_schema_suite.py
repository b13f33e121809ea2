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


def spellings(data, schema):
    """The document, and with its members in the schema's order, which is how masks have them."""
    texts = [json.dumps(data, ensure_ascii=False)]
    order = list(schema.get("properties", {})) if isinstance(schema, dict) else []
    if isinstance(data, dict) and order:
        texts.append(json.dumps(dict(sorted(
            data.items(), key=lambda i: order.index(i[0]) if i[0] in order else len(order))),
            ensure_ascii=False))
    return texts


def test_suite(groups, judge):
    """Nothing invalid is ever taken. Of what can be compiled, nearly all that is valid is."""
    n_refused = n_valid = n_missed = n_right = n_tests = 0
    wrong = []
    for name, group in groups:
        schema = group["schema"]
        for test in group["tests"]:
            n_tests += 1
            reply = judge(schema, spellings(test["data"], schema))
            if "error" in reply:
                n_refused += 1
                n_right += not test["valid"] and "Unsatisfiable" in reply["error"]
                continue
            is_taken = any(reply["taken"])
            n_valid += test["valid"]
            n_missed += test["valid"] and not is_taken
            n_right += is_taken == test["valid"]
            if is_taken and not test["valid"]:
                wrong.append(f"{name}: {group['description']}: {test['description']}")
    share = n_right / n_tests
    print(f"\n{n_tests} tests: {n_right} right ({share:.1%}), {n_refused} of schemas that are "
          f"refused, {n_missed} of {n_valid} valid ones missed, {len(wrong)} invalid ones taken")
    print("\n".join(wrong))
    assert len(groups) > 300 and not wrong
    assert n_missed < 0.08 * n_valid    # 1.0 as an integer, members in no schema's order, formats
    assert n_right > 0.45 * n_tests
