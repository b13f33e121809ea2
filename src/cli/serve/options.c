#include "cli/serve/options.h"

#include <string.h>

#include "cli/cli.h"
#include "cli/models/dir.h"
#include "cli/sampling_args.h"

int serve_options_parse(struct serve_options *o, int argc, char **argv)
{
    *o = (struct serve_options){
        .params = { .n_streams = 4 },
        .server = { .host = "127.0.0.1", .ping_interval_s = 15,
                    .sampling = cli_sampling_default() },
        .port = 8080, .grace_s = 30, .n_predict = -1,
    };
    bool metrics = true, slots = true, prefix_cache = true;
    const struct arg table[] = {
        CLI_MODEL_ARGS(&o->params),
        MODELS_DIR_ARG(&o->dir),
        { "--parallel", "-np", ARG_U32, &o->params.n_streams, 1, 4096, "N",
          "slots: streams decoded together (4)" },
        { "--ctx-size", "-c", ARG_U32, &o->params.ctx_tokens, 0, 1 << 24, "N",
          "tokens of prompt and reply of EACH stream; 0: the model's limit (0)" },
        { "--kv-tokens", NULL, ARG_U64, &o->params.kv_tokens, 0, 0x1p40, "N",
          "tokens of the KV pool that all streams share; 0: parallel x ctx-size (0)" },
        { "--batch-size", "-b", ARG_ALWAYS, NULL, 0, 0, "N",
          "a step's size is --ubatch-size" },
        { "--ubatch-size", "-ub", ARG_U32, &o->params.step_tokens, 1, 8192, "N",
          "columns of a step at most (256)" },
        { "--prefill-tokens", NULL, ARG_U32, &o->params.prefill_tokens, 1, 8192, "N",
          "prompt tokens of a step in which other streams decode, at most (64)" },
        { "--queue-requests", NULL, ARG_U32, &o->params.queue_requests, 1, 1 << 20, "N",
          "requests that may wait; one more is answered 429 (1024)" },
        { "--queue-tokens", NULL, ARG_U64, &o->params.queue_tokens, 1, 0x1p40, "N",
          "prompt tokens that may wait (8388608)" },
        { "--prefix-cache", "--cache-prompt", ARG_SWITCH, &prefix_cache, 0, 0, NULL,
          "reuse the KV of equal prompt beginnings (on)" },
        { "--host", NULL, ARG_STRING, &o->server.host, 0, 0, "ADDRESS", "(127.0.0.1)" },
        { "--port", NULL, ARG_U32, &o->port, 0, 65535, "N", "0: any free one, printed (8080)" },
        { "--alias", "-a", ARG_STRING, &o->server.alias, 0, 0, "NAME", "of the model" },
        { "--api-key", NULL, ARG_STRINGS, &o->api_keys, 0, 0, "KEY",
          "needed by every request but /health; may be given several times" },
        { "--api-key-file", NULL, ARG_STRING, &o->api_key_file, 0, 0, "FILE", "one key a line" },
        { "--cors-origin", "--cors-origins", ARG_STRING, &o->server.cors_origin, 0, 0, "ORIGIN",
          "browsers of this origin may call; * for all" },
        { "--n-predict", "-n", ARG_I32, &o->n_predict, -1, INT32_MAX, "N",
          "reply tokens where a request does not say; -1: to the end of the context (-1)" },
        { "--sse-ping-interval", NULL, ARG_U32, &o->server.ping_interval_s, 0, 3600, "S",
          "comments that keep waiting streams alive; 0: none (15)" },
        { "--grace", NULL, ARG_U32, &o->grace_s, 0, 86400, "S",
          "time that running requests get after SIGTERM (30)" },
        { "--max-connections", NULL, ARG_U32, &o->server.max_connections, 1, 1 << 16, "N", "(1024)" },
        { "--metrics", NULL, ARG_SWITCH, &metrics, 0, 0, NULL, "GET /metrics (on)" },
        { "--metrics-compat", NULL, ARG_STRING, &o->metrics_compat, 0, 0, "NAME",
          "/metrics also under another server's names: vllm" },
        { "--slots", NULL, ARG_SWITCH, &slots, 0, 0, NULL, "GET /slots (on)" },
        { "--chat-template", NULL, ARG_STRING, &o->params.chat_template, 0, 0, "NAME",
          "a built-in template instead of the file's: chatml, llama2, llama3, gemma, ..." },
        { "--chat-template-file", NULL, ARG_STRING, &o->template_file, 0, 0, "FILE",
          "a template instead of the model file's" },
        CLI_SAMPLING_ARGS(&o->server.sampling),
        { "--log-disable", "--quiet", ARG_FLAG, &o->is_quiet, 0, 0, NULL, "print nothing but errors" },
        { "--verbose", "-v", ARG_FLAG, &o->is_verbose, 0, 0, NULL, "print what happens" },
        { "--cont-batching", "-cb", ARG_ALWAYS, NULL, 0, 0, NULL, "always on" },
        { "--flash-attn", "-fa", ARG_ALWAYS, NULL, 0, 0, NULL, "always on" },
        { "--jinja", NULL, ARG_ALWAYS, NULL, 0, 0, NULL, "always on" },
        { "--kv-unified", "-kvu", ARG_ALWAYS, NULL, 0, 0, NULL, "always on: one pool" },
        { "--mmap", NULL, ARG_ALWAYS, NULL, 0, 0, NULL, "always on" },
        { "--threads-batch", "-tb", ARG_ALWAYS, NULL, 0, 0, "N",
          "one team of --threads does prompts and replies" },
        { "--n-gpu-layers", "-ngl", ARG_ALWAYS, NULL, 0, 0, "N",
          "this build computes on the CPU" },
    };
    const struct arg_page page = {
        "serve", "--model FILE [OPTIONS]",
        "Serves a model over HTTP with OpenAI's API. All memory is taken at start; what it takes is "
        "printed. SIGTERM lets running requests finish.",
        "paceline serve --model model.gguf --parallel 20 --ctx-size 4096\n"
        "paceline serve --model model.gguf --host 0.0.0.0 --api-key-file keys.txt", table,
        N_ARGS(table)
    };
    const int code = args_parse(&page, argc, argv, NULL, &o->always);
    if (code >= 0) return code;
    if (!o->params.model_path) return args_missing(&page, "--model FILE");
    if (o->metrics_compat && strcmp(o->metrics_compat, "vllm")) {
        fprintf(stderr, "paceline: --metrics-compat: found \"%s\", vllm is wanted\n",
                o->metrics_compat);
        return 2;
    }
    o->server.port = (uint16_t)o->port;
    o->server.max_tokens = o->n_predict > 0 ? (uint32_t)o->n_predict : 0;
    o->server.no_metrics = !metrics;
    o->server.no_slots = !slots;
    o->server.has_vllm_metrics = o->metrics_compat != NULL;
    o->params.no_prefix_cache = o->server.no_prefix_cache = !prefix_cache;
    return code;
}
