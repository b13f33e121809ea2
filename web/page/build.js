// node page/build.js FOLDER: the page as one document, plain and compressed, with the policy that
// it is served under (its script and its style are named by their hashes) and its ETag.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { buildSync } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url)), folder = process.argv[2];

const built = buildSync({
  entryPoints: [join(here, "main.jsx")], bundle: true, minify: true, write: false, outdir: folder,
  target: "es2022", jsx: "automatic", jsxImportSource: "preact", logLevel: "warning",
});
const text = (suffix) => built.outputFiles.find((f) => f.path.endsWith(suffix)).text;
const style = text(".css"), script = text(".js");
if (/<\/(script|style)/i.test(script + style)) throw new Error("an element would end too early");

const digest = (of, how) => createHash("sha256").update(of).digest(how);
const source = (of) => `'sha256-${digest(of, "base64")}'`;
const policy = ["default-src 'none'", `script-src ${source(script)}`, `style-src ${source(style)}`,
  "connect-src 'self'", "img-src data:", "base-uri 'none'", "form-action 'none'",
  "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types dompurify",
].join("; ");
const page = Buffer.from(readFileSync(join(here, "page.html"), "utf8")
  .replace("STYLE", () => style).replace("SCRIPT", () => script));

const files = {
  "page.html": page, "page.gz": gzipSync(page, { level: 9 }),
  "page.br": brotliCompressSync(page, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: page.length,
    [constants.BROTLI_PARAM_QUALITY]: 11 } }),
  // strings: with the zero byte that ends them
  "page.policy": `${policy}\0`, "page.etag": `${digest(page, "hex").slice(0, 16)}\0`,
};
mkdirSync(folder, { recursive: true });
for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
