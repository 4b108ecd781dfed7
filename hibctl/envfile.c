/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "envfile.h"
#include "freeze.h"
#include "globals.h"
#include "say.h"

#define SECTOR ENVBLK_SECTOR
#define ALIGN 4096
#define ANALYSED_MAX 8192 /* bytes; of larger blocks, which nobody has, the best order of sectors is not looked for */

static size_t round_up(size_t n)
{
        return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static char *aligned_buffer(size_t size)
{
        void *p = NULL;

        if (posix_memalign(&p, ALIGN, round_up(size)) != 0)
                p = NULL;
        if (p)
                memset(p, 0, round_up(size));
        return p;
}

/* Reads the whole file, of which SIZE bytes are expected, into an aligned buffer with room for round_up(SIZE). */
static int read_block(int fd, bool direct, char *buf, size_t size)
{
        size_t got = 0;
        ssize_t r;

        /* Clean pages only; best effort. Where ext4 puts data into its journal, O_DIRECT reads the cache too. */
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        do {
                r = pread(fd, buf + got, round_up(size) - got, (off_t)got);
                if (r < 0 && errno != EINTR)
                        return -errno;
                got += r > 0 ? (size_t)r : 0;
        } while (r < 0 || (r > 0 && got < size));
        /* A direct read leaves a stale copy in the cache, for other programs to find and write back. */
        if (direct)
                posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        return got >= size ? 0 : -ESTALE;
}

/* Reads the bytes again, past the page cache; BUF has block.size bytes. 0 or a negative errno. */
static int reread(const struct envfile *f, char *buf)
{
        size_t size = f->block.size;
        _cleanup_free_ char *aligned = aligned_buffer(size);
        struct stat st;
        int r;

        if (!aligned)
                return -ENOMEM;
        if (fstat(f->fd, &st) < 0)
                return -errno;
        if ((size_t)st.st_size != size)
                return -ESTALE;
        r = read_block(f->fd, f->direct, aligned, size);
        if (r == 0)
                memcpy(buf, aligned, size);
        return r;
}

static int open_for(struct envfile *f, bool for_writing)
{
        int flags = (for_writing ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;

        f->direct = true;
        f->fd = open(f->path, flags | O_DIRECT);
        if (f->fd < 0 && errno == EINVAL) {
                f->direct = false;
                f->fd = open(f->path, flags);
        }
        return f->fd < 0 ? -errno : 0;
}

static int load(struct envfile *f, size_t size)
{
        int r;

        f->buf = aligned_buffer(size);
        if (!f->buf)
                return -ENOMEM;
        r = read_block(f->fd, f->direct, f->buf, size);
        if (r == -EINVAL && f->direct) {
                /* Some filesystems accept the flag and refuse the read. */
                f->direct = false;
                if (fcntl(f->fd, F_SETFL, fcntl(f->fd, F_GETFL) & ~O_DIRECT) < 0)
                        return -errno;
                r = read_block(f->fd, false, f->buf, size);
        }
        return r;
}

bool envfile_is_missing(const char *path)
{
        struct stat st;

        return lstat(path, &st) < 0 && errno == ENOENT;
}

static int cannot_resolve(const char *path)
{
        int e = errno;
        char target[PATH_MAX];
        ssize_t n = readlink(path, target, sizeof(target) - 1);

        if (n < 0 || e != ENOENT)
                return fail(_("%s: cannot open the environment block: %s"), path, strerror(e));
        target[n] = '\0';
        return refuse(
                _("%s: a symbolic link to %s, which is not there; mount the filesystem that it is on, or remove the "
                  "link"),
                path, target);
}

static int not_regular(const char *path)
{
        return refuse(_("%s: not a regular file, so not an environment block; name another file"), path);
}

int envfile_open(struct envfile *f, const char *path, bool for_writing)
{
        struct stat st;
        int r;

        *f = (struct envfile)ENVFILE_INIT;
        f->path = resolve(path);
        if (!f->path)
                return cannot_resolve(path);
        r = open_for(f, for_writing);
        if (r == -EROFS)
                return envfile_explain(f->path, r);
        if (r == -EISDIR || r == -ENXIO) /* a folder, a socket */
                return not_regular(f->path);
        if (r < 0)
                return fail(_("%s: cannot open the environment block: %s"), f->path, strerror(-r));
        if (fstat(f->fd, &st) < 0)
                return fail(_("%s: cannot look at the environment block: %m"), f->path);
        if (!S_ISREG(st.st_mode))
                return not_regular(f->path);
        if (st.st_size > ENVFILE_MAX)
                return refuse(_("%s: %lld bytes are too many for an environment block (at most %d); make a new one "
                                "with 'hibctl env create'"),
                              f->path, (long long)st.st_size, ENVFILE_MAX);
        r = load(f, (size_t)st.st_size);
        if (r < 0)
                return fail(_("%s: cannot read the environment block: %s"), f->path, strerror(-r));
        f->sound = envblk_open(&f->block, f->buf, (size_t)st.st_size);
        if (!f->sound)
                f->block = (struct envblk){ f->buf, (size_t)st.st_size };
        return EXIT_DONE;
}

void envfile_close(struct envfile *f)
{
        if (f->fd >= 0)
                close(f->fd);
        free(f->path);
        free(f->buf);
        *f = (struct envfile)ENVFILE_INIT;
}

/* ---- which sector first ---- */

/* Every variable of A is in B with the same value, but for those that differ between OLD and NEW anyway. */
static bool keeps_variables(const struct envblk *from, const struct envblk *in, const struct envblk *other)
{
        struct envblk_var var, seen;
        size_t cursor = 0;

        while (envblk_next(from, &cursor, &var)) {
                bool there = false, common = false;
                for (size_t c = 0; envblk_next(in, &c, &seen) && !there;)
                        there = seen.name_len == var.name_len && memcmp(seen.name, var.name, var.name_len) == 0 &&
                                seen.value_len == var.value_len && memcmp(seen.value, var.value, var.value_len) == 0;
                for (size_t c = 0; envblk_next(other, &c, &seen) && !common;)
                        common = seen.name_len == var.name_len && memcmp(seen.name, var.name, var.name_len) == 0 &&
                                 seen.value_len == var.value_len && memcmp(seen.value, var.value, var.value_len) == 0;
                if (common && !there)
                        return false;
        }
        return true;
}

/* Two sectors differ, as when a variable that grows shifts what follows. Would a power cut after writing only the one
 * at FIRST leave a block in which every variable that old and new share is whole? */
static bool safe_first(const struct envfile *f, const char *new_bytes, size_t first)
{
        size_t size = f->block.size, end = first + SECTOR < size ? first + SECTOR : size;
        _cleanup_free_ char *mixed = xmalloc(size);
        struct envblk between, after;

        memcpy(mixed, f->buf, size);
        memcpy(mixed + first, new_bytes + first, end - first);
        return envblk_open(&between, mixed, size) && envblk_open(&after, (char *)new_bytes, size) &&
               keeps_variables(&f->block, &between, &after);
}

static bool write_backwards(const struct envfile *f, const char *new_bytes)
{
        size_t first = f->block.size, last = 0;

        for (size_t at = 0; at < f->block.size; at += SECTOR) {
                size_t n = f->block.size - at < SECTOR ? f->block.size - at : SECTOR;
                if (memcmp(f->buf + at, new_bytes + at, n) != 0) {
                        first = first == f->block.size ? at : first;
                        last = at;
                }
        }
        return f->sound && f->block.size <= ANALYSED_MAX && first < last && !safe_first(f, new_bytes, first) &&
               safe_first(f, new_bytes, last);
}

/* ---- writing ---- */

static int write_sector(const struct envfile *f, const char *from, size_t at, size_t size)
{
        _cleanup_free_ char *aligned = NULL;
        size_t n = size - at < SECTOR ? size - at : SECTOR;
        int fd = f->fd, r;
        _cleanup_close_ int buffered = -1;

        aligned = aligned_buffer(SECTOR);
        if (!aligned)
                return -ENOMEM;
        memcpy(aligned, from + at, n);
        r = f->direct && n == SECTOR ? pwrite_all(fd, aligned, n, (off_t)at) : -EINVAL;
        if (r == -EINVAL) {
                /* A disk with larger sectors, or an odd length at the end of the file: through the page cache. The
                 * cached copy may be stale, so it goes first. */
                _cleanup_free_ char *self = xasprintf("/proc/self/fd/%d", f->fd);
                buffered = open(self, O_WRONLY | O_CLOEXEC);
                if (buffered < 0)
                        return -errno;
                posix_fadvise(buffered, 0, 0, POSIX_FADV_DONTNEED);
                fd = buffered;
                r = pwrite_all(fd, aligned, n, (off_t)at);
        }
        if (r == 0 && fdatasync(fd) < 0)
                r = -errno;
        return r;
}

static int write_differences(const struct envfile *f, const char *from, const char *to, bool backwards)
{
        size_t size = f->block.size, count = (size + SECTOR - 1) / SECTOR;

        for (size_t i = 0; i < count; i++) {
                size_t at = (backwards ? count - 1 - i : i) * SECTOR;
                size_t n = size - at < SECTOR ? size - at : SECTOR;
                if (memcmp(from + at, to + at, n) == 0)
                        continue;
                int r = write_sector(f, to, at, size);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* After an error. In the opposite order; what could not be written before may fail again. */
static void put_back(const struct envfile *f, const char *new_bytes, bool backwards)
{
        _cleanup_free_ char *now = xmalloc(f->block.size);

        write_differences(f, new_bytes, f->buf, !backwards);
        if (reread(f, now) < 0 || memcmp(now, f->buf, f->block.size) != 0)
                say_error(_("%s: it may have been changed: the old bytes could not be put back"), f->path);
}

int envfile_overwrite(struct envfile *f, const char *new_bytes)
{
        size_t size = f->block.size;
        _cleanup_free_ char *now = xmalloc(size);
        bool backwards = write_backwards(f, new_bytes);
        int r;

        /* Another program may have written since we read. That cannot be excluded, only made unlikely: the others take
         * no lock. */
        r = reread(f, now);
        if (r == 0 && memcmp(now, f->buf, size) != 0)
                r = -ESTALE;
        if (r == 0 && is_frozen(f->fd))
                r = -EBUSY;
        if (r < 0)
                return r;

        r = write_differences(f, f->buf, new_bytes, backwards);
        if (r == 0)
                r = reread(f, now);
        if (r == 0 && memcmp(now, new_bytes, size) != 0)
                return -ESTALE;
        if (r < 0) {
                put_back(f, new_bytes, backwards);
                return r;
        }
        memcpy(f->buf, new_bytes, size);
        return 0;
}

/* ---- a new file ---- */

/* What is in it, its owner and mode; an owner of -1 stays as the process has it. */
struct new_file {
        const char *bytes;
        size_t size;
        uid_t owner;
        gid_t group;
        mode_t mode;
        bool for_grub;
};

/* For GRUB also the inode must be in its place before a name leads to it: there is no order among what a journal writes
 * back, and between a name and its inode GRUB would find an empty file. */
static int write_whole(int fd, const struct new_file *file)
{
        int r = pwrite_all(fd, file->bytes, file->size, 0);

        if (r == 0 && (fchown(fd, file->owner, file->group) < 0 || fchmod(fd, file->mode) < 0 || fsync(fd) < 0))
                r = -errno;
        return r == 0 && file->for_grub ? write_out_filesystem(fd) : r;
}

/* A file without a name until it is whole. -EOPNOTSUPP where the filesystem has none (vfat), -EEXIST if the name is
 * taken. */
static int make_nameless(const char *folder, const char *path, const struct new_file *file)
{
        _cleanup_close_ int fd = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        _cleanup_free_ char *self = NULL;
        int r;

        if (fd < 0)
                return errno == EISDIR || errno == EINVAL ? -EOPNOTSUPP : -errno;
        r = write_whole(fd, file);
        self = xasprintf("/proc/self/fd/%d", fd);
        if (r == 0 && linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0)
                r = -errno;
        return r;
}

static void may_be_replaced(const char *path)
{
        say_error(_("%s: it may have been replaced by a new file already"), path);
}

/* Gives the file at TEMPORARY, which is whole, the name PATH. The names change places, so that the old file keeps its
 * blocks until GRUB can no longer find it: a rename would free them before its own new entry is on disk. */
static int exchange(const char *temporary, const char *path, int fd)
{
        int r;

        if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_EXCHANGE) < 0) {
                /* No old file, or a filesystem that cannot do it? */
                bool simply = errno == ENOENT || errno == EINVAL || errno == ENOSYS;
                r = simply && rename(temporary, path) == 0 ? 0 : -errno;
                if (r < 0)
                        unlink(temporary);
                return r;
        }
        r = write_out_filesystem(fd);
        if (r < 0 && renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_EXCHANGE) < 0)
                may_be_replaced(path);
        /* What GRUB may find under either name keeps its blocks. */
        if (r < 0 && write_out_filesystem(fd) < 0)
                return r;
        if (unlink(temporary) < 0)
                say_error(_("%s: cannot remove it: %m; nobody needs it"), temporary);
        return r;
}

/* The name is always the same, so that what a killed run leaves behind is used up by the next one. */
static int make_and_rename(const char *path, const struct new_file *file)
{
        _cleanup_free_ char *temporary = xasprintf("%s.hibctl-new", path);
        _cleanup_close_ int fd = -1;
        int r;

        unlink(temporary);
        fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        r = write_whole(fd, file);
        if (r < 0) {
                unlink(temporary);
                return r;
        }
        if (file->for_grub)
                r = exchange(temporary, path, fd);
        else if (rename(temporary, path) < 0) {
                r = -errno;
                unlink(temporary);
        }
        /* On FAT the new name leads to an empty file until the inode is written, too. */
        if (r == 0 && fsync(fd) < 0) {
                r = -errno;
                may_be_replaced(path);
        }
        return r;
}

static int make(const char *path, const struct new_file *file)
{
        _cleanup_free_ char *copy = xstrdup(path);
        const char *folder = dirname(copy);
        _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;
        int r;

        if (fd < 0)
                return -errno;
        if (is_frozen(fd))
                return -EBUSY;
        bool replaces = lstat(path, &st) == 0;
        r = replaces ? -EEXIST : make_nameless(folder, path, file);
        if (r == -EOPNOTSUPP || r == -EEXIST)
                r = make_and_rename(path, file);
        if (r < 0 || fsync(fd) == 0)
                return r;
        r = -errno;
        if (replaces || unlink(path) < 0)
                may_be_replaced(path);
        return r;
}

int envfile_make(const char *path, const char *bytes, size_t size, mode_t mode, bool for_grub)
{
        const struct new_file file = { bytes, size, (uid_t)-1, (gid_t)-1, mode, for_grub };

        return make(path, &file);
}

int envfile_replace(const char *path, const char *bytes, size_t size)
{
        _cleanup_free_ char *real = realpath(path, NULL);
        struct stat st;

        if (!real || stat(real, &st) < 0)
                return -errno;
        const struct new_file file = { bytes, size, st.st_uid, st.st_gid, st.st_mode & 07777, /* for_grub= */ true };
        return make(real, &file);
}

int envfile_explain(const char *path, int error)
{
        switch (error) {
        case -ESTALE:
        case -EAGAIN:
                return fail(
                        _("%s: what GRUB would read is not what was written; another program changed it at the same "
                          "time, try again"),
                        path);
        case -ENOTSUP:
                return no_store(_("%s: its bytes are not in one place on the device (a hole, compressed or inline), so "
                                  "GRUB cannot overwrite them; make it anew with 'hibctl env create'"),
                                path);
        case -EBUSY:
                return refuse(_("%s: its filesystem has been frozen by another program; thaw it (fsfreeze -u)"), path);
        case -EROFS:
                return refuse(_("%s: its filesystem is mounted read-only; remount it read-write (mount -o remount,rw)"),
                              path);
        case -ETIMEDOUT:
                return fail(_("%s: the filesystem stayed frozen too long and was thawed"), path);
        default:
                return fail(_("%s: cannot write it so that GRUB sees it: %s"), path, strerror(-error));
        }
}
