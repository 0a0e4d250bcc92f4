/* SPDX-License-Identifier: MIT */
/* base: errors, arena, string map, 16-bit floats, files. */
#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/bits.h"
#include "base/error.h"
#include "base/file.h"
#include "base/strmap.h"
#include "base/thread.h"
#include "base/writer.h"
#include "base/text.h"

static void test_error_context(void **state)
{
    (void)state;
    struct lbw_error err;
    enum lbw_status status = lbw_fail(&err, LBW_ERR_FORMAT, "%d bytes\nshort", 3);
    status = lbw_within(&err, status, "weight '%s'", "w");
    assert_int_equal(status, LBW_ERR_FORMAT);
    assert_int_equal(err.status, LBW_ERR_FORMAT);
    assert_string_equal(err.message, "weight 'w': 3 bytes?short");
    lbw_within(&err, status, "weight '%s'", "w"); /* a file's name comes from every stage */
    assert_string_equal(err.message, "weight 'w': 3 bytes?short");
    lbw_within(&err, status, "%s", "weight"); /* not the whole of the first context */
    assert_string_equal(err.message, "weight: weight 'w': 3 bytes?short");
    assert_int_equal(lbw_fail(NULL, LBW_ERR_IO, "x"), LBW_ERR_IO);
}

static void test_arena(void **state)
{
    (void)state;
    struct lbw_arena arena = {0};
    char *kept = lbw_arena_strdup(&arena, "kept");
    for (size_t i = 0; i < 100; i++) {
        unsigned char *p = lbw_arena_alloc(&arena, i * 1000);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, 0xff, i * 1000);
    }
    assert_string_equal(kept, "kept");
    assert_null(lbw_arena_alloc(&arena, SIZE_MAX - 8));
    assert_null(lbw_arena_calloc(&arena, SIZE_MAX / 2, 4));
    assert_string_equal(lbw_arena_printf(&arena, "%s_%d", "a", 7), "a_7");
    lbw_arena_release(&arena);
}

static void test_strmap(void **state)
{
    (void)state;
    static char keys[1000][8];
    struct lbw_strmap map = {0};
    assert_null(lbw_strmap_get(&map, "0"));
    for (int i = 0; i < 1000; i++) {
        snprintf(keys[i], sizeof keys[i], "%d", i);
        assert_true(lbw_strmap_put(&map, keys[i], keys[i]));
    }
    assert_true(lbw_strmap_put(&map, "17", keys[3]));
    assert_ptr_equal(lbw_strmap_get(&map, "17"), keys[3]);
    assert_ptr_equal(lbw_strmap_get(&map, "999"), keys[999]);
    assert_null(lbw_strmap_get(&map, "1000"));
    lbw_strmap_release(&map);
}

/* Every half survives the way to float and back; halfway cases go to even. */
static void test_half(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        if ((h & 0x7c00) == 0x7c00 && (h & 0x3ff))
            continue; /* NaN payloads may change */
        assert_int_equal(lbw_half_from_float(lbw_half_to_float((uint16_t)h)), h);
    }
    for (uint32_t h = 0; h < 0x7bff; h++) {
        float low = lbw_half_to_float((uint16_t)h), high = lbw_half_to_float((uint16_t)(h + 1));
        assert_int_equal(lbw_half_from_float((low + high) / 2), h + (h & 1));
    }
    assert_int_equal(lbw_half_from_float(65519.0f), 0x7bff);
    assert_int_equal(lbw_half_from_float(65520.0f), 0x7c00);
    assert_int_equal(lbw_bfloat16_from_float(1.00390625f), 0x3f80);
    assert_int_equal(lbw_bfloat16_from_float(1.01171875f), 0x3f82);
}

static char *temporary_path(const char *name)
{
    static char path[256];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/lbw-base-%ld-%s", folder ? folder : "/tmp", (long)getpid(),
             name);
    return path;
}

static void round_trip(const char *name)
{
    char *path = temporary_path(name);
    struct lbw_error err = {0};
    struct lbw_writer *writer = NULL;
    assert_int_equal(lbw_writer_open(&writer, path, &err), LBW_OK);
    for (int i = 0; i < 100000; i++)
        lbw_writer_write(writer, &i, sizeof i);
    assert_int_not_equal(access(path, F_OK), 0); /* not there before it is whole */
    assert_int_equal(lbw_writer_size(writer), 400000);
    assert_int_equal(lbw_writer_commit(&writer, &err), LBW_OK);
    assert_null(writer);
    struct lbw_bytes bytes = {0};
    assert_int_equal(lbw_bytes_read(&bytes, path, &err), LBW_OK);
    assert_int_equal(bytes.size, 400000);
    assert_int_equal(lbw_load_u32(bytes.data + 4 * 77777), 77777);
    lbw_bytes_release(&bytes);
    unlink(path);
}

static void test_files(void **state)
{
    (void)state;
    round_trip("plain");
    round_trip("packed.gz");
    struct lbw_error err = {0};
    struct lbw_bytes bytes = {0};
    assert_int_equal(lbw_bytes_read(&bytes, "/nonexistent/x", &err), LBW_ERR_IO);
    assert_string_equal(err.message, "/nonexistent/x: cannot open: No such file or directory");
    struct lbw_writer *writer = NULL;
    assert_int_equal(lbw_writer_open(&writer, "/nonexistent/x", &err), LBW_ERR_IO);
    assert_null(writer);
    char *path = temporary_path("aborted");
    assert_int_equal(lbw_writer_open(&writer, path, &err), LBW_OK);
    lbw_writer_abort(&writer);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(lbw_writer_open(&writer, "/dev/full", &err), LBW_OK);
    lbw_writer_write(writer, "x", 1);
    assert_int_equal(lbw_writer_commit(&writer, &err), LBW_ERR_IO);
    assert_non_null(strstr(err.message, "/dev/full: cannot write"));
}

/* Writes file i; its mode has to be what the umask leaves, whatever other threads do. */
static void write_one(void *user, size_t i)
{
    int *modes = user;
    char path[256];
    struct lbw_writer *writer = NULL;
    struct stat st = {0};
    snprintf(path, sizeof path, "/tmp/lbw-base-%ld-thread-%zu", (long)getpid(), i);
    if (lbw_writer_open(&writer, path, NULL) == LBW_OK &&
        lbw_writer_commit(&writer, NULL) == LBW_OK && stat(path, &st) == 0)
        modes[i] = st.st_mode & 0777;
    unlink(path);
}

static void test_file_modes(void **state)
{
    (void)state;
    int modes[64] = {0};
    mode_t mask = umask(027);
    lbw_parallel_for(64, 8, write_one, modes);
    umask(mask);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(modes[i], 0640);
    char path[300] = "/tmp/";
    memset(path + 5, 'n', 255); /* no room for anything behind the name */
    struct lbw_writer *writer = NULL;
    assert_int_equal(lbw_writer_open(&writer, path, NULL), LBW_OK);
    assert_int_equal(lbw_writer_commit(&writer, NULL), LBW_OK);
    assert_int_equal(unlink(path), 0);
}

static void square(void *user, size_t i)
{
    ((size_t *)user)[i] = i * i;
}

static void test_parallel_for(void **state)
{
    (void)state;
    for (unsigned threads = 0; threads < 5; threads++) {
        size_t out[1000] = {0};
        lbw_parallel_for(1000, threads, square, out);
        for (size_t i = 0; i < 1000; i++)
            assert_int_equal(out[i], i * i);
    }
}

struct failing {
    size_t first, step; /* fail at first, first + step, … */
    atomic_size_t num_run;
};

static enum lbw_status fail_some(void *user, size_t i, struct lbw_error *err)
{
    struct failing *f = user;
    atomic_fetch_add(&f->num_run, 1);
    return i >= f->first && (i - f->first) % f->step == 0
               ? lbw_fail(err, i % 2 ? LBW_ERR_IO : LBW_ERR_FORMAT, "task %zu", i)
               : LBW_OK;
}

/* The lowest failure, whoever met one first. */
static void test_parallel_try(void **state)
{
    (void)state;
    for (unsigned threads = 0; threads < 5; threads++)
        for (size_t first = 0; first < 1000; first += 37) {
            struct lbw_error err = {0};
            char wanted[32];
            struct failing f = {.first = first, .step = 1 + first % 5};
            snprintf(wanted, sizeof wanted, "task %zu", first);
            assert_int_equal(lbw_parallel_try(1000, threads, fail_some, &f, &err),
                             first % 2 ? LBW_ERR_IO : LBW_ERR_FORMAT);
            assert_string_equal(err.message, wanted);
            assert_int_equal(err.status, first % 2 ? LBW_ERR_IO : LBW_ERR_FORMAT);
            assert_true(atomic_load(&f.num_run) > first);
        }
    struct failing none = {.first = 1000, .step = 1};
    assert_int_equal(lbw_parallel_try(1000, 0, fail_some, &none, NULL), LBW_OK);
    assert_int_equal(atomic_load(&none.num_run), 1000);
}

static void test_text_mend(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
        size_t size;
    } cases[] = {
        {"plain \t", "plain \t", 64},
        {"\u00e9\u20ac\U0001f600\ufffd", "\u00e9\u20ac\U0001f600\ufffd", 64},
        {"mod\xe9l", "mod\ufffdl", 64},
        {"\xc0\x80", "\ufffd\ufffd", 64},                     /* overlong */
        {"\xed\xa0\x80", "\ufffd\ufffd\ufffd", 64},           /* a surrogate */
        {"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd", 64}, /* beyond U+10FFFF */
        {"a\xe2\x82", "a\ufffd\ufffd", 64},                   /* ends too early */
        {"\xff\xc2", "\ufffd\ufffd", 64},
        {"ab\u00e9", "ab", 4}, /* whole characters only */
        {"ab\u00e9", "ab\u00e9", 5},
        {"ab\xe9", "ab", 5},
        {"ab", "", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64];
        lbw_text_mend(out, cases[i].size, cases[i].text);
        assert_string_equal(out, cases[i].wanted);
    }
}

static void test_text_excerpt(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
        size_t size;
    } cases[] = {
        {"as it is", "as it is", 9},
        {"two\nlines \n", "two lines", 64},
        {"", "", 8},
        {"not all of it", "not …", 11},
        {"not all of it", "not all …", 12},
        {"operators", "oper …", 9},
        {"\u00e9\u00e9\u00e9\u00e9\u00e9", "\u00e9 …", 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64];
        lbw_text_excerpt(out, cases[i].size, cases[i].text);
        assert_string_equal(out, cases[i].wanted);
    }
}

static void test_text_clean(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"conv_1/w", "conv_1/w"},
        {"\u5377\u79ef", "\u5377\u79ef"},
        {"a\nb\tc\rd", "a?b?c?d"},
        {"\033[31mred\x7f", "?[31mred?"},
        {"c1: \xc2\x9b"
         "31m",
         "c1: ?31m"}, /* xterm takes it for ESC [ */
        {"8 bit: \x9b", "8 bit: \ufffd"},
        {"\u2028line\u202etxt.exe\u2066", "?line?txt.exe?"},
        {"\u00a0\u2030\u2065\u20ac", "\u00a0\u2030\u2065\u20ac"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64];
        struct lbw_error err;
        lbw_text_clean(out, sizeof out, cases[i][0]);
        assert_string_equal(out, cases[i][1]);
        lbw_fail(&err, LBW_ERR_IO, "%s", cases[i][0]);
        assert_string_equal(err.message, cases[i][1]);
    }
}

/* Whatever bytes a name has, a line of text carries it there and back, in printable form. */
static void test_words(void **state)
{
    (void)state;
    static const char *const names[] = {
        "w",
        "",
        "a b",
        "#1",
        "quote\"",
        "back\\slash\\n",
        "\\x41",
        "line\nbreak\ttab\r",
        "\033[2J",
        "\xc2\x9b",
        "\x9b\xff",
        "\u202e\u2069",
        "\u00fc\u5377\U0001f600",
        "cut\xe2\x82",
        "-",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *line = NULL, clean[200];
        size_t size;
        FILE *f = open_memstream(&line, &size);
        lbw_text_print_word(f, names[i]);
        fputs(" next # comment", f);
        assert_int_equal(fclose(f), 0);
        lbw_text_clean(clean, sizeof clean, line);
        assert_string_equal(clean, line);
        char *rest = line;
        assert_string_equal(lbw_text_take_word(&rest), names[i]);
        assert_string_equal(lbw_text_take_word(&rest), "next");
        assert_null(lbw_text_take_word(&rest));
        free(line);
    }
    assert_true(lbw_text_is_utf8("") && lbw_text_is_utf8("\u00fc\033"));
    assert_false(lbw_text_is_utf8("a\xe2\x82"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_context), cmocka_unit_test(test_arena),
        cmocka_unit_test(test_strmap),        cmocka_unit_test(test_half),
        cmocka_unit_test(test_files),         cmocka_unit_test(test_file_modes),
        cmocka_unit_test(test_parallel_for),  cmocka_unit_test(test_text_mend),
        cmocka_unit_test(test_parallel_try),  cmocka_unit_test(test_text_clean),
        cmocka_unit_test(test_words),         cmocka_unit_test(test_text_excerpt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
