/* What the commands share: a failure's text and code, log lines said once, the plan as a table,
 * whole files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/status.h"
#include "cli/cli.h"
#include "cli/exposure.h"
#include "cli/folders.h"
#include "unit/cli/captured.h"
#include "unit/open_fds.h"

static struct captured out;

static void failures(void **state)
{
    pl_err err;
    (void)state;
    captured_begin(&out, STDERR_FILENO);
    pl_fail(&err, PL_E_PARAM, "wrong %d", 5);
    assert_int_equal(cli_fail(&err), 2);
    pl_fail(&err, PL_E_IO, "gone");
    assert_int_equal(cli_fail(&err), 1);
    assert_string_equal(captured_end(&out), "paceline: wrong 5\npaceline: gone\n");
}

/* Of the model's file, which is read twice, a line is said once; what others say is said as often
 * as they do. Sixty-four lines are remembered. */
static void log_lines(void **state)
{
    char path[] = "/tmp/paceline_log_XXXXXX", text[512];
    FILE *file = fdopen(mkstemp(path), "w+");
    (void)state;
    cli_log_also_to(file);
    cli_log_to_stderr(false);
    captured_begin(&out, STDERR_FILENO);
    for (int i = 0; i < 2; i++) {
        log_write(PL_LOG_WARN, "model", "twice");
        log_write(PL_LOG_ERROR, "tokenizer", "twice too");
        log_write(PL_LOG_WARN, "kv", "again");
        log_write(PL_LOG_INFO, "kv", "not said");
    }
    assert_string_equal(captured_end(&out), "warning model: twice\nerror tokenizer: twice too\n"
                                            "warning kv: again\nwarning kv: again\n");
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    assert_string_equal(text, out.text);
    cli_log_also_to(NULL);
    fclose(file);
    remove(path);

    cli_log_to_stderr(true);
    captured_begin(&out, STDERR_FILENO);
    log_write(PL_LOG_INFO, "kv", "said");
    log_write(PL_LOG_DEBUG, "kv", "too");
    assert_string_equal(captured_end(&out), "info kv: said\ndebug kv: too\n");
    captured_begin(&out, STDERR_FILENO);
    for (int i = 0; i < 62; i++) log_write(PL_LOG_WARN, "model", "line %d", i);
    captured_end(&out);
    captured_begin(&out, STDERR_FILENO);
    log_write(PL_LOG_WARN, "model", "twice");           /* the oldest of 64 */
    log_write(PL_LOG_WARN, "model", "line 62");         /* takes its place */
    log_write(PL_LOG_WARN, "model", "line 61");
    log_write(PL_LOG_ERROR, "tokenizer", "twice too");
    log_write(PL_LOG_WARN, "model", "twice");
    log_write(PL_LOG_ERROR, "tokenizer", "twice too");
    assert_string_equal(captured_end(&out), "warning model: line 62\nwarning model: twice\n"
                                            "error tokenizer: twice too\n");
}

static pl_plan some_plan(void)
{
    return (pl_plan){
        .model_name = "a model", .architecture = "llama", .quantisation = "Q4_K_M",
            .n_parameters = 1234567890,
        .n_layers = 30, .n_vocab = 49152, .cpu_name = "a CPU", .backend = "cpu", .isa = "avx2",
            .n_threads = 8,
        .weights_bytes = 1048576, .n_pages = 64, .page_tokens = 16, .kv_tokens = 1024,
            .kv_bytes_per_token = 512,
        .cache_type_k = "f16", .cache_type_v = "q8_0", .kv_bytes = 524288, .step_tokens = 256,
        .scratch_bytes = 2097152, .n_streams = 4, .queue_requests = 9, .stream_bytes = 104858,
        .vocab_bytes = 52429, .total_bytes = 3827303, .ctx_tokens = 256, .model_ctx_tokens = 8192,
        .prefill_tokens = 128, .queue_tokens = 77,
    };
}

static void check_plan(const pl_plan *p, const char *wanted)
{
    captured_begin(&out, STDOUT_FILENO);
    cli_print_plan(stdout, p);
    captured_end(&out);
    if (!strcmp(out.text, wanted)) return;
    printf("found:\n%s\nwanted:\n%s\n", out.text, wanted);
    fail();
}

static void a_plan(void **state)
{
    pl_plan p = some_plan();
    (void)state;
    check_plan(&p,
          "model      a model (llama, Q4_K_M, 1.23 B weights, 30 layers, vocabulary 49152)\n"
          "machine    a CPU, backend cpu, avx2, 8 threads\n"
          "memory\n"
          "  weights           1.0 MiB  packed for this instruction set\n"
          "  KV pool           0.5 MiB  64 pages of 16 tokens = 1024 tokens, 512 bytes each (K "
          "f16, V q8_0)\n"
          "  scratch           2.0 MiB  a step of up to 256 columns\n"
          "  streams           0.1 MiB  4 slots, queue of 9 requests\n"
          "  vocabulary        0.1 MiB  \n"
          "  total             3.7 MiB  \n"
          "limits     4 streams of 256 tokens each (prompt + reply; the model's limit is 8192); "
          "128 prompt tokens a step beside running streams; queue 9 requests, 77 tokens\n");
    p.shared_bytes = 1;
    captured_begin(&out, STDOUT_FILENO);
    cli_print_plan(stdout, &p);
    assert_non_null(strstr(captured_end(&out),
                           "MiB  packed for this instruction set, mapped from the pack cache\n"));
    strcpy(p.backend, "exact");
    captured_begin(&out, STDOUT_FILENO);
    cli_print_plan(stdout, &p);
    assert_non_null(strstr(captured_end(&out), "MiB  as in the file\n"));
    strcpy(p.gpu_refusal, "metal: none");
    captured_begin(&out, STDOUT_FILENO);
    cli_print_plan(stdout, &p);
    assert_non_null(strstr(captured_end(&out),
                           "\nGPU        not used, the processor computes: metal: none\n"));
}

static void whole_files(void **state)
{
    char path[] = "/tmp/paceline_file_XXXXXX", wanted[128];
    static char large[200001];
    size_t n = 5;
    FILE *to = fdopen(mkstemp(path), "w");
    (void)state;
    for (size_t i = 0; i < sizeof large; i++) large[i] = (char)i;
    fwrite(large, 1, sizeof large, to);
    fclose(to);
    char *bytes = cli_read_all(path, &n);
    assert_int_equal(n, sizeof large);
    assert_memory_equal(bytes, large, n);
    assert_int_equal(bytes[n], 0);
    free(bytes);
    assert_int_equal(truncate(path, 0), 0);
    bytes = cli_read_all(path, &n);
    assert_true(bytes && n == 0 && !*bytes);
    free(bytes);
    remove(path);
    captured_begin(&out, STDERR_FILENO);
    assert_null(cli_read_all(path, &n));
    assert_null(cli_read_all("/tmp", &n));
    snprintf(wanted, sizeof wanted,
             "paceline: %s: No such file or directory\npaceline: /tmp: read error\n", path);
    assert_string_equal(captured_end(&out), wanted);
}

static void who_reaches_a_server(void **state)
{
    static const char *const local[] = { "127.0.0.1", "127.255.0.1", "::1", "[::1]", "localhost",
                                         "LOCALHOST", "[localhost]", "::ffff:127.0.0.1" };
    static const char *const open[] = { "0.0.0.0", "126.0.0.1", "128.0.0.1", "::", "[::]",
                                        "::ffff:128.0.0.1", "", "[]",
                                        "[", "localhos", "192.168.0.1", "[::1" };
    (void)state;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (!exposure_is_local(local[i])) fail_msg("%s", local[i]);
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        if (exposure_is_local(open[i])) fail_msg("%s", open[i]);
    captured_begin(&out, STDOUT_FILENO);
    exposure_warn(stdout, "0.0.0.0", true);
    exposure_warn(stdout, "::1", false);
    exposure_warn(stdout, "h", false);
    assert_string_equal(captured_end(&out),
                                            "warning    h: other machines reach this server, and "
                                            "no key is asked for: --api-key-file FILE\n");
}

static void where_caches_are(void **state)
{
    char path[64];
    (void)state;
    setenv("HOME", "/h", 1);
    setenv("XDG_CACHE_HOME", "/c", 1);
    assert_true(folders_cache(path, sizeof path));
    assert_string_equal(path, "/c/paceline");
    assert_true(folders_cache(path, sizeof "/c/paceline"));
    assert_false(folders_cache(path, sizeof "/c/paceline" - 1));
    setenv("XDG_CACHE_HOME", "c", 1);
    assert_true(folders_cache(path, sizeof path));
    assert_string_equal(path, "/h/.cache/paceline");
    setenv("HOME", "h", 1);
    assert_false(folders_cache(path, sizeof path));
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_false(folders_cache(path, sizeof path));
}

static void folders_on_the_way(void **state)
{
    char root[] = "/tmp/paceline_folders_XXXXXX", path[128], wanted[256];
    pl_err err = { 0 };
    (void)state;
    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof path, "%s/a/b/c", root);
    assert_int_equal(folders_make(path, 0700, &err), PL_OK);
    assert_int_equal(folders_make(path, 0700, &err), PL_OK);
    assert_int_equal(access(path, R_OK | W_OK | X_OK), 0);
    snprintf(path, sizeof path, "%s/file", root);
    fclose(fopen(path, "w"));
    snprintf(path, sizeof path, "%s/file/d", root);
    assert_int_equal(folders_make(path, 0700, &err), PL_E_IO);
    snprintf(wanted, sizeof wanted, "%s/file/d: cannot make this folder: Not a directory", root);
    assert_string_equal(err.text, wanted);
    snprintf(path, sizeof path, "rm -rf %s", root);
    assert_int_equal(system(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures),          cmocka_unit_test(log_lines),
        cmocka_unit_test(a_plan),            cmocka_unit_test(whole_files),
        cmocka_unit_test(who_reaches_a_server), cmocka_unit_test(where_caches_are),
        cmocka_unit_test(folders_on_the_way),
    };
    const int n_open = n_open_fds(), failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed || n_open_fds() != n_open;     /* what was opened was closed */
}
