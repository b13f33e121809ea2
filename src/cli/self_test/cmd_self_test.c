/* paceline self-test: whether a backend computes rightly on this machine. */
#include <stdio.h>
#include <sys/utsname.h>

#include "base/cpu_isa.h"
#include "cli/cli.h"
#include "cli/models/dir.h"
#include "cli/self_test/report.h"

struct self_test {
    uint32_t n_ok, n_failed;
    struct self_report *report;         /* NULL: none is wanted */
};

static void print_line(void *arg, const char *what, bool is_ok, const char *text)
{
    struct self_test *t = arg;
    *(is_ok ? &t->n_ok : &t->n_failed) += 1;
    printf("%-7s %-28s %s\n", is_ok ? "ok" : "FAILED", what, text);
    fflush(stdout);
    if (t->report) report_add_check(t->report, what, is_ok, text);
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

static pl_status measure(const char *backend, pl_machine *m, pl_err *err)
{
    char matrix[64] = "";
    const pl_status st = pl_machine_measure(m, backend, 0, err);
    if (m->matrix_macs_per_s > 0)
        snprintf(matrix, sizeof matrix, " (%.0f by the matrix unit)", m->matrix_macs_per_s * 1e-9);
    if (!st)
        printf("limits  %s: %.0f G multiply-adds a second%s, %.1f GB/s read\n", m->isa,
               m->macs_per_s * 1e-9, matrix, m->read_bytes_per_s * 1e-9);
    return st;
}

/* Checks first: a bench of what computes wrongly is of no use, but of what could be measured the
 * report tells. */
static pl_status run(const char *backend, struct self_test *t, struct report_bench *bench,
                     pl_err *err)
{
    struct self_report *r = t->report;
    pl_status st = measure(backend, &bench->machine, err);
    if (r) {
        r->is_measured = !st;
        r->machine = bench->machine;
        if (st) cpu_name_read(r->machine.cpu_name, sizeof r->machine.cpu_name);
    }
    if (!st) st = pl_self_test(backend, print_line, t, err);
    if (st && r) snprintf(r->failure, sizeof r->failure, "%s", err->text);
    if (!st && r) report_bench_run(bench, &r->bench);
    return st;
}

int cmd_self_test(int argc, char **argv)
{
    const char *backend = NULL, *report = NULL, *streams = "1,5,10,20,30";
    struct report_bench bench = { .n_rows = 0 };
    const struct arg table[] = {
        { "--backend", NULL, ARG_STRING, &backend, 0, 0, "NAME",
          "what is tested: " BACKEND_NAMES(", ") " (default: auto)" },
        { "--report", NULL, ARG_STRING, &report, 0, 0, "FILE",
          "also write all that others can learn from this machine: rates, what a GPU's compiler "
          "said, limits of its kernels, a bench of models; without home, user name and keys; -: "
          "to standard output" },
        { "--model", "-m", ARG_STRINGS, &bench.models, 0, 0, "FILE",
          "model of the report's bench; may be given several times (all that were pulled)" },
        { "--streams", NULL, ARG_STRING, &streams, 0, 0, "N,N,...",
          "of the report's bench (1,5,10,20,30)" },
        MODELS_DIR_ARG(&bench.dir),
    };
    const struct arg_page page = {
        "self-test", "[OPTIONS]",
        "Runs a small random model on the backend and compares it with the exact one, which rounds "
        "nothing to 8 bits (the exact one with the CPU's plain code), for every type of weights "
        "and of KV, and looks whether a stream gets the same bytes alone and among others. A GPU's "
        "compiler is shown in full where it refuses a kernel. The output can be pasted into a "
        "report; --report writes one that tells more. Exit code 1: something failed.",
        "paceline self-test --backend metal\n"
        "paceline self-test --backend metal --report report.md", table, N_ARGS(table)
    };
    const int code = args_parse(&page, argc, argv, NULL, NULL);
    if (code >= 0) return code;

    static struct self_report kept;
    struct self_test t = { .report = report ? &kept : NULL };
    pl_err err, unwritten;
    if (report_bench_parse(&bench, streams, &err)) return cli_fail(&err);
    bench.backend = backend;
    if (report && report_begin(&kept, report, &err)) return cli_fail(&err);
    if (!report) cli_log_to_stderr(false);
    print_machine();
    pl_status st = run(backend, &t, &bench, &err);
    if (report && report_end(&kept, &unwritten)) return cli_fail(&unwritten);
    if (st) return cli_fail(&err);
    printf("all %u checks passed\n", t.n_ok);
    if (report && *report != '-') printf("report written to %s\n", report);
    return 0;
}
