/* A command's page in every form it is printed in, to the letter: for people, man(1) and three
 * shells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/args.h"
#include "cli/help.h"
#include "unit/cli/captured.h"

static const struct foreign others[] = {
    { "--nothing -n --noth", FOREIGN_NOTHING, FOREIGN_FLAG, NULL, "it's so" },
    { "--refused", FOREIGN_REFUSED, FOREIGN_VALUE, "0 none", "there is none" },
    { "--empty", FOREIGN_REFUSED, FOREIGN_VALUE, "", ".not there" },
    { "--a-name-of-thirty-characters--1", FOREIGN_NOTHING, FOREIGN_FLAG, NULL, "a" },
    { "--a-name-of-thirty-characters--2", FOREIGN_NOTHING, FOREIGN_FLAG, NULL, "a" },
    { "--a-name-of-20-chars", FOREIGN_NOTHING, FOREIGN_FLAG, NULL, "a" },
    { "--a-name-of-thirty-characters--3", FOREIGN_NOTHING, FOREIGN_FLAG, NULL, "a" },
    { "--a-name-of-thirty-characters--4", FOREIGN_NOTHING, FOREIGN_FLAG, NULL, "a" },
    { "--a-name-of-fewer-characters--5", FOREIGN_NOTHING, FOREIGN_FLAG, NULL, "a" },
};
static const struct foreign_table foreign = { others, sizeof others / sizeof *others };
static bool flag, on;
static const char *text, *dir;
static uint32_t n;

static const struct arg table[] = {
    { "--model", "-m", ARG_STRING, &text, 0, 0, "FILE", "a [file]: \\it's" },
    { "--metrics-compat", NULL, ARG_STRING, &text, 0, 0, "NAME", "names" },
    { "--flag", NULL, ARG_FLAG, &flag, 0, 0, NULL, ".a flag" },
    { "--switch", "-s -sw", ARG_SWITCH, &on, 0, 0, NULL, "a switch" },
    { "--twenty-six-characters-long", NULL, ARG_U32, &n, 1, 2, "NNN", "just fits" },
    { "--twenty-seven-characters-more", NULL, ARG_U32, &n, 1, 2, "NN", "is too long" },
    { "--dir", NULL, ARG_STRING, &dir, 0, 0, "DIR", "a folder" },
    { "", NULL, ARG_FOREIGN, (void *)(uintptr_t)&foreign, 0, 0, NULL, "" },
};
static const struct arg_page page = { "serve", "MODEL [OPTIONS]", "Says-so.\n'Twice.",
                                      "paceline serve a\npaceline serve b\\c", table,
                                      N_ARGS(table) };
static struct captured out;

static void check(enum help_form form, const struct arg_page *p, const char *wanted)
{
    help_set_form(form);
    captured_begin(&out, STDOUT_FILENO);
    help_print(p);
    captured_end(&out);
    help_set_form(HELP_TEXT);
    if (!strcmp(out.text, wanted)) return;
    printf("found:\n%s\nwanted:\n%s\n", out.text, wanted);     /* more than fail_msg prints */
    fail();
}

static void for_people(void **state)
{
    (void)state;
    check(HELP_TEXT, &page,
          "usage: paceline serve MODEL [OPTIONS]\n"
          "\n"
          "  --model, -m FILE                 a [file]: \\it's\n"
          "  --metrics-compat NAME            names\n"
          "  --flag                           .a flag\n"
          "  --switch, -s, -sw, --no-switch   a switch\n"
          "  --twenty-six-characters-long NNN just fits\n"
          "  --twenty-seven-characters-more NN\n"
          "                                   is too long\n"
          "  --dir DIR                        a folder\n"
          "\n"
          "accepted without effect, for the sake of llama-server's command lines (the manual says "
          "why):\n"
          "   --nothing --a-name-of-thirty-characters--1 --a-name-of-thirty-characters--2 "
          "--a-name-of-20-chars\n"
          "   --a-name-of-thirty-characters--3 --a-name-of-thirty-characters--4\n"
          "   --a-name-of-fewer-characters--5\n"
          "\n"
          "examples:\n"
          "  paceline serve a\n"
          "  paceline serve b\\c\n");
}

static void for_man(void **state)
{
    (void)state;
    check(HELP_MAN, &page,
          ".SH SYNOPSIS\n"
          ".B paceline serve\n"
          "MODEL [OPTIONS]\n"
          ".SH DESCRIPTION\n"
          "Says\\-so.\n"
          "\\&'Twice.\n"
          ".SH OPTIONS\n"
          ".TP\n"
          "\\fB\\-\\-model\\fR, \\fB\\-m\\fR \\fIFILE\\fR\n"
          "a [file]: \\eit's\n"
          ".TP\n"
          "\\fB\\-\\-metrics\\-compat\\fR \\fINAME\\fR\n"
          "names\n"
          ".TP\n"
          "\\fB\\-\\-flag\\fR\n"
          "\\&.a flag\n"
          ".TP\n"
          "\\fB\\-\\-switch\\fR, \\fB\\-s\\fR, \\fB\\-sw\\fR, \\fB\\-\\-no\\-switch\\fR\n"
          "a switch\n"
          ".TP\n"
          "\\fB\\-\\-twenty\\-six\\-characters\\-long\\fR \\fINNN\\fR\n"
          "just fits\n"
          ".TP\n"
          "\\fB\\-\\-twenty\\-seven\\-characters\\-more\\fR \\fINN\\fR\n"
          "is too long\n"
          ".TP\n"
          "\\fB\\-\\-dir\\fR \\fIDIR\\fR\n"
          "a folder\n"
          ".SH ACCEPTED WITHOUT EFFECT\n"
          ".TP\n"
          "\\fB\\-\\-nothing\\fR, \\fB\\-n\\fR, \\fB\\-\\-noth\\fR\n"
          "it's so\n"
          ".TP\n"
          "\\fB\\-\\-a\\-name\\-of\\-thirty\\-characters\\-\\-1\\fR\n"
          "a\n"
          ".TP\n"
          "\\fB\\-\\-a\\-name\\-of\\-thirty\\-characters\\-\\-2\\fR\n"
          "a\n"
          ".TP\n"
          "\\fB\\-\\-a\\-name\\-of\\-20\\-chars\\fR\n"
          "a\n"
          ".TP\n"
          "\\fB\\-\\-a\\-name\\-of\\-thirty\\-characters\\-\\-3\\fR\n"
          "a\n"
          ".TP\n"
          "\\fB\\-\\-a\\-name\\-of\\-thirty\\-characters\\-\\-4\\fR\n"
          "a\n"
          ".TP\n"
          "\\fB\\-\\-a\\-name\\-of\\-fewer\\-characters\\-\\-5\\fR\n"
          "a\n"
          ".SH NOT SUPPORTED\n"
          ".TP\n"
          "\\fB\\-\\-refused\\fR\n"
          "there is none (accepted: 0 none)\n"
          ".TP\n"
          "\\fB\\-\\-empty\\fR\n"
          "\\&.not there\n"
          ".SH EXAMPLES\n"
          ".nf\n"
          "paceline serve a\n"
          "paceline serve b\\ec\n"
          ".fi\n");
}

static void for_bash(void **state)
{
    (void)state;
    check(HELP_BASH, &page,
          "    serve)\n"
          "        words=\"--model -m --metrics-compat --flag --switch -s -sw --no-switch "
          "--twenty-six-characters-long --twenty-seven-characters-more --dir --help\"\n"
          "        paths=\"--model -m --dir \"\n"
          "        values=\"--metrics-compat --twenty-six-characters-long "
          "--twenty-seven-characters-more \"\n"
          "        models=\"--model -m WORD\"\n"
          "        case $before in\n"
          "            --metrics-compat) given=\" vllm\" ;;\n"
          "        esac\n"
          "        own=\"\"\n"
          "        ;;\n");
}

static void for_zsh(void **state)
{
    (void)state;
    check(HELP_ZSH, &page,
          "    serve)\n"
          "        _arguments \\\n"
          "            {--model,-m}'[a \\[file\\]\\: \\\\it'\\''s]:FILE:{compadd -- "
          "${(f)\"$(paceline completion models 2>/dev/null)\"}; _files}' \\\n"
          "            --metrics-compat'[names]:NAME:( vllm)' \\\n"
          "            --flag'[.a flag]' \\\n"
          "            {--switch,-s,-sw,--no-switch}'[a switch]' \\\n"
          "            --twenty-six-characters-long'[just fits]:NNN: ' \\\n"
          "            --twenty-seven-characters-more'[is too long]:NN: ' \\\n"
          "            --dir'[a folder]:DIR:_files' \\\n"
          "            '--help[what the options do]' '*:word:{compadd -- ${(f)\"$(paceline "
          "completion models 2>/dev/null)\"}; _files}'\n"
          "        ;;\n");
}

static void for_fish(void **state)
{
    (void)state;
    check(HELP_FISH, &page,
          "complete -c paceline -n '__fish_seen_subcommand_from serve' -l model -s m -r -F -a ' "
          "(paceline completion models 2>/dev/null)' -d 'a [file]: \\\\it\\'s'\n"
          "complete -c paceline -n '__fish_seen_subcommand_from serve' -l metrics-compat -x -a ' "
          "vllm' -d 'names'\n"
          "complete -c paceline -n '__fish_seen_subcommand_from serve' -l flag -d '.a flag'\n"
          "complete -c paceline -n '__fish_seen_subcommand_from serve' -l switch -s s -o sw -l "
          "no-switch -d 'a switch'\n"
          "complete -c paceline -n '__fish_seen_subcommand_from serve' -l "
          "twenty-six-characters-long -x -d 'just fits'\n"
          "complete -c paceline -n '__fish_seen_subcommand_from serve' -l "
          "twenty-seven-characters-more -x -d 'is too long'\n"
          "complete -c paceline -n '__fish_seen_subcommand_from serve' -l dir -r -F -d 'a folder'\n"
          "complete -c paceline -n '__fish_seen_subcommand_from serve' -F -a ' (paceline "
          "completion models 2>/dev/null)'\n");
}

static void a_page_with_little_on_it(void **state)
{
    (void)state;
    const struct arg_page bare = { "bare", "WORD", NULL, "paceline bare x", NULL, 0 };
    const struct arg_page none = { "none", "", NULL, NULL, NULL, 0 };
    check(HELP_TEXT, &bare, "usage: paceline bare WORD\n\n\nexample:\n  paceline bare x\n");
    check(HELP_TEXT, &none, "usage: paceline none \n\n");
    check(HELP_MAN, &bare,
          ".SH SYNOPSIS\n.B paceline bare\nWORD\n.SH EXAMPLES\n.nf\npaceline bare x\n.fi\n");
    check(HELP_MAN, &none, ".SH SYNOPSIS\n.B paceline none\n\n");
    check(HELP_FISH, &bare, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(for_people), cmocka_unit_test(for_man),  cmocka_unit_test(for_bash),
        cmocka_unit_test(for_zsh),    cmocka_unit_test(for_fish),
        cmocka_unit_test(a_page_with_little_on_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
