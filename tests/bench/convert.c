/* SPDX-License-Identifier: MIT */
/*
 * The whole command on a model of 100 MB made by code, against copying and syncing the file:
 * wall time and peak memory, both as ratios. Arguments: megabytes and rounds (100, 5).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[200];

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static const char *in_folder(const char *name)
{
    static char paths[4][300];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* What one run of a program took. */
struct cost {
    double wall, cpu; /* seconds */
    double peak;      /* bytes */
};

/* Runs a program of the build folder; arguments end with NULL. */
static struct cost run(const char *program, ...)
{
    char path[4096], *arguments[16] = {path};
    const char *root = getenv("LBW_BUILD_ROOT");
    struct rusage usage;
    int status;
    va_list list;
    snprintf(path, sizeof path, "%s/%s", root ? root : ".", program);
    va_start(list, program);
    for (size_t i = 1; i < 16 && (arguments[i] = va_arg(list, char *)); i++)
        ;
    va_end(list);
    double start = now();
    pid_t pid = fork();
    if (pid == 0) {
        execv(path, arguments);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &usage) < 0 || status != 0)
        fail(path);
    return (struct cost){now() - start,
                         (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                             (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6,
                         (double)usage.ru_maxrss * 1024};
}

/* As cp and sync would. */
static double copy(const char *to, const char *from)
{
    static char buffer[1 << 17];
    double start = now();
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (in < 0 || out < 0)
        fail(to);
    for (ssize_t size; (size = read(in, buffer, sizeof buffer)) != 0;)
        if (size < 0 || write(out, buffer, (size_t)size) != size)
            fail(to);
    if (fsync(out) != 0 || close(out) != 0)
        fail(to);
    close(in);
    return now() - start;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

static void measure(const char *encoding, double size, int rounds)
{
    const char *model = in_folder("model.onnx"), *other = in_folder("copy.onnx");
    const char *converted = in_folder("out.onnx");
    double copying = 1e9;
    struct cost cost = {1e9, 1e9, 0};
    struct stat st;
    for (int i = 0; i < rounds; i++) {
        copying = least(copying, copy(other, model));
        struct cost c = run("lbw", "quantize", model, "-o", converted, "--encoding", encoding,
                            "--calib", "none", "-q", NULL);
        cost.wall = least(cost.wall, c.wall);
        cost.cpu = least(cost.cpu, c.cpu);
        cost.peak = c.peak > cost.peak ? c.peak : cost.peak;
    }
    if (stat(converted, &st) != 0)
        fail(converted);
    printf("%-8s  %6.1f  %8.3f  %8.3f  %8.3f  %5.2f  %8.1f  %5.2f\n", encoding,
           (double)st.st_size / 1e6, copying, cost.wall, cost.cpu, cost.wall / copying,
           cost.peak / 1e6, cost.peak / size);
}

int main(int argc, char **argv)
{
    char kind[40];
    struct stat st;
    const char *parent = getenv("TMPDIR");
    snprintf(kind, sizeof kind, "large:%s", argc > 1 ? argv[1] : "100");
    snprintf(folder, sizeof folder, "%s/lbw-bench-%ld", parent ? parent : "/tmp",
             (long)getpid());
    if (mkdir(folder, 0777) != 0)
        fail(folder);
    run("tests/make_model", kind, in_folder("model.onnx"), NULL);
    if (stat(in_folder("model.onnx"), &st) != 0)
        fail(folder);
    fclose(stderr); /* the warning about --calib none, once a run */
    printf("lbw quantize --calib none, model of %.1f MB, best of rounds\n\n",
           (double)st.st_size / 1e6);
    printf("%-8s  %6s  %8s  %8s  %8s  %5s  %8s  %5s\n", "encoding", "MB out", "copy s", "lbw s",
           "cpu s", "ratio", "peak MB", "ratio");
    static const char *const encodings[] = {"packed", "dq", "float"};
    for (size_t i = 0; i < 3; i++)
        measure(encodings[i], (double)st.st_size, argc > 2 ? atoi(argv[2]) : 5);
    static const char *const names[] = {"model.onnx", "copy.onnx", "out.onnx"};
    for (size_t i = 0; i < 3; i++)
        unlink(in_folder(names[i]));
    return rmdir(folder) != 0;
}
