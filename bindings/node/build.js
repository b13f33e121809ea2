// Compiles addon.c to build/paceline.node with the system's compiler: the library is where
// pkg-config finds it. CFLAGS are added.
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const headers = createRequire(import.meta.url)("node-api-headers").include_dir;

const words = (text) => text.trim().split(/\s+/).filter(Boolean);
const package_ = (...options) =>
  words(execFileSync("pkg-config", [...options, "paceline"], { encoding: "utf8" }));

const libdir = package_("--variable=libdir")[0];
const undefined_ = process.platform === "darwin" ? ["-undefined", "dynamic_lookup"] : [];
mkdirSync(join(here, "build"), { recursive: true });
execFileSync(
  process.env.CC ?? "cc",
  [
    "-std=c11", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror",
    ...words(process.env.CFLAGS ?? ""), "-I", headers, join(here, "addon.c"),
    "-o", join(here, "build/paceline.node"), ...package_("--cflags", "--libs"),
    `-Wl,-rpath,${libdir}`, ...undefined_,
  ],
  { stdio: "inherit" },
);
