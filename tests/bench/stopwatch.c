/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * stopwatch PROGRAM ARGUMENT...: runs a program without output and prints, from its start to its end,
 * "NANOSECONDS CPU-MICROSECONDS PEAK-KIB STATUS". A small program of its own, because a process starts out with the
 * peak memory of the one that started it, and starting from Python costs more than what is measured.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long long microseconds(struct timeval t)
{
        return t.tv_sec * 1000000LL + t.tv_usec;
}

int main(int argc, char *argv[])
{
        posix_spawn_file_actions_t quiet;
        struct timespec start, end;
        struct rusage used;
        int status;
        pid_t pid;

        if (argc < 2)
                return 64;
        posix_spawn_file_actions_init(&quiet);
        posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        clock_gettime(CLOCK_MONOTONIC, &start);
        if (posix_spawnp(&pid, argv[1], &quiet, NULL, argv + 1, environ) != 0 || wait4(pid, &status, 0, &used) < 0)
                return 1;
        clock_gettime(CLOCK_MONOTONIC, &end);
        printf("%lld %lld %ld %d\n", (end.tv_sec - start.tv_sec) * 1000000000LL + end.tv_nsec - start.tv_nsec,
               microseconds(used.ru_utime) + microseconds(used.ru_stime), used.ru_maxrss,
               WIFEXITED(status) ? WEXITSTATUS(status) : -1);
        return 0;
}
