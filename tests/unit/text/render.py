"""Chat templates rendered by paceline's C face, through the small program render_cli."""

import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Renderer:
    def __init__(self):
        folder = ROOT / "build" / "render_cli"
        for command in (
            ["cmake", "-S", ROOT / "tests/unit/text", "-B", folder],
            ["cmake", "--build", folder],
        ):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stdout + done.stderr)
        self.process = subprocess.Popen(
            [folder / "render_cli"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __call__(self, request, **job):
        """{"text", "guard"} or {"error", "status"}; job: template, builtin, tool_use, bos,
        eos, control."""
        line = json.dumps({**job, "request": request}) + "\n"
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()
        reply = self.process.stdout.readline()
        assert reply, "render_cli died"
        return json.loads(reply)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(timeout=60) == 0
