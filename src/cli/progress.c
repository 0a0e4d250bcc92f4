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
    /* The work that counts these steps, and when and where its count began. */
    size_t total, done, first;
    double began;
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
    line.started = line.began = now();
    line.drawn = 0;
    line.total = line.done = line.first = 0;
}

/* Other work than before counts from here: the time left follows from its own steps. */
static void count(size_t done, size_t total, double time)
{
    if (total != line.total || done < line.done) {
        line.first = done;
        line.began = time;
    }
    line.total = total;
    line.done = done;
}

static void draw(const char *verb, const char *what, double elapsed)
{
    char left[LBW_TEXT_SIZE + 8] = "";
    size_t made = line.done - line.first, rest = line.total - line.done;
    if (made && elapsed > 2 && line.done < line.total) {
        char time[LBW_TEXT_SIZE];
        lbw_text_seconds(time, elapsed * (double)rest / (double)made);
        snprintf(left, sizeof left, ", %s left", time);
    }
    char head[160];
    snprintf(head, sizeof head, "%s %zu of %zu%s", verb, line.done, line.total, left);
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

static int step(const char *verb, const char *what, size_t done, size_t total)
{
    double time = now();
    count(done, total, time);
    if (line.width && time - line.drawn > 0.1) {
        draw(verb, what, time - line.began);
        line.drawn = time;
    }
    return interrupted;
}

int lbw_progress_step(void *user, const char *what, size_t done, size_t total)
{
    (void)user;
    return step(line.verb, what, done, total);
}

int lbw_progress_phase(void *user, const char *what, size_t done, size_t total)
{
    (void)user;
    return step(what ? what : line.verb, NULL, done, total);
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
