/* SPDX-License-Identifier: MIT */
/*
 * What it costs to fit rows of K weights: seconds and memory of collecting, opening and
 * rounding M rows of Laplace-distributed weights over N columns of correlated inputs after a
 * ReLU. Arguments: K M N [GRID [SCALE [FORM]]], FORM "covariance" or "samples" to force one.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/random.h"
#include "num/project.h"
#include "num/reconstruct.h"

#define SOURCES 64 /* independent signals that the columns are mixed from */

struct bench {
    size_t k, m, num;
    const char *form;
    const struct lbw_grid *grid;
    enum lbw_scale scale;
    float *w, *x, *y;
};

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double gauss(struct lbw_random *random)
{
    double u = lbw_random_unit(random) + 1e-300;
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * lbw_random_unit(random));
}

static void make_weights(struct bench *b, struct lbw_random *random)
{
    for (size_t i = 0; i < b->m * b->k; i++) {
        double u = lbw_random_unit(random) - 0.5;
        double size = -log(1 - 2 * fabs(u) + 1e-12) / sqrt((double)b->k);
        b->w[i] = (float)(u < 0 ? -size : size);
    }
}

static void make_columns(struct bench *b, const float *mix, size_t num_sources,
                         struct lbw_random *random)
{
    float sources[SOURCES];
    for (size_t p = 0; p < b->num; p++) {
        for (size_t s = 0; s < num_sources; s++)
            sources[s] = (float)gauss(random);
        for (size_t i = 0; i < b->k; i++) {
            float value = 0.5f * (float)gauss(random);
            for (size_t s = 0; s < num_sources; s++)
                value += mix[s * b->k + i] * sources[s];
            value = value > 0 ? value : 0;
            b->x[p * b->k + i] = value;
            b->y[p * b->k + i] = value + 0.1f * (float)gauss(random);
        }
    }
}

static bool make(struct bench *b)
{
    struct lbw_random random = {1};
    size_t num_sources = b->k / 4 < SOURCES ? b->k / 4 + 1 : SOURCES;
    float *mix = malloc(num_sources * b->k * sizeof *mix);
    b->w = malloc(b->m * b->k * sizeof *b->w);
    b->x = malloc(b->num * b->k * sizeof *b->x);
    b->y = malloc(b->num * b->k * sizeof *b->y);
    if (mix && b->w && b->x && b->y) {
        for (size_t i = 0; i < num_sources * b->k; i++)
            mix[i] = (float)(gauss(&random) / sqrt((double)num_sources));
        make_weights(b, &random);
        make_columns(b, mix, num_sources, &random);
    }
    bool done = mix && b->w && b->x && b->y;
    free(mix);
    return done;
}

static enum lbw_status collect(struct lbw_moments *out, const struct bench *b,
                               struct lbw_error *err)
{
    bool is_kept = strcmp(b->form, "samples") == 0;
    size_t kept = is_kept ? b->num : strcmp(b->form, "covariance") == 0 ? 0 : b->k / 4;
    enum lbw_status status = lbw_moments_init(out, b->w, b->m, b->k, kept, is_kept, err);
    const size_t at_once = 1 + (1 << 21) / b->k;
    for (size_t p = 0; p < b->num && status == LBW_OK; p += at_once)
        status = lbw_moments_add(out, b->x + p * b->k, b->y + p * b->k,
                                 b->num - p < at_once ? b->num - p : at_once, 0, err);
    return status;
}

static enum lbw_status run(const struct bench *b, uint8_t *codes, float *steps,
                           double *correction, struct lbw_error *err)
{
    struct lbw_moments moments;
    struct lbw_fit *fit = NULL;
    struct lbw_reconstruct_stats stats;
    const struct lbw_reconstruct_params params = {.scale = b->scale};
    struct rusage usage;
    double t[4] = {now(CLOCK_PROCESS_CPUTIME_ID)};
    enum lbw_status status = collect(&moments, b, err);
    const char *form = status == LBW_OK && moments.yy ? "covariance" : "samples";
    t[1] = now(CLOCK_PROCESS_CPUTIME_ID);
    if (status == LBW_OK)
        status = lbw_fit_open(&fit, &moments, (struct lbw_damping){0.1, 0}, 0, NULL, err);
    t[2] = now(CLOCK_PROCESS_CPUTIME_ID);
    if (status == LBW_OK)
        status = lbw_reconstruct(codes, steps, correction, fit, b->grid, &params, &stats, err);
    t[3] = now(CLOCK_PROCESS_CPUTIME_ID);
    getrusage(RUSAGE_SELF, &usage);
    if (status == LBW_OK)
        printf("%6zu %5zu %6zu %-10s %8.3f %8.3f %8.3f %9.3f %7ld %7.2f %7.2f\n", b->k, b->m,
               b->num, form, t[1] - t[0], t[2] - t[1], t[3] - t[2],
               1e3 * (t[3] - t[2]) / (double)b->m,
               usage.ru_maxrss / 1024 - (long)(8 * b->num * b->k >> 20),
               10 * log10(stats.energy / stats.error_before),
               10 * log10(stats.energy / stats.error_after));
    lbw_fit_close(&fit);
    lbw_moments_release(&moments);
    return status;
}

int main(int argc, char **argv)
{
    struct lbw_error err = {0};
    if (argc < 4)
        return 2;
    struct bench b = {.k = strtoul(argv[1], NULL, 10),
                      .m = strtoul(argv[2], NULL, 10),
                      .num = strtoul(argv[3], NULL, 10),
                      .grid = lbw_grid_by_name(argc > 4 ? argv[4] : "4"),
                      .scale = argc > 5 && strcmp(argv[5], "pow2") == 0 ? LBW_SCALE_POW2
                                                                        : LBW_SCALE_REAL,
                      .form = argc > 6 ? argv[6] : ""};
    uint8_t *codes = malloc(b.m * b.k);
    float *steps = malloc(b.m * sizeof *steps);
    double *correction = malloc(b.m * sizeof *correction);
    if (!codes || !steps || !correction || !b.grid || !make(&b))
        return 1;
    enum lbw_status status = run(&b, codes, steps, correction, &err);
    if (status != LBW_OK)
        fprintf(stderr, "%s\n", err.message);
    free(codes);
    free(steps);
    free(correction);
    free(b.w);
    free(b.x);
    free(b.y);
    return status != LBW_OK;
}
