/* What is written for systemd and launchd, to the letter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/service/service_file.h"

static const char *const plain_args[] =
    { "serve", "--model", "/m/a \"b\"\\c%d$e\nf.gguf", "--api-key-file=/k/x%y" };

static struct service service(bool is_user)
{
    struct service s = { .name = "two", .program = "/usr/bin/pace line", .args = plain_args,
                         .n_args = 4, .grace_s = 30, .log_dir = "/l/<a>&b", .is_user = is_user };
    s.key_file = plain_args[3] + strlen("--api-key-file=");
    return s;
}

static void check(void (*print)(FILE *, const struct service *), const struct service *s,
                  const char *wanted)
{
    char *text = NULL;
    size_t n;
    FILE *to = open_memstream(&text, &n);
    print(to, s);
    fclose(to);
    if (strcmp(text, wanted)) {
        printf("found:\n%s\nwanted:\n%s\n", text, wanted);
        fail();
    }
    free(text);
}

static void a_unit_of_the_system(void **state)
{
    const struct service s = service(false);
    (void)state;
    check(service_print_unit, &s,
          "# Written by paceline service install; edit with systemctl edit.\n"
          "[Unit]\n"
          "Description=paceline: many parallel generations of one LLM (two)\n"
          "Documentation=man:paceline-serve(1)\n"
          "After=network-online.target\n"
          "Wants=network-online.target\n"
          "\n"
          "[Service]\n"
          "Type=notify\n"
          "ExecStart=\"/usr/bin/pace line\" \"serve\" \"--model\" \"/m/a "
          "\\\"b\\\"\\\\c%%d$$e\\nf.gguf\" \"--api-key-file=${CREDENTIALS_DIRECTORY}/api-keys\"\n"
          "LoadCredential=api-keys:/k/x%%y\n"
          "TimeoutStartSec=infinity\n"
          "WatchdogSec=60\n"
          "WatchdogSignal=SIGKILL\n"
          "Restart=on-failure\n"
          "RestartSec=2\n"
          "KillSignal=SIGTERM\n"
          "TimeoutStopSec=40\n"
          "LimitNOFILE=65536\n"
          "LimitMEMLOCK=infinity\n"
          "OOMScoreAdjust=-200\n"
          "DynamicUser=yes\n"
          "CacheDirectory=two\n"
          "CapabilityBoundingSet=\n"
          "ProtectClock=yes\n"
          "ProtectHostname=yes\n"
          "ProtectKernelLogs=yes\n"
          "ProtectKernelModules=yes\n"
          "ProtectHome=read-only\n"
          "PrivateTmp=yes\n"
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
          "UMask=0077\n"
          "\n"
          "[Install]\n"
          "WantedBy=multi-user.target\n");
}

static void a_unit_of_a_user(void **state)
{
    struct service s = service(true);
    (void)state;
    s.write_dir = "/home/u/100%";
    check(service_print_unit, &s,
          "# Written by paceline service install; edit with systemctl edit.\n"
          "[Unit]\n"
          "Description=paceline: many parallel generations of one LLM (two)\n"
          "Documentation=man:paceline-serve(1)\n"
          "After=network-online.target\n"
          "Wants=network-online.target\n"
          "\n"
          "[Service]\n"
          "Type=notify\n"
          "ExecStart=\"/usr/bin/pace line\" \"serve\" \"--model\" \"/m/a "
          "\\\"b\\\"\\\\c%%d$$e\\nf.gguf\" \"--api-key-file=/k/x%%y\"\n"
          "ExecReload=/bin/kill -HUP $MAINPID\n"
          "ReadWritePaths=\"-/home/u/100%%\"\n"
          "TimeoutStartSec=infinity\n"
          "WatchdogSec=60\n"
          "WatchdogSignal=SIGKILL\n"
          "Restart=on-failure\n"
          "RestartSec=2\n"
          "KillSignal=SIGTERM\n"
          "TimeoutStopSec=40\n"
          "LimitNOFILE=65536\n"
          "LimitMEMLOCK=infinity\n"
          "OOMScoreAdjust=-200\n"
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
          "UMask=0077\n"
          "\n"
          "[Install]\n"
          "WantedBy=default.target\n");
}

/* No key file, and one that is a word of its own. */
static void a_unit_by_its_words(void **state)
{
    static const char key_file[] = "/k", other[] = "/k";
    static const char *const args[] = { "serve", "--api-key-file", key_file, other };
    struct service s = service(false);
    char *text = NULL;
    size_t n;
    (void)state;
    s.args = args;
    for (int i = 0; i < 3; i++) {
        s.key_file = i == 0 ? NULL : args[2];
        s.is_user = i == 2;
        FILE *to = open_memstream(&text, &n);
        service_print_unit(to, &s);
        fclose(to);
        assert_non_null(strstr(text,
                               i == 1
                                   ? " \"--api-key-file\" \"${CREDENTIALS_DIRECTORY}/api-keys\" "
                                     "\"/k\"\n"
                                            : " \"--api-key-file\" \"/k\" \"/k\"\n"));
        assert_int_equal(strstr(text, "LoadCredential=api-keys:/k\n") != NULL, i == 1);
        assert_int_equal(strstr(text, "ExecReload=/bin/kill -HUP $MAINPID\n") != NULL, i == 2);
        assert_null(strstr(text, "ReadWritePaths"));
        free(text);
    }
}

static void a_property_list(void **state)
{
    const struct service s = service(true);
    (void)state;
    check(service_print_plist, &s,
          "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
          "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" "
          "\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n"
          "<plist version=\"1.0\">\n"
          "<dict>\n"
          "  <key>Label</key>\n"
          "  <string>dev.paceline.two</string>\n"
          "  <key>ProgramArguments</key>\n"
          "  <array>\n"
          "    <string>/usr/bin/pace line</string>\n"
          "    <string>serve</string>\n"
          "    <string>--model</string>\n"
          "    <string>/m/a \"b\"\\c%d$e\n"
          "f.gguf</string>\n"
          "    <string>--api-key-file=/k/x%y</string>\n"
          "  </array>\n"
          "  <key>ProcessType</key>\n"
          "  <string>Interactive</string>\n"
          "  <key>RunAtLoad</key>\n"
          "  <true/>\n"
          "  <key>KeepAlive</key>\n"
          "  <dict>\n"
          "    <key>SuccessfulExit</key>\n"
          "    <false/>\n"
          "  </dict>\n"
          "  <key>ExitTimeOut</key>\n"
          "  <integer>40</integer>\n"
          "  <key>SoftResourceLimits</key>\n"
          "  <dict>\n"
          "    <key>NumberOfFiles</key>\n"
          "    <integer>65536</integer>\n"
          "  </dict>\n"
          "  <key>StandardOutPath</key>\n"
          "  <string>/l/&lt;a&gt;&amp;b/two.log</string>\n"
          "  <key>StandardErrorPath</key>\n"
          "  <string>/l/&lt;a&gt;&amp;b/two.log</string>\n"
          "</dict>\n"
          "</plist>\n");
}

static void names(void **state)
{
    static const char longest[] =
        "a123456789b123456789c123456789d123456789e123456789f123456789g123";
    static const char *const good[] = { "a", "Z9", "a-b_c.d", "_", "9.", longest };
    static const char *const bad[] = { "", ".a", "-a", "a/b", "a b", "a@b", "a\nb", "\xc3\xa4" };
    char longer[sizeof longest + 1];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!service_name_is_valid(good[i])) fail_msg("%s is refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (service_name_is_valid(bad[i])) fail_msg("%s is taken", bad[i]);
    assert_int_equal(strlen(longest), 64);
    snprintf(longer, sizeof longer, "%s5", longest);
    assert_false(service_name_is_valid(longer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unit_of_the_system),
        cmocka_unit_test(a_unit_of_a_user),
        cmocka_unit_test(a_unit_by_its_words),
        cmocka_unit_test(a_property_list),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
