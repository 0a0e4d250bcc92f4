/* SPDX-License-Identifier: MIT */
/*
 * Speed of src/num on one core, in GB/s of float32 weights and as a share of the read
 * bandwidth of a plain sum over the same array. Arguments: megabytes (256), repetitions (7).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/random.h"
#include "num/kernels.h"
#include "num/pack.h"
#include "num/project.h"

struct bench {
    float *w;
    float *decoded;
    uint8_t *codes;
    unsigned char *words;
    size_t n;
    int repetitions;
    double bandwidth; /* bytes per second of the plain sum */

    /* of the row at hand */
    const struct lbw_grid *grid;
    struct lbw_quantize_params params;
    size_t group;
};

static uint64_t sink; /* keeps results alive */

/* Processor time of this thread: what other programs take of the core does not count. */
static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* The best of several runs (two for what takes seconds), in bytes of weights per second. */
static double measure(struct bench *b, void (*run)(struct bench *))
{
    double best = 1e300, all = 0;
    for (int i = 0; i < b->repetitions && (i < 2 || all < 1); i++) {
        double start = now();
        run(b);
        double time = now() - start;
        best = time < best ? time : best;
        all += time;
    }
    return (double)b->n * sizeof(float) / best;
}

static void row(struct bench *b, const char *what, const char *grid, const char *group,
                void (*run)(struct bench *))
{
    double speed = measure(b, run);
    printf("%-22s %-6s %-8s %8.2f %7.3f\n", what, grid, group, speed / 1e9,
           speed / b->bandwidth);
    fflush(stdout);
}

static void run_sum(struct bench *b)
{
    typedef uint64_t wide __attribute__((vector_size(16)));
    const wide *in = (const void *)b->w;
    wide sums[8] = {{0}};
    for (size_t i = 0; i + 8 <= b->n / 4; i += 8)
        for (size_t j = 0; j < 8; j++)
            sums[j] += in[i + j];
    for (size_t j = 0; j < 8; j++)
        sink += sums[j][0] + sums[j][1];
}

static void run_quantize(struct bench *b)
{
    float step;
    for (size_t i = 0; i + b->group <= b->n; i += b->group) {
        if (lbw_quantize(b->codes + i, &step, b->w + i, b->group, b->grid, &b->params, NULL) !=
            LBW_OK)
            abort();
        sink += (uint64_t)(step * 1e9F);
    }
}

static void run_nearest(struct bench *b)
{
    lbw_nearest(b->codes, b->w, b->n, b->grid, 0.0625F);
}

static void run_dequantize(struct bench *b)
{
    lbw_dequantize(b->decoded, b->codes, b->n, b->grid, 0.0625F);
}

static void run_error(struct bench *b)
{
    double error, energy;
    lbw_projection_error(&error, &energy, b->w, b->codes, b->n, b->grid, 0.0625F);
    sink += (uint64_t)error;
}

static void run_pack(struct bench *b)
{
    lbw_pack(b->words, b->codes, b->n, b->grid);
}

static void run_unpack(struct bench *b)
{
    sink += lbw_unpack(b->codes, b->words, b->n, b->grid);
}

static void bench_quantize(struct bench *b, const char *what, enum lbw_scale scale,
                           const char *grid, size_t group)
{
    char name[24] = "tensor";
    b->grid = lbw_grid_by_name(grid);
    b->params = (struct lbw_quantize_params){LBW_METHOD_OPTIMAL, scale, 0};
    b->group = group ? group : b->n;
    if (group)
        snprintf(name, sizeof name, "%zu", group);
    row(b, what, grid, name, run_quantize);
}

static void bench_all(struct bench *b)
{
    static const size_t groups[] = {0, 1152, 144, 9};
    static const char *const few[] = {"2", "4", "6", "4x2"};
    size_t num;
    const struct lbw_grid *grids = lbw_grid_table(&num);
    for (size_t g = 0; g < 4; g++)
        for (size_t i = 0; i < 4; i++)
            bench_quantize(b, "optimal, pow2", LBW_SCALE_POW2, few[i], groups[g]);
    for (size_t g = 0; g < 4; g++)
        for (size_t i = 0; i < 4; i++)
            bench_quantize(b, "optimal, real", LBW_SCALE_REAL, few[i], groups[g]);
    for (size_t i = 0; i < num; i++) {
        b->grid = &grids[i];
        row(b, "nearest", grids[i].name, "", run_nearest);
        row(b, "pack", grids[i].name, "", run_pack);
        row(b, "unpack", grids[i].name, "", run_unpack);
        row(b, "dequantize", grids[i].name, "", run_dequantize);
        row(b, "projection error", grids[i].name, "", run_error);
    }
}

int main(int argc, char **argv)
{
    struct bench b = {.n = (size_t)(argc > 1 ? atoi(argv[1]) : 256) << 18,
                      .repetitions = argc > 2 ? atoi(argv[2]) : 7};
    b.w = aligned_alloc(64, b.n * sizeof(float));
    b.decoded = malloc(b.n * sizeof(float));
    b.codes = malloc(b.n);
    b.words = malloc(b.n);
    if (b.n == 0 || !b.w || !b.decoded || !b.codes || !b.words)
        return 1;
    /* a normal distribution, nearly, as trained weights have it; every page is touched */
    struct lbw_random random = {1};
    for (size_t i = 0; i < b.n; i++) {
        uint64_t a = lbw_random_u64(&random), c = lbw_random_u64(&random), sum = 0;
        for (int shift = 0; shift < 64; shift += 16)
            sum += (a >> shift & 0xffff) + (c >> shift & 0xffff);
        b.w[i] = ((float)sum - 262140) * 0x1p-17F;
    }
    memset(b.decoded, 0, b.n * sizeof(float));
    memset(b.codes, 0, b.n);
    memset(b.words, 0, b.n);
    printf("%zu MB of weights, best of %d, kernels: %s\n\n", b.n >> 18, b.repetitions,
           lbw_kernels_best()->name);
    printf("%-22s %-6s %-8s %8s %7s\n", "what", "grid", "group", "GB/s", "ratio");
    b.bandwidth = measure(&b, run_sum);
    row(&b, "plain sum", "", "", run_sum);
    bench_all(&b);
    free(b.words);
    free(b.codes);
    free(b.decoded);
    free(b.w);
    return 0;
}
