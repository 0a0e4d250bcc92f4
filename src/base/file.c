/* SPDX-License-Identifier: MIT */
/* Reading whole files: mapped, from a pipe, or through gzip. Temporary files without a name. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define GZIP_CHUNK ((size_t)256 * 1024)
#define MAX_STREAM                                                                             \
    ((size_t)INT_MAX) /* read or inflated: the most that one ONNX file may have */

/* Grows `*data` so that `size` more bytes fit after the first `used`. */
static bool reserve(unsigned char **data, size_t *capacity, size_t used, size_t size)
{
    if (*capacity - used >= size)
        return true;
    if (used > SIZE_MAX / 4 || size > SIZE_MAX / 4)
        return false;
    size_t larger = 2 * used > used + size ? 2 * used : used + size;
    unsigned char *grown = realloc(*data, larger);
    if (!grown)
        return false;
    *data = grown;
    *capacity = larger;
    return true;
}

static enum lbw_status read_stream(struct lbw_bytes *out, int fd, const char *path,
                                   struct lbw_error *err)
{
    unsigned char *data = NULL;
    size_t capacity = 0, used = 0;
    for (;;) {
        if (!reserve(&data, &capacity, used, GZIP_CHUNK)) {
            free(data);
            return lbw_within(err, lbw_fail_memory(err), "%s", path);
        }
        ssize_t got = read(fd, data + used, capacity - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(data);
            return lbw_fail_errno(err, "%s: cannot read", path);
        }
        if (got == 0)
            break;
        used += (size_t)got;
        if (used > MAX_STREAM) {
            free(data);
            return lbw_fail(err, LBW_ERR_UNSUPPORTED, "%s: is more than 2 GiB", path);
        }
    }
    *out = (struct lbw_bytes){data, used, false, false};
    return LBW_OK;
}

static bool is_gzip(const unsigned char *data, size_t size)
{
    return size >= 2 && data[0] == 0x1f && data[1] == 0x8b;
}

/* Inflates every member and ignores trailing garbage, as gzip does. */
static enum lbw_status inflate_all(unsigned char **data, size_t *used, z_stream *z,
                                   const struct lbw_bytes *in, const char *path,
                                   struct lbw_error *err)
{
    size_t capacity = 0, taken = 0;
    int code = Z_OK;
    while (code != Z_STREAM_END || is_gzip(in->data + taken, in->size - taken)) {
        if (code == Z_STREAM_END)
            inflateReset(z);
        if (*used > MAX_STREAM)
            return lbw_fail(err, LBW_ERR_UNSUPPORTED, "%s: inflates to more than 2 GiB", path);
        if (!reserve(data, &capacity, *used, GZIP_CHUNK))
            return lbw_within(err, lbw_fail_memory(err), "%s", path);
        size_t left_in = in->size - taken, left_out = capacity - *used;
        z->next_in = (Bytef *)(uintptr_t)(in->data + taken);
        z->avail_in = (uInt)(left_in < INT_MAX ? left_in : INT_MAX);
        z->next_out = *data + *used;
        z->avail_out = (uInt)(left_out < INT_MAX ? left_out : INT_MAX);
        uInt avail_in = z->avail_in, avail_out = z->avail_out;
        code = inflate(z, Z_NO_FLUSH);
        taken += avail_in - z->avail_in;
        *used += avail_out - z->avail_out;
        if (code == Z_MEM_ERROR)
            return lbw_within(err, lbw_fail_memory(err), "%s", path);
        if (code != Z_OK && code != Z_STREAM_END)
            return lbw_fail(err, LBW_ERR_FORMAT, "%s: the gzip stream is %s", path,
                            taken == in->size ? "truncated" : "corrupt");
    }
    return LBW_OK;
}

static enum lbw_status inflate_gzip(struct lbw_bytes *bytes, const char *path,
                                    struct lbw_error *err)
{
    z_stream z = {0};
    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
        return lbw_within(err, lbw_fail_memory(err), "%s", path);
    unsigned char *data = NULL;
    size_t used = 0;
    enum lbw_status status = inflate_all(&data, &used, &z, bytes, path, err);
    inflateEnd(&z);
    if (status != LBW_OK) {
        free(data);
        return status;
    }
    lbw_bytes_release(bytes);
    *bytes = (struct lbw_bytes){data, used, false, false};
    return LBW_OK;
}

static enum lbw_status read_fd(struct lbw_bytes *out, int fd, const char *path,
                               struct lbw_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return lbw_fail_errno(err, "%s: cannot read", path);
    if (S_ISDIR(st.st_mode))
        return lbw_fail(err, LBW_ERR_IO, "%s: is a directory", path);
    if (S_ISREG(st.st_mode) && st.st_size > 0 && fd != STDIN_FILENO) {
        void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map != MAP_FAILED) {
            *out = (struct lbw_bytes){map, (size_t)st.st_size, true, false};
            return LBW_OK;
        }
    }
    return read_stream(out, fd, path, err);
}

enum lbw_status lbw_bytes_read(struct lbw_bytes *out, const char *path, struct lbw_error *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    const char *name = is_stdin ? "standard input" : path;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lbw_fail_errno(err, "%s: cannot open", path);
    struct lbw_bytes bytes = {0};
    enum lbw_status status;
    LBW_OR_OUT(read_fd(&bytes, fd, name, err));
    if (is_gzip(bytes.data, bytes.size))
        LBW_OR_OUT(inflate_gzip(&bytes, name, err));
    *out = bytes;
    bytes = (struct lbw_bytes){0};
out:
    if (!is_stdin)
        close(fd);
    lbw_bytes_release(&bytes);
    return status;
}

enum lbw_status lbw_bytes_borrow(struct lbw_bytes *out, const void *data, size_t size,
                                 const char *name, struct lbw_error *err)
{
    struct lbw_bytes bytes = {data, size, false, true};
    if (is_gzip(bytes.data, bytes.size))
        LBW_TRY(inflate_gzip(&bytes, name, err));
    *out = bytes;
    return LBW_OK;
}

void lbw_bytes_release(struct lbw_bytes *bytes)
{
    if (bytes->is_mapped)
        munmap((void *)(uintptr_t)bytes->data, bytes->size);
    else if (!bytes->is_borrowed)
        free((void *)(uintptr_t)bytes->data);
    *bytes = (struct lbw_bytes){0};
}

mode_t lbw_entry_mode(DIR *folder, const char *name)
{
    struct stat st;
    return fstatat(dirfd(folder), name, &st, 0) == 0 ? st.st_mode : 0;
}

static int open_unnamed(const char *folder)
{
    char path[PATH_MAX];
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || snprintf(path, sizeof path, "%s/lbw-XXXXXX", folder) >= (int)sizeof path)
        return fd;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

int lbw_temporary_open(void)
{
    const char *wanted = getenv("TMPDIR");
    int fd = wanted && *wanted ? open_unnamed(wanted) : -1;
    if (fd < 0)
        fd = open_unnamed("/var/tmp");
    return fd >= 0 ? fd : open_unnamed("/tmp");
}
