/* SPDX-License-Identifier: MIT */
/* The search: errors and sizes per layer, layers one by one, then detection tests. */
#include <lbw/budget.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "search/ahead.h"
#include "search/layers.h"

#define DEFAULT_TRIALS 16
#define PAPERS_MU      0.75

/* Bits per weight between which the smallest plan of `keep` is looked for, and how often. */
#define LEAST_KEEP_BITS 2.5
#define MOST_KEEP_BITS  7.0
#define NUM_KEEP_HALVES 6
#define LEAST_KEEP_GAIN 0.01 /* of the size: less is not worth a trial */

struct search {
    const struct lbw_search_params *params;
    struct lbw_calibrate_params calibrate; /* the given one, with its hold_back */
    struct lbw_bench bench;
    struct lbw_search_result *result;
    struct lbw_layers layers;
    double *importance; /* of the best plan so far */
    struct lbw_tried tried;
    struct lbw_ahead ahead;
    pthread_mutex_t lock; /* of the caller's progress, as two trials may report at once */
    char *best_plan;
    char *log; /* comment lines */
    size_t log_size;
    FILE *log_stream;
    double mu;
    int64_t rest;       /* file size minus bytes of the searched weights */
    int64_t bias_bytes; /* bytes that calibration adds to a file */
    size_t max_trials;
    double most_kept; /* of all trials */
    bool last_fits;   /* the last trial */
    double started;
    const char *stage;
};

/* All current work counts as one step: trials. */
static int tell(void *user, const char *what, size_t done, size_t total)
{
    (void)what, (void)done, (void)total;
    struct search *s = user;
    if (!s->params->progress)
        return 0;
    pthread_mutex_lock(&s->lock);
    int stop =
        s->params->progress(s->params->user, s->stage, s->result->num_trials, s->max_trials);
    pthread_mutex_unlock(&s->lock);
    return stop;
}

static bool has_time(const struct search *s)
{
    return s->result->num_trials < s->max_trials &&
           (!(s->params->max_seconds > 0) || lbw_now() - s->started < s->params->max_seconds);
}

static bool is_threshold(const struct search *s)
{
    return s->params->plan->method == LBW_METHOD_THRESHOLD;
}

/* Looks for the smallest plan that keeps enough boxes, not for the best of a size. */
static bool keeps(const struct search *s)
{
    return s->params->keep > 0;
}

/* Logs a trial and keeps its plan if it is the best; then takes ownership of *text. */
static void score(struct search *s, struct lbw_search_trial *t, char **text)
{
    struct lbw_search_result *r = s->result;
    const char *what = t->what;
    t->number = ++r->num_trials;
    t->mu = is_threshold(s) ? s->mu : 0;
    t->fits = keeps(s) ? t->kept >= s->params->keep : t->size <= r->target_size;
    t->is_best =
        t->fits && (!s->best_plan || (keeps(s) ? t->size < r->best.size : t->ap > r->best.ap));
    s->most_kept = fmax(s->most_kept, t->kept);
    s->last_fits = t->fits;
    if (s->params->log)
        s->params->log(s->params->log_user, t);
    fprintf(s->log_stream, "# %2zu  AP %.4f  AP50 %.4f  kept %.4f  %llu bytes  %s%s\n",
            t->number, t->ap, t->ap50, t->kept, (unsigned long long)t->size, what,
            t->is_best ? "  (best so far)"
            : t->fits  ? ""
            : keeps(s) ? "  (keeps too few)"
                       : "  (too large)");
    t->what = NULL;
    if (t->number == 1)
        r->start = *t;
    if (!t->is_best)
        return;
    r->best = *t;
    if (keeps(s))
        r->target_size = (uint64_t)((double)t->size * (1 - LEAST_KEEP_GAIN));
    lbw_free(s->best_plan);
    s->best_plan = *text;
    *text = NULL;
}

/* After the first conversion: which weights are searched, and the target size. */
static enum lbw_status begin(struct search *s, const struct lbw_trial *trial,
                             struct lbw_error *err)
{
    const struct lbw_search_params *p = s->params;
    uint64_t size = lbw_model_size(trial->model);
    LBW_TRY(lbw_layers_take(&s->layers, trial->plan, p, err));
    for (size_t i = 0; p->note && i < lbw_plan_num_notes(trial->plan); i++)
        p->note(p->log_user, lbw_plan_note(trial->plan, i));
    s->importance = calloc(s->layers.num, sizeof *s->importance);
    if (!s->importance)
        return lbw_fail_memory(err);
    s->bench.items = s->layers.items;
    s->bench.num = s->result->num_weights = s->tried.num_grids = s->layers.num;
    s->rest = (int64_t)size - (int64_t)lbw_trial_weight_bytes(trial, &s->bench);
    s->result->target_size = p->target_size ? p->target_size : size;
    if (p->target_bits > 0)
        s->result->target_size =
            (uint64_t)(s->rest + (int64_t)(p->target_bits / lbw_layers_bits(&s->layers, 1)));
    return LBW_OK;
}

static enum lbw_status judge(struct search *s, const struct lbw_trial *trial,
                             struct lbw_search_trial *out, struct lbw_error *err)
{
    struct lbw_verdict found;
    LBW_TRY(lbw_trial_judge(&found, &trial->model, 1, &s->bench, LBW_JUDGE_TEST, err));
    out->ap = found.ap.ap;
    out->ap50 = found.ap.ap50;
    out->ap75 = found.ap.ap75;
    out->kept = found.kept;
    out->size = lbw_model_size(trial->model);
    out->snr = trial->report->snr;
    if (!s->result->num_trials)
        LBW_TRY(begin(s, trial, err));
    out->bits_per_weight =
        lbw_layers_bits(&s->layers, (double)lbw_trial_weight_bytes(trial, &s->bench));
    return LBW_OK;
}

/* One full trial of these grids (NULL: those at the start); *excess: bytes above the target. */
static enum lbw_status try(struct search *s, const char *what,
                           const struct lbw_grid *const *grids, int64_t *excess,
                           struct lbw_error *err)
{
    struct lbw_made made = {0};
    struct lbw_search_trial t = {.what = what};
    s->stage = what;
    if (!lbw_ahead_take(&made, &s->ahead, s->layers.num, grids))
        lbw_made_make(&made, &s->bench, s->mu, grids);
    double start = lbw_now();
    enum lbw_status status;
    LBW_OR_OUT(made.status == LBW_OK ? judge(s, &made.trial, &t, err)
                                     : lbw_fail(err, made.status, "%s", made.err.message));
    t.seconds = made.seconds + lbw_now() - start;
    *excess = (int64_t)t.size - (int64_t)s->result->target_size;
    score(s, &t, &made.text);
    LBW_OR_OUT(lbw_tried_add(&s->tried, grids ? grids : s->layers.base, err));
out:
    lbw_made_release(&made);
    return status;
}

/* Bytes of the file without calibration, which is fast. */
static enum lbw_status plain_size(struct search *s, int64_t *size,
                                  const struct lbw_grid *const *grids, struct lbw_error *err)
{
    struct lbw_trial trial = {0};
    enum lbw_status status;
    LBW_OR_OUT(lbw_trial_open(&trial, &s->bench, LBW_EFFORT_PROJECT, grids, s->mu, err));
    status = lbw_trial_convert(&trial, &s->bench, LBW_EFFORT_PROJECT, &s->params->encode, err);
out:
    if (status == LBW_OK)
        *size = (int64_t)lbw_model_size(trial.model);
    lbw_trial_close(&trial);
    return status;
}

static int64_t size_of_picks(const struct search *s, const size_t *picks)
{
    uint64_t size = 0;
    for (size_t i = 0; i < s->layers.num; i++)
        size += s->layers.choices[i * s->layers.num_choices + picks[i]].size;
    return (int64_t)size;
}

/* Grids within the target for this importance; *fits receives whether there are any. */
static enum lbw_status fit(struct search *s, const struct lbw_grid **grids, bool *fits,
                           const double *importance, struct lbw_error *err)
{
    int64_t target = (int64_t)s->result->target_size;
    int64_t budget = target - s->rest, size = 0;
    size_t *picks = calloc(s->layers.num, sizeof *picks);
    enum lbw_status status = picks ? LBW_OK : lbw_fail_memory(err);
    *fits = false;
    for (int round = 0; status == LBW_OK && round < 6 && !*fits; round++) {
        uint64_t least;
        if (!lbw_allocate(picks, &least, s->layers.choices, s->layers.num,
                          s->layers.num_choices, importance,
                          budget > 0 ? (uint64_t)budget : 0)) {
            if (round == 0 && !keeps(s)) /* a smaller one may not exist */
                status = lbw_fail(err, LBW_ERR_ARGUMENT,
                                  "no plan reaches %lld bytes: the smallest grids need about "
                                  "%lld",
                                  (long long)target, (long long)((int64_t)least + s->rest));
            break;
        }
        for (size_t i = 0; i < s->layers.num; i++)
            grids[i] =
                picks[i] < s->layers.num_candidates ? s->layers.candidates[picks[i]] : NULL;
        status = plain_size(s, &size, grids, err);
        size += s->bias_bytes;
        *fits = size <= target;
        budget = size_of_picks(s, picks) -
                 (size - target); /* smaller than the bytes used, not given */
    }
    free(picks);
    return status;
}

/* Converts with these grids, and side by side with those that are probably tried next. */
static enum lbw_status look_ahead(struct search *s, const struct lbw_grid *const *grids,
                                  const double *importance, struct lbw_error *err)
{
    const struct lbw_grid **next = calloc(s->layers.num, sizeof *next);
    bool fits = false;
    enum lbw_status status = next ? fit(s, next, &fits, importance, err) : lbw_fail_memory(err);
    if (status == LBW_OK && fits && !lbw_tried_has(&s->tried, next) &&
        memcmp(next, grids, s->layers.num * sizeof *next) != 0)
        lbw_ahead_make(&s->ahead, &s->bench, s->mu, grids, next);
    free(next);
    return status;
}

/*
 * Allocates by `importance` and tries the plan unless it was tried. `next` (NULL: unknown) is
 * the importance to try next if this plan is not the best so far.
 */
static enum lbw_status try_importance(struct search *s, const char *what, bool *better,
                                      const double *importance, const double *next,
                                      struct lbw_error *err)
{
    const struct lbw_grid **grids = calloc(s->layers.num, sizeof *grids);
    bool fits = false;
    size_t before = s->best_plan ? s->result->best.number : 0;
    *better = false;
    enum lbw_status status = grids ? LBW_OK : lbw_fail_memory(err);
    for (int round = 0; status == LBW_OK && round < 2 && has_time(s); round++) {
        int64_t excess = 0;
        status = fit(s, grids, &fits, importance, err);
        if (status != LBW_OK || !fits || lbw_tried_has(&s->tried, grids))
            break;
        if (next && !round && lbw_num_processors() > 1 &&
            s->result->num_trials + 1 < s->max_trials &&
            !lbw_ahead_has(&s->ahead, s->layers.num, grids))
            status = look_ahead(s, grids, next, err);
        if (status == LBW_OK)
            status = try(s, what, grids, &excess, err);
        *better = status == LBW_OK && s->best_plan && s->result->best.number > before;
        if (excess <= 0)
            break;
        s->bias_bytes += excess;
    }
    free(grids);
    if (*better)
        memcpy(s->importance, importance, s->layers.num * sizeof *importance);
    return status;
}

/* Tries several importances. */
static enum lbw_status try_weights(struct search *s, struct lbw_error *err)
{
    static const struct {
        const char *what;
        bool by_drop;
        double strength;
    } ways[] = {{"bytes by boxes lost", true, 1},
                {"bytes a little by boxes lost", true, 0.25},
                {"bytes half by boxes lost", true, 0.5},
                {"bytes hardly by boxes lost", true, 0.12},
                {"bytes half by error", false, 0.5}};
    const size_t num_ways = sizeof ways / sizeof *ways, num = s->layers.num;
    double *rows = calloc(num * num_ways, sizeof *rows);
    enum lbw_status status = rows ? LBW_OK : lbw_fail_memory(err);
    if (status == LBW_OK)
        lbw_layers_weigh(&s->layers, s->importance, true, 0);
    for (size_t i = 0; status == LBW_OK && i < num_ways; i++)
        lbw_layers_weigh(&s->layers, &rows[i * num], ways[i].by_drop, ways[i].strength);
    for (size_t i = 0; status == LBW_OK && i < num_ways && has_time(s); i++) {
        bool better;
        status = try_importance(s, ways[i].what, &better, &rows[i * num],
                                i + 1 < num_ways ? &rows[(i + 1) * num] : NULL, err);
    }
    free(rows);
    return status;
}

static enum lbw_status move_group(struct search *s, const struct lbw_layer_group *group,
                                  double factor, bool *better, struct lbw_error *err)
{
    const size_t num = s->layers.num;
    double *rows = calloc(2 * num, sizeof *rows); /* this one and the opposite */
    if (!rows)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < 2 * num; i++)
        rows[i] = s->importance[i % num] * (!group->has(&s->layers, i % num) ? 1
                                            : i < num                        ? factor
                                                                             : 1 / factor);
    enum lbw_status status = try_importance(s, factor > 1 ? group->finer : group->coarser,
                                            better, rows, factor > 1 ? rows + num : NULL, err);
    free(rows);
    return status;
}

/* Large moves first, until trials or time are used up. */
static enum lbw_status refine(struct search *s, struct lbw_error *err)
{
    static const double factors[] = {6, 2.5, 1.5};
    size_t num;
    const struct lbw_layer_group *groups = lbw_layer_groups(&num);
    for (size_t f = 0; f < sizeof factors / sizeof *factors; f++)
        for (size_t g = 0; g < num; g++) {
            bool better = false;
            if (has_time(s))
                LBW_TRY(move_group(s, &groups[g], factors[f], &better, err));
            if (!better && has_time(s))
                LBW_TRY(move_group(s, &groups[g], 1 / factors[f], &better, err));
        }
    return LBW_OK;
}

static enum lbw_status try_mu(struct search *s, double mu, struct lbw_error *err)
{
    char what[40];
    int64_t excess;
    if (!has_time(s))
        return LBW_OK;
    s->mu = mu;
    snprintf(what, sizeof what, "µ = %.4g", mu);
    return try(s, what, s->layers.base, &excess, err);
}

/* The paper's free parameter: five values around its own, then two beside the best. */
static enum lbw_status search_mu(struct search *s, struct lbw_error *err)
{
    static const double shares[] = {0.5, 0.6, 0.9, 1.05, 1.2};
    double start = s->mu;
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        if (shares[i] != start)
            LBW_TRY(try_mu(s, shares[i], err));
    double best = s->result->best.mu > 0 ? s->result->best.mu : start;
    LBW_TRY(try_mu(s, best - 0.05, err));
    LBW_TRY(try_mu(s, best + 0.05, err));
    s->mu = s->result->best.mu > 0 ? s->result->best.mu : start;
    return LBW_OK;
}

/*
 * The grids that gradients choose for that many bits; *found is false if none are small enough.
 */
static enum lbw_status choose_grids(struct search *s, const struct lbw_grid **grids,
                                    bool *found, double bits, struct lbw_error *err)
{
    struct lbw_trial trial = {0};
    struct lbw_error own = {0};
    const struct lbw_budget_params budget = {
        .bits = bits,
        .calibrate = s->params->calibrate,
        .profile = s->params->test->profile,
        .progress = tell,
        .user = s,
    };
    enum lbw_status status;
    *found = false;
    LBW_OR_OUT(lbw_trial_open(&trial, &s->bench, LBW_EFFORT_PROJECT, NULL, s->mu, err));
    status = lbw_plan_choose_bits(NULL, trial.plan, &budget, &own);
    *found = status == LBW_OK;
    for (size_t i = 0; i < s->layers.num && *found; i++)
        grids[i] = lbw_plan_item(trial.plan, s->layers.items[i])->grid;
    if (status == LBW_ERR_ARGUMENT)
        status = LBW_OK;
    else if (status != LBW_OK)
        lbw_fail(err, status, "%s", own.message);
out:
    lbw_trial_close(&trial);
    return status;
}

/* Tries the grids that gradients choose for these bytes; *excess: bytes above the target. */
static enum lbw_status try_room(struct search *s, int64_t *excess, bool *found,
                                const struct lbw_grid **grids, int64_t room,
                                struct lbw_error *err)
{
    int64_t size = 0;
    LBW_TRY(choose_grids(s, grids, found, lbw_layers_bits(&s->layers, (double)room), err));
    if (!*found)
        return LBW_OK;
    LBW_TRY(plain_size(s, &size, grids, err));
    *excess = size + s->bias_bytes - (int64_t)s->result->target_size;
    if (*excess > 0 || lbw_tried_has(&s->tried, grids))
        return LBW_OK;
    LBW_TRY(try(s, "bits by gradients", grids, excess, err));
    s->bias_bytes += *excess > 0 ? *excess : 0;
    return LBW_OK;
}

/*
 * Tries the plan of --bits auto for this size, so that the search ends no worse. Files are
 * larger where scales need 32 bits; a little less room may change no grid, so steps grow.
 */
static enum lbw_status try_gradients(struct search *s, struct lbw_error *err)
{
    int64_t room = (int64_t)s->result->target_size - s->rest - s->bias_bytes;
    int64_t step = 0, excess = 1;
    const struct lbw_grid **grids = calloc(s->layers.num, sizeof *grids);
    bool found = true;
    enum lbw_status status = grids ? LBW_OK : lbw_fail_memory(err);
    s->stage = "bits by gradients";
    while (status == LBW_OK && found && excess > 0 && room > 0 && has_time(s)) {
        status = try_room(s, &excess, &found, grids, room, err);
        room -= step ? step : excess;
        step = step ? 2 * step : room / 1024 + 1;
    }
    free(grids);
    return status;
}

/* The plans of --bits auto, halving the range of bits as long as a trial can tell. */
static enum lbw_status halve_bits(struct search *s, struct lbw_error *err)
{
    const struct lbw_grid **grids = calloc(s->layers.num, sizeof *grids);
    double low = LEAST_KEEP_BITS, high = MOST_KEEP_BITS,
           start = s->result->start.bits_per_weight;
    enum lbw_status status = grids ? LBW_OK : lbw_fail_memory(err);
    s->stage = "bits by gradients";
    if (s->last_fits && start < high)
        high = start;
    for (int round = 0; status == LBW_OK && round < NUM_KEEP_HALVES && has_time(s); round++) {
        double middle = (low + high) / 2;
        int64_t excess;
        bool found;
        status = choose_grids(s, grids, &found, middle, err);
        if (status != LBW_OK || (found && lbw_tried_has(&s->tried, grids)))
            break;
        if (found)
            status = try(s, "bits by gradients", grids, &excess, err);
        if (found && s->last_fits)
            high = middle;
        else
            low = middle; /* it keeps too few boxes, or no plan has this few bits */
    }
    free(grids);
    return status;
}

/* Steps between the start of the search and trials of allocations. */
static enum lbw_status try_first(struct search *s, struct lbw_error *err)
{
    int64_t size = 0;
    LBW_TRY(plain_size(s, &size, s->layers.base, err));
    s->bias_bytes = (int64_t)s->result->start.size - size;
    if (keeps(s))
        return halve_bits(s, err);
    return is_threshold(s) || s->params->num_grids ? LBW_OK : try_gradients(s, err);
}

static enum lbw_status run(struct search *s, struct lbw_error *err)
{
    struct lbw_verdict found;
    int64_t excess;
    LBW_TRY(lbw_model_open(&s->bench.reference, s->bench.path, err));
    if (s->params->calibrate)
        LBW_TRY(lbw_trial_hold_back(&s->calibrate, &s->bench, err));
    LBW_TRY(try(s, "where the search starts", NULL, &excess, err));
    LBW_TRY(lbw_trial_judge(&found, &s->bench.reference, 1, &s->bench, LBW_JUDGE_TEST, err));
    s->result->float_ap = found.ap.ap;
    if (is_threshold(s))
        LBW_TRY(search_mu(s, err));
    if (has_time(s))
        LBW_TRY(try_first(s, err));
    if (has_time(s) && (!keeps(s) || s->best_plan)) {
        s->stage = "all layers on each grid";
        LBW_TRY(lbw_layers_measure_grids(&s->layers, &s->bench, s->mu, err));
        s->stage = "layers one by one";
        LBW_TRY(lbw_layers_measure_drops(&s->layers, &s->bench, s->mu, err));
        LBW_TRY(try_weights(s, err));
        LBW_TRY(refine(s, err));
    }
    if (s->best_plan)
        return LBW_OK;
    if (keeps(s))
        return lbw_fail(err, LBW_ERR_ARGUMENT,
                        "no trial kept %.4g%% of the float model's boxes, the best %.4g%%",
                        100 * s->params->keep, 100 * s->most_kept);
    return lbw_fail(err, LBW_ERR_ARGUMENT, "no trial met %llu bytes: raise --trials",
                    (unsigned long long)s->result->target_size);
}

/* The log as comments, the options to give on the command line, the plan. */
static enum lbw_status write_plan(struct search *s, struct lbw_error *err)
{
    struct lbw_search_result *r = s->result;
    size_t size;
    FILE *f = fflush(s->log_stream) == 0 ? open_memstream(&r->plan, &size) : NULL;
    if (!f)
        return lbw_fail_memory(err);
    if (keeps(s))
        fprintf(f, "# lbw search: keeps %.4f of the float model's boxes in %llu bytes\n",
                r->best.kept, (unsigned long long)r->best.size);
    else
        fprintf(f, "# lbw search: AP %.4f where it started, %.4f now; %llu bytes of %llu\n",
                r->start.ap, r->best.ap, (unsigned long long)r->best.size,
                (unsigned long long)r->target_size);
    if (is_threshold(s))
        fprintf(f, "# quantize with --method threshold --mu %.4g\n", r->best.mu);
    fprintf(f, "%s%s", s->log, s->best_plan);
    bool failed = ferror(f) != 0;
    return fclose(f) == 0 && !failed ? LBW_OK : lbw_fail_memory(err);
}

static void release(struct search *s)
{
    if (s->log_stream)
        fclose(s->log_stream);
    free(s->log);
    lbw_free(s->best_plan);
    lbw_tried_release(&s->tried);
    lbw_ahead_release(&s->ahead);
    pthread_mutex_destroy(&s->lock);
    lbw_layers_release(&s->layers);
    free(s->importance);
    lbw_model_close(&s->bench.reference);
}

/* What was found before an interruption is returned. */
static enum lbw_status run_and_write(struct search *s, struct lbw_error *err)
{
    if (!s->result || !s->log_stream)
        return lbw_fail_memory(err);
    enum lbw_status status = run(s, err);
    s->result->is_interrupted = status == LBW_ERR_INTERRUPTED && s->best_plan;
    if (!s->result->is_interrupted)
        LBW_TRY(status);
    return write_plan(s, err);
}

enum lbw_status lbw_search(struct lbw_search_result **out, const char *path,
                           const struct lbw_search_params *params, struct lbw_error *err)
{
    static const struct lbw_plan_params by_default;
    LBW_TRY(lbw_search_check(path, params, err));
    struct lbw_search_params filled = *params;
    filled.plan = filled.plan ? filled.plan : &by_default;
    params = &filled;
    struct search s = {
        .params = params,
        .bench = {.path = path, .params = params, .progress = tell, .user = &s},
        .result = calloc(1, sizeof *s.result),
        .mu = params->plan->mu > 0 ? (double)params->plan->mu : PAPERS_MU,
        .max_trials = params->max_trials ? params->max_trials : DEFAULT_TRIALS,
        .started = lbw_now(),
    };
    if (params->calibrate) {
        s.calibrate = *params->calibrate;
        filled.calibrate = &s.calibrate;
    }
    pthread_mutex_init(&s.lock, NULL);
    s.log_stream = open_memstream(&s.log, &s.log_size);
    enum lbw_status status = run_and_write(&s, err);
    release(&s);
    if (status == LBW_OK)
        *out = s.result;
    else
        lbw_search_result_free(&s.result);
    return status;
}

void lbw_search_result_free(struct lbw_search_result **result)
{
    if (!*result)
        return;
    free((*result)->plan);
    free(*result);
    *result = NULL;
}
