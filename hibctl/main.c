/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <string.h>

#include "command.h"
#include "efi/uefi.h"
#include "globals.h"

static const struct command *const commands[] = {
        &command_status,  &command_mark,   &command_cancel, &command_settle, &command_check, &command_setup,
        &command_prepare, &command_locate, &command_resume, &command_env,    &command_sleep,
};

enum { OPTION_ROOT = 256, OPTION_JSON };

static const struct option options[] = {
        { "root", required_argument, NULL, OPTION_ROOT },
        { "json", no_argument, NULL, OPTION_JSON },
        { "quiet", no_argument, NULL, 'q' },
        { "verbose", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        { 0 },
};

int need_root(void)
{
        return geteuid() == 0 ? EXIT_DONE : fail(_("this changes what the boot loader does; run it as root"));
}

/* What getopt puts before its messages. */
static char program_name[] = "hibctl";

static void print_help(void)
{
        printf(_("Usage: hibctl [OPTION...] COMMAND [ARGUMENT...]\n\n"
                 "Marks a hibernation image for GRUB, so that the next power-on resumes it by itself, once.\n\n"
                 "Commands:\n"));
        for (size_t i = 0; i < ELEMENTS(commands); i++)
                printf("  %-8s  %s\n", commands[i]->name, _(commands[i]->summary));
        printf(_("\nOptions:\n"
                 "      --root=DIR  work on the system below DIR (before the command)\n"
                 "      --json      print results as JSON\n"
                 "  -q, --quiet     say errors only\n"
                 "  -v, --verbose   say each step\n"
                 "  -h, --help      show this help; 'hibctl COMMAND --help' shows a command's\n"
                 "  -V, --version   show the version\n\n"
                 "Exit status: 0 done; 1 failed, nothing changed; 2 nothing to do; 3 refused as unsafe;\n"
                 "4 no usable store; 64 wrong usage.\n"));
}

void print_command_help(const struct command *command)
{
        printf(_("Usage: hibctl [OPTION...] %s %s\n\n%s\n"), command->name, command->arguments, _(command->summary));
        if (command->options)
                printf(_("\nOptions:\n%s"), _(command->options));
}

int bad_option(const struct command *command)
{
        return usage_error(_("'hibctl %s --help' lists what there is"), command->name);
}

/* A root without a slash at its end, so that paths can be put behind it; "/" becomes "". */
static int set_root(const char *dir)
{
        static char root[4096];
        char *real = realpath(dir, NULL);

        if (!real && errno != ENOENT && errno != ENOTDIR)
                return fail(_("--root=%s: cannot look at it: %m"), dir);
        if (!real)
                return usage_error(_("--root=%s: %m; name the folder that the system is mounted on"), dir);
        snprintf(root, sizeof(root), "%s", strcmp(real, "/") == 0 ? "" : real);
        free(real);
        globals.root = root;
        return EXIT_DONE;
}

static bool take_common_option(const char *word)
{
        if (strcmp(word, "--json") == 0)
                globals.json = true;
        else if (strcmp(word, "-q") == 0 || strcmp(word, "--quiet") == 0)
                say_set_loudness(SAY_QUIET);
        else if (strcmp(word, "-v") == 0 || strcmp(word, "--verbose") == 0)
                say_set_loudness(SAY_VERBOSE);
        else
                return false;
        return true;
}

/* The options that every command has may stand behind it too: "hibctl status --json". Takes them out of ARGV, and
 * returns what is left of ARGC. */
static int take_common_options(const struct command *command, int argc, char *argv[])
{
        int n = 1, i = 1;

        for (; i < argc && strcmp(argv[i], "--") != 0 && !(command->takes_words && argv[i][0] != '-'); i++)
                if (!take_common_option(argv[i]))
                        argv[n++] = argv[i];
        for (; i < argc; i++)
                argv[n++] = argv[i];
        argv[n] = NULL;
        return n;
}

static int run_command(int argc, char *argv[])
{
        if (argc == 0)
                return usage_error(_("no command given; 'hibctl --help' lists them"));
        for (size_t i = 0; i < ELEMENTS(commands); i++)
                if (strcmp(commands[i]->name, argv[0]) == 0) {
                        optind = 0; /* start getopt afresh on the command's own arguments */
                        argv[0] = program_name;
                        return commands[i]->run(take_common_options(commands[i], argc, argv), argv);
                }
        return usage_error(_("%s: unknown command; 'hibctl --help' lists them"), argv[0]);
}

static int parse_and_run(int argc, char *argv[])
{
        int c, r;

        /* '+': stop at the command, whose options are its own. */
        while ((c = getopt_long(argc, argv, "+qvhV", options, NULL)) != -1)
                switch (c) {
                case OPTION_ROOT:
                        r = set_root(optarg);
                        if (r != EXIT_DONE)
                                return r;
                        break;
                case OPTION_JSON:
                        globals.json = true;
                        break;
                case 'q':
                        say_set_loudness(SAY_QUIET);
                        break;
                case 'v':
                        say_set_loudness(SAY_VERBOSE);
                        break;
                case 'h':
                        print_help();
                        return EXIT_DONE;
                case 'V':
                        printf("hibctl %s\n", PACKAGE_VERSION);
                        return EXIT_DONE;
                default:
                        return usage_error(_("'hibctl --help' lists the options"));
                }
        return run_command(argc - optind, argv + optind);
}

/* With a standard descriptor closed, the next file that is opened would take its place and get our output. Standard
 * output becomes one that cannot be written to, so that a result that goes nowhere is noticed. */
static void fill_standard_descriptors(void)
{
        for (int fd = 0; fd <= 2; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY) != fd)
                        exit(EXIT_FAILED);
}

int main(int argc, char *argv[])
{
        int r;

        fill_standard_descriptors();
        uefi_start(argv);
        /* What messages need. The other categories would be ten more files to read, and what is written down, such as a
         * time, must not depend on them. */
        setlocale(LC_CTYPE, "");
        setlocale(LC_MESSAGES, "");
        bindtextdomain(PACKAGE, LOCALEDIR);
        textdomain(PACKAGE);
        signal(SIGPIPE, SIG_IGN);

        if (argc > 0)
                argv[0] = program_name;
        r = parse_and_run(argc, argv);
        /* A result that was not written is not a result. */
        if (fflush(stdout) != 0 || ferror(stdout)) {
                say_error(_("cannot write to standard output: %m"));
                r = r == EXIT_DONE || r == EXIT_NOTHING ? EXIT_FAILED : r;
        }
        return r;
}
