"""Pre-tokenizers against the models' own patterns, run by Python's regex module on random text, and
utf8_stream against Python's decoder."""

import pathlib
import random
import struct
import subprocess
import unicodedata

import pytest
import regex

CASED = (  # as in the tokenizer.json of deepseek-llm, by code point
    "A-Za-z\xb5\xc0-\xd6\xd8-\xf6\xf8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
    "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5"
    "\u03f7-\u0481"
    "\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf"
    "\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d"
    "\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4"
    "\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107"
    "\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f"
    "\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3"
    "\ua640-\ua66d"
    "\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17"
    "\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb"
    "\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
)
CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?"
TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = HEAD + r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL
UP, LOW = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def o200k(suffix, number):
    first = r"[^\r\n\p{L}\p{N}]?"
    return (
        f"{first}{UP}*{LOW}+{suffix}|{first}{UP}+{LOW}*{suffix}|{number}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL
    )


PATTERNS = {
    "gpt-2": [GPT2],
    "default": [GPT2],
    "smollm": [r"\p{N}", GPT2],
    "llama-bpe": [LLAMA3],
    "llama3": [LLAMA3],
    "dbrx": [LLAMA3],
    "qwen2": [HEAD + r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL],
    "deepseek-r1-qwen": [HEAD + r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL],
    "seed-coder": [HEAD + r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+" + TAIL],
    "qwen35": [HEAD + r"[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + TAIL],
    "gpt-4o": [o200k("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", r"\p{N}{1,3}")],
    "tekken": [o200k("", r"\p{N}")],
    "deepseek-llm": [
        r"[\r\n]",
        rf"\s?[{CASED}]+",
        r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
        r"\s+\Z",
        CJK,
        r"\p{N}",
    ],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, r"\p{N}"],
    "deepseek-v3": [
        r"\p{N}{1,3}",
        "[一-龥\u3040-ゟ゠-ヿ]+",
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
        r"| ?[\p{P}\p{S}]+[\r\n]*" + TAIL,
    ],
}

# Characters whose category no Unicode version of the last twenty years changed: the tables of two
# libraries need not be of one age.
STABLE = [
    c
    for c in map(chr, range(0x20000))
    if unicodedata.ucd_3_2_0.category(c) == unicodedata.category(c) not in ("Cn", "Cs")
]
COMMON = (
    list("aAzZbBtTsSdDmMlLvVrReE09 \t\n\r\v\f'!.,-_/\\<>|=+$^~`\"()[]{}@#%&*?:;")
    + ["'s", "'LL", "'\u017f", " ", "  ", "\n\n", "\r\n", " \n", "123", "1234567"]
    + list("\x00\x1c\x1f\x7f\x85\xa0\xad\u1680\u180e\u2000\u200b\u2028\u2029\u202f\u205f\u3000"
           "\ufeff")
    + list("éßñǅʰªºµ½²٣๓Ⅷ〇一龥龦ࠀがカー가힣\ud7ff字🙂🏽\u0301\u200d₂₀€©™♥‘’“”„。、！～\uff21\u212a")
)


def random_text(rng):
    pool = COMMON if rng.random() < 0.7 else COMMON + rng.sample(STABLE, 200)
    text = ""
    while len(text) < 60 and rng.random() < 0.97:
        text += rng.choice(pool) * (1 if rng.random() < 0.8 else rng.randrange(1, 6))
    return text.replace("\ud7ff", "\ud7a3")


def split(text, patterns):
    """What "Split, isolated" does, pattern after pattern."""
    pieces = [text]
    for pattern in patterns:
        cut = []
        for piece in pieces:
            at = 0
            for match in pattern.finditer(piece):
                cut += [piece[at : match.start()], match.group()]
                at = match.end()
            cut.append(piece[at:])
        pieces = [piece for piece in cut if piece]
    return pieces


@pytest.fixture(scope="module")
def cli(build_dir):
    path = next(pathlib.Path(build_dir).rglob("tokenize_cli"), None)
    assert path, f"{build_dir} has no tokenize_cli: build it first"

    def run(args, inputs):
        data = b"".join(struct.pack("<I", len(b)) + b for b in inputs)
        done = subprocess.run([path, *args], input=data, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        lines = done.stdout.decode().split("\n")
        assert len(lines) == len(inputs) + 1
        return lines[:-1]

    return run


@pytest.mark.parametrize("name", PATTERNS)
def test_pieces_equal_those_of_the_models_pattern(cli, name):
    seed = 20260101
    rng = random.Random(f"{seed} {name}")
    texts = [random_text(rng) for _ in range(3000)] + STABLE[:3000]
    patterns = [regex.compile(p, regex.V0) for p in PATTERNS[name]]

    for text, line in zip(texts, cli(["split", name], [t.encode() for t in texts])):
        lengths = [int(n) for n in line.split()]
        want = split(text, patterns)
        assert lengths == [len(p.encode()) for p in want], f"seed {seed}: {text!r}: want {want}"


def test_an_unknown_name_is_refused_with_the_known_ones(cli):
    with pytest.raises(AssertionError, match="'no-such-one'.*unknown.*gpt-2"):
        cli(["split", "no-such-one"], [b"text"])


def random_bytes(rng):
    parts = [
        lambda: rng.randbytes(rng.randrange(1, 4)),
        lambda: rng.choice(STABLE).encode(),
        lambda: rng.choice("é€🙂\U0010ffff").encode()[: rng.randrange(1, 4)],
        lambda: rng.choice([b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90", b"\xe0\x80", b"\xf0\x8f"]),
    ]
    return b"".join(rng.choice(parts)() for _ in range(rng.randrange(0, 12)))


def test_utf8_stream_replaces_what_python_replaces(cli):
    seed = 20260102
    rng = random.Random(seed)
    inputs = [random_bytes(rng) for _ in range(5000)] + [bytes([b]) for b in range(256)]
    for data, line in zip(inputs, cli(["utf8"], inputs)):
        want = data.decode("utf-8", "replace").encode().hex()
        assert line == want, f"seed {seed}: {data!r}"
