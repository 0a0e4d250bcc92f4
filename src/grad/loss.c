/* SPDX-License-Identifier: MIT */
/* The loss, squares and cross-entropy, as nodes. */
#include "grad/loss.h"

static const char *total(struct lbw_tape *tape, const char *x)
{
    Onnx__NodeProto *node;
    const char *sum = lbw_tape_op(tape, &node, "ReduceSum", (const char *[]){x, NULL});
    lbw_tape_attr_int(tape, node, "keepdims", 0);
    return sum;
}

const char *lbw_loss_linear(struct lbw_tape *tape, const struct lbw_loss *loss,
                            const char **gradient)
{
    *gradient = lbw_tape_unary(tape, "Identity", loss->factor);
    return total(tape, lbw_tape_binary(tape, "Mul", loss->target, loss->factor));
}

const char *lbw_loss_squares(struct lbw_tape *tape, const struct lbw_loss *loss,
                             const char **gradient)
{
    const char *error = lbw_tape_binary(tape, "Sub", loss->target, loss->wanted);
    const char *scaled = lbw_tape_binary(tape, "Mul", error, loss->factor);
    *gradient = lbw_tape_binary(tape, "Mul", scaled, lbw_tape_scalar(tape, 2));
    return total(tape, lbw_tape_binary(tape, "Mul", scaled, error));
}

const char *lbw_loss_scores(struct lbw_tape *tape, const struct lbw_loss *loss,
                            const char **gradient)
{
    const char *p =
        lbw_tape_clip(tape, loss->target, LBW_GRAD_LEAST_SCORE, 1 - LBW_GRAD_LEAST_SCORE);
    const char *q = lbw_tape_complement(tape, p);
    const char *log_p = lbw_tape_unary(tape, "Log", p);
    const char *log_q = lbw_tape_unary(tape, "Log", q);
    /* wanted·ln p + (1 - wanted)·ln q = ln q + wanted·(ln p - ln q) */
    const char *odds = lbw_tape_binary(tape, "Sub", log_p, log_q);
    const char *mean =
        lbw_tape_binary(tape, "Add", log_q, lbw_tape_binary(tape, "Mul", loss->wanted, odds));
    const char *known = lbw_tape_binary(tape, "Mul", mean, loss->score);
    const char *error = lbw_tape_binary(tape, "Sub", p, loss->wanted);
    const char *scaled = lbw_tape_binary(tape, "Mul", error, loss->score);
    *gradient = lbw_tape_binary(tape, "Div", scaled, lbw_tape_binary(tape, "Mul", p, q));
    return lbw_tape_unary(tape, "Neg", total(tape, known));
}

const char *lbw_loss_both(struct lbw_tape *tape, const struct lbw_loss *loss,
                          const char **gradient)
{
    Onnx__NodeProto *node;
    const char *term = lbw_tape_native(
        tape, &node, "Scores",
        (const char *[]){loss->target, loss->wanted, loss->factor, loss->score, NULL},
        gradient);
    lbw_tape_attr_float(tape, node, "least", (float)LBW_GRAD_LEAST_SCORE);
    return term;
}

const char *lbw_loss_pull(struct lbw_tape *tape, const struct lbw_loss *loss)
{
    const char *error = lbw_tape_binary(tape, "Sub", loss->target, loss->wanted);
    return lbw_tape_binary(
        tape, "Mul", error,
        lbw_tape_binary(tape, "Mul", loss->factor, lbw_tape_scalar(tape, 2)));
}
