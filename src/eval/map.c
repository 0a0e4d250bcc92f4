/* SPDX-License-Identifier: MIT */
/*
 * Average precision as COCO and Pascal VOC define it. One class at a time: boxes are matched to
 * truths image by image, best score first, then counted over all images by score.
 */
#include "eval/map.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/thread.h"

#define NUM_IOUS    10
#define NUM_RECALLS 101

enum verdict {
    VERDICT_MISS = 0,
    VERDICT_HIT,
    VERDICT_IGNORED, /* counts neither way */
};

/* One box, for the precision-recall curve. */
struct entry {
    float score;
    size_t place; /* order of scenes, then of boxes */
    unsigned char verdicts[NUM_IOUS];
};

/* A truth of the class in the current image. */
struct goal {
    const struct lbw_truth *truth;
    bool is_ignored;
    unsigned taken; /* bit t: matched at threshold t */
};

struct class_work {
    const struct lbw_scene *scenes;
    size_t num_scenes;
    size_t max_boxes;
    int class_index;
    struct entry *entries; /* room for all boxes of the class */
    size_t num_entries;
    struct goal *goals; /* room for the most truths of one image */
    double *ious;       /* of one box with each goal */
    double *precision;  /* room for all boxes of the class */
    double *recall;
    const struct lbw_box **boxes; /* room for the most boxes of one image */
};

struct job {
    const struct lbw_scene *scenes;
    size_t num_scenes;
    size_t max_boxes;
    struct lbw_ap *classes;
};

/*
 * As numpy.linspace computes it, so that comparisons at the thresholds give the same results.
 */
static double linspace(double start, double stop, int num, int i)
{
    return i == num - 1 ? stop : i * ((stop - start) / (num - 1)) + start;
}

/* COCO's overlap: with a crowd, the part of the box that lies inside. */
static double overlap(const struct lbw_box *box, const struct lbw_truth *truth, bool is_crowd)
{
    double width =
        fmin((double)box->x + box->width, truth->x + truth->width) - fmax(box->x, truth->x);
    double height =
        fmin((double)box->y + box->height, truth->y + truth->height) - fmax(box->y, truth->y);
    if (width <= 0 || height <= 0)
        return 0;
    double area = (double)box->width * box->height;
    double both = width * height;
    return both / (is_crowd ? area : area + truth->width * truth->height - both);
}

static int by_score(const void *a, const void *b)
{
    const struct entry *l = a, *r = b;
    if (l->score != r->score)
        return l->score > r->score ? -1 : 1;
    return l->place < r->place ? -1 : l->place > r->place;
}

/* Adds the class's boxes in one scene to those collected so far, best first. */
static size_t collect(struct class_work *work, const struct lbw_scene *scene)
{
    struct entry *first = work->entries + work->num_entries;
    size_t num = 0;
    for (size_t i = 0; i < scene->num_boxes; i++)
        if (scene->boxes[i].class_index == work->class_index)
            first[num++] = (struct entry){.score = scene->boxes[i].score, .place = i};
    qsort(first, num, sizeof *first, by_score);
    for (size_t i = 0; i < num; i++) {
        work->boxes[i] = &scene->boxes[first[i].place];
        first[i].place = work->num_entries + i;
    }
    return num;
}

/* The class's truths in one scene, those that count first. */
static size_t collect_goals(struct class_work *work, const struct lbw_scene *scene,
                            double area_min, double area_max)
{
    size_t num = 0;
    for (int ignored = 0; ignored < 2; ignored++)
        for (size_t i = 0; i < scene->num_truths; i++) {
            const struct lbw_truth *truth = &scene->truths[i];
            bool is_ignored = truth->is_crowd || truth->is_difficult ||
                              truth->area < area_min || truth->area > area_max;
            if (truth->class_index == work->class_index && is_ignored == ignored)
                work->goals[num++] = (struct goal){truth, is_ignored, 0};
        }
    return num;
}

/* COCO's rule: the best free truth that counts, else the best one that is ignored. */
static ptrdiff_t best_goal(const struct class_work *work, size_t num_goals, int t)
{
    double best = fmin(linspace(.5, .95, NUM_IOUS, t), 1 - 1e-10);
    ptrdiff_t found = -1;
    for (size_t g = 0; g < num_goals; g++) {
        const struct goal *goal = &work->goals[g];
        if (goal->taken >> t & 1 && !goal->truth->is_crowd)
            continue;
        if (found >= 0 && !work->goals[found].is_ignored && goal->is_ignored)
            break;
        if (work->ious[g] < best)
            continue;
        best = work->ious[g];
        found = (ptrdiff_t)g;
    }
    return found;
}

static void match_box(struct class_work *work, struct entry *entry, const struct lbw_box *box,
                      size_t num_goals, double area_min, double area_max)
{
    double area = (double)box->width * box->height;
    bool is_outside = area < area_min || area > area_max;
    for (size_t g = 0; g < num_goals; g++) {
        const struct lbw_truth *truth = work->goals[g].truth;
        work->ious[g] = overlap(box, truth, truth->is_crowd);
    }
    for (int t = 0; t < NUM_IOUS; t++) {
        ptrdiff_t g = best_goal(work, num_goals, t);
        if (g < 0) {
            entry->verdicts[t] = is_outside ? VERDICT_IGNORED : VERDICT_MISS;
            continue;
        }
        entry->verdicts[t] = work->goals[g].is_ignored ? VERDICT_IGNORED : VERDICT_HIT;
        work->goals[g].taken |= 1u << t;
    }
}

/* Accumulates the verdicts of threshold t; returns the number of points on the curve. */
static size_t draw_curve(struct class_work *work, int t, size_t num_wanted)
{
    double hits = 0, misses = 0;
    size_t num = 0;
    for (size_t i = 0; i < work->num_entries; i++) {
        if (work->entries[i].verdicts[t] == VERDICT_HIT)
            hits++;
        if (work->entries[i].verdicts[t] == VERDICT_MISS)
            misses++;
        work->recall[num] = hits / (double)num_wanted;
        work->precision[num++] = hits / (hits + misses + DBL_EPSILON);
    }
    for (size_t i = num; i-- > 1;)
        if (work->precision[i] > work->precision[i - 1])
            work->precision[i - 1] = work->precision[i];
    return num;
}

/* The mean of the curve's height at `num_points` recalls 0 … 1. */
static double sample_curve(const struct class_work *work, size_t num, int num_points)
{
    double sum = 0;
    size_t i = 0;
    for (int r = 0; r < num_points; r++) {
        double recall = linspace(0, 1, num_points, r);
        while (i < num && work->recall[i] < recall)
            i++;
        if (i == num)
            break;
        sum += work->precision[i];
    }
    return sum / num_points;
}

static double area_under(const struct class_work *work, size_t num)
{
    double sum = 0, before = 0;
    for (size_t i = 0; i < num; i++) {
        sum += (work->recall[i] - before) * work->precision[i];
        before = work->recall[i];
    }
    return sum;
}

/* COCO's precisions for one range of areas, per IoU threshold; false when nothing counts. */
static bool measure_coco(struct class_work *work, double area_min, double area_max, double *ap,
                         size_t *num_wanted)
{
    size_t wanted = 0;
    work->num_entries = 0;
    for (size_t s = 0; s < work->num_scenes; s++) {
        const struct lbw_scene *scene = &work->scenes[s];
        struct entry *first = work->entries + work->num_entries;
        size_t num = collect(work, scene);
        size_t num_goals = collect_goals(work, scene, area_min, area_max);
        if (work->max_boxes && num > work->max_boxes)
            num = work->max_boxes;
        for (size_t i = 0; i < num; i++)
            match_box(work, &first[i], work->boxes[i], num_goals, area_min, area_max);
        work->num_entries += num;
        for (size_t g = 0; g < num_goals; g++)
            wanted += !work->goals[g].is_ignored;
    }
    *num_wanted = wanted;
    if (!wanted)
        return false;
    qsort(work->entries, work->num_entries, sizeof *work->entries, by_score);
    for (int t = 0; t < NUM_IOUS; t++)
        ap[t] = sample_curve(work, draw_curve(work, t, wanted), NUM_RECALLS);
    return true;
}

/* VOC's rule considers the best truth only: if that one is taken, the box is a miss. */
static void match_voc(struct class_work *work, struct entry *entry, const struct lbw_box *box,
                      size_t num_goals)
{
    double best = 0;
    ptrdiff_t found = -1;
    for (size_t g = 0; g < num_goals; g++) {
        double iou = overlap(box, work->goals[g].truth, false);
        if (iou > best) {
            best = iou;
            found = (ptrdiff_t)g;
        }
    }
    entry->verdicts[0] = VERDICT_MISS;
    if (found < 0 || best < .5)
        return;
    struct goal *goal = &work->goals[found];
    if (goal->is_ignored)
        entry->verdicts[0] = VERDICT_IGNORED;
    else if (!goal->taken)
        entry->verdicts[0] = VERDICT_HIT;
    goal->taken = 1;
}

static void measure_voc(struct class_work *work, struct lbw_ap *out)
{
    work->num_entries = 0;
    size_t wanted = 0;
    for (size_t s = 0; s < work->num_scenes; s++) {
        struct entry *first = work->entries + work->num_entries;
        size_t num = collect(work, &work->scenes[s]);
        size_t num_goals = collect_goals(work, &work->scenes[s], -INFINITY, INFINITY);
        for (size_t i = 0; i < num; i++)
            match_voc(work, &first[i], work->boxes[i], num_goals);
        work->num_entries += num;
        for (size_t g = 0; g < num_goals; g++)
            wanted += !work->goals[g].is_ignored;
    }
    out->num_boxes = work->num_entries;
    out->num_truths = wanted;
    if (!wanted)
        return;
    qsort(work->entries, work->num_entries, sizeof *work->entries, by_score);
    size_t num = draw_curve(work, 0, wanted);
    out->voc_11 = sample_curve(work, num, 11);
    out->voc_all = area_under(work, num);
}

static double mean_of(const double *values, int num)
{
    double sum = 0;
    for (int i = 0; i < num; i++)
        sum += values[i];
    return sum / num;
}

static void measure_class(struct class_work *work, struct lbw_ap *out)
{
    /* COCO's own bounds: both ends are in the range, 1e5² means "any". */
    static const double areas[4][2] = {{0, 1e10}, {0, 1024}, {1024, 9216}, {9216, 1e10}};
    double *const fields[4] = {&out->ap, &out->ap_small, &out->ap_medium, &out->ap_large};
    size_t wanted;
    double ap[NUM_IOUS];
    for (int a = 0; a < 4; a++) {
        if (!measure_coco(work, areas[a][0], areas[a][1], ap, &wanted))
            continue;
        *fields[a] = mean_of(ap, NUM_IOUS);
        if (a == 0) {
            out->ap50 = ap[0];
            out->ap75 = ap[5];
        }
    }
    measure_voc(work, out);
}

static const struct lbw_ap nothing = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0};

static enum lbw_status run_class(void *user, size_t c, struct lbw_error *err)
{
    struct job *job = user;
    struct class_work work = {job->scenes, job->num_scenes, job->max_boxes, (int)c};
    size_t num_boxes = 0, most_boxes = 0, most_truths = 0;
    for (size_t s = 0; s < job->num_scenes; s++) {
        const struct lbw_scene *scene = &job->scenes[s];
        size_t num = 0, num_truths = 0;
        for (size_t i = 0; i < scene->num_boxes; i++)
            num += scene->boxes[i].class_index == (int)c;
        for (size_t i = 0; i < scene->num_truths; i++)
            num_truths += scene->truths[i].class_index == (int)c;
        num_boxes += num;
        most_boxes = num > most_boxes ? num : most_boxes;
        most_truths = num_truths > most_truths ? num_truths : most_truths;
    }
    job->classes[c] = nothing;
    work.entries = calloc(num_boxes + 1, sizeof *work.entries);
    work.precision = calloc(num_boxes + 1, sizeof *work.precision);
    work.recall = calloc(num_boxes + 1, sizeof *work.recall);
    work.boxes = calloc(most_boxes + 1, sizeof *work.boxes);
    work.goals = calloc(most_truths + 1, sizeof *work.goals);
    work.ious = calloc(most_truths + 1, sizeof *work.ious);
    bool is_alloced =
        work.entries && work.precision && work.recall && work.boxes && work.goals && work.ious;
    if (is_alloced)
        measure_class(&work, &job->classes[c]);
    free(work.entries);
    free(work.precision);
    free(work.recall);
    free(work.boxes);
    free(work.goals);
    free(work.ious);
    return is_alloced ? LBW_OK : lbw_fail_memory(err);
}

static void add_mean(double *sum, int *num, double value)
{
    if (value >= 0) {
        *sum += value;
        *num += 1;
    }
}

static struct lbw_ap mean_over_classes(const struct lbw_ap *classes, size_t num_classes)
{
    double sums[8] = {0};
    int nums[8] = {0};
    struct lbw_ap mean = nothing;
    for (size_t c = 0; c < num_classes; c++) {
        const struct lbw_ap *ap = &classes[c];
        const double values[8] = {ap->ap,        ap->ap50,     ap->ap75,   ap->ap_small,
                                  ap->ap_medium, ap->ap_large, ap->voc_11, ap->voc_all};
        for (int i = 0; i < 8; i++)
            add_mean(&sums[i], &nums[i], values[i]);
        mean.num_truths += ap->num_truths;
        mean.num_boxes += ap->num_boxes;
    }
    double *const fields[8] = {&mean.ap,        &mean.ap50,     &mean.ap75,   &mean.ap_small,
                               &mean.ap_medium, &mean.ap_large, &mean.voc_11, &mean.voc_all};
    for (int i = 0; i < 8; i++)
        if (nums[i])
            *fields[i] = sums[i] / nums[i];
    return mean;
}

enum lbw_status lbw_map_compute(struct lbw_ap *mean, struct lbw_ap *classes, size_t num_classes,
                                const struct lbw_scene *scenes, size_t num_scenes,
                                size_t max_boxes, unsigned num_threads, struct lbw_error *err)
{
    struct job job = {scenes, num_scenes, max_boxes, NULL};
    job.classes = calloc(num_classes + 1, sizeof *job.classes);
    if (!job.classes)
        return lbw_fail_memory(err);
    enum lbw_status status = lbw_parallel_try(num_classes, num_threads, run_class, &job, err);
    if (status != LBW_OK)
        goto out;
    memcpy(classes, job.classes, num_classes * sizeof *classes);
    *mean = mean_over_classes(classes, num_classes);
out:
    free(job.classes);
    return status;
}
