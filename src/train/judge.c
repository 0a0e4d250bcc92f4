/* SPDX-License-Identifier: MIT */
/*
 * Measures the loss on views of held-back samples, and the agreement of boxes with the
 * teacher's.
 */
#include <stdlib.h>

#include "base/thread.h"
#include "detect/decode.h"
#include "eval/map.h"
#include "train/tuning.h"

/* Least scores of the teacher's boxes, and of the student's, well below (as in eval). */
#define WANTED_SCORE .3f
#define FOUND_SCORE  .05f

/* One view. */
struct verdict {
    struct lbw_boxes wanted, found;
    struct lbw_truth *truths; /* wanted.num */
    double loss;
};

struct judging {
    const struct lbw_tuning *tuning;
    struct verdict *verdicts; /* exams.num */
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

/* What judging a view takes; owned. */
struct exam {
    struct lbw_array *images, *outputs;
    struct lbw_lesson lesson;
};

static enum lbw_status examine(struct verdict *out, const struct lbw_tuning *t,
                               struct exam *exam, size_t view, struct lbw_error *err)
{
    exam->images = calloc(t->sessions.num_images + 1, sizeof *exam->images);
    exam->outputs =
        calloc(lbw_session_num_outputs(t->sessions.judge) + 1, sizeof *exam->outputs);
    if (!exam->images || !exam->outputs)
        return lbw_fail_memory(err);
    LBW_TRY(lbw_lesson_init(&exam->lesson, &t->sessions, err));
    LBW_TRY(lbw_views_draw(&t->exams, view, exam->images, err));
    LBW_TRY(lbw_views_teach(&t->exams, view, exam->images, &exam->lesson, err));
    LBW_TRY(lbw_sessions_run(&t->sessions, false, exam->images, &exam->lesson,
                             t->student.arrays, exam->outputs, err));
    out->loss = *(const float *)exam->outputs[0].data - exam->lesson.least;
    if (!t->weighing.profile)
        return LBW_OK;
    return compare_boxes(out, t, exam->lesson.wanted, exam->outputs + 1, err);
}

static enum lbw_status judge_one(void *user, size_t i, struct lbw_error *err)
{
    struct judging *j = user;
    const struct lbw_tuning *t = j->tuning;
    struct exam exam = {0};
    enum lbw_status status = examine(&j->verdicts[i], t, &exam, i, err);
    lbw_arrays_release(exam.images, t->sessions.num_images);
    lbw_arrays_release(exam.outputs, lbw_session_num_outputs(t->sessions.judge));
    lbw_lesson_release(&exam.lesson, &t->sessions);
    free(exam.images);
    free(exam.outputs);
    return status;
}

/* AP .50:.95 with the teacher's boxes as the truth; -1 if there is nothing to compare. */
static enum lbw_status agree(double *out, const struct lbw_tuning *t,
                             const struct verdict *verdicts, struct lbw_error *err)
{
    struct lbw_ap mean, *classes;
    size_t num_classes = 1;
    struct lbw_scene *scenes = calloc(t->exams.num + 1, sizeof *scenes);
    for (size_t i = 0; scenes && i < t->exams.num; i++) {
        const struct verdict *v = &verdicts[i];
        scenes[i] = (struct lbw_scene){v->truths, v->wanted.num, v->found.items, v->found.num};
        for (size_t b = 0; b < v->wanted.num; b++)
            if ((size_t)v->truths[b].class_index >= num_classes)
                num_classes = (size_t)v->truths[b].class_index + 1;
    }
    classes = calloc(num_classes, sizeof *classes);
    enum lbw_status status = scenes && classes
                                 ? lbw_map_compute(&mean, classes, num_classes, scenes,
                                                   t->exams.num, LBW_COCO_MAX_BOXES, 0, err)
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
    for (size_t i = 0; i < t->exams.num; i++)
        sum += verdicts[i].loss;
    t->status.agreement = -1;
    if (t->weighing.profile)
        LBW_TRY(agree(&t->status.agreement, t, verdicts, err));
    t->status.held_back = sum / (double)t->exams.num;
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
    struct judging j = {t, calloc(t->exams.num, sizeof(struct verdict))};
    if (!j.verdicts)
        return lbw_fail_memory(err);
    enum lbw_status status = lbw_parallel_try(t->exams.num, 0, judge_one, &j, err);
    if (status != LBW_OK)
        goto out;
    status = sum_up(t, j.verdicts, err);
out:
    for (size_t i = 0; i < t->exams.num; i++) {
        lbw_boxes_release(&j.verdicts[i].wanted);
        lbw_boxes_release(&j.verdicts[i].found);
        free(j.verdicts[i].truths);
    }
    free(j.verdicts);
    return status;
}
