#include "cli/service/service_file.h"

#include <ctype.h>
#include <string.h>

bool service_name_is_valid(const char *name)
{
    const size_t n = strlen(name);
    if (n == 0 || n > 64 || name[0] == '.' || name[0] == '-') return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i])) return false;
    return true;
}

/* n bytes of a word of ExecStart, with what systemd would expand or unescape as its own doubled
 * (systemd.service(5), "Command lines"). */
static void print_escaped(FILE *to, const char *word, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (word[i] == '"' || word[i] == '\\') fputc('\\', to);
        if (word[i] == '%' || word[i] == '$') fputc(word[i], to);
        if (word[i] == '\n') fputs("\\n", to);
        else fputc(word[i], to);
    }
}

static void print_unit_word(FILE *to, const char *word)
{
    fputc('"', to);
    print_escaped(to, word, strlen(word));
    fputc('"', to);
}

static bool has_credential(const struct service *s)
{
    return s->key_file && !s->is_user;
}

/* The same, but for the key file, which the service finds among its credentials. */
static void print_unit_arg(FILE *to, const struct service *s, const char *word)
{
    const size_t n = strlen(word), n_file = has_credential(s) ? strlen(s->key_file) : n + 1;
    if (n_file > n || word + n - n_file != s->key_file) {
        print_unit_word(to, word);
        return;
    }
    fputc('"', to);
    print_escaped(to, word, n - n_file);
    fputs("${CREDENTIALS_DIRECTORY}/api-keys\"", to);
}

/* A user's service may not write to the user's folders but where this says so. "-": or it is not
 * there. */
static void print_write_dir(FILE *to, const struct service *s)
{
    if (!s->write_dir || !s->is_user) return;
    fputs("ReadWritePaths=\"-", to);
    for (const char *at = s->write_dir; *at; at++) {
        if (*at == '%') fputc('%', to);
        fputc(*at, to);
    }
    fputs("\"\n", to);
}

static void print_credential(FILE *to, const struct service *s)
{
    if (!has_credential(s)) return;
    fputs("LoadCredential=api-keys:", to);
    for (const char *at = s->key_file; *at; at++) {
        if (*at == '%') fputc('%', to);
        fputc(*at, to);
    }
    fputc('\n', to);
}

void service_print_unit(FILE *to, const struct service *s)
{
    fprintf(to, "# Written by paceline service install; edit with systemctl edit.\n"
            "[Unit]\n"
            "Description=paceline: many parallel generations of one LLM (%s)\n"
            "Documentation=man:paceline-serve(1)\n"
            "After=network-online.target\n"
            "Wants=network-online.target\n\n"
            "[Service]\n"
            "Type=notify\n"
            "ExecStart=", s->name);
    print_unit_word(to, s->program);
    for (size_t i = 0; i < s->n_args; i++) {
        fputc(' ', to);
        print_unit_arg(to, s, s->args[i]);
    }
    fputc('\n', to);
    print_credential(to, s);
    if (s->key_file && !has_credential(s))      /* a credential stays what it was at the start */
        fputs("ExecReload=/bin/kill -HUP $MAINPID\n", to);
    print_write_dir(to, s);
    /* a large model takes its time to load; what is stuck then is of use to nobody, its memory
     * image neither */
    fprintf(to,
            "TimeoutStartSec=infinity\n"
            "WatchdogSec=60\n"
            "WatchdogSignal=SIGKILL\n"
            "Restart=on-failure\n"
            "RestartSec=2\n"
            "KillSignal=SIGTERM\n"
            "TimeoutStopSec=%u\n"
            "LimitNOFILE=65536\n"
            "LimitMEMLOCK=infinity\n"
            "OOMScoreAdjust=-200\n", s->grace_s + 10);
    if (!s->is_user)
        fprintf(to, "DynamicUser=yes\n"
              "CacheDirectory=%s\n"
              "CapabilityBoundingSet=\n"
              "ProtectClock=yes\n"
              "ProtectHostname=yes\n"
              "ProtectKernelLogs=yes\n"
              "ProtectKernelModules=yes\n"
              "ProtectHome=read-only\n"
              "PrivateTmp=yes\n", s->name);
    fprintf(to,
            "NoNewPrivileges=yes\n"
            "ProtectSystem=strict\n"
            "ProtectControlGroups=yes\n"
            "ProtectKernelTunables=yes\n"
            "LockPersonality=yes\n"
            "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\n"
            "RestrictNamespaces=yes\n"
            "RestrictRealtime=yes\n"
            "RestrictSUIDSGID=yes\n"
            "SystemCallArchitectures=native\n"
            "SystemCallFilter=@system-service\n"
            "UMask=0077\n\n"
            "[Install]\n"
            "WantedBy=%s\n", s->is_user ? "default.target" : "multi-user.target");
}

static void print_xml(FILE *to, const char *text)
{
    for (; *text; text++) {
        if (*text == '&') fputs("&amp;", to);
        else if (*text == '<') fputs("&lt;", to);
        else if (*text == '>') fputs("&gt;", to);
        else fputc(*text, to);
    }
}

static void print_string(FILE *to, const char *indent, const char *text)
{
    fprintf(to, "%s<string>", indent);
    print_xml(to, text);
    fputs("</string>\n", to);
}

static void print_log(FILE *to, const struct service *s, const char *key, const char *suffix)
{
    fprintf(to, "  <key>%s</key>\n  <string>", key);
    print_xml(to, s->log_dir);
    fputc('/', to);
    print_xml(to, s->name);
    fprintf(to, "%s</string>\n", suffix);
}

void service_print_plist(FILE *to, const struct service *s)
{
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
          "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" "
          "\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n"
          "<plist version=\"1.0\">\n<dict>\n  <key>Label</key>\n", to);
    fprintf(to, "  <string>dev.paceline.%s</string>\n", s->name);
    fputs("  <key>ProgramArguments</key>\n  <array>\n", to);
    print_string(to, "    ", s->program);
    for (size_t i = 0; i < s->n_args; i++) print_string(to, "    ", s->args[i]);
    fputs("  </array>\n"
          "  <key>ProcessType</key>\n  <string>Interactive</string>\n"
          "  <key>RunAtLoad</key>\n  <true/>\n"
          "  <key>KeepAlive</key>\n  <dict>\n    <key>SuccessfulExit</key>\n    <false/>\n  "
          "</dict>\n", to);
    fprintf(to, "  <key>ExitTimeOut</key>\n  <integer>%u</integer>\n", s->grace_s + 10);
    fputs("  <key>SoftResourceLimits</key>\n  <dict>\n    <key>NumberOfFiles</key>\n"
          "    <integer>65536</integer>\n  </dict>\n", to);
    print_log(to, s, "StandardOutPath", ".log");
    print_log(to, s, "StandardErrorPath", ".log");
    fputs("</dict>\n</plist>\n", to);
}
