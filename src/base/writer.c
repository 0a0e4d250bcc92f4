/* SPDX-License-Identifier: MIT */
/* Files written whole or not at all: until then without a name, or under a temporary one. */
#include "base/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define NAME_SIZE 64 /* of ".lbw-…" */

struct lbw_writer {
    char *path;
    char *temporary; /* NULL when written in place */
    bool is_named;   /* the temporary file has a name at present, not only a descriptor */
    char *aside;     /* the name of the old file in the meantime, or NULL */
    bool is_placed;  /* the temporary file was renamed to `path` */
    int fd;
    gzFile gzip;
    uint64_t size;
    int failed_errno; /* sticky */
};

/* To be freed; NULL when memory is out. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
}

static void writer_free(struct lbw_writer **writer)
{
    struct lbw_writer *w = *writer;
    *writer = NULL;
    if (w->gzip)
        gzclose(w->gzip);
    if (w->fd > STDERR_FILENO)
        close(w->fd);
    free(w->temporary);
    free(w->aside);
    free(w->path);
    free(w);
}

static int write_plain(int fd, const unsigned char *data, size_t size)
{
    while (size) {
        ssize_t put = write(fd, data, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno;
        data += put;
        size -= (size_t)put;
    }
    return 0;
}

/* A name in the target's folder. The target's name may have the greatest length: not in it. */
static void make_temporary_name(struct lbw_writer *w)
{
    static atomic_uint counter;
    const char *slash = strrchr(w->path, '/');
    int folder = slash ? (int)(slash - w->path) + 1 : 0;
    snprintf(w->temporary, (size_t)folder + NAME_SIZE, "%.*s.lbw-%ld-%u", folder, w->path,
             (long)getpid(), atomic_fetch_add(&counter, 1));
}

/*
 * A file in the target's folder that has no name until name_temporary(), so that it vanishes
 * however the program ends. -1 if the system has no such files.
 */
static int open_nameless(const struct lbw_writer *w)
{
    char *folder = folder_of(w->path);
    int fd = folder && access("/proc/self/fd", X_OK) == 0
                 ? open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666)
                 : -1;
    free(folder);
    return fd;
}

/* A new file of the temporary name, or of another if that is taken. */
static int create_temporary(struct lbw_writer *w)
{
    int fd;
    while ((fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) < 0 &&
           errno == EEXIST)
        make_temporary_name(w);
    return fd;
}

/* Copies what is written into a file with a name; for systems that cannot name it later. */
static int copy_temporary(struct lbw_writer *w)
{
    unsigned char data[16 * 1024];
    ssize_t got = 0;
    struct stat st;
    int fd = create_temporary(w);
    if (fd < 0)
        return -1;
    w->is_named = true;
    if (fstat(w->fd, &st) == 0)
        (void)!fchmod(fd, st.st_mode & 0777); /* fails on file systems without modes */
    for (off_t at = 0; (got = pread(w->fd, data, sizeof data, at)) > 0; at += got)
        if ((errno = write_plain(fd, data, (size_t)got)) != 0)
            break;
    if (got != 0 || fsync(fd) != 0) {
        int number = errno;
        close(fd);
        errno = number;
        return -1;
    }
    close(w->fd);
    w->fd = fd;
    return 0;
}

static int name_temporary(struct lbw_writer *w)
{
    char self[32];
    if (!w->temporary || w->is_named)
        return 0;
    snprintf(self, sizeof self, "/proc/self/fd/%d", w->fd);
    while (linkat(AT_FDCWD, self, AT_FDCWD, w->temporary, AT_SYMLINK_FOLLOW) != 0) {
        if (errno != EEXIST)
            return copy_temporary(w);
        make_temporary_name(w);
    }
    w->is_named = true;
    return 0;
}

/*
 * Opens the temporary file, with the mode a plain create would give (asking for the umask would
 * change it for a moment, in all threads).
 */
static int open_temporary(struct lbw_writer *w)
{
    w->temporary = malloc(strlen(w->path) + NAME_SIZE);
    if (!w->temporary) {
        errno = ENOMEM;
        return -1;
    }
    make_temporary_name(w);
    int fd = open_nameless(w);
    w->is_named = fd < 0;
    if (fd < 0)
        fd = create_temporary(w);
    if (fd < 0) {
        int number = errno;
        free(w->temporary);
        w->temporary = NULL;
        errno = number;
        return -1;
    }
    struct stat st;
    if (stat(w->path, &st) == 0 && fchmod(fd, st.st_mode & 0777) != 0)
        return fd; /* no modes there */
    return fd;
}

/* Not 0 to 2, which open() returns if they were closed: the program prints there. */
static int keep_off_standard(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), number = errno;
    close(fd);
    errno = number;
    return moved;
}

static int open_target(struct lbw_writer *w)
{
    struct stat st;
    if (strcmp(w->path, "-") == 0)
        return STDOUT_FILENO;
    if (stat(w->path, &st) == 0) {
        if (S_ISDIR(st.st_mode)) {
            errno = EISDIR;
            return -1;
        }
        if (!S_ISREG(st.st_mode))
            return keep_off_standard(open(w->path, O_WRONLY | O_CLOEXEC));
    }
    return keep_off_standard(open_temporary(w));
}

static const char *shown(const char *path)
{
    return strcmp(path, "-") == 0 ? "standard output" : path;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length > end_length && strcmp(text + length - end_length, end) == 0;
}

enum lbw_status lbw_writer_open(struct lbw_writer **out, const char *path,
                                struct lbw_error *err)
{
    struct lbw_writer *w = calloc(1, sizeof *w);
    if (!w)
        return lbw_fail_memory(err);
    w->fd = -1;
    w->path = strdup(path);
    if (w->path)
        w->fd = open_target(w);
    else
        errno = ENOMEM;
    if (w->fd < 0) {
        enum lbw_status status = lbw_fail_errno(err, "%s: cannot write", shown(path));
        writer_free(&w);
        return status;
    }
    if (ends_with(path, ".gz")) {
        int copy = dup(w->fd);
        w->gzip = copy < 0 ? NULL : gzdopen(copy, "wb9");
        if (!w->gzip) {
            if (copy >= 0)
                close(copy);
            enum lbw_status status = lbw_within(err, lbw_fail_memory(err), "%s", path);
            lbw_writer_abort(&w);
            return status;
        }
    }
    *out = w;
    return LBW_OK;
}

static int write_gzip(gzFile gzip, const unsigned char *data, size_t size)
{
    while (size) {
        unsigned chunk = (unsigned)(size < INT_MAX ? size : INT_MAX);
        errno = 0;
        if (gzwrite(gzip, data, chunk) != (int)chunk)
            return errno ? errno : EIO;
        data += chunk;
        size -= chunk;
    }
    return 0;
}

void lbw_writer_write(struct lbw_writer *w, const void *data, size_t size)
{
    if (w->failed_errno)
        return;
    w->failed_errno =
        w->gzip ? write_gzip(w->gzip, data, size) : write_plain(w->fd, data, size);
    w->size += size;
}

uint64_t lbw_writer_size(const struct lbw_writer *writer)
{
    return writer->size;
}

/* Makes the rename itself durable; a folder that cannot be opened is not an error. */
static void sync_folder(const char *path)
{
    char *folder = folder_of(path);
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

static enum lbw_status writer_status(const struct lbw_writer *w, struct lbw_error *err)
{
    errno = w->failed_errno;
    return errno ? lbw_fail_errno(err, "%s: cannot write", shown(w->path)) : LBW_OK;
}

enum lbw_status lbw_writer_sync(struct lbw_writer *w, struct lbw_error *err)
{
    if (!w->failed_errno && w->gzip) {
        errno = 0;
        if (gzclose(w->gzip) != Z_OK)
            w->failed_errno = errno ? errno : EIO;
        w->gzip = NULL;
    }
    if (!w->failed_errno && w->temporary && fsync(w->fd) != 0)
        w->failed_errno = errno;
    return writer_status(w, err);
}

/* Renames the file into place; this removes an old one of that name. */
static int place(struct lbw_writer *w)
{
    if (name_temporary(w) != 0 || (w->temporary && rename(w->temporary, w->path) != 0))
        return -1;
    w->is_placed = true;
    if (w->temporary)
        sync_folder(w->path);
    return 0;
}

enum lbw_status lbw_writer_commit(struct lbw_writer **writer, struct lbw_error *err)
{
    struct lbw_writer *w = *writer;
    enum lbw_status status = lbw_writer_sync(w, err);
    if (status == LBW_OK && place(w) != 0) {
        w->failed_errno = errno;
        status = writer_status(w, err);
    }
    if (status == LBW_OK)
        writer_free(writer);
    else
        lbw_writer_abort(writer);
    return status;
}

static bool has_old(const struct lbw_writer *w)
{
    struct stat st;
    return w->temporary && lstat(w->path, &st) == 0;
}

/* Moves the old file to another name until the new one is in place for good. */
static int step_aside(struct lbw_writer *w)
{
    size_t size = strlen(w->temporary) + sizeof "-old";
    char *aside = malloc(size);
    if (!aside) {
        errno = ENOMEM;
        return -1;
    }
    snprintf(aside, size, "%s-old", w->temporary);
    if (rename(w->path, aside) != 0) {
        int number = errno;
        free(aside);
        errno = number;
        return -1;
    }
    w->aside = aside;
    sync_folder(w->path);
    return 0;
}

static enum lbw_status place_pair(struct lbw_writer *first, struct lbw_writer *second,
                                  struct lbw_error *err)
{
    LBW_TRY(lbw_writer_sync(first, err));
    LBW_TRY(lbw_writer_sync(second, err));
    if (name_temporary(first) != 0)
        return lbw_fail_errno(err, "%s: cannot write", first->path);
    if (name_temporary(second) != 0)
        return lbw_fail_errno(err, "%s: cannot write", second->path);
    bool has_both = has_old(first) && has_old(second);
    if (has_both && step_aside(second) != 0)
        return lbw_fail_errno(err, "%s: cannot replace", second->path);
    if ((has_old(first) && step_aside(first) != 0) || place(first) != 0)
        return lbw_fail_errno(err, "%s: cannot replace", first->path);
    if (place(second) != 0)
        return lbw_fail_errno(err, "%s: cannot replace", second->path);
    return LBW_OK;
}

static void finish(struct lbw_writer **writer)
{
    if ((*writer)->aside)
        unlink((*writer)->aside);
    writer_free(writer);
}

enum lbw_status lbw_writer_commit_pair(struct lbw_writer **first, struct lbw_writer **second,
                                       struct lbw_error *err)
{
    enum lbw_status status = place_pair(*first, *second, err);
    if (status == LBW_OK) {
        finish(first);
        finish(second);
    } else {
        lbw_writer_abort(first);
        lbw_writer_abort(second);
    }
    return status;
}

void lbw_writer_abort(struct lbw_writer **writer)
{
    struct lbw_writer *w = *writer;
    if (!w)
        return;
    if (w->temporary && w->is_named)
        unlink(w->is_placed ? w->path : w->temporary);
    if (w->aside)
        rename(w->aside, w->path);
    writer_free(writer);
}
