"""What numbers the options of each command take: bounds are part of what a user was told."""

import subprocess

import pytest

M24, P53 = "16777216", "9.007199255e+15"
ROPE = [("--rope-scale", "0", "1000000"), ("--rope-freq-base", "0", "1e+12"),
        ("--rope-freq-scale", "0", "1000000"), ("--yarn-orig-ctx", "0", M24),
        ("--yarn-attn-factor", "-1", "1000000"), ("--yarn-beta-slow", "-1", "1000000"),
        ("--yarn-beta-fast", "-1", "1000000")]
MODEL = [("--threads", "0", "1024"), *ROPE]
SAMPLING = [("--temp", "0", "100"), ("--top-k", "0", "2097152"), ("--top-p", "0", "1"),
            ("--min-p", "0", "1"),
            ("--typical", "0", "1"), ("--repeat-penalty", "0.01", "100"), ("--repeat-last-n", "0",
            M24), ("--frequency-penalty", "-100", "100"), ("--presence-penalty", "-100", "100"),
            ("--dry-multiplier", "0", "100"), ("--dry-base", "1", "100"),
            ("--dry-allowed-length", "0", M24), ("--dry-penalty-last-n", "-1", M24),
            ("--top-nsigma", "-1", "1000"), ("--xtc-probability", "0", "1"),
            ("--xtc-threshold", "0", "1"), ("--dynatemp-range", "0", "100"),
            ("--dynatemp-exp", "0", "100"), ("--mirostat", "0", "2"),
            ("--mirostat-ent", "0", "100"), ("--mirostat-lr", "0", "10")]
BOUNDS = {
    "bench": [*MODEL, ("--prompt-tokens", "1", "1048576"), ("--gen-tokens", "2", "1048576"),
              ("--ubatch-size", "1", "4096"), ("--rounds", "1", "16")],
    "score": [*MODEL, ("--top", "0", "20"), ("--ctx-size", "1", M24),
              ("--ubatch-size", "1", "4096")],
    "doctor": [("--threads", "0", "1024"), ("--port", "1", "65535")],
    "load": [("--concurrency", "1", "65536"), ("--rate", "0.0001", "1000000"),
             ("--max-in-flight", "1", "65536"),
             ("--requests", "1", "1000000000"), ("--duration", "0.001",
                                                 "10000000"), ("--warmup", "0", "1000000"),
             ("--shared-prefix", "0", "1"), ("--max-tokens", "0", M24), ("--temperature", "0",
                                                                         "100"),
             ("--timeout", "0.001", "1000000"), ("--connect-timeout", "0.001",
                                                 "1000000"), ("--seed", None, None)],
    "plan": [*MODEL, ("--parallel", "1", "4096"), ("--ctx-size", "16", M24), ("--depth", "1", M24),
             ("--prompt-tokens", "1", M24), ("--memory", "0.1", "1000000"), ("--bandwidth", "1",
             "1000000"), ("--tflops", "0.001", "1000000")],
    "pull": [("--retries", "0", "1000"), ("--retry-delay", "0.001", "60"),
             ("--stall-timeout", "1", "3600")],
    "run": [*MODEL, *SAMPLING, ("--n-predict", "0", M24), ("--ctx-size", "0", M24),
            ("--seed", "0", P53)],
    "serve": [*MODEL, *SAMPLING, ("--parallel", "-1", "4096"), ("--ctx-size", "0", M24),
              ("--kv-tokens", "0", "1.099511628e+12"), ("--ubatch-size", "1", "8192"),
              ("--keep-resident", "0", "31536000"),
              ("--prefill-tokens", "1", "8192"), ("--queue-requests", "1", "1048576"),
              ("--queue-tokens", "1", "1.099511628e+12"), ("--port", "0",
                                                           "65535"), ("--timeout", "1", "1048576"),
              ("--n-predict", "-1", "2147483647"), ("--sse-ping-interval", "-1", "3600"),
              ("--write-timeout", "0", "86400"), ("--grace", "0", "86400"), ("--max-connections",
              "1", "65536"), ("--seed", "-1", P53), ("--verbosity", "0", "100"),
              ("--agent-port", "0", "65535"), ("--max-priority", "0", "100")],
    "service": [("--grace", "0", "86400")],
    "top": [("--interval", "0.1", "3600")],
    "up": [*ROPE, ("--parallel", "1", "4096"), ("--ctx-size", "0", M24), ("--threads", "0", "1024"),
           ("--port", "0", "65535"), ("--timeout", "1", "86400")],
    "down": [("--timeout", "1", "86400")],
}


def refusal(build_dir, *words):
    done = subprocess.run([build_dir / "paceline", *words], capture_output=True, timeout=60,
                          text=True)
    assert done.returncode == 2 and not done.stdout, done
    return done.stderr


@pytest.mark.parametrize("command", BOUNDS)
def test_bounds_of_numbers(build_dir, command):
    for option, least, most in BOUNDS[command]:
        wanted = (f"found \"x\", a number from {least} to {most} is wanted" if most
                  else '"x" is not a number')
        assert refusal(build_dir, command, option, "x") == f"paceline: {option}: {wanted}\n"


@pytest.mark.parametrize("command", BOUNDS)
def test_no_option_that_takes_a_number_is_missing_here(build_dir, command):
    """By what its value is called."""
    page = subprocess.run([build_dir / "paceline", command, "--help"], capture_output=True,
                          timeout=60, text=True, check=True).stdout
    known = {row[0] for row in BOUNDS[command]}
    for line in page.splitlines():
        words = line.replace(",", "").split()
        names = [word for word in words if word.startswith("-")]
        if line.startswith("  -") and {"N", "X", "S", "R", "GIB",
                                       "GB/S"} & set(words[:len(names) + 1]):
            assert (known | {"--yarn-ext-factor", "--n-gpu-layers"}) & set(names), line
