/* paceline service: a server that the system starts, watches and stops: systemd on Linux, launchd
 * on macOS. Nothing is ever stopped by the name of a process. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/status.h"
#include "cli/cli.h"
#include "cli/folders.h"
#include "cli/program.h"
#include "cli/service/mac_settings.h"
#include "cli/service/sandbox.h"
#include "cli/service/service_file.h"
#include "cli/service/words.h"

#if defined(__APPLE__)
enum { IS_MAC = true };
#else
enum { IS_MAC = false };
#endif

struct options {
    const char *name, *prefix;
    uint32_t grace_s;
    bool is_user, is_system, dry_run, use_launchd;
};

/* Where things are, and what is run for each action. */
struct job {
    struct service service;
    struct service_words serve;         /* of install */
    bool is_launchd, dry_run, writes_only;  /* the last: below --root, nothing is run */
    char program[PATH_MAX], file[PATH_MAX], log_dir[PATH_MAX];
    char domain[32], target[128];       /* launchctl's: "gui/501", "gui/501/dev.paceline.x" */
};

static pl_status set_places(struct job *j, const struct options *o, pl_err *err)
{
    const char *home = getenv("HOME"), *name = o->name;
    if (!program_path(j->program, sizeof j->program))
        return pl_fail(err, PL_E_IO, "the program's own path is not known");
    if (j->service.is_user && (!home || home[0] != '/'))
        return pl_fail(err, PL_E_IO, "HOME is not set: where would the service file go?");
    if (j->is_launchd) {
        snprintf(j->file, sizeof j->file, "%s%s/Library/Launch%s/dev.paceline.%s.plist", o->prefix,
                 j->service.is_user ? home : "", j->service.is_user ? "Agents" : "Daemons", name);
        snprintf(j->log_dir, sizeof j->log_dir, "%s/Library/Logs", j->service.is_user ? home : "");
        if (j->service.is_user) snprintf(j->domain, sizeof j->domain, "gui/%u", (unsigned)getuid());
        else snprintf(j->domain, sizeof j->domain, "system");
        snprintf(j->target, sizeof j->target, "%s/dev.paceline.%s", j->domain, name);
    } else {
        snprintf(j->file, sizeof j->file, "%s%s%s/%s.service", o->prefix,
                 j->service.is_user ? home : "/etc/systemd",
                 j->service.is_user ? "/.config/systemd/user" : "/system", name);
        snprintf(j->target, sizeof j->target, "%s.service", name);
    }
    j->service.program = j->program;
    j->service.log_dir = j->log_dir;
    return PL_OK;
}

/* ---- doing, or saying what would be done ---------------------------------------------------- */

static pl_status run(const struct job *j, const char *const *argv, pl_err *err)
{
    if (j->writes_only) return PL_OK;
    if (j->dry_run) {
        fputs("would run:", stdout);
        for (; *argv; argv++) printf(" %s", *argv);
        putchar('\n');
        return PL_OK;
    }
    fflush(stdout);
    const int code = program_run(argv);
    if (code < 0) return pl_fail(err, PL_E_IO, "%s: %s", argv[0], strerror(errno));
    if (code) return pl_fail(err, PL_E_IO, "%s %s ended with %d", argv[0], argv[1], code);
    return PL_OK;
}

/* systemctl [--user] verb [target] */
static pl_status systemctl(const struct job *j, const char *verb, const char *target, pl_err *err)
{
    const char *argv[6] = { "systemctl" };
    size_t n = 1;
    if (j->service.is_user) argv[n++] = "--user";
    argv[n++] = verb;
    if (target) argv[n++] = target;
    return run(j, argv, err);
}

static pl_status launchctl(const struct job *j, const char *verb, const char *target,
                           const char *file, pl_err *err)
{
    const char *argv[5] = { "launchctl", verb, target, file };
    return run(j, argv, err);
}

static void print_file(const struct job *j, FILE *to)
{
    (j->is_launchd ? service_print_plist : service_print_unit)(to, &j->service);
}

static pl_status write_file(struct job *j, pl_err *err)
{
    char new_file[PATH_MAX + 8];
    if (j->dry_run) {
        printf("would write %s:\n", j->file);
        print_file(j, stdout);
        return PL_OK;
    }
    snprintf(new_file, sizeof new_file, "%s", j->file);
    *strrchr(new_file, '/') = 0;
    const pl_status st = folders_make(new_file, 0755, err);
    if (st) return st;
    snprintf(new_file, sizeof new_file, "%s.new", j->file);
    FILE *to = fopen(new_file, "w");
    if (!to) return pl_fail(err, PL_E_IO, "%s: %s", j->file, strerror(errno));
    print_file(j, to);
    const bool is_bad = ferror(to) || fflush(to) || fsync(fileno(to));
    if (fclose(to) || is_bad || rename(new_file, j->file)) {
        unlink(new_file);
        return pl_fail(err, PL_E_IO, "%s: %s", j->file, strerror(errno));
    }
    printf("wrote %s\n", j->file);
    return PL_OK;
}

static pl_status remove_file(const struct job *j, pl_err *err)
{
    if (j->dry_run) {
        printf("would remove %s\n", j->file);
        return PL_OK;
    }
    if (unlink(j->file) && errno != ENOENT)
        return pl_fail(err, PL_E_IO, "%s: %s", j->file, strerror(errno));
    printf("removed %s\n", j->file);
    return PL_OK;
}

/* ---- actions -------------------------------------------------------------------------------- */

/* Files that are looked at may be of another machine: of the one whose root is made. */
static pl_status check_files(const struct job *j, pl_err *err)
{
    const struct sandbox box = { .service = j->service.name, .is_user = j->service.is_user,
                                 .is_launchd = j->is_launchd,
                                 .is_elsewhere = j->writes_only || (j->is_launchd && !IS_MAC) };
    return sandbox_check(&box, &j->serve, j->program, err);
}

/* Only a user's may be elsewhere than where systemd makes one. */
static pl_status make_write_dir(const struct job *j, pl_err *err)
{
    char path[PATH_MAX];
    if (!j->service.write_dir || !j->service.is_user || j->is_launchd || j->writes_only)
        return PL_OK;
    snprintf(path, sizeof path, "%s", j->service.write_dir);
    if (!j->dry_run) return folders_make(path, 0700, err);
    if (access(path, F_OK)) printf("would make %s\n", path);
    return PL_OK;
}

static pl_status install(struct job *j, pl_err *err)
{
    pl_status st = check_files(j, err);
    if (!st) st = make_write_dir(j, err);
    if (!st) st = write_file(j, err);
    if (!st)
        service_words_warn(&j->serve, j->is_launchd || j->service.is_user ? NULL : j->program);
    if (j->is_launchd) {
        if (!st && !j->writes_only) mac_settings_offer(service_words_bytes(&j->serve), j->dry_run);
        return st;
    }
    if (!st) st = systemctl(j, "daemon-reload", NULL, err);
    if (!st) st = systemctl(j, "enable", j->target, err);
    return st;
}

static pl_status start(struct job *j, pl_err *err)
{
    return j->is_launchd ? launchctl(j, "bootstrap", j->domain, j->file, err)
                         : systemctl(j, "start", j->target, err);
}

static pl_status stop(struct job *j, pl_err *err)
{
    return j->is_launchd ? launchctl(j, "bootout", j->target, NULL, err)
                         : systemctl(j, "stop", j->target, err);
}

static pl_status status(struct job *j, pl_err *err)
{
    return j->is_launchd ? launchctl(j, "print", j->target, NULL, err)
                         : systemctl(j, "status", j->target, err);
}

static pl_status uninstall(struct job *j, pl_err *err)
{
    pl_err ignored;
    if (j->is_launchd) {
        launchctl(j, "bootout", j->target, NULL, &ignored);     /* fails where it does not run */
        return remove_file(j, err);
    }
    pl_status st = systemctl(j, "stop", j->target, err);
    if (!st) st = systemctl(j, "disable", j->target, err);
    if (!st) st = remove_file(j, err);
    return st ? st : systemctl(j, "daemon-reload", NULL, err);
}

static const struct {
    const char *name;
    pl_status (*act)(struct job *j, pl_err *err);
} actions[] = { { "install", install }, { "start", start }, { "stop", stop },
                { "status", status }, { "uninstall", uninstall } };

/* What install is to serve, from the words after it. -1: go on. */
static int set_serve(struct job *j, const struct arg_strings *words, uint32_t grace_s)
{
    if (words->n < 2) {
        fputs("paceline: install needs what to serve: paceline service install MODEL -- --parallel "
              "20\n", stderr);
        return 2;
    }
    const int code = service_words_read(&j->serve, words->text + 1, words->n - 1, grace_s);
    j->service.args = j->serve.word;
    j->service.n_args = j->serve.n;
    j->service.key_file = j->serve.o.api_key_file;
    j->service.write_dir = j->serve.o.params.pack_cache;
    j->service.grace_s = j->serve.o.grace_s;
    return code;
}

int cmd_service(int argc, char **argv)
{
    struct options o = { .name = "paceline", .prefix = "", .grace_s = SERVICE_AS_SERVE };
    const struct arg table[] = {
        { "--name", NULL, ARG_STRING, &o.name, 0, 0, "NAME",
          "of the service, where there are several (paceline)" },
        { "--user", NULL, ARG_FLAG, &o.is_user, 0, 0, NULL,
          "for this user's session; the default without root" },
        { "--system", NULL, ARG_FLAG, &o.is_system, 0, 0, NULL,
          "for the machine: starts before anyone logs in; the default as root" },
        { "--grace", NULL, ARG_U32, &o.grace_s, 0, 86400, "S",
          "time that running requests get when it stops (30, or what serve is told)" },
        { "--launchd", NULL, ARG_FLAG, &o.use_launchd, 0, 0, NULL,
          "launchd's files, also elsewhere than on macOS (with --dry-run)" },
        { "--dry-run", NULL, ARG_FLAG, &o.dry_run, 0, 0, NULL,
          "print every file and command, and do nothing" },
        { "--root", NULL, ARG_STRING, &o.prefix, 0, 0, "DIR",
          "write or remove the file below this folder and run nothing (for packages)" },
    };
    const struct arg_page page = {
        "service", "install MODEL|start|stop|status|uninstall [OPTIONS] [-- SERVE OPTIONS]",
        "Has systemd (Linux) or launchd (macOS) run a server: installs a hardened unit or a "
        "property list, starts, stops and removes it. MODEL is a file or the name of a pulled one. "
        "A system service on macOS is a LaunchDaemon, which runs before login.",
        "paceline service install Qwen/Qwen2.5-7B-Instruct-GGUF:Q4_K_M -- --parallel 20\n"
        "paceline service start\n"
        "paceline service install --dry-run /srv/model.gguf -- --api-key-file /etc/paceline.keys",
        table, N_ARGS(table)
    };
    struct arg_strings words = { .n = 0 };
    pl_err err = { 0 };
    const int code = args_parse(&page, argc, argv, &words, NULL);
    if (code >= 0) return code;
    o.use_launchd |= IS_MAC;
    struct job j = { .is_launchd = o.use_launchd, .dry_run = o.dry_run, .writes_only = *o.prefix,
                     .service = { .name = o.name,
                                  .is_user = o.is_user || (!o.is_system && geteuid() != 0) } };
    pl_status st = PL_OK;
    if (!service_name_is_valid(o.name))
        st = pl_fail(&err, PL_E_PARAM,
                     "--name: found \"%s\"; letters, digits, \"-\", \"_\" and \".\" are wanted",
                     o.name);
    if (!st) st = set_places(&j, &o, &err);
    if (st) return cli_fail(&err);
    if (words.n && !strcmp(words.text[0], "install")) {
        const int wrong = set_serve(&j, &words, o.grace_s);
        if (wrong >= 0) return wrong;
    }
    for (size_t i = 0; words.n && i < sizeof actions / sizeof *actions; i++)
        if (!strcmp(words.text[0], actions[i].name))
            return actions[i].act(&j, &err) ? cli_fail(&err) : 0;
    return args_missing(&page, "install, start, stop, status or uninstall");
}
