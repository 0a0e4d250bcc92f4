/* SPDX-License-Identifier: MIT */
/* Measures the loss on held-back samples, and the agreement of boxes with the teacher's. */
#include <stdlib.h>

#include "base/thread.h"
#include "detect/decode.h"
#include "eval/map.h"
#include "train/tuning.h"

/* Least scores of the teacher's boxes, and of the student's, well below (as in eval). */
#define WANTED_SCORE .3f
#define FOUND_SCORE  .05f

/* One held-back sample. */
struct verdict {
    struct lbw_boxes wanted, found;
    struct lbw_truth *truths; /* wanted.num */
    double loss;
};

struct judging {
    const struct lbw_tuning *tuning;
    struct verdict *verdicts; /* num_held */
};

static enum lbw_status find_boxes(struct lbw_boxes *out, const struct lbw_tuning *t,
                                  const struct lbw_array *outputs, float score,
                                  struct lbw_error *err)
{
    struct lbw_decode_input input = lbw_weighing_decode_input(&t->weighing, outputs);
    input.score = score;
    input.nms = t->weighing.profile->nms;
    return lbw_decode(out, &input, err);
}

static enum lbw_status compare_boxes(struct verdict *v, const struct lbw_tuning *t,
                                     const struct lbw_array *wanted,
                                     const struct lbw_array *found, struct lbw_error *err)
{
    LBW_TRY(find_boxes(&v->wanted, t, wanted, WANTED_SCORE, err));
    LBW_TRY(find_boxes(&v->found, t, found, FOUND_SCORE, err));
    v->truths = calloc(v->wanted.num + 1, sizeof *v->truths);
    if (!v->truths)
        return lbw_fail_memory(err);
    for (size_t i = 0; i < v->wanted.num; i++)
        v->truths[i] = lbw_truth_of_box(&v->wanted.items[i]);
    return LBW_OK;
}

static enum lbw_status judge_one(void *user, size_t i, struct lbw_error *err)
{
    struct judging *j = user;
    const struct lbw_tuning *t = j->tuning;
    struct verdict *v = &j->verdicts[i];
    size_t num = lbw_session_num_outputs(t->trainer.judge);
    struct lbw_array *outputs = calloc(num + 1, sizeof *outputs);
    enum lbw_status status;
    if (!outputs)
        return lbw_fail_memory(err);
    status = lbw_trainer_run(&t->trainer, false, t->samples[t->num_train + i], &t->held[i],
                             t->student.arrays, outputs, err);
    if (status != LBW_OK)
        goto out;
    v->loss = *(const float *)outputs[0].data - t->held[i].least;
    if (t->weighing.profile)
        status = compare_boxes(v, t, t->held[i].wanted, outputs + 1, err);
out:
    for (size_t k = 0; k < num; k++)
        lbw_array_release(&outputs[k]);
    free(outputs);
    return status;
}

/* AP .50:.95 with the teacher's boxes as the truth; -1 if there is nothing to compare. */
static enum lbw_status agree(double *out, const struct lbw_tuning *t,
                             const struct verdict *verdicts, struct lbw_error *err)
{
    struct lbw_ap mean, *classes;
    size_t num_classes = 1;
    struct lbw_scene *scenes = calloc(t->num_held + 1, sizeof *scenes);
    for (size_t i = 0; scenes && i < t->num_held; i++) {
        const struct verdict *v = &verdicts[i];
        scenes[i] = (struct lbw_scene){v->truths, v->wanted.num, v->found.items, v->found.num};
        for (size_t b = 0; b < v->wanted.num; b++)
            if ((size_t)v->truths[b].class_index >= num_classes)
                num_classes = (size_t)v->truths[b].class_index + 1;
    }
    classes = calloc(num_classes, sizeof *classes);
    enum lbw_status status = scenes && classes
                                 ? lbw_map_compute(&mean, classes, num_classes, scenes,
                                                   t->num_held, LBW_COCO_MAX_BOXES, 0, err)
                                 : lbw_fail_memory(err);
    free(scenes);
    free(classes);
    if (status == LBW_OK)
        *out = mean.ap;
    return status;
}

static enum lbw_status sum_up(struct lbw_tuning *t, const struct verdict *verdicts,
                              struct lbw_error *err)
{
    double sum = 0;
    for (size_t i = 0; i < t->num_held; i++)
        sum += verdicts[i].loss;
    t->status.agreement = -1;
    if (t->weighing.profile)
        LBW_TRY(agree(&t->status.agreement, t, verdicts, err));
    t->status.held_back = sum / (double)t->num_held;
    t->status.changed = lbw_student_changed(&t->student);
    if (t->status.step == 0 || t->status.held_back < t->status.best) {
        t->status.best = t->status.held_back;
        t->result.changed = t->status.changed;
        t->result.agreement_after = t->status.agreement;
        lbw_student_keep(&t->student);
    }
    return LBW_OK;
}

enum lbw_status lbw_tuning_judge(struct lbw_tuning *t, struct lbw_error *err)
{
    struct judging j = {t, calloc(t->num_held, sizeof(struct verdict))};
    if (!j.verdicts)
        return lbw_fail_memory(err);
    enum lbw_status status = lbw_parallel_try(t->num_held, 0, judge_one, &j, err);
    if (status != LBW_OK)
        goto out;
    status = sum_up(t, j.verdicts, err);
out:
    for (size_t i = 0; i < t->num_held; i++) {
        lbw_boxes_release(&j.verdicts[i].wanted);
        lbw_boxes_release(&j.verdicts[i].found);
        free(j.verdicts[i].truths);
    }
    free(j.verdicts);
    return status;
}
