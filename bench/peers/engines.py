"""Runs one engine once on one load and reads its figures."""
import json
import pathlib
import re
import subprocess

import processes


class Missing(Exception):
    """There is no result; says why."""


def run(command, timeout_s, cwd=None):
    try:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=cwd,
                              timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise Missing(f"no result within {timeout_s} s") from None
    except OSError as e:
        raise Missing(str(e)) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing on standard error"])[-1]
        raise Missing(f"exit code {done.returncode}: {last[:200]}")
    return done


class Paceline:
    name = "paceline"

    def __init__(self, binary, more=()):
        self.binary = binary
        self.settings = [list(more)]

    def version(self):
        return run([self.binary, "--version"], 10).stdout.strip()

    def measure(self, case, model, threads, setting, timeout_s):
        done = run([self.binary, "bench", "--model", model, "--streams", case.streams,
                    "--prompt-tokens", case.prompt, "--gen-tokens", case.gen, "--threads", threads,
                    "--json", *setting], timeout_s)
        out = json.loads(done.stdout)
        row, machine = out["rows"][0], out["machine"]
        return {"decode_tok_s": round(row["decode_tok_s"], 2),
                "prefill_tok_s": round(row["prefill_tok_s"], 2),
                "token": {"macs": machine["macs_per_token"],
                          "step_weight_bytes": machine["step_weight_bytes"],
                          "kv_bytes": machine["kv_bytes_per_token"]}}


class BatchedBench:
    """llama.cpp or ik_llama.cpp: llama-batched-bench, one process for all streams."""

    def __init__(self, name, folder, settings):
        self.name, self.folder = name, pathlib.Path(folder).resolve()
        self.settings = settings
        self.program = self.folder / "llama-batched-bench"
        if not self.program.exists():
            raise SystemExit(f"{name}: {self.program} is missing; a folder of its programs is "
                             f"wanted")

    def version(self):
        note = self.folder / "peer_version.txt"     # by build_llama_cpp.sh, or a person
        return note.read_text().strip() if note.exists() else "unknown"

    def measure(self, case, model, threads, setting, timeout_s):
        n_ctx = case.streams * (case.prompt + case.gen)
        done = run([self.program, "-m", model, "-c", max(n_ctx, 256), "-b", 2048, "-ub", 512,
                    "-npp", case.prompt, "-ntg", case.gen, "-npl", case.streams, "-t", threads,
                    *setting], timeout_s, cwd=self.folder)      # it leaves a log where it runs
        for line in (done.stdout + done.stderr).splitlines():   # ik_llama.cpp: on standard error
            # | PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s | T s | S t/s |
            cells = [c.strip() for c in line.split("|")]
            if len(cells) > 10 and re.fullmatch(r"\d+", cells[1]) and int(cells[3]) == case.streams:
                return {"decode_tok_s": float(cells[8]), "prefill_tok_s": float(cells[6])}
        raise Missing("llama-batched-bench printed no row for this load")


class Processes:
    """llama.cpp, a process for each stream, all on one mapped file."""
    name = "llama.cpp processes"
    LIMIT_S = 240               # to load, read the prompts and decode: threads that wait for each
                                # other on too few cores may hardly get on at all
    # Repacked weights are each process's own; without repacking all share the file's pages.
    settings = [["-t", "1", "-fa", "on"], ["-t", "2", "-fa", "on"],
                ["-t", "1", "-fa", "on", "--no-repack"], ["-t", "2", "-fa", "on", "--no-repack"]]

    def __init__(self, batched, window_s):
        self.version, self.window_s = batched.version, window_s
        self.program = batched.folder / "llama-server"

    def measure(self, case, model, threads, setting, timeout_s):
        if not self.program.exists():
            raise Missing(f"{self.program.name} was not built")
        command = [str(self.program), "-m", str(model), *setting, "-np", "1", "-c", "4096"]
        try:
            rate = processes.decode_rate(command, case.streams, case.prompt, self.window_s,
                                         min(timeout_s, self.LIMIT_S))
        except processes.Failed as e:
            raise Missing(str(e)) from None
        return {"decode_tok_s": round(rate, 2), "prefill_tok_s": None}


def all_engines(args):
    """Those whose programs were given, in the order in which they take turns."""
    engines = [Paceline(args.binary, args.paceline_options.split())]
    if args.llama_bin:
        engines.append(BatchedBench("llama.cpp", args.llama_bin,
                                    [["-fa", "on"], ["-fa", "off"]]))
        engines.append(Processes(engines[-1], args.window_s))
    if args.ik_bin:
        engines.append(BatchedBench("ik_llama.cpp", args.ik_bin,
                                    [["-rtr", "-fa", "on"], ["-fa", "on"]]))
    return engines
