#include "cli/serve/options.h"

#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/models/dir.h"
#include "cli/sampling_args.h"
#include "cli/serve/llama_options.h"

enum { DEFAULT_STREAMS = 4 };

/* What llama-server says in other words than this program. */
struct spelled {
    const char *hf_repo, *hf_file, *model_url, *n_gpu_layers, *device, *load_mode, *pooling;
    int32_t n_parallel, ping_s;
    int64_t seed;
    uint32_t verbosity, keep_resident_s, agent_port;
    struct sampling_words sampling;
};

static int wrong(const char *option, const char *found, const char *wanted)
{
    fprintf(stderr, "paceline: %s: found \"%s\", %s\n", option, found, wanted);
    return 2;
}

static int take_model_names(struct serve_options *o, const struct spelled *w)
{
    o->pull = w->model_url ? w->model_url : w->hf_repo;
    if (w->hf_file && !w->hf_repo)
        return wrong("--hf-file", w->hf_file, "--hf-repo is wanted with it");
    if (w->hf_repo && w->model_url)
        return wrong("--model-url", w->model_url, "--hf-repo names another model");
    if (!w->hf_file) return -1;
    snprintf(o->pull_name, sizeof o->pull_name, "%.*s:%s", (int)strcspn(w->hf_repo, ":"),
             w->hf_repo, w->hf_file);
    o->pull = o->pull_name;
    return -1;
}

static int take_pooling(struct serve_options *o, const struct spelled *w)
{
    static const char *const names[] = { [PL_POOLING_NONE] = "none", [PL_POOLING_MEAN] = "mean",
                                         [PL_POOLING_CLS] = "cls", [PL_POOLING_LAST] = "last" };
    if (!w->pooling) return -1;
    for (int i = PL_POOLING_NONE; i <= PL_POOLING_LAST; i++)
        if (!strcmp(w->pooling, names[i])) o->params.pooling = (pl_pooling)i;
    if (o->params.pooling) return -1;
    return wrong("--pooling", w->pooling, "none, mean, cls or last is wanted");
}

static bool is_cpu_asked(const struct spelled *w)
{
    return (w->n_gpu_layers && !strcmp(w->n_gpu_layers, "0")) ||
           (w->device && !strcmp(w->device, "none"));
}

static int take_spelled(struct serve_options *o, const struct spelled *w)
{
    const char *layers = w->n_gpu_layers;
    if (layers && strcmp(layers, "all") && strcmp(layers, "auto") &&
        (!*layers || layers[strspn(layers, "-0123456789")]))
        return wrong("--n-gpu-layers", layers, "a number, all or auto is wanted");
    if (w->device && strcmp(w->device, "none"))
        return wrong("--device", w->device, "none is known here; others are chosen by --backend");
    if (o->server.path_prefix && o->server.path_prefix[0] != '/')
        return wrong("--api-prefix", o->server.path_prefix, "a path that begins with / is wanted");
    if (w->n_parallel == 0) return wrong("--parallel", "0", "a number from 1 to 4096 is wanted");
    if (is_cpu_asked(w) && !o->params.backend) o->params.backend = "cpu";
    const long n_layers = layers ? strtol(layers, NULL, 10) : 0;
    o->params.n_gpu_layers = n_layers > 0 && n_layers < UINT16_MAX ? (uint32_t)n_layers : 0;
    if (w->load_mode && strstr(w->load_mode, "mlock")) o->params.lock_memory = true;
    if (w->verbosity >= 4) o->is_verbose = true;
    if (w->verbosity <= 1) o->is_quiet = true;
    o->server.ping_interval_s = w->ping_s > 0 ? (uint32_t)w->ping_s : 0;
    o->server.has_seed = w->seed >= 0;
    if (o->server.has_seed) o->server.sampling.seed = (uint64_t)w->seed;
    o->params.n_streams = w->n_parallel > 0 ? (uint32_t)w->n_parallel : DEFAULT_STREAMS;
    o->params.keep_resident_s = w->keep_resident_s ? w->keep_resident_s : UINT32_MAX;
    o->is_context_chosen = !o->params.ctx_tokens;
    o->divides_context = w->n_parallel > 1 && o->params.ctx_tokens;
    const int code = take_pooling(o, w);
    return code >= 0 ? code : take_model_names(o, w);
}

static bool take_metrics_compat(struct serve_options *o)
{
    const char *name = o->metrics_compat;
    const bool is_vllm = name && !strcmp(name, "vllm");
    const bool is_llama = name && !strcmp(name, "llama.cpp");
    if (is_vllm) o->server.has_vllm_metrics = true;
    if (is_llama) o->server.has_llama_metrics = true;
    if (name && !is_vllm && !is_llama)
        fprintf(stderr, "paceline: --metrics-compat: found \"%s\", vllm or llama.cpp is wanted\n",
                name);
    return !name || is_vllm || is_llama;
}

int serve_options_parse(struct serve_options *o, int argc, char **argv)
{
    *o = (struct serve_options){
        .server = { .host = "127.0.0.1", .max_connections = 1024, .write_timeout_s = 30,
                    .sampling = cli_sampling_default() },
        .port = 8080, .grace_s = 30, .n_predict = -1,
    };
    bool slots = true, prefix_cache = true, page_at_root = true;
    struct spelled w = { .n_parallel = -1, .ping_s = 15, .seed = -1, .verbosity = 3,
                         .keep_resident_s = 180 };
    const struct arg table[] = {
        CLI_MODEL_ARGS(&o->params),
        MODELS_DIR_ARG(&o->dir),
        { "--hf-repo", "-hf -hfr", ARG_STRING, &w.hf_repo, 0, 0, "OWNER/REPO[:TAG]",
          "serve this model of the hub, pulled where it is missing" },
        { "--hf-file", "-hff", ARG_STRING, &w.hf_file, 0, 0, "NAME",
          "its file, in place of a tag" },
        { "--hf-token", "-hft", ARG_STRING, &o->hub_token, 0, 0, "TOKEN",
          "for the hub; others see it here, HF_TOKEN or the hub's own file they do not" },
        { "--model-url", "-mu", ARG_STRING, &w.model_url, 0, 0, "URL",
          "serve this file, pulled where it is missing" },
        { "--offline", NULL, ARG_FLAG, &o->is_offline, 0, 0, NULL, "pull nothing" },
        { "--n-gpu-layers", "-ngl --gpu-layers", ARG_STRING, &w.n_gpu_layers, 0, 0, "N",
          "the last N layers are --backend's, those before them the CPU's; 0: --backend cpu; all, "
          "auto, more than there are, below 0: all are --backend's (all)" },
        { "--device", "-dev", ARG_STRING, &w.device, 0, 0, "NAME", "none: --backend cpu" },
        { "--load-mode", "-lm", ARG_STRING, &w.load_mode, 0, 0, "MODE",
          "mlock in it: --mlock; auto, none, mmap, dio: nothing" },
        { "--parallel", "-np", ARG_I32, &w.n_parallel, -1, 4096, "N",
          "slots: streams decoded together; -1: 4 (-1)" },
        { "--ctx-size", "-c --kv-unified-per-slot", ARG_U32, &o->params.ctx_tokens, 0, 1 << 24, "N",
          "tokens of prompt and reply of EACH stream; 0: the model's limit, or what of it fits "
          "(0)" },
        { "--kv-tokens", NULL, ARG_U64, &o->params.kv_tokens, 0, 0x1p40, "N",
          "tokens of the KV pool that all streams share; 0: parallel x ctx-size (0)" },
        { "--ubatch-size", "-ub", ARG_U32, &o->params.step_tokens, 1, 8192, "N",
          "columns of a step at most (256)" },
        { "--prefill-tokens", NULL, ARG_U32, &o->params.prefill_tokens, 1, 8192, "N",
          "prompt tokens of a step in which other streams decode, at most (64)" },
        { "--queue-requests", NULL, ARG_U32, &o->params.queue_requests, 1, 1 << 20, "N",
          "requests that may wait; one more is answered 429 (1024)" },
        { "--queue-tokens", NULL, ARG_U64, &o->params.queue_tokens, 1, 0x1p40, "N",
          "prompt tokens that may wait (8388608)" },
        { "--max-priority", NULL, ARG_U32, &o->server.max_priority, 0, PL_MAX_PRIORITY, "N",
          "largest `priority` that a request may have; smaller ones are everybody's (0)" },
        { "--keep-resident", NULL, ARG_U32, &w.keep_resident_s, 0, 31536000, "S",
          "how long after the last token a GPU's memory is kept resident; 0: as long as the system "
          "likes (180)" },
        { "--prefix-cache", "--cache-prompt", ARG_SWITCH, &prefix_cache, 0, 0, NULL,
          "reuse the KV of equal prompt beginnings (on)" },
        { "--host", NULL, ARG_STRING, &o->server.host, 0, 0, "ADDRESS",
          "of either protocol; :: is all of both (127.0.0.1)" },
        { "--port", NULL, ARG_U32, &o->port, 0, 65535, "N", "0: any free one, printed (8080)" },
        { "--agent-port", NULL, ARG_U32, &w.agent_port, 0, 65535, "N",
          "HAProxy's agent check: what share this server can take, how many at a time, drain; 0: "
          "none (0)" },
        { "--agent-host", NULL, ARG_STRING, &o->server.agent_host, 0, 0, "ADDRESS",
          "where that is answered (127.0.0.1)" },
        { "--reuse-port", NULL, ARG_FLAG, &o->server.reuse_port, 0, 0, NULL,
          "other processes may listen on this port too; the system parts connections among them" },
        { "--api-prefix", NULL, ARG_STRING, &o->server.path_prefix, 0, 0, "PATH",
          "before every route: /llm" },
        { "--timeout", "-to", ARG_U32, &o->server.idle_timeout_s, 1, 1 << 20, "S",
          "a connection on which nothing moves for so long is closed (300)" },
        { "--alias", "-a", ARG_STRING, &o->server.alias, 0, 0, "NAMES",
          "of the model, parted by commas; the first is what it calls itself" },
        { "--strict-model-names", NULL, ARG_FLAG, &o->server.has_strict_names, 0, 0, NULL,
          "answer 404 to requests that name another model" },
        { "--api-key", NULL, ARG_STRINGS, &o->api_keys, 0, 0, "KEY",
          "needed by every request but /health; may be given several times" },
        { "--api-key-file", NULL, ARG_STRING, &o->api_key_file, 0, 0, "FILE",
          "one key a line; SIGHUP reads it again" },
        { "--cors-origin", "--cors-origins", ARG_STRING, &o->server.cors_origin, 0, 0, "ORIGIN",
          "browsers of this origin may call; * for all" },
        { "--n-predict", "-n --predict", ARG_I32, &o->n_predict, -1, INT32_MAX, "N",
          "reply tokens where a request does not say; -1: to the end of the context (-1)" },
        { "--sse-ping-interval", NULL, ARG_I32, &w.ping_s, -1, 3600, "S",
          "comments that keep waiting streams alive; 0 and -1: none (15)" },
        { "--write-timeout", NULL, ARG_U32, &o->server.write_timeout_s, 0, 86400, "S",
          "a client that takes nothing of its answer so long is dropped; 0: never (30)" },
        { "--grace", NULL, ARG_U32, &o->grace_s, 0, 86400, "S",
          "time that running requests get after SIGTERM (30)" },
        { "--max-connections", NULL, ARG_U32, &o->server.max_connections, 1, 1 << 16, "N",
          "open at a time; where they are too many, idle ones make room (1024)" },
        { "--metrics", NULL, ARG_FLAG, &o->server.has_llama_metrics, 0, 0, NULL,
          "GET /metrics, which is on, under llama-server's names as well" },
        { "--no-metrics", NULL, ARG_FLAG, &o->server.no_metrics, 0, 0, NULL, "no GET /metrics" },
        { "--metrics-compat", NULL, ARG_STRING, &o->metrics_compat, 0, 0, "NAME",
          "/metrics also under another server's names: vllm, llama.cpp" },
        { "--slots", NULL, ARG_SWITCH, &slots, 0, 0, NULL, "GET /slots (on)" },
        { "--page", "--ui --webui", ARG_SWITCH, &page_at_root, 0, 0, NULL,
          "a page for browsers at /: chats and what the server does (on)" },
        { "--chat-template", NULL, ARG_STRING, &o->params.chat_template, 0, 0, "NAME",
          "a built-in template (chatml, llama3, gemma, ...), or another one of the file's (rag, "
          "...)" },
        { "--chat-template-file", NULL, ARG_STRING, &o->template_file, 0, 0, "FILE",
          "a template instead of the model file's" },
        { "--chat-template-kwargs", NULL, ARG_STRING, &o->server.template_kwargs, 0, 0, "OBJECT",
          "what templates are told, where a request's chat_template_kwargs say nothing else" },
        { "--pooling", NULL, ARG_STRING, &w.pooling, 0, 0, "KIND",
          "what an embedding is made of: last, mean or cls of a text's tokens; none: all of them "
          "(as the model's file says, or last)" },
        CLI_SAMPLING_ARGS(&o->server.sampling, &w.sampling),
        { "--seed", "-s", ARG_I64, &w.seed, -1, 0x1p53, "N",
          "of requests that name none; -1: another for each (-1)" },
        { "--ignore-eos", NULL, ARG_FLAG, &o->server.ignore_eos, 0, 0, NULL,
          "replies go on after the model's end tokens, where a request does not say" },
        { "--log-disable", "--quiet", ARG_FLAG, &o->is_quiet, 0, 0, NULL,
          "print nothing but errors" },
        { "--log-file", NULL, ARG_STRING, &o->log_file, 0, 0, "FILE",
          "the log is also added to this file" },
        { "--verbose", "-v --log-verbose", ARG_FLAG, &o->is_verbose, 0, 0, NULL,
          "print what happens, and a line for every request" },
        { "--verbosity", "-lv --log-verbosity", ARG_U32, &w.verbosity, 0, 100, "N",
          "0, 1: --quiet; 4 and more: --verbose (3)" },
        { "", NULL, ARG_FOREIGN, (void *)(uintptr_t)&llama_options, 0, 0, NULL, NULL },
    };
    const struct arg_page page = {
        "serve", "MODEL [OPTIONS]",
        "Serves a model over HTTP with OpenAI's API. All memory is taken at start; what it takes "
        "is printed. SIGTERM lets running requests finish. MODEL, or --model, is a file or the "
        "name of a pulled model. Options are spelled as llama-server spells them.",
        "paceline serve model.gguf --parallel 20 --ctx-size 4096\n"
        "paceline serve -hf Qwen/Qwen2.5-7B-Instruct-GGUF:Q4_K_M\n"
        "paceline serve model.gguf --host 0.0.0.0 --api-key-file keys.txt", table,
        N_ARGS(table)
    };
    struct arg_strings words = { .n = 0 };
    int code = args_parse(&page, argc, argv, &words, &o->taken);
    if (code < 0) code = take_spelled(o, &w);
    if (code < 0) code = sampling_args_take(&w.sampling, &o->server.sampling);
    if (code < 0 && (!o->pull || words.n || o->params.model_path))
        code = args_take_model(&page, &words, &o->params.model_path);
    if (code >= 0) return code;
    if (o->pull && o->params.model_path) {
        fputs("paceline: two models: one of MODEL, --model, --hf-repo and --model-url is wanted\n",
              stderr);
        return 2;
    }
    if (!take_metrics_compat(o)) return 2;
    o->server.port = (uint16_t)o->port;
    o->server.agent_port = (uint16_t)w.agent_port;
    o->server.max_tokens = o->n_predict > 0 ? (uint32_t)o->n_predict : 0;
    o->server.is_verbose = o->is_verbose;
    o->server.no_slots = !slots;
    o->server.no_page = !page_at_root;
    o->params.no_prefix_cache = o->server.no_prefix_cache = !prefix_cache;
    return code;
}
