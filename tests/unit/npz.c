/* SPDX-License-Identifier: MIT */
/* .npy and .npz files: every type, every version, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "../npy.h"
#include "feed/array.h"
#include "feed/npz.h"

static enum lbw_status parse(struct lbw_npz *out, const struct text *t, struct lbw_error *err)
{
    return lbw_npz_parse(out, t->data, t->size, "f", err);
}

static void test_types(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        size_t size;
        unsigned char bytes[8];
        double value;
    } cases[] = {
        {"<f2", 2, {0x00, 0xc5}, -5},
        {"<f4", 4, {0, 0, 0xa0, 0xc0}, -5},
        {"<f8", 8, {0, 0, 0, 0, 0, 0, 0x14, 0xc0}, -5},
        {"|b1", 1, {1}, 1},
        {"|i1", 1, {0xfb}, -5},
        {"|u1", 1, {0xfb}, 251},
        {"<i2", 2, {0xfb, 0xff}, -5},
        {"<u2", 2, {0xfb, 0xff}, 65531},
        {"<i4", 4, {0xfb, 0xff, 0xff, 0xff}, -5},
        {"<u4", 4, {0xfb, 0xff, 0xff, 0xff}, 4294967291.0},
        {"<i8", 8, {0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, -5},
        {"<u8", 8, {5}, 5},
        {"=i4", 4, {7}, 7},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text t = npy(cases[i].code, "(1,)", cases[i].bytes, cases[i].size);
        struct lbw_npz npz = {0};
        struct lbw_error err = {0};
        assert_int_equal(parse(&npz, &t, &err), LBW_OK);
        assert_int_equal(npz.num_arrays, 1);
        assert_int_equal(npz.arrays->size, cases[i].size);
        assert_int_equal(npz.arrays->num_dims, 1);
        double value = 0;
        assert_true(lbw_number_load(&value, npz.arrays->data, npz.arrays->data_type));
        assert_true(value == cases[i].value);
        /* And back. */
        unsigned char stored[8] = {0};
        lbw_number_store(stored, value, npz.arrays->data_type);
        assert_memory_equal(stored, cases[i].bytes, cases[i].size);
        lbw_npz_release(&npz);
        free(t.data);
    }
}

static void test_conversion(void **state)
{
    (void)state;
    static const float in[] = {-1.5f, 0.5f, 1.5f, 254.6f, 300, -1e30f};
    uint8_t bytes[6];
    lbw_numbers_convert(bytes, TYPE(UINT8), in, TYPE(FLOAT), 6);
    static const uint8_t expected[] = {0, 0, 2, 255, 255, 0};
    assert_memory_equal(bytes, expected, 6);
    int64_t whole[6];
    lbw_numbers_convert(whole, TYPE(INT64), in, TYPE(FLOAT), 6);
    assert_true(whole[0] == -2 && whole[4] == 300 && whole[5] == INT64_MIN);
    int8_t small[6];
    lbw_numbers_convert(small, TYPE(INT8), in, TYPE(FLOAT), 6);
    assert_true(small[4] == 127 && small[5] == -128);
    float back[6];
    lbw_numbers_convert(back, TYPE(FLOAT), small, TYPE(INT8), 6);
    assert_true(back[5] == -128);
}

static void test_versions(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n",
        "{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"<f4\"}",
        "{ 'shape' : ( 2 , 3 , ) , 'descr' : '<f4' , 'fortran_order' : False }          \n",
    };
    float values[6] = {1, 2, 3, 4, 5, 6};
    for (int version = 1; version <= 3; version++)
        for (size_t i = 0; i < 3; i++) {
            struct text t = npy_raw(version, headers[i], values, sizeof values);
            struct lbw_npz npz = {0};
            assert_int_equal(parse(&npz, &t, NULL), LBW_OK);
            assert_int_equal(npz.arrays->num_dims, 2);
            assert_int_equal(npz.arrays->dims[0], 2);
            assert_int_equal(npz.arrays->dims[1], 3);
            assert_memory_equal(npz.arrays->data, values, sizeof values);
            lbw_npz_release(&npz);
            free(t.data);
        }
    struct text t = npy("<f4", "()", values, 4);
    struct lbw_npz npz = {0};
    assert_int_equal(parse(&npz, &t, NULL), LBW_OK);
    assert_int_equal(npz.arrays->num_dims, 0);
    assert_int_equal(npz.arrays->size, 4);
    lbw_npz_release(&npz);
    free(t.data);
}

static struct text two_arrays(bool is_wide)
{
    static const int32_t numbers[] = {1, 2, 3};
    struct zip_text zip = {.is_wide = is_wide};
    float zeros[1000] = {0};
    zeros[999] = 7;
    struct text a = npy("<i4", "(3,)", numbers, sizeof numbers);
    struct text b = npy("<f4", "(10, 100)", zeros, sizeof zeros);
    struct text c = {0};
    put(&c, "read me", 7);
    zip_add(&zip, "a.npy", &a, false);
    zip_add(&zip, "notes.txt", &c, false);
    zip_add(&zip, "input.1.npy", &b, true);
    return zip_finish(&zip);
}

static void test_zip(void **state)
{
    (void)state;
    for (int is_wide = 0; is_wide < 2; is_wide++) {
        struct text t = two_arrays(is_wide);
        const char *path = temporary_path("two.npz");
        write_file(path, t.data, t.size);
        assert_true(lbw_npz_is_one(path));
        struct lbw_npz npz = {0};
        struct lbw_error err = {0};
        assert_int_equal(lbw_npz_read(&npz, path, &err), LBW_OK);
        unlink(path);
        assert_int_equal(npz.num_arrays, 2);
        assert_string_equal(npz.arrays[0].name, "a");
        assert_int_equal(npz.arrays[0].data_type, TYPE(INT32));
        assert_string_equal(npz.arrays[1].name, "input.1");
        float last;
        memcpy(&last, npz.arrays[1].data + 999 * 4, 4);
        assert_true(last == 7);
        lbw_npz_release(&npz);
        free(t.data);
    }
}

/* Cut anywhere, or with any byte changed, it is an error or still two arrays; never a crash. */
static void test_damage(void **state)
{
    (void)state;
    struct text t = two_arrays(false);
    size_t failed = 0;
    for (size_t size = 0; size < t.size; size++) {
        unsigned char *copy = malloc(size ? size : 1);
        assert_non_null(copy);
        memcpy(copy, t.data, size);
        struct lbw_npz npz = {0};
        struct lbw_error err = {0};
        if (lbw_npz_parse(&npz, copy, size, "f", &err) != LBW_OK) {
            assert_true(!strncmp(err.message, "f: ", 3));
            failed++;
        }
        lbw_npz_release(&npz);
        free(copy);
    }
    assert_int_equal(failed, t.size - 7); /* only the comment can be spared */
    failed = 0;
    for (size_t i = 0; i < t.size; i++) {
        t.data[i] ^= 0x55;
        struct lbw_npz npz = {0};
        failed += parse(&npz, &t, NULL) != LBW_OK;
        lbw_npz_release(&npz);
        t.data[i] ^= 0x55;
    }
    assert_true(failed > 100); /* all of the arrays' bytes are under a checksum */
    free(t.data);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header, *message;
        enum lbw_status status;
    } cases[] = {
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }",
         "f: big-endian values ('>f4')", LBW_ERR_UNSUPPORTED},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", "f: values of type '|O'",
         LBW_ERR_UNSUPPORTED},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }",
         "f: values of type 'a structure'", LBW_ERR_UNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2, 2), }",
         "f: Fortran order is not supported; save numpy.ascontiguousarray() of it",
         LBW_ERR_UNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }",
         "f: truncated: 16 bytes of values for its shape", LBW_ERR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999), }",
         "f: truncated: 16 bytes of values for its shape", LBW_ERR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1), }",
         "f: the header is malformed", LBW_ERR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
         "f: the header is malformed", LBW_ERR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, }", "f: the header is malformed",
         LBW_ERR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,), }",
         "f: the header is malformed", LBW_ERR_FORMAT},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
         "f: the header is malformed", LBW_ERR_FORMAT},
        {"{'descr': '<f4", "f: the header is malformed", LBW_ERR_FORMAT},
        {"", "f: the header is malformed", LBW_ERR_FORMAT},
    };
    float values[4] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text t = npy_raw(1, cases[i].header, values, sizeof values);
        struct lbw_npz npz = {0};
        struct lbw_error err = {0};
        assert_int_equal(parse(&npz, &t, &err), cases[i].status);
        assert_string_equal(err.message, cases[i].message);
        free(t.data);
    }
    struct text t = npy_raw(9, "{}", NULL, 0);
    struct lbw_npz npz = {0};
    struct lbw_error err = {0};
    assert_int_equal(parse(&npz, &t, &err), LBW_ERR_UNSUPPORTED);
    assert_string_equal(err.message, "f: unsupported .npy version 9");
    free(t.data);
    assert_int_equal(lbw_npz_parse(&npz, "hello", 5, "f", &err), LBW_ERR_FORMAT);
    assert_string_equal(err.message, "f: neither a zip (.npz) nor an array of NumPy (.npy)");
}

/* A few bytes that claim gigabytes are refused before memory is asked for. */
static void test_bomb(void **state)
{
    (void)state;
    struct zip_text zip = {0};
    struct text a = npy("<f4", "(1,)", "1234", 4);
    zip_add(&zip, "a.npy", &a, true);
    memcpy(zip.directory.data + 24, "\xff\xff\xff\x7f", 4); /* its size */
    struct text t = zip_finish(&zip);
    struct lbw_npz npz = {0};
    struct lbw_error err = {0};
    assert_int_equal(parse(&npz, &t, &err), LBW_ERR_FORMAT);
    assert_string_equal(err.message,
                        "f: 'a': broken zip: an entry promises more than it can hold");
    free(t.data);
}

/* What is named so, or begins so, is never taken for an image; a folder may have any name. */
static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        size_t size;
        bool is_one;
    } cases[] = {
        {"a.npz", "hello", 5, true},
        {"a.npy", "", 0, true},
        {"a", "PK\3\4", 4, true},
        {"a.png", "\x93NUMPY", 6, true},
        {"a.jpg", "\xff\xd8\xff", 3, false},
        {"npz", "hello", 5, false},
        {"a.npz.jpg", "", 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = temporary_path(cases[i].name);
        struct lbw_npz npz;
        struct lbw_error err = {0};
        write_file(path, cases[i].bytes, cases[i].size);
        assert_int_equal(lbw_npz_is_one(path), cases[i].is_one);
        assert_int_equal(lbw_npz_read(&npz, path, &err), LBW_ERR_FORMAT);
        assert_non_null(strstr(err.message, cases[i].name));
        unlink(path);
        assert_false(lbw_npz_is_one(path));
    }
    const char *folder = temporary_path("folder.npz");
    assert_int_equal(mkdir(folder, 0777), 0);
    assert_false(lbw_npz_is_one(folder));
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),    cmocka_unit_test(test_conversion),
        cmocka_unit_test(test_versions), cmocka_unit_test(test_zip),
        cmocka_unit_test(test_damage),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bomb),     cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
