/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: whatever a state file holds, the run that resumes from it refuses it or ends.
 * The first byte says whether the rest is the file, or only its records, whose header and
 * checksums are then put right: no other input would get past them.
 */
#include <math.h>
#include <string.h>

#include "../activations.h"
#include "../graph.h"
#include "../plan.h"
#include "base/bits.h"
#include "base/record.h"
#include <lbw/convert.h>

#include "fuzz.h"
#include "pass/plan.h"

#define FRAME    16 /* of a record: its length and its checksum */
#define MAX_FILE (1 << 16)

static struct text bytes; /* of the model */
static unsigned char header[LBW_HEADER_SIZE];

static enum lbw_status show(struct lbw_activations *self, const char *name,
                            lbw_activation_fn fn, void *user, struct lbw_error *err)
{
    static const int64_t dims[] = {1, 4, 6, 6};
    float values[4 * 6 * 6];
    (void)self;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        values[i] = (float)(((size_t)name[0] + 37 * i) % 64) - 20;
    const struct lbw_activation activation = {0, 4, dims, values, values};
    return fn(user, &activation, err);
}

/* What comes out of a state is finite: codes of the grid, times steps. */
static enum lbw_status replace(struct lbw_activations *self, const char *name,
                               const float *values, size_t count, struct lbw_error *err)
{
    (void)self, (void)name, (void)err;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            abort();
    return LBW_OK;
}

/* x -Conv(w0, b0)-> y0 -Conv(w1, b1)-> y1 */
static void prepare(void)
{
    struct text graph = {0};
    put_op(&graph, "Conv", "x w0 b0", "y0", NULL);
    put_op(&graph, "Conv", "y0 w1 b1", "y1", NULL);
    put_weight(&graph, "w0", 4, 4, 3);
    put_weight(&graph, "w1", 4, 4, 3);
    put_vector(&graph, "b0", 4, 0, 0.5f);
    put_vector(&graph, "b1", 4, 1, 0.5f);
    bytes = finish_model(&graph, 8, 17);
}

/* One conversion with the file as its state. */
static enum lbw_status run(const char *path, struct lbw_error *err)
{
    struct lbw_activations activations = {show, replace, ignore_position, 1, 7};
    const struct lbw_convert_params params = {.activations = &activations, .state = path};
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    if (lbw_model_open_memory(&model, bytes.data, bytes.size, NULL) != LBW_OK ||
        prepare_and_plan(&plan, model, &(struct lbw_plan_params){.all = true}, NULL) != LBW_OK)
        abort();
    enum lbw_status status = lbw_convert(NULL, model, plan, &params, err);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    return status;
}

/* Records of the bytes: each with its length in front, in 16 bits. */
static size_t frame_records(unsigned char *out, const uint8_t *data, size_t size)
{
    size_t at = LBW_HEADER_SIZE;
    memcpy(out, header, LBW_HEADER_SIZE);
    while (size >= 2) {
        size_t length = data[0] + 256u * data[1];
        length = length < size - 2 ? length : size - 2;
        if (at + FRAME + length > MAX_FILE)
            break;
        lbw_store_le(out + at, length, 8);
        lbw_store_le(out + at + 8, lbw_hash(LBW_HASH_START, data + 2, length), 8);
        memcpy(out + at + FRAME, data + 2, length);
        at += FRAME + length;
        data += 2 + length;
        size -= 2 + length;
    }
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char file[MAX_FILE];
    struct lbw_error err = {0};
    if (!bytes.data) {
        prepare();
        const char *path = fuzz_file("", 0);
        FILE *f;
        if (run(path, NULL) != LBW_OK || !(f = fopen(path, "rb")) ||
            fread(header, sizeof header, 1, f) != 1)
            abort();
        fclose(f);
    }
    if (!size)
        return 0;
    bool is_whole = data[0] % 8 == 0;
    size_t num = is_whole ? size - 1 : frame_records(file, data + 1, size - 1);
    enum lbw_status status = run(fuzz_file(is_whole ? data + 1 : file, num), &err);
    if (status != LBW_OK && !*err.message)
        abort();
    return 0;
}
