/* SPDX-License-Identifier: MIT */
/*
 * Runs a convolution tile by tile. A processor takes many times as long to write a line that
 * another one has read as to write its own (27 ns instead of 1 on a two-core EPYC), so threads
 * share as little as can be: a task takes positions that follow each other, of all channels,
 * and neighbouring layers divide them alike; what is packed is read by the thread that packed
 * it; and layers that move much for what they compute stay on one thread.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/conv_packed.h"

/*
 * Work is counted in products of one position; on top of them an output channel costs rounding
 * and stores, and a depthwise one loads as well. A thread does some 200 of them in a
 * nanosecond.
 */
#define CHANNEL_WORK   24
#define DEPTHWISE_WORK 7         /* for each product */
#define TASK_WORK      (2 << 20) /* of one task, where there is enough */
#define LEAST_WORK     (5 << 18) /* that is worth two threads */
#define SHARED_WORK    160       /* for each byte moved, where tiles are few */
#define MANY_TILES     8
#define MAX_TASKS      16

/*
 * Weights of that many bytes do not stay in the nearest cache: each block of them meets several
 * tiles before the next one is read. The panels of those tiles then fit the second cache.
 */
#define LARGE_WEIGHTS (1 << 16)
#define PANELS_SIZE   (3 << 17)
#define NEAR_SIZE     (1 << 14)

/* Panels of neighbouring tiles, which follow in memory; kept from task to task of a thread. */
struct panels {
    _Alignas(64) struct panels *next;
    const void *owner;
    size_t group, first, num; /* tiles that they hold */
};

/* One image at work; shared by its tasks. */
struct job {
    const struct lbw_conv *conv;
    const struct lbw_conv_plan *plan;
    const uint8_t *x;           /* the image */
    const uint8_t *begin, *end; /* what may be read around it */
    uint8_t *planes;            /* copies that the taps read; NULL: x, or a thread's own */
    uint8_t *y;                 /* or floats */
    const uint8_t *r;           /* what is added; NULL: nothing */
    const int32_t *flat;        /* words for the last tile; NULL: it is as others are */
    size_t tiles_at_once;       /* for each block of weights */
    size_t tiles_per_task, groups_per_task, blocks_per_task;
    size_t tile_tasks, group_tasks, block_tasks;
    size_t rows_per_task; /* of planes */
    pthread_mutex_t lock;
    struct panels *idle; /* guarded by the lock */
    atomic_bool has_failed;
};

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t ceil_size(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Some rows of all planes. */
static void fill_task(void *argument, size_t task)
{
    const struct job *job = argument;
    size_t first = task * job->rows_per_task;
    lbw_conv_fill(job->planes, job->conv, job->plan, job->x,
                  (size_t)job->conv->params.num_inputs, first, first + job->rows_per_task);
}

/* Of as many channels. */
static size_t planes_size(const struct job *job, size_t channels)
{
    return channels * job->plan->num_planes * job->plan->plane_size;
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
        .zero = p->y_zero,
    };
}

/* Of `depth` channels whose planes are given. */
static struct lbw_rows rows_of(const struct job *job, const uint8_t *planes, size_t depth,
                               size_t tile)
{
    const struct lbw_conv_plan *plan = job->plan;
    bool is_x = plan->is_in_place;
    return (struct lbw_rows){
        .base = planes + tile * job->conv->isa->lanes,
        .channel_step = planes_size(job, 1),
        .offsets = plan->offsets,
        .masks = plan->masks + tile * plan->num_taps,
        .num_taps = plan->num_taps,
        .num_rows = job->conv->products,
        .begin = is_x ? job->begin : planes,
        .end = is_x ? job->end : planes + planes_size(job, depth),
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
    if (plan->pitch == width) {
        memcpy((char *)y + first * size, tile, (end - first) * size);
        return;
    }
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

/* The other way: positions that are not there stay as they are. */
static void fetch_tile(uint8_t *tile, const uint8_t *r, const struct lbw_conv_plan *plan,
                       size_t first, size_t lanes)
{
    size_t width = (size_t)plan->out[1];
    size_t end = min_size(first + lanes, plan->num_positions);
    for (size_t at = first; at < end;) {
        size_t column = at % plan->pitch, num = min_size(plan->pitch - column, end - at);
        if (column < width)
            memcpy(tile + at - first, r + at / plan->pitch * width + column,
                   min_size(num, width - column));
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

static void add_to(struct lbw_requant *to, const struct lbw_conv *conv, const uint8_t *addend,
                   size_t step)
{
    const struct lbw_conv_sum *sum = conv->params.sum;
    to->addend = addend;
    to->addend_step = step;
    to->own = sum->own;
    to->other = sum->other;
    to->fixed = sum->fixed;
    to->least = sum->least;
}

static void multiply_block(const struct job *job, const uint8_t *panel, size_t group,
                           size_t tile, size_t block)
{
    const struct lbw_conv *conv = job->conv;
    const struct lbw_isa *isa = conv->isa;
    size_t plane = (size_t)(job->plan->out[0] * job->plan->out[1]);
    size_t start = lbw_conv_block(conv, block), num = lbw_conv_block(conv, block + 1) - start;
    size_t m = group * conv->rows + start;
    const int32_t *words = conv->words + m * conv->quads;
    if (conv->params.ending) {
        finish_floats(job, panel, m, num, tile);
        return;
    }
    struct lbw_requant to = requant_of(conv, m);
    uint8_t tiles[LBW_MAX_ROWS * LBW_MAX_LANES], *y = job->y + m * plane;
    uint8_t addends[LBW_MAX_ROWS * LBW_MAX_LANES];
    bool whole = is_whole(job->plan, tile, isa->lanes);
    bool narrow = isa->multiply_narrow &&
                  job->plan->num_positions - tile * isa->lanes <= isa->narrow_lanes;
    if (job->r && whole)
        add_to(&to, conv, job->r + m * plane + tile * isa->lanes, plane);
    else if (job->r) {
        for (size_t i = 0; i < num; i++)
            fetch_tile(addends + i * isa->lanes, job->r + (m + i) * plane, job->plan,
                       tile * isa->lanes, isa->lanes);
        add_to(&to, conv, addends, isa->lanes);
    }
    (narrow          ? isa->multiply_narrow
     : conv->is_wide ? isa->multiply_wide
                     : isa->multiply)(whole ? y + tile * isa->lanes : tiles,
                                      whole ? plane : isa->lanes, num, panel, words,
                                      conv->quads, &to);
    for (size_t i = 0; i < num && !whole; i++)
        copy_tile(y + i * plane, tiles + i * isa->lanes, 1, job->plan, tile * isa->lanes,
                  isa->lanes);
}

/* ---- panels ---- */

static size_t panel_size(const struct lbw_conv *conv)
{
    return conv->quads * 4 * conv->isa->lanes;
}

/* Those that this thread packed before, or room for new ones; NULL: no memory. */
static struct panels *take_panels(struct job *job)
{
    const void *self = lbw_scratch_thread();
    struct panels *found = NULL;
    pthread_mutex_lock(&job->lock);
    for (struct panels **at = &job->idle; *at; at = &(*at)->next)
        if ((*at)->owner == self) {
            found = *at;
            *at = found->next;
            break;
        }
    pthread_mutex_unlock(&job->lock);
    if (found)
        return found;
    found = lbw_scratch_take(sizeof *found + job->tiles_at_once * panel_size(job->conv));
    if (found)
        *found = (struct panels){.owner = self};
    else
        atomic_store(&job->has_failed, true);
    return found;
}

static void give_panels(struct job *job, struct panels *panels)
{
    pthread_mutex_lock(&job->lock);
    panels->next = job->idle;
    job->idle = panels;
    pthread_mutex_unlock(&job->lock);
}

/* The planes of a group: x, copies for all threads, or this thread's own, to be given back. */
static const uint8_t *take_planes(uint8_t **own, struct job *job, size_t group)
{
    size_t depth = job->conv->depth, step = planes_size(job, depth);
    *own = NULL;
    if (job->plan->is_in_place)
        return job->x + group * step;
    if (job->planes)
        return job->planes + group * step;
    *own = lbw_scratch_take(step + 1);
    if (*own)
        lbw_conv_fill(*own, job->conv, job->plan,
                      job->x + group * depth * (size_t)(job->plan->in[0] * job->plan->in[1]),
                      depth, 0, job->plan->plane_size / job->plan->pitch);
    else
        atomic_store(&job->has_failed, true);
    return *own;
}

static bool pack_panels(struct job *job, struct panels *panels, size_t group, size_t first,
                        size_t num)
{
    const struct lbw_conv *conv = job->conv;
    uint8_t *panel = (uint8_t *)(panels + 1), *own;
    if (panels->group == group && panels->first == first && panels->num == num)
        return true;
    const uint8_t *planes = take_planes(&own, job, group);
    for (size_t i = 0; planes && i < num; i++, panel += panel_size(conv)) {
        struct lbw_rows rows = rows_of(job, planes, conv->depth, first + i);
        conv->isa->pack(panel, &rows);
    }
    lbw_scratch_give(own);
    panels->group = group;
    panels->first = first;
    panels->num = planes ? num : 0;
    return planes != NULL;
}

/* ---- tasks ---- */

/* A range of an index that is divided into tasks. */
struct range {
    size_t first, end;
};

static struct range range_of(size_t task, size_t per_task, size_t num)
{
    return (struct range){task * per_task, min_size((task + 1) * per_task, num)};
}

/* A last tile of few positions, whole blocks of channels that begin in a range of blocks. */
static void multiply_flat(const struct job *job, const uint8_t *panel, size_t group,
                          size_t tile, struct range blocks)
{
    const struct lbw_conv *conv = job->conv;
    size_t lanes = conv->isa->lanes, first = tile * lanes;
    size_t plane = (size_t)(job->plan->out[0] * job->plan->out[1]);
    size_t end = lbw_conv_block(conv, blocks.end), row = lbw_conv_block(conv, blocks.first);
    uint8_t tiles[LBW_FLAT_ROWS * LBW_MAX_LANES], addends[LBW_FLAT_ROWS * LBW_MAX_LANES];
    for (row = ceil_size(row, LBW_FLAT_ROWS) * LBW_FLAT_ROWS; row < end; row += LBW_FLAT_ROWS) {
        size_t m = group * conv->rows + row;
        struct lbw_requant to = requant_of(conv, m);
        for (size_t i = 0; job->r && i < LBW_FLAT_ROWS; i++)
            fetch_tile(addends + i * lanes, job->r + (m + i) * plane, job->plan, first, lanes);
        if (job->r)
            add_to(&to, conv, addends, lanes);
        conv->isa->multiply_flat(tiles, lanes, job->plan->num_positions - first, panel,
                                 job->flat + m * conv->quads, conv->quads, &to);
        for (size_t i = 0; i < LBW_FLAT_ROWS; i++)
            copy_tile(job->y + (m + i) * plane, tiles + i * lanes, 1, job->plan, first, lanes);
    }
}

static const uint8_t *panel_at(const struct job *job, const struct panels *panels, size_t k)
{
    return (const uint8_t *)(panels + 1) + k * panel_size(job->conv);
}

static void dense_tiles(struct job *job, struct panels *panels, size_t group,
                        struct range tiles, struct range blocks)
{
    for (size_t tile = tiles.first, num; tile < tiles.end; tile += num) {
        num = min_size(job->tiles_at_once, tiles.end - tile);
        if (!pack_panels(job, panels, group, tile, num))
            return;
        for (size_t b = blocks.first; b < blocks.end; b++)
            for (size_t k = 0; k < num; k++)
                if (!job->flat || tile + k + 1 < job->plan->num_tiles)
                    multiply_block(job, panel_at(job, panels, k), group, tile + k, b);
        if (job->flat && tile + num == job->plan->num_tiles)
            multiply_flat(job, panel_at(job, panels, num - 1), group, tile + num - 1, blocks);
    }
}

static void dense_task(void *argument, size_t i)
{
    struct job *job = argument;
    const struct lbw_conv *conv = job->conv;
    size_t rest = i / job->block_tasks;
    struct range blocks = range_of(i % job->block_tasks, job->blocks_per_task, conv->blocks);
    struct range groups =
        range_of(rest % job->group_tasks, job->groups_per_task, (size_t)conv->params.groups);
    struct range tiles =
        range_of(rest / job->group_tasks, job->tiles_per_task, job->plan->num_tiles);
    struct panels *panels = take_panels(job);
    if (!panels)
        return;
    for (size_t g = groups.first; g < groups.end; g++)
        dense_tiles(job, panels, g, tiles, blocks);
    give_panels(job, panels);
}

/* The tiles of a channel that may be written as they are. */
static size_t whole_tiles(const struct lbw_conv_plan *plan, size_t lanes)
{
    return plan->pitch == (size_t)plan->out[1] ? plan->num_positions / lanes : 0;
}

static void depthwise_channel(struct job *job, size_t c)
{
    const struct lbw_conv *conv = job->conv;
    const struct lbw_isa *isa = conv->isa;
    size_t whole = whole_tiles(job->plan, isa->lanes);
    uint8_t *y = job->y + c * (size_t)(job->plan->out[0] * job->plan->out[1]), *own;
    const uint8_t *planes = take_planes(&own, job, c);
    const int32_t *words = conv->words + c * conv->quads;
    if (!planes)
        return;
    struct lbw_requant to = requant_of(conv, c);
    struct lbw_rows rows = rows_of(job, planes, 1, 0);
    (conv->is_wide ? isa->depthwise_wide : isa->depthwise)(y, whole, &rows, words, &to);
    for (size_t tile = whole; tile < job->plan->num_tiles; tile++) {
        uint8_t rest[LBW_MAX_LANES];
        rows = rows_of(job, planes, 1, tile);
        (conv->is_wide ? isa->depthwise_wide : isa->depthwise)(rest, 1, &rows, words, &to);
        copy_tile(y, rest, 1, job->plan, tile * isa->lanes, isa->lanes);
    }
    lbw_scratch_give(own);
}

static void depthwise_task(void *argument, size_t i)
{
    struct job *job = argument;
    size_t num = (size_t)job->conv->params.groups;
    struct range groups = range_of(i, job->groups_per_task, num);
    for (size_t c = groups.first; c < groups.end; c++)
        depthwise_channel(job, c);
}

static bool is_depthwise(const struct lbw_conv *conv)
{
    return conv->depth == 1 && conv->rows == 1 && !conv->params.ending && !conv->params.sum;
}

/* How many tasks the work is worth: an even number, or one. */
static size_t count_tasks(const struct job *job)
{
    const struct lbw_conv *conv = job->conv;
    const struct lbw_conv_plan *plan = job->plan;
    size_t products = is_depthwise(conv) ? DEPTHWISE_WORK * conv->products : conv->products;
    size_t channels = (size_t)conv->params.num_outputs, tiles = plan->num_tiles;
    size_t work = (products + CHANNEL_WORK) * channels * conv->isa->lanes * tiles;
    size_t moved = (size_t)(conv->params.num_inputs * plan->in[0] * plan->in[1]) +
                   channels * plan->num_positions;
    if (work < (tiles < MANY_TILES ? SHARED_WORK * moved : LEAST_WORK))
        return 1;
    return min_size(work / TASK_WORK / 2 * 2 + 2, MAX_TASKS);
}

/* Divides `num` items into at most `wanted` tasks; returns how many. */
static size_t divide(size_t *per_task, size_t num, size_t wanted)
{
    *per_task = num ? ceil_size(num, min_size(wanted, num)) : 1;
    return ceil_size(num, *per_task);
}

/* Tiles first; where they are few, groups and blocks of weights as well. Depthwise: groups. */
static void share_out(struct job *job)
{
    const struct lbw_conv *conv = job->conv;
    size_t wanted = count_tasks(job), tiles = job->plan->num_tiles;
    bool is_large = conv->products * conv->rows > LARGE_WEIGHTS;
    size_t at_once = (is_large ? PANELS_SIZE : NEAR_SIZE) / (panel_size(conv) + 1) + 1;
    if (is_depthwise(conv)) {
        job->group_tasks = divide(&job->groups_per_task, (size_t)conv->params.groups, wanted);
        return;
    }
    job->tile_tasks = divide(&job->tiles_per_task, tiles, wanted);
    job->group_tasks = divide(&job->groups_per_task, (size_t)conv->params.groups,
                              ceil_size(wanted, job->tile_tasks));
    job->block_tasks = divide(&job->blocks_per_task, conv->blocks,
                              ceil_size(wanted, job->tile_tasks * job->group_tasks));
    job->tiles_at_once = min_size(at_once, job->tiles_per_task);
}

/* A last tile of at most that many positions takes whole blocks of channels. */
#define FLAT_POSITIONS 52

static bool wants_flat(const struct lbw_conv *conv, const struct lbw_conv_plan *plan)
{
    size_t last = plan->num_positions - (plan->num_tiles - 1) * conv->isa->lanes;
    return conv->isa->multiply_flat && !conv->params.ending && last <= FLAT_POSITIONS &&
           conv->rows % LBW_FLAT_ROWS == 0 && plan->num_tiles <= MANY_TILES;
}

static void fill_planes(struct job *job, const struct lbw_parallel *parallel)
{
    size_t rows = job->plan->plane_size / job->plan->pitch;
    size_t tasks = divide(&job->rows_per_task, rows, job->tile_tasks);
    parallel->run(parallel->user, tasks, fill_task, job);
}

static void run_tasks(struct job *job, const struct lbw_parallel *parallel)
{
    size_t tasks = job->tile_tasks * job->group_tasks * job->block_tasks;
    if (is_depthwise(job->conv))
        parallel->run(parallel->user, job->group_tasks, depthwise_task, job);
    else
        parallel->run(parallel->user, tasks, dense_task, job);
    while (job->idle) {
        struct panels *next = job->idle->next;
        lbw_scratch_give(job->idle);
        job->idle = next;
    }
}

/* Copies serve all threads where each of them reads other tiles. */
static enum lbw_status run_image(struct job *job, const struct lbw_parallel *parallel,
                                 struct lbw_error *err)
{
    uint8_t *planes = NULL;
    share_out(job);
    bool is_shared = job->tile_tasks > 1 || job->group_tasks * job->block_tasks == 1;
    if (!job->plan->is_in_place && !is_depthwise(job->conv) && is_shared) {
        size_t size = planes_size(job, (size_t)job->conv->params.num_inputs);
        planes = lbw_scratch_take(size + 1);
        if (!planes)
            return lbw_fail_memory(err);
        job->planes = planes;
        fill_planes(job, parallel);
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

/* Runs the reference where no plan exists, and unpacks packed weights for it. */
static enum lbw_status run_reference(const struct lbw_conv *conv, void *y, const uint8_t *x,
                                     const uint8_t *r, int64_t num_images,
                                     const int64_t sides[2], struct lbw_error *err)
{
    struct lbw_conv_params params = conv->params;
    int8_t *own = NULL;
    if (!params.weights) {
        own = malloc((size_t)params.num_outputs * conv->products + 1);
        if (!own)
            return lbw_fail_memory(err);
        lbw_conv_unpack(own, conv);
        params.weights = own;
    }
    enum lbw_status status = lbw_conv_reference(y, x, r, num_images, sides, &params, err);
    free(own);
    return status;
}

enum lbw_status lbw_conv_run(struct lbw_conv *conv, void *y, const uint8_t *x, const uint8_t *r,
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
        return run_reference(conv, y, x, r, num_images, sides, err);
    LBW_TRY(status);
    for (int64_t n = 0; n < num_images && status == LBW_OK; n++) {
        struct job job = {.conv = conv,
                          .plan = plan,
                          .x = x + (size_t)n * in_size,
                          .begin = x,
                          .end = x + (size_t)num_images * in_size,
                          .y = (uint8_t *)y + (size_t)n * out_size,
                          .r = r && conv->params.sum ? r + (size_t)n * out_size : NULL,
                          .flat = wants_flat(conv, plan) ? lbw_conv_flat(conv) : NULL,
                          .lock = PTHREAD_MUTEX_INITIALIZER};
        status = run_image(&job, parallel, err);
    }
    if (!is_kept)
        lbw_conv_plan_free(&plan);
    return status;
}
