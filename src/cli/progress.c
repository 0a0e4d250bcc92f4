/* SPDX-License-Identifier: MIT */
/* Progress: redrawn at most ten times a second, erased at the end. */
#include "cli/progress.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "cli/table.h"
#include "cli/talk.h"

static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
#define NUM_CAUGHT (sizeof caught / sizeof *caught)

static volatile sig_atomic_t interrupted;
static struct sigaction before[NUM_CAUGHT];

/* The one line, on the one terminal. */
static struct {
    const char *verb;
    int width; /* of the terminal; 0: show nothing */
    double started, drawn;
    bool is_visible;
} line;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

void lbw_progress_begin(const char *verb, bool quiet)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    interrupted = 0;
    for (size_t i = 0; i < NUM_CAUGHT; i++) {
        sigaction(caught[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN) /* as nohup does */
            sigaction(caught[i], &action, NULL);
    }
    line.verb = verb;
    line.width = quiet ? 0 : lbw_terminal_width(stderr);
    line.started = now();
    line.drawn = 0;
}

static void draw(const char *what, size_t done, size_t total, double elapsed)
{
    char left[LBW_TEXT_SIZE + 8] = "";
    if (done && elapsed > 2 && done < total) {
        char time[LBW_TEXT_SIZE];
        lbw_text_seconds(time, elapsed * (double)(total - done) / (double)done);
        snprintf(left, sizeof left, ", %s left", time);
    }
    char head[160];
    snprintf(head, sizeof head, "%s %zu of %zu%s", line.verb, done, total, left);
    size_t used = lbw_text_width(head), room = (size_t)line.width - 1;
    char name[256] = "";
    if (what && used + 8 < room) {
        char clean[512];
        lbw_text_clean(clean, sizeof clean, what);
        lbw_text_shorten(name, sizeof name, clean, room - used - 2);
    }
    fprintf(stderr, "\r\033[K%s%s%s", head, *name ? "  " : "", name);
    fflush(stderr);
    line.is_visible = true;
}

int lbw_progress_step(void *user, const char *what, size_t done, size_t total)
{
    (void)user;
    double time = now();
    if (line.width && time - line.drawn > 0.1) {
        draw(what, done, total, time - line.started);
        line.drawn = time;
    }
    return interrupted;
}

void lbw_progress_note(const char *what)
{
    if (!line.width)
        return;
    fprintf(stderr, "\r\033[K%s …", what);
    fflush(stderr);
    line.is_visible = true;
}

double lbw_progress_seconds(void)
{
    return now() - line.started;
}

bool lbw_progress_stopped(void)
{
    return interrupted;
}

void lbw_progress_clear(void)
{
    if (line.is_visible)
        fputs("\r\033[K", stderr);
    line.is_visible = false;
}

void lbw_progress_end(void)
{
    lbw_progress_clear();
    for (size_t i = 0; i < NUM_CAUGHT; i++)
        sigaction(caught[i], &before[i], NULL);
}
