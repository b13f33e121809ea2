/* paceline doctor: what of this machine would keep a server from running well, and how to mend
 * it. */
#include <jansson.h>

#include "cli/cli.h"
#include "cli/doctor/doctor.h"
#include "cli/models/models.h"
#include "cli/terminal.h"

#if !defined(__linux__) && !defined(__APPLE__)
void doctor_ask_system(struct doctor *d)
{
    (void)d;
}
#endif

static const char *state_name(enum finding_state state)
{
    static const char *const names[] = { "fine", "note", "wrong" };
    return names[state];
}

static void print_json(const struct doctor *d, bool is_well)
{
    json_t *findings = json_array();
    for (uint32_t i = 0; i < d->n_findings; i++) {
        const struct finding *f = &d->finding[i];
        json_array_append_new(findings, json_pack("{s:s s:s s:s s:s}", "name", f->name, "state",
                                                  state_name(f->state), "text", f->text, "mend",
                                                  f->mend));
    }
    json_t *all = json_pack("{s:b s:o}", "well", is_well, "findings", findings);
    json_dumpf(all, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(all);
}

static void print_text(const struct doctor *d)
{
    static const char *const colours[] = { "\033[32m", "\033[33m", "\033[31m" };
    const bool is_coloured = terminal_has_colours(stdout);
    for (uint32_t i = 0; i < d->n_findings; i++) {
        const struct finding *f = &d->finding[i];
        printf("%s%-5s%s  %-13s %s\n", is_coloured ? colours[f->state] : "", state_name(f->state),
               is_coloured ? "\033[0m" : "", f->name, f->text);
        if (*f->mend) printf("       %-13s %s\n", "", f->mend);
    }
}

int cmd_doctor(int argc, char **argv)
{
    struct doctor d = { .root = "" };
    pl_params params = { 0 };
    const char *host = "127.0.0.1", *dir = NULL;
    uint32_t port = 8080;
    bool json = false;
    const struct arg table[] = {
        { "--model", "-m", ARG_STRING, &params.model_path, 0, 0, "FILE",
          "also open this model and decode for a second, against the plan's speed" },
        MODELS_DIR_ARG(&dir),
        { "--threads", "-t", ARG_U32, &params.n_threads, 0, 1024, "N",
          "computing threads (default: one per performance core)" },
        { "--host", NULL, ARG_STRING, &host, 0, 0, "ADDRESS",
          "that the server will use (127.0.0.1)" },
        { "--port", NULL, ARG_U32, &port, 1, 65535, "N", "likewise (8080)" },
        { "--json", NULL, ARG_FLAG, &json, 0, 0, NULL, "print JSON" },
    };
    const struct arg_page page = {
        "doctor", "[MODEL] [OPTIONS]",
        "Looks at memory, swap, power and heat, limits of the system, drivers, the port and the "
        "model, and says what is wrong and how to mend it. Exit code 1: something is wrong.",
        "paceline doctor model.gguf", table, N_ARGS(table)
    };
    struct arg_strings words = { .n = 0 };
    int code = args_parse(&page, argc, argv, &words, NULL);
    if (code < 0 && words.n) code = args_take_model(&page, &words, &params.model_path);
    if (code >= 0) return code;
    cli_log_to_stderr(false);
    pl_err err;
    if (params.model_path && models_resolve(&params.model_path, dir, &err)) return cli_fail(&err);
    doctor_ask_system(&d);
    doctor_ask_gpu(&d, "auto");
    doctor_ask_limits(&d);
    doctor_ask_port(&d, host, (uint16_t)port);
    if (params.model_path) doctor_ask_model(&d, &params);

    bool is_well = true;
    for (uint32_t i = 0; i < d.n_findings; i++) is_well &= d.finding[i].state != FINDING_WRONG;
    if (json) print_json(&d, is_well);
    else print_text(&d);
    return is_well ? 0 : 1;
}
