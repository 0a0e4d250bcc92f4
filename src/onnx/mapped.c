/* SPDX-License-Identifier: MIT */
/* Mapped values: a file for each new value, and the pages of one tensor at a time in memory. */
#include "onnx/mapped.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "onnx/extdata.h"

#define MEMORY_LIMIT ((uint64_t)256 * 1024 * 1024) /* of new values in the arena */
#define WARM_SIZE    ((size_t)1024 * 1024) /* smaller ranges are not worth a system call */

struct lbw_mapped {
    struct lbw_mapped *next;
    unsigned char *data;
    size_t size;
};

/* A shared mapping of a new file without a name, its blocks reserved; NULL on failure. */
static void *map_new_file(size_t size)
{
    int file = lbw_temporary_open();
    if (file < 0)
        return NULL;
    void *map = MAP_FAILED;
    if (posix_fallocate(file, 0, (off_t)size) == 0)
        map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return map == MAP_FAILED ? NULL : map;
}

void *lbw_mapped_alloc(struct lbw_model *model, size_t size)
{
    if (size < WARM_SIZE || model->made_size + size <= MEMORY_LIMIT) {
        model->made_size += size;
        return lbw_arena_alloc(&model->arena, size);
    }
    struct lbw_mapped *made = lbw_arena_alloc(&model->arena, sizeof *made);
    if (!made)
        return NULL;
    *made = (struct lbw_mapped){model->made, map_new_file(size), size};
    if (!made->data)
        return lbw_arena_alloc(&model->arena, size);
    model->made = made;
    lbw_mapped_touch(model, made->data, size);
    return made->data;
}

static bool is_mapped(const struct lbw_model *model, const unsigned char *data)
{
    for (const struct lbw_mapped *m = model->made; m; m = m->next)
        if (data >= m->data && data < m->data + m->size)
            return true;
    return lbw_external_holds(model, data);
}

void lbw_mapped_touch(struct lbw_model *model, const void *data, size_t size)
{
    if (size < WARM_SIZE || data == model->warm || !is_mapped(model, data))
        return;
    if (model->warm) {
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
        uintptr_t start = ((uintptr_t)model->warm + page - 1) / page * page;
        uintptr_t end = ((uintptr_t)model->warm + model->warm_size) / page * page;
        if (start < end)
            madvise((void *)start, end - start, MADV_DONTNEED);
    }
    model->warm = data;
    model->warm_size = size;
}

void lbw_mapped_release(struct lbw_model *model)
{
    for (struct lbw_mapped *m = model->made; m; m = m->next)
        munmap(m->data, m->size);
    model->made = NULL;
}
