"""paceline run as a person at a terminal has it: a pseudo-terminal of its own, keys, and what is
seen."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

CTRL_C, CTRL_D, UP, LEFT, HOME, BACK = "\x03", "\x04", "\x1b[A", "\x1b[D", "\x1b[1~", "\x7f"
# to which SmolLM2 says more than eight thousand tokens: a minute in which to stop it
LONG = "Write a long story about a race of a hundred cyclists through the mountains."
LONGER = "Write a very long poem."
WORDS = r"\r\n\S+ \S+ \S+ "


class Terminal:
    def __init__(self, argv, env):
        ours, its = pty.openpty()
        self.fd, self.seen, self.at = ours, "", 0
        self.process = subprocess.Popen(
            [str(word) for word in argv], stdin=its, stdout=its, stderr=its, env=env,
            start_new_session=True, preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)))
        os.close(its)

    def until(self, pattern, seconds=60):
        """Waits until what is seen after the last match has `pattern`; returns all up to it."""
        end = time.monotonic() + seconds
        while not (found := re.compile(pattern).search(self.seen, self.at)):
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            part = b""
            with contextlib.suppress(OSError):      # the other end was closed
                part = os.read(self.fd, 65536) if ready else b""
            if not part:
                raise AssertionError(f"no {pattern!r} in {self.seen[self.at:]!r}")
            self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part.decode(errors="replace"))
        text, self.at = self.seen[self.at:found.end()], found.end()
        return text

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def ask(self, text):
        """A question with its reply; returns the line of figures."""
        self.type(text + "\r")
        return self.until(r"\[\d+ prompt tokens.*\]")

    def left(self):
        """The exit code; the program ends by itself."""
        with contextlib.suppress(OSError):
            while select.select([self.fd], [], [], 30)[0] and os.read(self.fd, 65536):
                pass
        return self.process.wait(timeout=30)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.fd)


@pytest.fixture
def chat(build_dir, fetch_model, tmp_path):
    opened = []

    def start(*options):
        env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path),
               "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        t = Terminal([build_dir / "paceline", "run", "--model", fetch_model("smollm2-135m"),
                      "--temp", 0, *options], env)
        opened.append(t)
        t.until("> ")
        return t
    yield start
    for t in opened:
        t.close()


def prompt_tokens(figures):
    return int(re.search(r"\[(\d+) prompt tokens", figures)[1])


def test_ctrl_c_at_the_prompt_swallows_nothing(chat):
    t = chat("-n", 4)
    alone = prompt_tokens(t.ask("What is two plus two?"))
    t.until("> ")
    t.type("/clear\r")
    t.until("forgotten[^>]*> ")
    for typed in ("", "half a question") * 50:      # as it falls between prompt and wait, or not
        t.type(typed)
        if typed:
            t.until(typed)
        t.type(CTRL_C)
        t.until(r"Ctrl-D or /bye leaves.\r\n> ")
    figures = t.ask("What is two plus two?")
    assert prompt_tokens(figures) == alone and "4 reply tokens" in figures
    t.until("> ")
    t.type(CTRL_D)
    assert t.left() == 0


def test_a_stopped_reply_leaves_a_whole_conversation(chat):
    t = chat()
    t.type(LONG + "\r")
    t.until(WORDS)
    t.type(CTRL_C)
    first = t.until(r"\[.*\]")
    assert ", stopped]" in first
    kept, replied = prompt_tokens(first), int(re.search(r"(\d+) reply tokens", first)[1])
    assert replied > 0
    t.until("> ")
    t.type(LONGER + "\r")
    t.until(WORDS)
    t.type(CTRL_C)
    second = prompt_tokens(t.until(r"\[.*\]"))
    assert second > kept                    # the question and what came of its reply
    t.until("> ")
    t.type("/clear\r")
    t.until("> ")
    t.type(LONG + "\r")
    t.until(WORDS)
    t.type(CTRL_C)
    assert prompt_tokens(t.until(r"\[.*\]")) == kept


def test_the_system_prompt_outlives_clear(chat):
    with_prompt = chat("-n", 1, "--system-prompt", "Answer as a racing cyclist, always.")
    without = chat("-n", 1)
    first = prompt_tokens(with_prompt.ask("Hello"))
    assert first != prompt_tokens(without.ask("Hello"))
    with_prompt.type("/clear\r")
    with_prompt.until("forgotten")
    assert prompt_tokens(with_prompt.ask("Hello")) == first


def test_commands(chat):
    t = chat("-n", 1)
    t.type("/help\r")
    shown = t.until("run_history.*\r\n> ")
    for word in ("/clear", "/bye", "Ctrl-C", '"""'):
        assert word in shown
    t.type("/hepl now\r")
    t.until("no command /hepl; /help names them.\r\n> ")
    t.ask("/etc/hosts is a file of what?")          # a path is no command
    t.until("> ")
    t.type("/bye\r")
    assert t.left() == 0


def test_lines_are_edited_and_kept(chat, tmp_path):
    t = chat("-n", 1)
    plain = prompt_tokens(t.ask("Why is the sky blue?"))
    t.until("> ")
    t.type("/clear\r")
    t.until("> ")
    edited = t.ask("hy is the sky blux" + BACK + "e?" + HOME + "W" + LEFT)
    assert prompt_tokens(edited) == plain
    t.until("> ")
    t.ask(" a secret")
    t.until("> ")
    t.type("/clear\r")
    t.until("> ")
    t.type(UP + UP)                                 # past /clear
    t.until("Why is the sky blue")
    assert prompt_tokens(t.ask("")) == plain
    history = tmp_path / "cache/paceline/run_history"
    assert history.stat().st_mode & 0o777 == 0o600
    assert "sky" in history.read_text() and "secret" not in history.read_text()
    later = chat("-n", 1)
    later.type(UP)
    later.until("Why is the sky blue")


def test_several_lines_are_one_question(chat, build_dir, fetch_model):
    t = chat("-n", 1)
    t.type('"""One\r')
    t.until(r"\.\.\. ")
    t.type("two\r")
    t.until(r"\.\.\. ")
    figures = t.ask('three"""')
    once = subprocess.run([build_dir / "paceline", "run", "-m", fetch_model("smollm2-135m"),
                           "--temp",
                           "0", "-n", "1", "-p", "One\ntwo\nthree"], capture_output=True, text=True,
                          timeout=60)
    assert prompt_tokens(figures) == prompt_tokens(once.stderr)


def test_letters_beyond_ascii(chat, tmp_path):
    t = chat("-n", 1)
    t.ask("Größe x" + LEFT + BACK + "½")
    assert "Größe" in (tmp_path / "cache/paceline/run_history").read_text(encoding="utf-8") \
        or "Gr\\303\\266" in (tmp_path / "cache/paceline/run_history").read_text()


def test_what_fails_does_not_end_a_chat(chat):
    t = chat("-n", 1, "-c", 128)
    t.type("word " * 200 + "\r")
    t.until("/clear forgets the conversation")
    t.until("> ")
    t.ask("Hello")


def test_a_pipe_has_plain_lines(build_dir, fetch_model):
    """No prompt, no commands, no quotes: each line is asked as it stands."""
    done = subprocess.run([build_dir / "paceline", "run", "-m", fetch_model("smollm2-135m"),
                           "--temp",
                           "0", "-n", "1"], input='/bye\n"""\n\nthird\r\n', capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0 and done.stderr.count("prompt tokens") == 3
    assert "> " not in done.stdout


@pytest.mark.parametrize("options", [[], ["-p", LONG]],
                         ids=["pipe", "prompt"])
def test_ctrl_c_without_a_terminal(build_dir, fetch_model, options):
    """Ends what waits for a line, and a reply; a shell is told of it."""
    process = subprocess.Popen([build_dir / "paceline", "run", "-m", fetch_model("smollm2-135m"),
                                "--temp", "0", *options], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    try:
        if not options:
            process.stdin.write(b"Say one word.\n")
            assert b"prompt tokens" in process.stderr.readline()
        else:
            assert process.stdout.read(1)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 130
    finally:
        process.kill()
        process.wait()
