#include "cli/serve/llama_options.h"

#define NOTHING FOREIGN_NOTHING
#define REFUSED FOREIGN_REFUSED
#define FLAG FOREIGN_FLAG
#define SWITCH FOREIGN_SWITCH
#define VALUE FOREIGN_VALUE

static const char always_on[] = "always on";
static const char no_speculation[] = "there is no speculative decoding";
static const char no_vision[] = "there are no images, sounds and videos: models of text are served";
static const char no_adapters[] = "there are no adapters: merge it into the model's file";
static const char no_grammars[] = "requests bring their own: grammar, json_schema";
static const char no_sampler[] = "there is no such sampler";
static const char no_mcp[] = "the page at / talks to this server alone";
static const char no_tools[] = "the server runs no tools; a client that does may be connected";
static const char no_router[] = "a server has one model: start one for each, on ports of their own";
static const char no_tls[] = "there is no TLS: put a proxy in front (docs/operations.md)";
static const char no_shortcuts[] = "name the model: -hf OWNER/REPO:TAG";
static const char by_request[] = "ask for it in each request";
static const char by_template[] = "the template decides: --chat-template-kwargs "
                                  "'{\"enable_thinking\": false}', or a request's "
                                  "chat_template_kwargs";
static const char own_threads[] = "threads are placed by the system; taskset and numactl place the "
                                  "whole program";
static const char only_of_sampler[] = "only another option, which is not supported, would use it";
static const char one_place[] = "the whole model and its KV lie where --backend computes";
static const char own_cache[] =
    "pages of finished prompts stay in the KV pool until others need room";
static const char page_as_is[] = "the page at / is set up in the browser";

static const struct foreign list[] = {
    /* what is always so */
    { "--cont-batching -cb -nocb", NOTHING, SWITCH, NULL, always_on },
    { "--flash-attn -fa", NOTHING, SWITCH, NULL, always_on },
    { "--jinja", NOTHING, SWITCH, NULL, always_on },
    { "--kv-unified -kvu", NOTHING, SWITCH, NULL, "always on: one pool of pages" },
    { "--mmap", NOTHING, SWITCH, NULL,
      "files are mapped while they are read; weights are packed in memory, or mapped from "
      "--pack-cache" },
    { "--repack -nr", NOTHING, SWITCH, NULL, "weights are always packed for the machine" },
    { "--direct-io -dio -ndio", NOTHING, SWITCH, NULL, "files are mapped" },
    { "--lazy-mode -lzm", NOTHING, VALUE, NULL, "all of a model is read at start" },
    { "--warmup", NOTHING, SWITCH, NULL, "memory is taken and touched at start" },
    { "--batch-size -b", NOTHING, VALUE, NULL, "a step's size is --ubatch-size" },
    { "--threads-batch -tb", NOTHING, VALUE, NULL,
      "one team of --threads does prompts and replies" },
    { "--threads-http", NOTHING, VALUE, NULL, "one thread serves every connection" },
    { "--swa-full", NOTHING, FLAG, NULL, "a window's pages are kept in the prefix index" },
    { "--keep", NOTHING, VALUE, NULL, "a context is never shifted" },
    { "--perf", NOTHING, SWITCH, NULL, "GET /metrics has all times" },
    { "--escape -e", NOTHING, SWITCH, NULL, "the server has no prompt of its own" },
    { "--check-tensors", NOTHING, FLAG, NULL,
      "types and sizes of tensors are always checked, their values are not" },
    { "--props", NOTHING, FLAG, NULL,
      "GET /props is always there; nothing can be changed with it" },
    { "--fit -fit", NOTHING, SWITCH, NULL, "a context that is not given is what fits" },
    { "--fit-target -fitt --fit-ctx -fitc", NOTHING, VALUE, NULL,
      "a context that is not given is what fits" },
    { "--tags", NOTHING, VALUE, NULL, "nothing reads them" },
    /* the cache of prompts */
    { "--cache-reuse", NOTHING, VALUE, NULL,
      "equal beginnings are found by content; later pieces are not moved" },
    { "--cache-ram -cram", NOTHING, VALUE, NULL, own_cache },
    { "--cache-idle-slots --clear-idle", NOTHING, SWITCH, NULL, own_cache },
    { "--ctx-checkpoints -ctxcp --swa-checkpoints --checkpoint-min-step -cms", NOTHING, VALUE, NULL,
      own_cache },
    { "--slot-prompt-similarity -sps", NOTHING, VALUE, NULL,
      "no slot keeps a prompt: pages are found by content" },
    { "--defrag-thold -dt", NOTHING, VALUE, NULL, "pages need no defragmentation" },
    { "--sleep-idle-seconds", NOTHING, VALUE, NULL, "an idle server takes no processor time" },
    /* where things are computed */
    { "--kv-offload -kvo -nkvo", NOTHING, SWITCH, NULL, one_place },
    { "--op-offload -nopo", NOTHING, SWITCH, NULL, one_place },
    { "--no-host --cpu-moe -cmoe", NOTHING, FLAG, NULL, one_place },
    { "--n-cpu-moe -ncmoe --n-cpu-ffn -ncffn --moe-cache-mib --override-tensor -ot", NOTHING, VALUE,
      NULL, one_place },
    { "--split-mode -sm --tensor-split -ts --main-gpu -mg", NOTHING, VALUE, NULL,
      "one device computes" },
    { "--poll --poll-batch", NOTHING, VALUE, NULL, "threads wait as suits the machine" },
    { "--backend-sampling -bs", NOTHING, FLAG, NULL, "tokens are picked where the logits are" },
    { "--numa", REFUSED, VALUE, NULL, own_threads },
    { "--cpu-mask -C --cpu-range -Cr --cpu-mask-batch -Cb --cpu-range-batch -Crb", REFUSED, VALUE,
      NULL, own_threads },
    { "--cpu-strict --cpu-strict-batch", REFUSED, VALUE, "0", own_threads },
    { "--prio --prio-batch", REFUSED, VALUE, "0", "nice and the service's file set priorities" },
    { "--rpc", REFUSED, VALUE, NULL, "one machine computes" },
    { "--list-devices", REFUSED, FLAG, NULL, "paceline self-test and paceline doctor name them" },
    /* embeddings */
    { "--embeddings --embedding", NOTHING, FLAG, NULL, "embeddings are always served" },
    { "--embd-normalize", NOTHING, VALUE, NULL, "a request says it: embd_normalize" },
    { "--embd-output-format --embd-separator", NOTHING, VALUE, NULL,
      "a request is JSON, and so is its answer" },
    /* the log */
    { "--log-colors", NOTHING, SWITCH, NULL, "the log has no colours" },
    { "--log-prefix", NOTHING, SWITCH, NULL, "each line names its level and subsystem" },
    { "--log-timestamps", NOTHING, SWITCH, NULL, "what keeps the log adds the time" },
    { "--log-jsonl", REFUSED, SWITCH, "off", "the log is lines of text" },
    { "--log-prompts-dir", REFUSED, VALUE, NULL, "prompts are never written down" },
    { "--verbose-prompt", REFUSED, FLAG, NULL, "prompts are never written down" },
    /* browsers */
    { "--webui-config --ui-config --webui-config-file --ui-config-file", NOTHING, VALUE, NULL,
      page_as_is },
    { "--webui-mcp-proxy --ui-mcp-proxy", REFUSED, SWITCH, "off", no_mcp },
    { "--path", REFUSED, VALUE, NULL, "the server has no files to show" },
    { "--cors-methods --cors-headers", NOTHING, VALUE, NULL,
      "a page of --cors-origin may use what it asks for" },
    { "--cors-credentials", NOTHING, SWITCH, NULL, "keys travel in headers, which need none" },
    { "--tools --tools-runtime --mcp-servers-config --mcp-servers-json", REFUSED, VALUE, NULL,
      no_tools },
    { "--agent -ag", REFUSED, SWITCH, "off", no_tools },
    /* features that are not there */
    { "--ssl-key-file --ssl-cert-file", REFUSED, VALUE, NULL, no_tls },
    { "--mmproj -mm --mmproj-url -mmu", REFUSED, VALUE, NULL, no_vision },
    { "--no-mmproj --no-mmproj-auto --mmproj-auto --mmproj-offload --no-mmproj-offload", NOTHING,
      FLAG, NULL, "no projector is ever loaded" },
    { "--mmproj-device -mmdev --media-path --image-* --mtmd-* --video-*", REFUSED, VALUE, NULL,
      no_vision },
    { "--reranking --rerank", REFUSED, FLAG, NULL, "there is no reranking" },
    { "--lora --lora-scaled --control-vector --control-vector-scaled --control-vector-layer-range",
      REFUSED, VALUE, NULL, no_adapters },
    { "--lora-init-without-apply", REFUSED, FLAG, NULL, no_adapters },
    { "--grammar", REFUSED, VALUE, "", no_grammars },
    { "--grammar-file --json-schema -j --json-schema-file -jf", REFUSED, VALUE, NULL, no_grammars },
    { "--slot-save-path", REFUSED, VALUE, NULL, "the KV of a slot is not stored" },
    { "--context-shift", REFUSED, SWITCH, "off", "a reply ends at the end of its context" },
    { "--grp-attn-n -gan", REFUSED, VALUE, "1", "a context is not stretched by groups" },
    { "--grp-attn-w -gaw", NOTHING, VALUE, NULL, only_of_sampler },
    { "--special -sp", REFUSED, FLAG, NULL, "control tokens are not part of a reply's text" },
    { "--spm-infill", REFUSED, FLAG, NULL, "there is no /infill" },
    { "--system-prompt-file -spf", REFUSED, VALUE, NULL, "send it as the first message" },
    { "--models-dir --models-preset --models-max", REFUSED, VALUE, NULL, no_router },
    { "--models-autoload", REFUSED, SWITCH, "off", no_router },
    { "--docker-repo -dr", REFUSED, VALUE, NULL,
      "models come from a hub or a URL: -hf, --model-url" },
    { "--cache-list -cl", REFUSED, FLAG, NULL, "paceline list shows what was pulled" },
    { "--completion-bash", REFUSED, FLAG, NULL, "paceline completion bash prints it" },
    { "--version", REFUSED, FLAG, NULL, "paceline --version says it" },
    /* speculation */
    { "--spec-type", REFUSED, VALUE, "none", no_speculation },
    { "--spec-default", REFUSED, FLAG, NULL, no_speculation },
    { "--model-draft -md --hf-repo-draft -hfd -hfrd --lookup-cache-static -lcs "
      "--lookup-cache-dynamic -lcd", REFUSED, VALUE, NULL, no_speculation },
    { "--draft-max --draft --draft-n", REFUSED, VALUE, "0", no_speculation },
    { "--draft-min --draft-n-min --draft-p-min --draft-p-split --ctx-size-draft -cd --device-draft "
      "-devd --gpu-layers-draft --n-gpu-layers-draft -ngld --cache-type-k-draft -ctkd "
      "--cache-type-v-draft -ctvd --threads-draft -td --threads-batch-draft -tbd "
      "--override-tensor-draft -otd --n-cpu-moe-draft -ncmoed --spec-replace", NOTHING, VALUE, NULL,
      only_of_sampler },
    { "--cpu-moe-draft -cmoed", NOTHING, FLAG, NULL, only_of_sampler },
    { "--spec-*", REFUSED, VALUE, NULL, no_speculation },
    /* thoughts */
    { "--reasoning-format", REFUSED, VALUE, "auto deepseek",
      "a request says it: reasoning_format" },
    { "--skip-chat-parsing", REFUSED, SWITCH, "off",
      "a request says it: tool_choice none, reasoning_format none" },
    { "--reasoning -rea", REFUSED, VALUE, "auto", by_template },
    { "--reasoning-budget", REFUSED, VALUE, "-1", by_template },
    { "--reasoning-effort", REFUSED, VALUE, "default",
      "a request says it, or --chat-template-kwargs, '{\"reasoning_effort\": \"low\"}'" },
    { "--reasoning-budget-message", NOTHING, VALUE, NULL, only_of_sampler },
    { "--reasoning-preserve", NOTHING, SWITCH, NULL,
      "messages reach the template as they are sent" },
    { "--prefill-assistant", NOTHING, SWITCH, NULL, "a request's add_generation_prompt says it" },
    /* samplers */
    { "--logit-bias -l", REFUSED, VALUE, NULL, by_request },
    { "--reverse-prompt -r", REFUSED, VALUE, NULL, "ask for it in each request, as stop" },
    { "--adaptive-target", REFUSED, VALUE, "-1 -1.0 -1.00", no_sampler },
    { "--adaptive-decay", NOTHING, VALUE, NULL, only_of_sampler },
    /* models with a name of their own there */
    { "--embd-gemma-default --fim-qwen-* --gpt-oss-* --vision-* --embd-*", REFUSED, FLAG, NULL,
      no_shortcuts },
};

const struct foreign_table llama_options = { list, sizeof list / sizeof *list };
