/* SPDX-License-Identifier: MIT */
/* One line of progress on a terminal, and Ctrl-C turned into an orderly stop. */
#ifndef LBW_CLI_PROGRESS_H
#define LBW_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * From here to lbw_progress_end() SIGINT, SIGTERM and SIGHUP only set a flag; a second one
 * kills. Nothing is shown if standard error is not a terminal or `quiet` is set.
 */
void lbw_progress_begin(const char *verb, bool quiet);

/* An lbw_progress_fn: non-zero after a signal. `user` is not used. */
int lbw_progress_step(void *user, const char *what, size_t done, size_t total);

/* The same for work whose `what` is a verb: "measuring sensitivity 4 of 8". */
int lbw_progress_phase(void *user, const char *what, size_t done, size_t total);

/* Shows a line without numbers, for work that does not count its steps. */
void lbw_progress_note(const char *what);

/* Seconds since lbw_progress_begin(), also after the end. */
double lbw_progress_seconds(void);

/* Whether a signal arrived. */
bool lbw_progress_stopped(void);

/* Erases the line; signals stay caught, so that the rest can still be stopped cleanly. */
void lbw_progress_clear(void);

/* Erases the line and restores the signals. */
void lbw_progress_end(void);

#endif
