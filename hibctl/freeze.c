/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "freeze.h"

#ifndef EXT4_IOC_CHECKPOINT /* fs/ext4/ext4.h; in linux/ext4.h since Linux 6.12 */
#define EXT4_IOC_CHECKPOINT _IOW('f', 43, uint32_t)
#endif

#define FROZEN_AFTER_MS 2000
#define AGAIN_MS 500

int write_out_journal(int fd)
{
        uint32_t flags = 0;

        if (ioctl(fd, EXT4_IOC_CHECKPOINT, &flags) == 0)
                return 0;
        return errno == ENOTTY || errno == EINVAL ? -EOPNOTSUPP : -errno;
}

#define FD_LIMIT 256 /* far more than this program ever has open */

/* Those above FROM and below TO. One call where the kernel has it (Linux 5.9). */
static void close_between(int from, int to)
{
        if (from + 1 >= to || close_range((unsigned int)from + 1, (unsigned int)to - 1, 0) == 0)
                return;
        for (int i = from + 1; i < to; i++)
                close(i);
}

/* A child may outlive us. Whoever reads our output to its end, or wants the lock, must not wait for it. */
static void keep_only(int a, int b)
{
        int fd = open("/dev/null", O_RDWR);

        for (int i = 0; fd >= 0 && i <= STDERR_FILENO; i++)
                dup2(fd, i);
        close_between(STDERR_FILENO, a < b ? a : b);
        close_between(a < b ? a : b, a < b ? b : a);
        close_between(a < b ? b : a, FD_LIMIT);
}

/* The kernel can only be asked by doing something that waits. A child sets an attribute of a kind that does not exist:
 * that waits for a thaw like every write, and then fails without changing anything. */
bool is_frozen(int fd)
{
        pid_t child = fork();
        int pidfd, status;

        if (child < 0)
                return false;
        if (child == 0) {
                keep_only(fd, fd);
                fsetxattr(fd, "hibctl.no-such-attribute", "", 0, 0);
                _exit(0);
        }
        pidfd = pidfd_open(child, 0);
        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        bool frozen = pidfd >= 0 && poll(&p, 1, FROZEN_AFTER_MS) == 0;
        if (pidfd >= 0)
                close(pidfd);
        if (frozen)
                kill(child, SIGKILL); /* it ends when somebody thaws */
        else
                while (waitpid(child, &status, 0) < 0 && errno == EINTR)
                        ;
        return frozen;
}

/* ---- freezing ---- */

enum { GUARD_IDLE = 0, GUARD_THAWED = 1 };

/* The child. It holds the descriptor of the frozen filesystem and one end of a pipe. A byte means that the parent has
 * thawed; end of file, that the parent is dead; silence, that it hangs. It must survive what kills the parent. */
static _Noreturn void guard(int fd, int from_parent)
{
        struct pollfd p = { .fd = from_parent, .events = POLLIN };
        int r, limit = FREEZE_LIMIT_MS;
        sigset_t all;
        char byte;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        setsid();
        keep_only(fd, from_parent);
        do {
                while ((r = poll(&p, 1, limit)) < 0 && errno == EINTR)
                        ;
                if (r > 0 && read(from_parent, &byte, 1) == 1)
                        _exit(GUARD_IDLE);
                limit = AGAIN_MS; /* it is not frozen yet: the parent still waits for somebody's write to end */
        } while (ioctl(fd, FITHAW, 0) < 0 && r == 0);
        _exit(GUARD_THAWED);
}

static int start_guard(struct freeze *f)
{
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        f->guard = fork();
        if (f->guard < 0) {
                int e = errno == EAGAIN ? ENOMEM : errno; /* EAGAIN tells our callers of another program */
                close(ends[0]);
                close(ends[1]);
                return -e;
        }
        if (f->guard == 0) {
                close(ends[1]);
                guard(f->fd, ends[0]);
        }
        close(ends[0]);
        f->to_guard = ends[1];
        return 0;
}

/* THAWED: it need not. Else it is left alone with the job, and waited for. */
static int stop_guard(struct freeze *f, bool thawed)
{
        int status = 0;
        char byte = 0;

        /* SIGPIPE is ignored in this program: a guard that is gone shows in its exit status. */
        while (thawed && write(f->to_guard, &byte, 1) < 0 && errno == EINTR)
                ;
        close(f->to_guard);
        f->to_guard = -1;
        while (waitpid(f->guard, &status, 0) < 0 && errno == EINTR)
                ;
        return WIFEXITED(status) && WEXITSTATUS(status) == GUARD_IDLE ? 0 : -ETIMEDOUT;
}

/* They write everything to its place when they are synced, so there is no need to hold up whoever works there. */
static bool needs_no_freeze(int fd)
{
        struct statfs fs;

        return fstatfs(fd, &fs) == 0 && (fs.f_type == BTRFS_SUPER_MAGIC || fs.f_type == F2FS_SUPER_MAGIC);
}

int freeze_begin(struct freeze *f, int fd)
{
        int r;

        *f = (struct freeze)FREEZE_INIT;
        f->fd = fd;
        if (needs_no_freeze(fd))
                return -EOPNOTSUPP;
        r = start_guard(f);
        if (r < 0)
                return r;
        if (ioctl(fd, FIFREEZE, 0) < 0) {
                r = errno == ENOTTY ? -EOPNOTSUPP : -errno;
                stop_guard(f, /* thawed= */ true);
                return r;
        }
        f->frozen = 1;
        return 0;
}

int freeze_end(struct freeze *f)
{
        int r = 0, s;

        if (!f->frozen)
                return 0;
        f->frozen = 0;
        if (ioctl(f->fd, FITHAW, 0) < 0)
                r = -errno;
        /* EINVAL: it was not frozen any more, which is what the guard's status says too. */
        s = stop_guard(f, /* thawed= */ r == 0);
        return s < 0 ? s : r;
}

int sync_filesystem(int fd)
{
        return syncfs(fd) < 0 || fsync(fd) < 0 ? -errno : 0;
}

int write_out_filesystem(int fd)
{
        struct freeze freeze = FREEZE_INIT;
        int r = write_out_journal(fd);

        if (r == -EOPNOTSUPP)
                r = freeze_begin(&freeze, fd);
        if (r == 0)
                return freeze_end(&freeze);
        /* ENODEV: ext4 without a journal. EPERM: who may not ask for more, as with a file of one's own, gets the rest.
         */
        return r != -EOPNOTSUPP && r != -ENODEV && r != -EPERM ? r : sync_filesystem(fd);
}
