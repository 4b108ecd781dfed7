/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * Runs a program and makes one of its system calls fail, be cut short, or be its last one.
 *
 *     inject SECONDS REPORT PROCESS NUMBER WHAT PROGRAM ARG...
 *
 * PROCESS: 0 for the program itself, 1 for the first that it forks, and so on. NUMBER: which of its system calls,
 * counted from 1. WHAT:
 *     list            nothing; every call is put into the report
 *     kill            SIGKILL instead of the call
 *     signal:SIGNAL   this signal before the call
 *     error:ERRNO     the call is not made and fails
 *     late:ERRNO      the call is made and then fails, as a flush does that came too far
 *     dead:ERRNO:CALL,CALL...
 *                     as error, and so does each of these calls from then on, as of a disk that is gone; writing to
 *                     the standard descriptors and mapping files go on
 *     short:BYTES     the call gets only so much to read or write: the kernel does it, truly
 * The report's last line says how it ended: "end HIT STATUS HANG", the status as a shell has it, HANG 1 if it took more
 * than SECONDS. It ends when all processes have. For x86-64.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES_MAX 64
#define CALLS_MAX 64
#define TEXT_MAX 256

enum what { LIST, KILL, SIGNAL, ERROR, LATE, DEAD, SHORT };

static struct {
        enum what what;
        long value;
        int calls[CALLS_MAX], n_calls; /* of DEAD */
        int process;
        long number;
} wish;

static struct process {
        pid_t pid;
        bool inside; /* a call, which is not done yet */
        bool failing, shortened, asking;
        long count, error;
        unsigned long long count_before, end_wanted; /* what the program put into the register */
} processes[PROCESSES_MAX];
static int n_processes, n_alive;

static FILE *report;
static bool hit, hang;
static int main_status;

static void end(const char *why)
{
        fprintf(stderr, "inject: %s: %s\n", why, strerror(errno));
        exit(99);
}

static struct process *find(pid_t pid)
{
        for (int i = 0; i < n_processes; i++)
                if (processes[i].pid == pid)
                        return &processes[i];
        if (n_processes == PROCESSES_MAX)
                end("too many processes");
        processes[n_processes].pid = pid;
        n_alive++;
        return &processes[n_processes++];
}

/* ---- what a call is about, for the list ---- */

static void put_string(pid_t pid, unsigned long long at)
{
        char text[TEXT_MAX] = "";
        struct iovec here = { text, sizeof(text) - 1 }, there = { (void *)at, sizeof(text) - 1 };
        ssize_t n = process_vm_readv(pid, &here, 1, &there, 1, 0);

        if (n < 0) { /* up to the end of the page */
                there.iov_len = here.iov_len = 4096 - at % 4096 < sizeof(text) ? 4096 - at % 4096 : sizeof(text) - 1;
                process_vm_readv(pid, &here, 1, &there, 1, 0);
        }
        for (char *c = text; *c; c++)
                fputc(*c > ' ' && *c < 0x7f ? *c : '?', report);
}

static void put_descriptor(pid_t pid, int fd)
{
        char path[64], text[TEXT_MAX] = "";
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
        n = readlink(path, text, sizeof(text) - 1);
        for (ssize_t i = 0; i < n; i++)
                fputc(text[i] > ' ' && text[i] < 0x7f ? text[i] : '?', report);
}

static bool is_direct(pid_t pid, int fd)
{
        char path[64], line[128];
        unsigned int flags = 0;

        snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
        FILE *f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f))
                sscanf(line, "flags: %o", &flags);
        if (f)
                fclose(f);
        return flags & 040000; /* O_DIRECT */
}

static void put_call(const struct process *p, const struct user_regs_struct *r)
{
        fprintf(report, "%d %ld %lld %llx %llx %llx %llx ", (int)(p - processes), p->count, r->orig_rax, r->rdi, r->rsi, r->rdx, r->r10);
        switch (r->orig_rax) {
        case SYS_openat:
        case SYS_newfstatat:
        case SYS_readlinkat:
        case SYS_unlinkat:
        case SYS_mkdirat:
        case SYS_openat2:
                put_string(p->pid, r->rsi);
                break;
        case SYS_open:
        case SYS_access:
        case SYS_readlink:
        case SYS_unlink:
        case SYS_rename:
        case SYS_mkdir:
        case SYS_umount2:
        case SYS_statfs:
        case SYS_execve:
                put_string(p->pid, r->rdi);
                break;
        case SYS_mount:
                put_string(p->pid, r->rsi);
                break;
        case SYS_mmap:
                if ((int)r->r8 >= 0)
                        put_descriptor(p->pid, (int)r->r8);
                break;
        case SYS_read:
        case SYS_write:
        case SYS_pread64:
        case SYS_pwrite64:
                fputs(is_direct(p->pid, (int)r->rdi) ? "direct:" : "", report);
                put_descriptor(p->pid, (int)r->rdi);
                break;
        case SYS_close:
        case SYS_fsync:
        case SYS_fdatasync:
        case SYS_syncfs:
        case SYS_ioctl:
        case SYS_lseek:
        case SYS_fchmod:
        case SYS_fchown:
        case SYS_fcntl:
        case SYS_flock:
        case SYS_ftruncate:
                put_descriptor(p->pid, (int)r->rdi);
                break;
        }
        fputc('\n', report);
}

/* ---- the fault ---- */

static void get(pid_t pid, struct user_regs_struct *r)
{
        if (ptrace(PTRACE_GETREGS, pid, NULL, r) < 0)
                memset(r, 0, sizeof(*r)); /* it was killed just now */
}

static void put(pid_t pid, const struct user_regs_struct *r)
{
        ptrace(PTRACE_SETREGS, pid, NULL, r);
}

static void make_fail(struct process *p, struct user_regs_struct *r, long error)
{
        if (r->orig_rax == SYS_brk) { /* it has no errno: it returns the end that is, as when asked for that */
                p->asking = true;
                p->end_wanted = r->rdi;
                r->rdi = 0;
                put(p->pid, r);
                return;
        }
        r->orig_rax = (unsigned long long)-1;
        put(p->pid, r);
        p->failing = true;
        p->error = error;
}

static bool is_of_the_dead(const struct user_regs_struct *r)
{
        if (r->orig_rax == SYS_write && r->rdi <= 2)
                return false;
        if (r->orig_rax == SYS_mmap && !(r->r10 & MAP_ANONYMOUS))
                return false;
        for (int i = 0; i < wish.n_calls; i++)
                if (wish.calls[i] == (int)r->orig_rax)
                        return true;
        return false;
}

static void enter(struct process *p)
{
        struct user_regs_struct r;
        bool now;

        get(p->pid, &r);
        p->count++;
        if (wish.what == LIST)
                put_call(p, &r);
        now = !hit && p - processes == wish.process && p->count == wish.number;
        if (wish.what == DEAD && hit && p - processes == wish.process && is_of_the_dead(&r))
                make_fail(p, &r, wish.value);
        if (!now || wish.what == LIST)
                return;
        hit = true;
        fprintf(report, "at %lld\n", r.orig_rax);
        switch (wish.what) {
        case KILL:
                kill(p->pid, SIGKILL);
                break;
        case SIGNAL:
                kill(p->pid, (int)wish.value);
                break;
        case ERROR:
        case DEAD:
                make_fail(p, &r, wish.value);
                break;
        case LATE:
                p->failing = true;
                p->error = wish.value;
                break;
        case SHORT:
                p->shortened = true;
                p->count_before = r.rdx;
                if ((unsigned long long)wish.value < r.rdx) /* never more than there is room for */
                        r.rdx = (unsigned long long)wish.value;
                put(p->pid, &r);
                break;
        case LIST:
                break;
        }
}

static void leave(struct process *p)
{
        struct user_regs_struct r;

        if (!p->failing && !p->shortened && !p->asking)
                return;
        get(p->pid, &r);
        if (p->failing)
                r.rax = (unsigned long long)-p->error;
        if (p->shortened)
                r.rdx = p->count_before; /* the program expects it there still */
        if (p->asking)
                r.rdi = p->end_wanted;
        put(p->pid, &r);
        p->failing = p->shortened = p->asking = false;
}

/* ---- watching ---- */

static bool is_watched(const struct process *p)
{
        return wish.what == LIST || (p - processes == wish.process && (!hit || wish.what == DEAD || p->inside));
}

static void go_on(struct process *p, int signal)
{
        ptrace(is_watched(p) ? PTRACE_SYSCALL : PTRACE_CONT, p->pid, NULL, (void *)(long)signal);
}

static void stopped(struct process *p, int status, bool is_new)
{
        int signal = WSTOPSIG(status), event = status >> 16;
        unsigned long child;

        if (signal == (SIGTRAP | 0x80)) {
                p->inside = !p->inside;
                if (p->inside)
                        enter(p);
                else
                        leave(p);
                go_on(p, 0);
        } else if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
                if (ptrace(PTRACE_GETEVENTMSG, p->pid, NULL, &child) == 0)
                        find((pid_t)child);
                go_on(p, 0);
        } else if (event != 0 || (is_new && signal == SIGSTOP))
                go_on(p, 0);
        else
                go_on(p, signal);
}

static void on_alarm(int signal)
{
        (void)signal;
        hang = true;
        for (int i = 0; i < n_processes; i++)
                if (processes[i].pid > 0)
                        kill(processes[i].pid, SIGKILL);
}

static void watch(void)
{
        bool started[PROCESSES_MAX] = { true };

        while (n_alive > 0) {
                int status;
                pid_t pid = waitpid(-1, &status, __WALL);

                if (pid < 0 && errno == EINTR) {
                        static int times;
                        if (++times > 1)
                                break; /* not even killed: it waits for a thaw */
                        continue;
                }
                if (pid < 0)
                        break;
                struct process *p = find(pid);
                if (WIFSTOPPED(status)) {
                        bool is_new = !started[p - processes];
                        started[p - processes] = true;
                        stopped(p, status, is_new);
                        continue;
                }
                if (p == &processes[0])
                        main_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
                p->pid = -1;
                n_alive--;
        }
}

static void parse(const char *text)
{
        static const char *const names[] = { [LIST] = "list", [KILL] = "kill", [SIGNAL] = "signal:", [ERROR] = "error:", [LATE] = "late:",
                                             [DEAD] = "dead:", [SHORT] = "short:" };

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (strncmp(text, names[i], strlen(names[i])) == 0) {
                        char *rest = NULL;
                        wish.what = (enum what)i;
                        wish.value = strtol(text + strlen(names[i]), &rest, 10);
                        while (i == DEAD && rest && *rest && wish.n_calls < CALLS_MAX)
                                wish.calls[wish.n_calls++] = (int)strtol(rest + 1, &rest, 10);
                        return;
                }
        fprintf(stderr, "inject: %s?\n", text);
        exit(64);
}

int main(int argc, char *argv[])
{
        int status;

        if (argc < 7)
                return 64;
        report = fopen(argv[2], "we");
        if (!report)
                end(argv[2]);
        wish.process = atoi(argv[3]);
        wish.number = atol(argv[4]);
        parse(argv[5]);

        pid_t pid = fork();
        if (pid == 0) {
                ptrace(PTRACE_TRACEME, 0, NULL, NULL);
                raise(SIGSTOP);
                execv(argv[6], argv + 6);
                _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
                end("fork");
        find(pid);
        ptrace(PTRACE_SETOPTIONS, pid, NULL,
               (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                        PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL));
        sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_alarm }, NULL);
        alarm((unsigned int)atoi(argv[1]));
        go_on(&processes[0], 0);
        watch();
        fprintf(report, "end %d %d %d\n", hit, main_status, hang);
        fclose(report);
        return 0;
}
