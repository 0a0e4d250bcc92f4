/* SPDX-License-Identifier: MIT */
/* Fuzz target: whatever a label file holds, it is read or refused. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/dataset.h"
#include "fuzz.h"

static char folder[] = "/tmp/lbw-fuzz-XXXXXX";
static char labels[3][64];
static const char *const names[] = {"a.json", "xml/a.xml", "txt/a.txt"};

static void in_folder(char *out, size_t size, const char *name)
{
    snprintf(out, size, "%s/%s", folder, name);
}

static void put_file(const char *name, const void *data, size_t size)
{
    char path[64];
    in_folder(path, sizeof path, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        abort();
}

static void clean(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    if (system(command) != 0)
        abort();
}

static void prepare(void)
{
    static const char *const parts[] = {"pictures", "xml", "txt"};
    char path[64];
    if (!mkdtemp(folder))
        abort();
    for (size_t i = 0; i < 3; i++) {
        in_folder(path, sizeof path, parts[i]);
        if (mkdir(path, 0777) != 0)
            abort();
    }
    in_folder(labels[0], sizeof labels[0], "a.json");
    in_folder(labels[1], sizeof labels[1], "xml");
    in_folder(labels[2], sizeof labels[2], "txt");
    put_file("pictures/a.jpg", "", 0);
    atexit(clean);
}

/* The first character tells the format, as it would for a person. */
static int kind_of(const uint8_t *data, size_t size)
{
    return size && data[0] == '{' ? 0 : size && data[0] == '<' ? 1 : 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const classes[] = {"cat", "dog"};
    int kind = kind_of(data, size);
    struct lbw_dataset *dataset = NULL;
    struct lbw_error err = {0};
    if (!*labels[0])
        prepare();
    char pictures[64];
    in_folder(pictures, sizeof pictures, "pictures");
    put_file(names[kind], data, size);
    struct lbw_dataset_params params = {pictures, labels[kind], classes, 2, 0};
    if (lbw_dataset_open(&dataset, &params, &err) != LBW_OK) {
        if (dataset || !*err.message)
            abort();
        return 0;
    }
    for (size_t i = 0; i < dataset->pictures[0].num_truths; i++) {
        const struct lbw_truth *truth = &dataset->pictures[0].truths[i];
        if (truth->class_index < 0 || truth->class_index > 1 || !isfinite(truth->x) ||
            !isfinite(truth->width) || truth->width < 0 || truth->height < 0)
            abort();
    }
    lbw_dataset_close(&dataset);
    return 0;
}
