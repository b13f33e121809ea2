/* paceline self-test: whether a backend computes rightly on this machine. */
#include <stdio.h>
#include <sys/utsname.h>

#include "base/cpu_isa.h"
#include "cli/cli.h"

struct self_test {
    uint32_t n_ok, n_failed;
};

static void print_line(void *arg, const char *what, bool is_ok, const char *text)
{
    struct self_test *t = arg;
    *(is_ok ? &t->n_ok : &t->n_failed) += 1;
    printf("%-7s %-28s %s\n", is_ok ? "ok" : "FAILED", what, text);
    fflush(stdout);
}

/* What a report must say to be of use to others. */
static void print_machine(void)
{
    char cpu[96];
    struct utsname os;
    cpu_name_read(cpu, sizeof cpu);
    printf("paceline %s on %s", PL_VERSION, cpu);
    if (!uname(&os)) printf(", %s %s %s", os.sysname, os.release, os.machine);
    putchar('\n');
}

static pl_status print_rates(const char *backend, pl_err *err)
{
    pl_machine m;
    char matrix[64] = "";
    const pl_status st = pl_machine_measure(&m, backend, 0, err);
    if (m.matrix_macs_per_s > 0)
        snprintf(matrix, sizeof matrix, " (%.0f by the matrix unit)", m.matrix_macs_per_s * 1e-9);
    if (!st)
        printf("limits  %s: %.0f G multiply-adds a second%s, %.1f GB/s read\n", m.isa,
               m.macs_per_s * 1e-9, matrix, m.read_bytes_per_s * 1e-9);
    return st;
}

int cmd_self_test(int argc, char **argv)
{
    const char *backend = NULL;
    const struct arg table[] = {
        { "--backend", NULL, ARG_STRING, &backend, 0, 0, "NAME",
          "what is tested: " BACKEND_NAMES(", ") " (default: auto)" },
    };
    const struct arg_page page = {
        "self-test", "[OPTIONS]",
        "Runs a small random model on the backend and compares it with the exact one, which rounds "
        "nothing to 8 bits (the exact one with the CPU's plain code), for every type of weights "
        "and of KV, and looks whether a stream gets the same bytes alone and among others. A GPU's "
        "compiler is shown in full where it refuses a kernel. The output can be pasted into a "
        "report. Exit code 1: something failed.",
        "paceline self-test --backend metal", table, N_ARGS(table)
    };
    const int code = args_parse(&page, argc, argv, NULL, NULL);
    if (code >= 0) return code;

    struct self_test t = { 0 };
    pl_err err;
    cli_log_to_stderr(false);
    print_machine();
    pl_status st = print_rates(backend, &err);
    if (!st) st = pl_self_test(backend, print_line, &t, &err);
    if (st) return cli_fail(&err);
    printf("all %u checks passed\n", t.n_ok);
    return 0;
}
