/* SPDX-License-Identifier: MIT */
/* Lists a folder of images and chooses some evenly, or generates them. */
#include "feed/pictures.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/file.h"
#include "feed/generate.h"

#define NUM_GENERATED  32
#define MOST_GENERATED 1000000

struct lbw_pictures {
    struct lbw_arena arena;
    size_t num;
    const char **paths; /* NULL: generated */
    uint64_t seed;
    size_t num_skipped;
    const char **skipped;
};

/* The names in a folder that look like images, prefixed with the folder. */
struct listing {
    char **paths;
    size_t num, capacity;
};

static void listing_release(struct listing *listing)
{
    for (size_t i = 0; i < listing->num; i++)
        free(listing->paths[i]);
    free(listing->paths);
}

static bool is_picture_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && dot != name &&
           (!strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg") || !strcasecmp(dot, ".png"));
}

static bool listing_add(struct listing *listing, const char *folder, const char *name)
{
    if (listing->num == listing->capacity) {
        size_t capacity = listing->capacity ? 2 * listing->capacity : 64;
        char **grown = realloc(listing->paths, capacity * sizeof *grown);
        if (!grown)
            return false;
        listing->paths = grown;
        listing->capacity = capacity;
    }
    size_t length = strlen(folder);
    const char *between = length && folder[length - 1] == '/' ? "" : "/";
    char *path = malloc(length + strlen(name) + 2);
    if (!path)
        return false;
    strcpy(path, folder);
    strcat(path, between);
    strcat(path, name);
    listing->paths[listing->num++] = path;
    return true;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum lbw_status list_folder(struct listing *out, const char *folder,
                                   struct lbw_error *err)
{
    enum lbw_status status = LBW_OK;
    bool has_folders = false;
    DIR *handle = opendir(folder);
    if (!handle)
        return lbw_fail_errno(err, "%s: cannot open", folder);
    struct dirent *entry;
    while ((errno = 0, entry = readdir(handle))) {
        mode_t mode = lbw_entry_mode(handle, entry->d_name);
        has_folders = has_folders || (S_ISDIR(mode) && entry->d_name[0] != '.');
        if (mode && !S_ISREG(mode)) /* opening a pipe would block */
            continue;
        if (is_picture_name(entry->d_name) && !listing_add(out, folder, entry->d_name))
            LBW_OR_OUT(lbw_fail_memory(err));
    }
    if (errno)
        LBW_OR_OUT(lbw_fail_errno(err, "%s: cannot read", folder));
    if (!out->num)
        LBW_OR_OUT(lbw_fail(err, LBW_ERR_FORMAT, "%s: holds no .jpg, .jpeg or .png%s", folder,
                            has_folders ? "; subfolders are not searched" : ""));
    qsort(out->paths, out->num, sizeof *out->paths, compare_paths);
out:
    closedir(handle);
    return status;
}

/* Decodes the file. On failure keeps the reason and returns LBW_OK with *readable false. */
static enum lbw_status try_picture(struct lbw_pictures *pictures, const char *path,
                                   bool *readable, struct lbw_error *err)
{
    struct lbw_image image = {0};
    struct lbw_error why = {0};
    enum lbw_status status = lbw_image_read(&image, path, &why);
    lbw_image_release(&image);
    *readable = status == LBW_OK;
    if (*readable)
        return LBW_OK;
    if (status == LBW_ERR_MEMORY)
        return lbw_fail(err, status, "%s", why.message);
    const char *message = lbw_arena_strdup(&pictures->arena, why.message);
    if (!message)
        return lbw_fail_memory(err);
    pictures->skipped[pictures->num_skipped++] = message;
    return LBW_OK;
}

/*
 * Divides the list into `most` equal parts and takes the middle image of each, or the next
 * one that is readable, or the previous.
 */
static enum lbw_status choose(struct lbw_pictures *pictures, const struct listing *listing,
                              size_t most, struct lbw_error *err)
{
    size_t num = listing->num;
    if (!most || most > num)
        most = num;
    pictures->paths = lbw_arena_calloc(&pictures->arena, most, sizeof *pictures->paths);
    pictures->skipped = lbw_arena_calloc(&pictures->arena, num, sizeof *pictures->skipped);
    if (!pictures->paths || !pictures->skipped)
        return lbw_fail_memory(err);
    for (size_t k = 0; k < most; k++) {
        size_t first = k * num / most, last = (k + 1) * num / most;
        bool found = false;
        for (size_t i = 0; i < last - first && !found; i++) {
            size_t at = first + ((last - first) / 2 + i) % (last - first);
            LBW_TRY(try_picture(pictures, listing->paths[at], &found, err));
            if (!found)
                continue;
            const char *path = lbw_arena_strdup(&pictures->arena, listing->paths[at]);
            if (!path)
                return lbw_fail_memory(err);
            pictures->paths[pictures->num++] = path;
        }
    }
    if (!pictures->num)
        return lbw_fail(err, LBW_ERR_FORMAT, "none of %zu images can be read; the first: %s",
                        pictures->num_skipped, pictures->skipped[0]);
    return LBW_OK;
}

static enum lbw_status open_files(struct lbw_pictures *pictures, const char *source,
                                  size_t most, struct lbw_error *err)
{
    struct stat info;
    if (stat(source, &info) < 0)
        return lbw_fail_errno(err, "%s: cannot open", source);
    struct listing listing = {0};
    enum lbw_status status;
    if (S_ISDIR(info.st_mode)) {
        status = list_folder(&listing, source, err);
        if (status == LBW_OK)
            status = lbw_within(err, choose(pictures, &listing, most, err), "%s", source);
    } else {
        char *only = (char *)(uintptr_t)source;
        struct listing one = {.paths = &only, .num = 1};
        status = choose(pictures, &one, 1, err);
    }
    listing_release(&listing);
    return status;
}

/* "generated" or "generated:N". */
static enum lbw_status open_generated(struct lbw_pictures *pictures, const char *source,
                                      size_t most, struct lbw_error *err)
{
    pictures->num = most ? most : NUM_GENERATED;
    const char *colon = source ? strchr(source, ':') : NULL;
    if (!colon)
        return LBW_OK;
    char *end;
    errno = 0;
    unsigned long long num =
        isdigit((unsigned char)colon[1]) ? strtoull(colon + 1, &end, 10) : 0;
    if (!num || *end || errno || num > MOST_GENERATED)
        return lbw_fail(err, LBW_ERR_ARGUMENT, "'%s': expected generated:N with N from 1 to %d",
                        source, MOST_GENERATED);
    pictures->num = most && most < num ? most : (size_t)num;
    return LBW_OK;
}

enum lbw_status lbw_pictures_open(struct lbw_pictures **out, const char *source, size_t most,
                                  uint64_t seed, struct lbw_error *err)
{
    struct lbw_pictures *pictures = calloc(1, sizeof *pictures);
    if (!pictures)
        return lbw_fail_memory(err);
    pictures->seed = seed;
    enum lbw_status status;
    if (lbw_source_is_generated(source))
        status = open_generated(pictures, source, most, err);
    else
        status = open_files(pictures, source, most, err);
    if (status == LBW_OK)
        *out = pictures;
    else
        lbw_pictures_close(&pictures);
    return status;
}

void lbw_pictures_close(struct lbw_pictures **pictures)
{
    if (*pictures)
        lbw_arena_release(&(*pictures)->arena);
    free(*pictures);
    *pictures = NULL;
}

size_t lbw_pictures_num(const struct lbw_pictures *pictures)
{
    return pictures->num;
}

bool lbw_source_is_generated(const char *source)
{
    return !source || !strcmp(source, "generated") || !strncmp(source, "generated:", 10);
}

bool lbw_pictures_are_generated(const struct lbw_pictures *pictures)
{
    return !pictures->paths;
}

enum lbw_status lbw_pictures_read(struct lbw_image *out, const struct lbw_pictures *pictures,
                                  size_t i, int width, int height, struct lbw_error *err)
{
    if (pictures->paths)
        return lbw_image_read(out, pictures->paths[i], err);
    return lbw_generate_image(out, width, height, pictures->seed, i, err);
}

size_t lbw_pictures_num_skipped(const struct lbw_pictures *pictures)
{
    return pictures->num_skipped;
}

const char *lbw_pictures_skipped(const struct lbw_pictures *pictures, size_t i)
{
    return pictures->skipped[i];
}
