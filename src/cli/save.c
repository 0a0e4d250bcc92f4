/* SPDX-License-Identifier: MIT */
/* Writing models and texts to files. */
#include "cli/save.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/progress.h"
#include "cli/talk.h"

bool lbw_output_is_possible(const char *path, bool is_in_place)
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    bool is_there = stat(path, &st) == 0, is_possible = false;
    if (is_there && S_ISDIR(st.st_mode))
        errno = EISDIR;
    else if (!*path)
        errno = ENOENT;
    else
        is_possible = !folder || strcmp(path, "-") == 0 ||
                      (is_there && (is_in_place || !S_ISREG(st.st_mode))
                           ? access(path, W_OK) == 0
                           : access(folder, W_OK | X_OK) == 0);
    if (!is_possible)
        lbw_talk("%s: cannot write: %s", path, strerror(errno));
    free(folder);
    return is_possible;
}

/* Two outputs with one file would leave only the second. */
static bool is_named_once(const void *values, const struct lbw_command *command,
                          const char *path)
{
    struct stat st;
    int num = 0;
    for (const struct lbw_option *o = command->options; o->name; o++) {
        if (o->type != LBW_OPTION_OUTPUT)
            continue;
        const char *other = *(const char *const *)((const char *)values + o->offset);
        num += other && strcmp(other, path) == 0;
    }
    bool is_file = strcmp(path, "-") != 0 && (stat(path, &st) != 0 || S_ISREG(st.st_mode));
    if (num > 1 && is_file)
        lbw_talk("%s: used for two outputs", path);
    return num <= 1 || !is_file;
}

bool lbw_outputs_are_possible(const void *values, const struct lbw_command *command)
{
    for (const struct lbw_option *o = command->options; o && o->name; o++) {
        if (o->type != LBW_OPTION_OUTPUT)
            continue;
        const char *path = *(const char *const *)((const char *)values + o->offset);
        if (path && (!lbw_output_is_possible(path, o->is_in_place) ||
                     !is_named_once(values, command, path)))
            return false;
    }
    return true;
}

bool lbw_output_is_usable(const struct lbw_output_values *values, const char *command)
{
    if (!values->path)
        lbw_usage_error(command, "missing --output FILE");
    else if (!values->external && (values->threshold || values->alignment))
        lbw_usage_error(command, "--external-%s needs --external FILE",
                        values->threshold ? "threshold" : "alignment");
    else
        return true;
    return false;
}

static struct lbw_external_params external_params(const struct lbw_output_values *values)
{
    return (struct lbw_external_params){values->external, (size_t)values->threshold,
                                        (size_t)values->alignment};
}

enum lbw_status lbw_output_check(const struct lbw_output_values *values,
                                 const struct lbw_model *model, struct lbw_error *err)
{
    const struct lbw_external_params params = external_params(values);
    return lbw_model_check_save(model, values->path, values->external ? &params : NULL, err);
}

FILE *lbw_output_talk(const struct lbw_output_values *values)
{
    return strcmp(values->path, "-") == 0 ? stderr : stdout;
}

const char *lbw_output_name(const struct lbw_output_values *values)
{
    return strcmp(values->path, "-") == 0 ? "standard output" : values->path;
}

enum lbw_status lbw_output_save(const struct lbw_output_values *values, struct lbw_model *model,
                                struct lbw_error *err)
{
    if (lbw_progress_stopped()) {
        *err = (struct lbw_error){LBW_ERR_INTERRUPTED, "interrupted"};
        return LBW_ERR_INTERRUPTED;
    }
    const struct lbw_external_params params = external_params(values);
    return values->external ? lbw_model_save_external(model, values->path, &params, err)
                            : lbw_model_save(model, values->path, err);
}

static enum lbw_status fail(struct lbw_error *err, const char *path)
{
    int number = errno;
    err->status = LBW_ERR_IO;
    snprintf(err->message, sizeof err->message, "%s: cannot write: %s", path, strerror(number));
    return LBW_ERR_IO;
}

static bool is_special(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

/* Synced if possible: a pipe or a terminal cannot be. */
static int write_all(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (!file)
        return -1;
    int bad = fputs(text, file) < 0 || fflush(file) != 0 ||
              (fsync(fileno(file)) != 0 && errno != EINVAL && errno != EROFS);
    int number = errno;
    if (fclose(file) != 0 && !bad) {
        bad = 1;
        number = errno;
    }
    errno = number;
    return bad ? -1 : 0;
}

enum lbw_status lbw_save_text(const char *path, const char *text, struct lbw_error *err)
{
    if (strcmp(path, "-") == 0) {
        fputs(text, stdout); /* main() checks standard output */
        return LBW_OK;
    }
    if (is_special(path))
        return write_all(path, text) == 0 ? LBW_OK : fail(err, path);
    /* not from the file's own name, which may have the greatest length */
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0;
    char temporary[4096];
    if (snprintf(temporary, sizeof temporary, "%.*s.lbw-%ld-text", folder, path,
                 (long)getpid()) >= (int)sizeof temporary) {
        errno = ENAMETOOLONG;
        return fail(err, path);
    }
    if (write_all(temporary, text) == 0 && rename(temporary, path) == 0)
        return LBW_OK;
    enum lbw_status status = fail(err, path);
    unlink(temporary);
    return status;
}
