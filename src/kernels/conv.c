/* SPDX-License-Identifier: MIT */
/* Packs the weights of a convolution, and runs it tile by tile. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "kernels/conv_plan.h"

/* Products that make a task worth handing to another thread. */
#define TASK_WORK (1 << 20)

/*
 * Weights of that many bytes do not stay in the nearest cache: each block of them meets several
 * tiles before the next one is read. The panels of those tiles then fit the second cache.
 */
#define LARGE_WEIGHTS (1 << 16)
#define PANELS_SIZE   (3 << 17)

struct lbw_conv {
    struct lbw_conv_params params; /* its arrays are owned */
    const struct lbw_isa *isa;
    size_t depth;    /* input channels of a group */
    size_t rows;     /* output channels of a group */
    size_t products; /* per output: depth × taps */
    size_t quads;    /* ceil(products / 4) */
    size_t blocks;   /* of output channels in a group, up to max_rows each */
    bool is_wide;
    int32_t *words;                       /* per group and block: quads × rows of the block */
    int32_t *bias;                        /* with the zero points' share */
    _Atomic(struct lbw_conv_plan *) plan; /* of the first size that came along */
};

/* One image at work; shared by its tasks. */
struct job {
    const struct lbw_conv *conv;
    const struct lbw_conv_plan *plan;
    const uint8_t *x; /* the image */
    uint8_t *planes;  /* what the taps read: x, or copies */
    const uint8_t *begin, *end;
    uint8_t *y; /* or floats */
    size_t tiles_per_task, blocks_per_task, channels_per_task;
    size_t tile_tasks, block_tasks;
    uint8_t *panels; /* of tiles first_tile to end_tile, where weights are large */
    size_t first_tile, end_tile;
    atomic_bool has_failed;
};

/* ---- packing ---- */

/* The first channel of block b: blocks differ by one channel at most. */
static size_t block_start(const struct lbw_conv *conv, size_t b)
{
    size_t least = conv->rows / conv->blocks, more = conv->rows % conv->blocks;
    return b * least + (b < more ? b : more);
}

static const int8_t *weights_of(const struct lbw_conv *conv, size_t channel)
{
    return conv->params.weights + channel * conv->products;
}

static int32_t pack_word(const int8_t *weights, size_t first, size_t num)
{
    uint8_t bytes[4] = {0};
    for (size_t i = 0; i < 4 && first + i < num; i++)
        bytes[i] = (uint8_t)weights[first + i];
    return (int32_t)lbw_load_u32(bytes);
}

static void pack_weights(struct lbw_conv *conv)
{
    int32_t *word = conv->words;
    for (size_t g = 0; g < (size_t)conv->params.groups; g++)
        for (size_t b = 0; b < conv->blocks; b++)
            for (size_t q = 0; q < conv->quads; q++)
                for (size_t m = block_start(conv, b); m < block_start(conv, b + 1); m++)
                    *word++ =
                        pack_word(weights_of(conv, g * conv->rows + m), 4 * q, conv->products);
}

/* Whether two neighbouring products may exceed 16 bits: 255 × 128 does not. */
static bool exceeds_pairs(const struct lbw_conv *conv)
{
    for (size_t m = 0; m < (size_t)conv->params.num_outputs; m++) {
        const int8_t *w = weights_of(conv, m);
        for (size_t k = 0; k + 1 < conv->products; k += 2)
            if (abs(w[k]) + abs(w[k + 1]) > 128)
                return true;
        if (conv->products % 2 && abs(w[conv->products - 1]) > 128)
            return true;
    }
    return false;
}

static void pack_bias(struct lbw_conv *conv)
{
    uint32_t shift = (uint32_t)(conv->isa->shift - conv->params.x_zero);
    for (size_t m = 0; m < (size_t)conv->params.num_outputs; m++) {
        const int8_t *w = weights_of(conv, m);
        uint32_t sum = 0;
        for (size_t k = 0; k < conv->products; k++)
            sum += (uint32_t)w[k];
        conv->bias[m] = (int32_t)((uint32_t)conv->params.bias[m] + shift * sum);
    }
}

static void *copy(const void *from, size_t num, size_t size)
{
    void *to = calloc(num + 1, size);
    if (to && from && num)
        memcpy(to, from, num * size);
    return to;
}

/* The caller's arrays may go away: every one becomes a copy. */
static enum lbw_status own_params(struct lbw_conv *conv, const struct lbw_conv_params *params,
                                  struct lbw_error *err)
{
    struct lbw_conv_params *own = &conv->params;
    size_t num = (size_t)params->num_outputs;
    *own = *params;
    own->weights = copy(params->weights, num * conv->products, 1);
    own->bias = copy(params->bias, num, sizeof *own->bias);
    own->scale = copy(params->scale, num, sizeof *own->scale);
    own->tables =
        params->tables ? copy(params->tables, params->has_channel_tables ? num : 1, 256) : NULL;
    own->ending = params->ending ? copy(params->ending, 1, sizeof *own->ending) : NULL;
    own->float_bias =
        params->ending ? copy(params->float_bias, num, sizeof *own->float_bias) : NULL;
    if (params->ending && (!own->ending || !own->float_bias))
        return lbw_fail_memory(err);
    return own->weights && own->bias && own->scale && (own->tables || !params->tables)
               ? LBW_OK
               : lbw_fail_memory(err);
}

static enum lbw_status pack(struct lbw_conv *conv, struct lbw_error *err)
{
    size_t num = (size_t)conv->params.num_outputs;
    size_t max_rows = conv->isa->max_rows;
    conv->blocks = (conv->rows + max_rows - 1) / max_rows;
    conv->words = calloc(num * conv->quads + 1, sizeof *conv->words);
    conv->bias = calloc(num + 1, sizeof *conv->bias);
    if (!conv->words || !conv->bias)
        return lbw_fail_memory(err);
    conv->is_wide = conv->isa->adds_pairs && exceeds_pairs(conv);
    pack_weights(conv);
    pack_bias(conv);
    return LBW_OK;
}

enum lbw_status lbw_conv_new(struct lbw_conv **out, const struct lbw_conv_params *params,
                             const struct lbw_isa *isa, struct lbw_error *err)
{
    struct lbw_conv *conv = NULL;
    enum lbw_status status;
    LBW_OR_OUT(lbw_conv_check(params, err));
    conv = calloc(1, sizeof *conv);
    if (!conv)
        LBW_OR_OUT(lbw_fail_memory(err));
    conv->isa = isa;
    conv->depth = (size_t)(params->num_inputs / params->groups);
    conv->rows = (size_t)(params->num_outputs / params->groups);
    conv->products = conv->depth * (size_t)(params->kernel[0] * params->kernel[1]);
    conv->quads = (conv->products + 3) / 4;
    LBW_OR_OUT(own_params(conv, params, err));
    if (isa)
        LBW_OR_OUT(pack(conv, err));
    *out = conv;
    conv = NULL;
out:
    lbw_conv_free(&conv);
    return status;
}

void lbw_conv_free(struct lbw_conv **conv)
{
    if (!*conv)
        return;
    struct lbw_conv_plan *plan = atomic_load(&(*conv)->plan);
    lbw_conv_plan_free(&plan);
    free((void *)(*conv)->params.weights);
    free((void *)(*conv)->params.bias);
    free((void *)(*conv)->params.scale);
    free((void *)(*conv)->params.tables);
    free((void *)(*conv)->params.ending);
    free((void *)(*conv)->params.float_bias);
    free((*conv)->words);
    free((*conv)->bias);
    free(*conv);
    *conv = NULL;
}

const struct lbw_conv_params *lbw_conv_params(const struct lbw_conv *conv)
{
    return &conv->params;
}

/* ---- running ---- */

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t ceil_size(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Input channel c into its planes: rows and columns of one phase, the rest undefined. */
static void fill_channel(void *argument, size_t c)
{
    const struct job *job = argument;
    const struct lbw_conv_plan *plan = job->plan;
    const int64_t *strides = job->conv->params.strides;
    size_t height = (size_t)plan->in[0], width = (size_t)plan->in[1];
    const uint8_t *x = job->x + c * height * width;
    for (size_t i = 0; i < plan->num_planes; i++) {
        uint8_t *row = job->planes + (c * plan->num_planes + i) * plan->plane_size;
        size_t phase = (size_t)plan->phases[2 * i + 1], stride = (size_t)strides[1];
        size_t num = phase < width ? (width - phase + stride - 1) / stride : 0;
        for (size_t y = (size_t)plan->phases[2 * i]; y < height;
             y += (size_t)strides[0], row += plan->pitch) {
            const uint8_t *from = x + y * width + phase;
            if (num && stride == 1)
                memcpy(row, from, num);
            else if (num && stride == 2)
                job->conv->isa->halve(row, from, num);
            else
                for (size_t q = 0; q < num; q++)
                    row[q] = from[q * stride];
        }
    }
}

static struct lbw_requant requant_of(const struct lbw_conv *conv, size_t m)
{
    const struct lbw_conv_params *p = &conv->params;
    size_t step = p->has_channel_tables ? 256 : 0;
    return (struct lbw_requant){
        .bias = conv->bias + m,
        .scale = p->scale + m,
        .tables = p->tables ? p->tables + m * step : NULL,
        .table_step = step,
        .high = (float)(255 - p->y_zero),
        .zero = p->y_zero,
    };
}

static struct lbw_rows rows_of(const struct job *job, size_t channel, size_t tile)
{
    const struct lbw_conv_plan *plan = job->plan;
    size_t step = plan->num_planes * plan->plane_size;
    return (struct lbw_rows){
        .base = job->planes + channel * step + tile * job->conv->isa->lanes,
        .channel_step = step,
        .offsets = plan->offsets,
        .masks = plan->masks + tile * plan->num_taps,
        .num_taps = plan->num_taps,
        .num_rows = job->conv->products,
        .begin = job->begin,
        .end = job->end,
        .fill = job->conv->params.x_zero,
    };
}

/*
 * A tile of one channel to where it belongs, positions beyond the output's width left out;
 * `size` is that of a value.
 */
static void copy_tile(void *y, const void *tile, size_t size, const struct lbw_conv_plan *plan,
                      size_t first, size_t lanes)
{
    size_t width = (size_t)plan->out[1];
    size_t end = min_size(first + lanes, plan->num_positions);
    for (size_t at = first; at < end;) {
        size_t column = at % plan->pitch;
        size_t num = min_size(plan->pitch - column, end - at);
        if (column < width)
            memcpy((char *)y + (at / plan->pitch * width + column) * size,
                   (const char *)tile + (at - first) * size,
                   min_size(num, width - column) * size);
        at += num;
    }
}

/* Whether a whole tile may be written as it is. */
static bool is_whole(const struct lbw_conv_plan *plan, size_t tile, size_t lanes)
{
    return plan->pitch == (size_t)plan->out[1] && (tile + 1) * lanes <= plan->num_positions;
}

/* The sums of `num` channels from m on to floats. */
static void finish_floats(const struct job *job, const uint8_t *panel, size_t m, size_t num,
                          size_t tile)
{
    const struct lbw_conv *conv = job->conv;
    const struct lbw_isa *isa = conv->isa;
    size_t plane = (size_t)(job->plan->out[0] * job->plan->out[1]), lanes = isa->lanes;
    int32_t sums[LBW_MAX_ROWS * LBW_MAX_LANES];
    float rest[LBW_MAX_LANES];
    bool whole = is_whole(job->plan, tile, lanes);
    (conv->is_wide ? isa->sums_wide : isa->sums)(
        sums, num, panel, conv->words + m * conv->quads, conv->quads, conv->bias + m);
    for (size_t i = 0; i < num; i++) {
        float *y = (float *)(void *)job->y + (m + i) * plane;
        float *row = whole ? y + tile * lanes : rest;
        isa->floats->scale(row, sums + i * lanes, lanes / LBW_COLUMNS,
                           conv->params.scale[m + i], conv->params.float_bias[m + i]);
        isa->floats->bend(row, lanes / LBW_COLUMNS, conv->params.ending);
        if (!whole)
            copy_tile(y, row, sizeof *y, job->plan, tile * lanes, lanes);
    }
}

static void multiply_block(const struct job *job, const uint8_t *panel, size_t group,
                           size_t tile, size_t block)
{
    const struct lbw_conv *conv = job->conv;
    const struct lbw_isa *isa = conv->isa;
    size_t plane = (size_t)(job->plan->out[0] * job->plan->out[1]);
    size_t start = block_start(conv, block), num = block_start(conv, block + 1) - start;
    size_t m = group * conv->rows + start;
    const int32_t *words = conv->words + m * conv->quads;
    if (conv->params.ending) {
        finish_floats(job, panel, m, num, tile);
        return;
    }
    struct lbw_requant to = requant_of(conv, m);
    uint8_t tiles[LBW_MAX_ROWS * LBW_MAX_LANES], *y = job->y + m * plane;
    bool whole = is_whole(job->plan, tile, isa->lanes);
    bool narrow = isa->multiply_narrow &&
                  job->plan->num_positions - tile * isa->lanes <= isa->narrow_lanes;
    (narrow          ? isa->multiply_narrow
     : conv->is_wide ? isa->multiply_wide
                     : isa->multiply)(whole ? y + tile * isa->lanes : tiles,
                                      whole ? plane : isa->lanes, num, panel, words,
                                      conv->quads, &to);
    for (size_t i = 0; i < num && !whole; i++)
        copy_tile(y + i * plane, tiles + i * isa->lanes, 1, job->plan, tile * isa->lanes,
                  isa->lanes);
}

static void dense_task(void *argument, size_t i)
{
    struct job *job = argument;
    const struct lbw_conv *conv = job->conv;
    size_t block_task = i % job->block_tasks;
    size_t tile_task = i / job->block_tasks % job->tile_tasks;
    size_t group = i / job->block_tasks / job->tile_tasks;
    size_t first = block_task * job->blocks_per_task;
    size_t last = min_size(first + job->blocks_per_task, conv->blocks);
    size_t tile = tile_task * job->tiles_per_task;
    size_t end = min_size(tile + job->tiles_per_task, job->plan->num_tiles);
    uint8_t *panel = lbw_scratch_take(conv->quads * 4 * conv->isa->lanes);
    if (!panel) {
        atomic_store(&job->has_failed, true);
        return;
    }
    for (; tile < end; tile++) {
        struct lbw_rows rows = rows_of(job, group * conv->depth, tile);
        conv->isa->pack(panel, &rows);
        for (size_t b = first; b < last; b++)
            multiply_block(job, panel, group, tile, b);
    }
    lbw_scratch_give(panel);
}

static void panel_task(void *argument, size_t i)
{
    const struct job *job = argument;
    const struct lbw_isa *isa = job->conv->isa;
    struct lbw_rows rows = rows_of(job, 0, job->first_tile + i);
    isa->pack(job->panels + i * job->conv->quads * 4 * isa->lanes, &rows);
}

static void blocks_task(void *argument, size_t i)
{
    const struct job *job = argument;
    const struct lbw_conv *conv = job->conv;
    size_t size = conv->quads * 4 * conv->isa->lanes;
    size_t b = i * job->blocks_per_task;
    size_t end = min_size(b + job->blocks_per_task, conv->blocks);
    for (; b < end; b++)
        for (size_t tile = job->first_tile; tile < job->end_tile; tile++)
            multiply_block(job, job->panels + (tile - job->first_tile) * size, 0, tile, b);
}

/* The tiles of a channel that may be written as they are. */
static size_t whole_tiles(const struct lbw_conv_plan *plan, size_t lanes)
{
    return plan->pitch == (size_t)plan->out[1] ? plan->num_positions / lanes : 0;
}

static void depthwise_task(void *argument, size_t i)
{
    const struct job *job = argument;
    const struct lbw_conv *conv = job->conv;
    const struct lbw_isa *isa = conv->isa;
    size_t plane = (size_t)(job->plan->out[0] * job->plan->out[1]);
    size_t whole = whole_tiles(job->plan, isa->lanes);
    size_t c = i * job->channels_per_task;
    size_t end = min_size(c + job->channels_per_task, (size_t)conv->params.num_outputs);
    for (; c < end; c++) {
        struct lbw_requant to = requant_of(conv, c);
        struct lbw_rows rows = rows_of(job, c, 0);
        const int32_t *words = conv->words + c * conv->quads;
        uint8_t *y = job->y + c * plane;
        (conv->is_wide ? isa->depthwise_wide : isa->depthwise)(y, whole, &rows, words, &to);
        for (size_t tile = whole; tile < job->plan->num_tiles; tile++) {
            uint8_t rest[LBW_MAX_LANES];
            rows = rows_of(job, c, tile);
            (conv->is_wide ? isa->depthwise_wide : isa->depthwise)(rest, 1, &rows, words, &to);
            copy_tile(y, rest, 1, job->plan, tile * isa->lanes, isa->lanes);
        }
    }
}

/* For large weights: the panels of some tiles, then all blocks of weights over them. */
static void run_large(struct job *job, const struct lbw_parallel *parallel)
{
    const struct lbw_conv *conv = job->conv;
    size_t size = conv->quads * 4 * conv->isa->lanes, tiles = job->plan->num_tiles;
    size_t at_once = min_size(PANELS_SIZE / size + 1, tiles);
    size_t work = conv->products * conv->isa->lanes * at_once * conv->isa->max_rows;
    job->panels = lbw_scratch_take(size * at_once);
    if (!job->panels) {
        atomic_store(&job->has_failed, true);
        return;
    }
    job->blocks_per_task = ceil_size(TASK_WORK, work);
    for (size_t first = 0; first < tiles; first += at_once) {
        job->first_tile = first;
        job->end_tile = min_size(first + at_once, tiles);
        parallel->run(parallel->user, job->end_tile - first, panel_task, job);
        parallel->run(parallel->user, ceil_size(conv->blocks, job->blocks_per_task),
                      blocks_task, job);
    }
    lbw_scratch_give(job->panels);
}

static void run_tasks(struct job *job, const struct lbw_parallel *parallel)
{
    const struct lbw_conv *conv = job->conv;
    size_t groups = (size_t)conv->params.groups, tiles = job->plan->num_tiles;
    size_t work = (conv->products + 1) * conv->isa->lanes; /* of one channel in one tile */
    if (conv->depth == 1 && conv->rows == 1 && !conv->params.ending) {
        /* Its cost is loading and rounding more than multiplying: as of four times the taps. */
        job->channels_per_task = ceil_size(TASK_WORK, 4 * work * (tiles + 1));
        parallel->run(parallel->user, ceil_size(groups, job->channels_per_task), depthwise_task,
                      job);
        return;
    }
    if (groups == 1 && conv->products * conv->rows > LARGE_WEIGHTS) {
        run_large(job, parallel);
        return;
    }
    job->tiles_per_task = min_size(ceil_size(TASK_WORK, work * conv->rows), tiles);
    job->tile_tasks = ceil_size(tiles, job->tiles_per_task);
    job->blocks_per_task = conv->blocks;
    if (job->tile_tasks < 4) {
        size_t wanted = ceil_size(work * conv->rows * job->tiles_per_task, TASK_WORK);
        job->blocks_per_task = ceil_size(conv->blocks, min_size(wanted, conv->blocks));
    }
    job->block_tasks = ceil_size(conv->blocks, job->blocks_per_task);
    parallel->run(parallel->user, groups * job->tile_tasks * job->block_tasks, dense_task, job);
}

static enum lbw_status run_image(struct job *job, const struct lbw_parallel *parallel,
                                 struct lbw_error *err)
{
    size_t channels = (size_t)job->conv->params.num_inputs;
    size_t size = channels * job->plan->num_planes * job->plan->plane_size;
    uint8_t *planes = NULL;
    job->planes = (uint8_t *)job->x;
    if (!job->plan->is_in_place) {
        planes = lbw_scratch_take(size + 1);
        if (!planes)
            return lbw_fail_memory(err);
        job->planes = planes;
        job->begin = planes;
        job->end = planes + size;
        parallel->run(parallel->user, channels, fill_channel, job);
    }
    run_tasks(job, parallel);
    lbw_scratch_give(planes);
    return atomic_load(&job->has_failed) ? lbw_fail_memory(err) : LBW_OK;
}

/* The plan for these sides: the one kept, or a new one, which is kept when it is the first. */
static enum lbw_status find_plan(struct lbw_conv_plan **out, bool *is_kept,
                                 struct lbw_conv *conv, const int64_t sides[2],
                                 struct lbw_error *err)
{
    struct lbw_conv_plan *plan = atomic_load(&conv->plan), *none = NULL;
    *is_kept = plan && plan->in[0] == sides[0] && plan->in[1] == sides[1];
    if (!*is_kept) {
        LBW_TRY(lbw_conv_plan_new(&plan, &conv->params, sides, conv->isa->lanes, err));
        *is_kept = atomic_compare_exchange_strong(&conv->plan, &none, plan);
    }
    *out = plan;
    return LBW_OK;
}

enum lbw_status lbw_conv_run(struct lbw_conv *conv, void *y, const uint8_t *x,
                             int64_t num_images, const int64_t sides[2],
                             const struct lbw_parallel *parallel, struct lbw_error *err)
{
    struct lbw_conv_plan *plan = NULL;
    bool is_kept = false;
    int64_t out[2];
    LBW_TRY(lbw_conv_output(out, &conv->params, sides, err));
    size_t in_size = (size_t)(conv->params.num_inputs * sides[0] * sides[1]);
    size_t out_size = (size_t)(conv->params.num_outputs * out[0] * out[1]) *
                      (conv->params.ending ? sizeof(float) : 1);
    if (!out_size)
        return LBW_OK;
    enum lbw_status status =
        conv->isa ? find_plan(&plan, &is_kept, conv, sides, err) : LBW_ERR_UNSUPPORTED;
    if (status == LBW_ERR_UNSUPPORTED)
        return lbw_conv_reference(y, x, num_images, sides, &conv->params, err);
    LBW_TRY(status);
    for (int64_t n = 0; n < num_images && status == LBW_OK; n++) {
        struct job job = {.conv = conv,
                          .plan = plan,
                          .x = x + (size_t)n * in_size,
                          .begin = x,
                          .end = x + (size_t)num_images * in_size,
                          .y = (uint8_t *)y + (size_t)n * out_size};
        status = run_image(&job, parallel, err);
    }
    if (!is_kept)
        lbw_conv_plan_free(&plan);
    return status;
}
