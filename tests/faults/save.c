/* SPDX-License-Identifier: MIT */
/*
 * A conversion that is killed at its n-th system call, or whose n-th system call fails, for n =
 * 1, 2, … until it runs through: what is found in the folder then. And input without end. The
 * program is linked with --wrap for each call below (see tests/meson.build).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <lbw/lbw.h>

#include "../graph.h"
#include "base/file.h"

/* ---- the n-th system call ---- */

enum fault { FAULT_NONE, FAULT_KILL, FAULT_FAIL };
static enum fault fault;
static long calls_left;

ssize_t __real_write(int fd, const void *data, size_t size);
int __real_fsync(int fd);
int __real_fchmod(int fd, mode_t mode);
int __real_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags);
int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
ssize_t __wrap_write(int fd, const void *data, size_t size);
int __wrap_fsync(int fd);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);
int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);
ssize_t __real_read(int fd, void *data, size_t size);
ssize_t __wrap_read(int fd, void *data, size_t size);

static bool is_due(void)
{
    if (fault == FAULT_NONE || calls_left < 0 || calls_left-- > 0)
        return false;
    return true;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    pause();
}

/* Half of it is written, as a full disk or a sudden end leaves it. */
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    if (!is_due())
        return __real_write(fd, data, size);
    ssize_t put = __real_write(fd, data, size / 2);
    if (fault == FAULT_KILL)
        die();
    errno = ENOSPC;
    return put < 0 ? put : -1;
}

static int fails(int number)
{
    if (fault == FAULT_KILL)
        die();
    errno = number;
    return -1;
}

int __wrap_fsync(int fd)
{
    return is_due() ? fails(EIO) : __real_fsync(fd);
}

int __wrap_fchmod(int fd, mode_t mode)
{
    return is_due() ? fails(EPERM) : __real_fchmod(fd, mode);
}

int __wrap_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    return is_due() ? fails(EIO) : __real_linkat(from_fd, from, to_fd, to, flags);
}

int __wrap_rename(const char *from, const char *to)
{
    return is_due() ? fails(EIO) : __real_rename(from, to);
}

/* Killed here as elsewhere; one that fails would only leave rubbish behind. */
int __wrap_unlink(const char *path)
{
    return fault == FAULT_KILL && is_due() ? fails(EIO) : __real_unlink(path);
}

/* Without this folder, no file can be written before it has a name. */
static bool has_nameless;

int __wrap_access(const char *path, int mode)
{
    if (strcmp(path, "/proc/self/fd") == 0 && !has_nameless) {
        errno = ENOENT;
        return -1;
    }
    return __real_access(path, mode);
}

/* ---- the folder ---- */

static char folder[300];
static struct text input; /* the model that is converted */
static struct lbw_bytes old_model, old_data,
    old_lone;                                /* what a run finds, in two files or one */
static struct lbw_bytes new_model, new_data; /* what it is to leave */

static const char *in_folder(const char *name)
{
    static char paths[4][600];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void clean_folder(void)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            __real_unlink(in_folder(e->d_name));
    closedir(dir);
}

static bool holds(const char *path, const struct lbw_bytes *wanted)
{
    struct lbw_bytes bytes = {0};
    if (lbw_bytes_read(&bytes, path, NULL) != LBW_OK)
        return false;
    bool is_same = bytes.size == wanted->size &&
                   (!bytes.size || memcmp(bytes.data, wanted->data, bytes.size) == 0);
    lbw_bytes_release(&bytes);
    return is_same;
}

/* Whether some file of the folder, hidden or not, holds these bytes; counts the hidden ones. */
static bool is_somewhere(const struct lbw_bytes *wanted, size_t *num_hidden)
{
    bool is_found = false;
    *num_hidden = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        *num_hidden += strncmp(e->d_name, ".lbw-", 5) == 0;
        is_found |= holds(in_folder(e->d_name), wanted);
    }
    closedir(dir);
    return is_found;
}

static void take(struct lbw_bytes *out, const char *name)
{
    struct lbw_bytes bytes = {0};
    assert_int_equal(lbw_bytes_read(&bytes, in_folder(name), NULL), LBW_OK);
    unsigned char *copy = malloc(bytes.size + 1);
    assert_non_null(copy);
    memcpy(copy, bytes.data, bytes.size);
    *out = (struct lbw_bytes){copy, bytes.size, false, false};
    lbw_bytes_release(&bytes);
}

/* ---- what is run ---- */

/* Which of the files are there before, and how the result is saved. */
static const struct scenario {
    const char *name;
    bool has_model, has_data; /* with both, one belongs to the other */
    bool is_pair, is_in_place;
    bool may_vanish; /* killed, a model may be gone from its name */
} scenarios[] = {
    {"a new file", false, false, false, false, true},
    {"an old file", true, false, false, false, false},
    {"in place", true, false, false, true, false},
    {"two new files", false, false, true, false, true},
    {"a file, data new", true, false, true, false, false},
    {"data there already", false, true, true, false, true},
    {"two old files", true, true, true, false, true},
    {"two in place", true, true, true, true, true},
    {"one for two in place", true, true, false, true, false},
};

static const struct lbw_external_params external = {"m.data", 64, 64};

static enum lbw_status convert(const char *from, unsigned bits, bool is_pair,
                               struct lbw_error *err)
{
    struct lbw_model *model = NULL;
    struct lbw_plan *plan = NULL;
    struct lbw_plan_params wishes = {.all = true,
                                     .grid = lbw_grid_by_name(bits == 2 ? "2" : "6")};
    const struct lbw_prepare_params prepare = {.requantize = true};
    struct lbw_convert_params params = {0};
    enum lbw_status status = lbw_model_open(&model, from, err);
    if (status == LBW_OK)
        status = lbw_model_prepare(model, &prepare, err);
    if (status == LBW_OK)
        status = lbw_plan_new(&plan, model, &wishes, err);
    if (status == LBW_OK)
        status = lbw_convert(NULL, model, plan, &params, err);
    if (status == LBW_OK && is_pair)
        status = lbw_model_save_external(model, in_folder("m.onnx"), &external, err);
    else if (status == LBW_OK)
        status = lbw_model_save(model, in_folder("m.onnx"), err);
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    return status;
}

static void put_file(const char *name, const struct lbw_bytes *bytes)
{
    write_file(in_folder(name), bytes->data, bytes->size);
}

static const struct lbw_bytes *old_of(const struct scenario *s)
{
    return s->has_data ? &old_model : &old_lone;
}

static void prepare(const struct scenario *s)
{
    clean_folder();
    write_file(in_folder("in.onnx"), input.data, input.size);
    if (s->has_model)
        put_file("m.onnx", old_of(s));
    if (s->has_data)
        put_file("m.data", &old_data);
}

static enum lbw_status work(const struct scenario *s, struct lbw_error *err)
{
    return convert(in_folder(s->is_in_place ? "m.onnx" : "in.onnx"), 2, s->is_pair, err);
}

/* How the child ended: a step of each makes sure that no other exit code looks like it. */
enum end { END_WHOLE = 40, END_BORNE, END_FAILED, END_WRONG, END_KILLED };

static enum end run(const struct scenario *s, enum fault with, long n)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct lbw_error err = {0};
        fault = with;
        calls_left = n;
        enum lbw_status status = work(s, &err);
        bool has_struck = calls_left < 0;
        if (status == LBW_OK)
            _exit(has_struck ? END_BORNE : END_WHOLE);
        bool is_told = status == LBW_ERR_IO && strstr(err.message, folder);
        if (!is_told)
            dprintf(STDERR_FILENO, "# %s: %d %s\n", s->name, (int)status, err.message);
        _exit(is_told ? END_FAILED : END_WRONG);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return END_KILLED;
    return WIFEXITED(status) ? (enum end)WEXITSTATUS(status) : END_WRONG;
}

/* ---- what is found ---- */

static bool is_absent(const char *name)
{
    return access(in_folder(name), F_OK) != 0;
}

static bool is_old(const struct scenario *s)
{
    return (s->has_model ? holds(in_folder("m.onnx"), old_of(s)) : is_absent("m.onnx")) &&
           (s->has_data ? holds(in_folder("m.data"), &old_data) : is_absent("m.data"));
}

static bool is_new(const struct scenario *s)
{
    return holds(in_folder("m.onnx"), &new_model) &&
           (!s->is_pair || holds(in_folder("m.data"), &new_data));
}

/* Of a pair that was there, or of the one to come, both files are whole under some name. */
static bool is_saved(const struct scenario *s)
{
    size_t num;
    if (!s->has_model)
        return true;
    return (is_somewhere(old_of(s), &num) && is_somewhere(&old_data, &num)) ||
           (is_somewhere(&new_model, &num) && is_somewhere(&new_data, &num));
}

static bool is_good_after_kill(const struct scenario *s)
{
    if (is_new(s))
        return true;
    if (is_absent("m.onnx"))
        return s->may_vanish && is_saved(s);
    return s->has_model && holds(in_folder("m.onnx"), old_of(s)) &&
           (!s->has_data || holds(in_folder("m.data"), &old_data));
}

static bool is_good(const struct scenario *s, enum end end)
{
    size_t num_hidden;
    is_somewhere(&new_model, &num_hidden);
    switch (end) {
    case END_KILLED:
        return is_good_after_kill(s);
    case END_WHOLE:
    case END_BORNE:
        return is_new(s) && !num_hidden;
    case END_FAILED:
        return is_old(s) && !num_hidden;
    case END_WRONG:
        break;
    }
    return false;
}

/* What a run without faults leaves; for "in place", from the old model. */
static void learn(const struct scenario *s)
{
    free((void *)(uintptr_t)new_model.data);
    free((void *)(uintptr_t)new_data.data);
    new_model = new_data = (struct lbw_bytes){0};
    prepare(s);
    assert_int_equal(work(s, NULL), LBW_OK);
    take(&new_model, "m.onnx");
    if (s->is_pair)
        take(&new_data, "m.data");
}

/* Strikes at every system call in turn; returns how many kills left a hidden file behind. */
static long strike(const struct scenario *s, enum fault with)
{
    enum end end = END_KILLED;
    long n = 0, num_left = 0;
    for (; end != END_WHOLE; n++) {
        size_t num_hidden;
        prepare(s);
        end = run(s, with, n);
        if (!is_good(s, end))
            fail_msg("%s, system call %ld %s: end %d", s->name, n,
                     with == FAULT_KILL ? "killed" : "fails", (int)end);
        is_somewhere(&new_model, &num_hidden);
        num_left += num_hidden > 0;
        if (end == END_KILLED) /* nothing in the way of another try */
            assert_int_equal(s->is_in_place ? LBW_OK : work(s, NULL), LBW_OK);
    }
    printf("# %s, written %s: %ld system calls, each %s", s->name,
           has_nameless ? "without a name" : "under another name", n - 1,
           with == FAULT_KILL ? "killed" : "has failed");
    printf(with == FAULT_KILL ? ", %ld of them leaving a hidden file\n" : "\n", num_left);
    assert_true(n > 4);
    return num_left;
}

static void strike_all(void)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        learn(&scenarios[i]);
        long num_left = strike(&scenarios[i], FAULT_KILL);
        if (has_nameless && !scenarios[i].is_pair)
            assert_in_range(num_left, 0, 1); /* between name and rename */
        strike(&scenarios[i], FAULT_FAIL);
    }
}

static void test_named(void **state)
{
    (void)state;
    has_nameless = false;
    strike_all();
}

static void test_nameless(void **state)
{
    (void)state;
    int fd = open(folder, O_TMPFILE | O_WRONLY, 0600);
    if (fd < 0) {
        print_message("skipped: files without a name are not to be had in %s\n", folder);
        skip();
    }
    close(fd);
    has_nameless = true;
    strike_all();
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s", temporary_path("faults"));
    if (mkdir(folder, 0777) != 0)
        return -1;
    struct text graph = {0};
    put_op(&graph, "Conv", "x w1", "c", NULL);
    put_op(&graph, "Conv", "c w2", "y", NULL);
    put_weight(&graph, "w1", 32, 32, 3);
    put_weight(&graph, "w2", 32, 32, 3);
    put_port(&graph, 11, "x");
    put_port(&graph, 12, "y");
    input = finish_model(&graph, 8, 13);
    write_file(in_folder("in.onnx"), input.data, input.size);
    assert_int_equal(convert(in_folder("in.onnx"), 6, false, NULL), LBW_OK);
    take(&old_lone, "m.onnx");
    assert_int_equal(convert(in_folder("in.onnx"), 6, true, NULL), LBW_OK);
    take(&old_model, "m.onnx");
    take(&old_data, "m.data");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    clean_folder();
    rmdir(folder);
    const struct lbw_bytes *all[] = {&old_lone, &old_model, &old_data, &new_model, &new_data};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free((void *)(uintptr_t)all[i]->data);
    free(input.data);
    return 0;
}

/* ---- input without end ---- */

static bool is_endless;

/* Claims to have read, and leaves the memory alone: it need not exist. */
ssize_t __wrap_read(int fd, void *data, size_t size)
{
    return is_endless ? (ssize_t)size : __real_read(fd, data, size);
}

static void test_endless(void **state)
{
    (void)state;
    static const char *const paths[] = {"/dev/zero", "-"};
    for (size_t i = 0; i < 2; i++) {
        struct lbw_bytes bytes = {0};
        struct lbw_error err = {0};
        is_endless = true;
        enum lbw_status status = lbw_bytes_read(&bytes, paths[i], &err);
        is_endless = false;
        assert_int_equal(status, LBW_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.message, ": is more than 2 GiB"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_named),
                                       cmocka_unit_test(test_nameless),
                                       cmocka_unit_test(test_endless)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
